package health

// Halt says why this node neither answers a profile nor sends it a request, although it may know an active endpoint.
type Halt uint8

// The reasons, the one that lasts longest first when several hold.
const (
	HaltNone        Halt = iota
	HaltIsolated         // this node has lost the store, and the decision may have moved on without it
	HaltUnconfirmed      // this node has not yet had the decision from the store in this life, or the store has lost it
	HaltPreparing        // fencing: a switch waits until no node sends to the old endpoint any more
)

var haltNames = [...]string{"", "isolated", "unconfirmed", "preparing"}

func (h Halt) String() string {
	if int(h) < len(haltNames) {
		return haltNames[h]
	}
	return "invalid"
}

// Phase is how far a decision has come.
type Phase string

// The phases. A relaxed profile has the first one only.
//
//	(decided) --fencing: strict--> preparing --every live node has acknowledged--> active
const (
	PhaseActive    Phase = ""          // requests may go to Decision.Active
	PhasePreparing Phase = "preparing" // no request may go anywhere
)
