package health

import "time"

// EntryKind says what a journal entry tells.
type EntryKind string

// The kinds of entries.
const (
	EntryVote     EntryKind = "vote"     // a node changed its opinion of an endpoint
	EntryVerdict  EntryKind = "verdict"  // the quorum changed its verdict
	EntryDecision EntryKind = "decision" // another endpoint is active, or the first one
	EntryFence    EntryKind = "fence"    // fencing: strict: the decision is carried out, nobody sends to the old endpoint
	EntryAct      EntryKind = "act"      // an operator ordered or ended something
	EntryConfig   EntryKind = "config"   // documents changed, or were refused
	EntryAlarm    EntryKind = "alarm"    // something an operator must look at
	EntrySecret   EntryKind = "secret"   // a secret that all nodes share came to its next stage
)

// Entry is one line of the journal: one transition or one act, never one observation.
type Entry struct {
	ID       string    `json:"id,omitempty"` // time and sequence, set by the store room; grows
	At       time.Time `json:"at"`
	Node     string    `json:"node"`
	Kind     EntryKind `json:"kind"`
	Profile  string    `json:"profile,omitempty"`
	Endpoint string    `json:"endpoint,omitempty"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to,omitempty"`
	Epoch    uint64    `json:"epoch,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	By       string    `json:"by,omitempty"`
	Note     string    `json:"note,omitempty"`
}
