package health

import "time"

// Act is what an override orders.
type Act uint8

// The acts. The first four and Pause name an endpoint, the three of the middle a profile. Failback is an order that is used up by the
// decision it causes; all others last until they are ended or expire.
const (
	Disable Act = iota + 1
	Drain
	ForceDown
	ForceUp
	DisableProfile
	HoldProfile // the proxy holds its requests; DNS goes on
	FailbackNow
	Pause    // the verdict is frozen: probed and shown, not counted, no events
	OpenGate // an operator switch that safety rules ask for; names neither profile nor endpoint
)

var actNames = []string{"none", "disable", "drain", "force-down", "force-up", "disable-profile", "hold-profile", "failback", "pause", "open-gate"}

func (a Act) String() string { return nameOf(actNames, int(a)) }

// MarshalText keeps the word in the store and the API.
func (a Act) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText accepts the words of the acts.
func (a *Act) UnmarshalText(b []byte) error { return parseName(actNames, b, (*uint8)(a)) }

// Override is one order of an operator or a drill: a layer over the verdict, never a write into it.
type Override struct {
	ID       string    `json:"id"`
	Act      Act       `json:"act"`
	Profile  string    `json:"profile"`
	Endpoint string    `json:"endpoint,omitempty"`
	By       string    `json:"by"`
	Note     string    `json:"note,omitempty"`
	At       time.Time `json:"at"`
	Until    time.Time `json:"until,omitzero"` // zero: until it is ended

	KeepProbing bool   `json:"keepProbing,omitempty"` // disable: go on probing, so that status shows what it would be
	Gate        string `json:"gate,omitempty"`        // open-gate: which one
}

// Live reports that the order still holds at now.
func (o *Override) Live(now time.Time) bool { return o.Until.IsZero() || now.Before(o.Until) }

// Layer is what all live overrides together mean for one endpoint.
type Layer struct {
	Disabled, Drained bool
	Probing           bool    // disabled, but every order that says so keeps the probes going
	Paused            bool    // the verdict is frozen
	Forced            Opinion // Up, Down, or Checking for not forced
	Shown             *Override
	Ends              time.Time // the earliest known end of an order that counts; zero: none
}

// LayerOf merges the live overrides that name the endpoint. Of two contradicting forces the later one wins, by time
// and then by id, so that every node reads the same.
func LayerOf(overrides []Override, endpoint string, now time.Time) Layer {
	var l Layer
	var force *Override
	for i := range overrides {
		o := &overrides[i]
		if o.Endpoint != endpoint || !o.Live(now) {
			continue
		}
		switch o.Act {
		case Disable:
			l.Probing = o.KeepProbing && (l.Probing || !l.Disabled)
			l.Disabled = true
		case Pause:
			l.Paused = true
		case Drain:
			l.Drained = true
		case ForceDown, ForceUp:
			if force == nil || later(o, force) {
				force = o
			}
		case DisableProfile, HoldProfile, FailbackNow, OpenGate:
			continue
		}
		if !o.Until.IsZero() && (l.Ends.IsZero() || o.Until.Before(l.Ends)) {
			l.Ends = o.Until
		}
		if l.Shown == nil || o.Act < l.Shown.Act || (o.Act == l.Shown.Act && later(o, l.Shown)) {
			l.Shown = o
		}
	}
	if force != nil {
		l.Forced = Up
		if force.Act == ForceDown {
			l.Forced = Down
		}
		if l.Shown.Act == ForceDown || l.Shown.Act == ForceUp {
			l.Shown = force
		}
	}
	return l
}

func later(a, b *Override) bool {
	if a.At.Equal(b.At) {
		return a.ID > b.ID
	}
	return a.At.After(b.At)
}

// ProfileOrder returns the live order of that kind over the whole profile, or nil.
func ProfileOrder(overrides []Override, act Act, now time.Time) *Override {
	var found *Override
	for i := range overrides {
		o := &overrides[i]
		if o.Act == act && o.Live(now) && (found == nil || later(o, found)) {
			found = o
		}
	}
	return found
}
