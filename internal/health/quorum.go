package health

import (
	"fmt"
	"time"

	"jurymast/internal/profile"
)

// Status is an endpoint's monitor status in the field's words.
type Status uint8

// The statuses. CheckingEndpoint is the zero value.
const (
	CheckingEndpoint Status = iota
	Online
	Degraded
	Disabled
	Inactive
	Stopped
	Unmonitored
)

var statusNames = []string{"CheckingEndpoint", "Online", "Degraded", "Disabled", "Inactive", "Stopped", "Unmonitored"}

func (s Status) String() string { return nameOf(statusNames, int(s)) }

// MarshalText keeps the word in the store and the API.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts the seven words.
func (s *Status) UnmarshalText(b []byte) error { return parseName(statusNames, b, (*uint8)(s)) }

// Ballot is the vote of one live node. A live node that has not voted yet casts a Checking vote.
type Ballot struct {
	Node     string `json:"node"`
	Location string `json:"location"`
	Blind    bool   `json:"blind,omitempty"` // sees everything down at once; does not count while another node sees
	Vote
}

// Verdict is the votes merged: CheckingEndpoint, Online or Degraded.
type Verdict struct {
	Status Status    `json:"status"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
	Stale  bool      `json:"stale,omitempty"` // taken over or frozen: nobody confirms it now

	Held      bool `json:"held,omitempty"`      // Degraded although the votes say up: hold_down is not over
	Recovered bool `json:"recovered,omitempty"` // Online after having been Degraded, not from the beginning
}

// Quorum merges the ballots of all live nodes about one endpoint. The order of ballots does not matter. First match:
//
//	no voter                          -> prev, stale
//	downs >= needed                   -> Degraded
//	at least one up                   -> Online
//	only checking, or too few downs   -> prev if it was Online or Degraded, else CheckingEndpoint
//
// Blind voters do not count unless all are blind. With at_least n and fewer voters nothing can go down; the verdict is
// then stale. An exact half of downs is up under majority.
func Quorum(rule profile.Quorum, ballots []Ballot, prev Verdict, now time.Time) Verdict {
	voters, downs, ups, downReason, upReason := count(ballots)
	needed := rule.Needed(voters)
	next := prev
	few := rule.Rule == profile.QuorumAtLeast && voters < rule.N
	switch {
	case voters == 0:
		next.Stale = true
		return next
	case downs >= needed:
		next.Stale = false
		next.Status, next.Reason = Degraded, fmt.Sprintf("%d of %d voters say down: %s", downs, voters, downReason)
	case ups > 0:
		next.Stale = few
		next.Status, next.Reason = Online, fmt.Sprintf("%d of %d voters say up: %s", ups, voters, upReason)
	case prev.Status == Online || prev.Status == Degraded:
		next.Stale = prev.Stale || few // a verdict taken over stays unconfirmed until somebody has looked
	default:
		next.Status, next.Reason, next.Stale = CheckingEndpoint, "no verdict yet", few
	}
	return next.since(prev, now)
}

// since dates a verdict: when its status changed, and whether that was a recovery.
func (v Verdict) since(prev Verdict, now time.Time) Verdict {
	v.Held = false
	v.Since, v.Recovered = prev.Since, prev.Recovered
	if v.Status != prev.Status || prev.Since.IsZero() {
		v.Since, v.Recovered = now, v.Status == Online && prev.Status == Degraded
	}
	return v
}

// HoldDown keeps an endpoint Degraded until it has been so for hold. Passing probes are told meanwhile, so that two
// failures of one endpoint are at least hold apart:
//
//	Degraded -- votes say up, hold over -------> Online
//	Degraded -- votes say up, hold not over ---> Degraded, held
func HoldDown(prev, next Verdict, hold time.Duration, now time.Time) Verdict {
	if prev.Status != Degraded || next.Status != Online || hold <= 0 || !now.Before(prev.Since.Add(hold)) {
		return next
	}
	held := prev
	held.Stale, held.Held = next.Stale, true
	held.Reason = fmt.Sprintf("held down until %s, probes pass: %s", prev.Since.Add(hold).UTC().Format(time.RFC3339), next.Reason)
	return held
}

// count takes the reason from the node whose name sorts first, so that every node tells the same story.
func count(ballots []Ballot) (voters, downs, ups int, downReason, upReason string) {
	all := true
	for i := range ballots {
		all = all && ballots[i].Blind
	}
	var downNode, upNode string
	for i := range ballots {
		b := &ballots[i]
		if b.Blind && !all {
			continue
		}
		voters++
		switch b.Opinion {
		case Down:
			downs++
			if downNode == "" || b.Node < downNode {
				downNode, downReason = b.Node, b.Reason
			}
		case Up:
			ups++
			if upNode == "" || b.Node < upNode {
				upNode, upReason = b.Node, b.Reason
			}
		case Checking:
		}
	}
	return voters, downs, ups, downReason, upReason
}
