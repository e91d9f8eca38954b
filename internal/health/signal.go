package health

import (
	"fmt"
	"time"

	"jurymast/internal/profile"
)

// Signal is what somebody outside said about an endpoint with an external check.
type Signal struct {
	Profile  string    `json:"profile"`
	Endpoint string    `json:"endpoint"`
	State    Opinion   `json:"state"` // up or down
	Reason   string    `json:"reason,omitempty"`
	By       string    `json:"by,omitempty"`
	At       time.Time `json:"at"`
	Until    time.Time `json:"until"` // after it the endpoint is silent
}

// SignalVerdict is the verdict of an external check:
//
//	a signal that is not too old -> what it says
//	silence                      -> on_silence: down, up, or the last signal
//	never a signal               -> CheckingEndpoint under last, else as silence says
func SignalVerdict(x *profile.External, s *Signal, prev Verdict, now time.Time) Verdict {
	var next Verdict
	switch {
	case s != nil && now.Before(s.Until):
		next = said(s.State, "signal: "+s.words())
	case x.OnSilence == profile.SilenceUp:
		next = said(Up, "no signal: counts as up")
	case x.OnSilence == profile.SilenceDown:
		next = said(Down, "no signal: counts as down")
	case s != nil:
		next = said(s.State, "no newer signal than: "+s.words())
	default:
		next = said(Checking, "no signal yet")
	}
	if s != nil && !now.Before(s.Until) {
		next.Reason += fmt.Sprintf(" (silent since %s)", s.Until.UTC().Format(time.RFC3339))
	}
	return next.since(prev, now)
}

func (s *Signal) words() string {
	if s.Reason == "" {
		return s.State.String()
	}
	return s.State.String() + ", " + s.Reason
}

// said is a verdict of that opinion.
func said(o Opinion, reason string) Verdict {
	v := Verdict{Reason: reason}
	switch o {
	case Up:
		v.Status = Online
	case Down:
		v.Status = Degraded
	case Checking:
	}
	return v
}

// Assumed is the verdict of an endpoint that is never looked at.
func Assumed(a profile.Assume, prev Verdict, now time.Time) Verdict {
	o := Up
	if a == profile.AssumeDown {
		o = Down
	}
	return said(o, "assumed "+string(a)).since(prev, now)
}

// Part is one endpoint a calculated check looks at.
type Part struct {
	Name   string // ENDPOINT or PROFILE/ENDPOINT, as configured
	Status Status
	Known  bool          // its profile has a view
	Coming bool          // its first verdict is on its way
	Change time.Duration // how soon its status can change
}

// CalculatedVerdict takes the verdict from others: Online while at least c.AtLeast of the parts are Online or
// Unmonitored, CheckingEndpoint while those that are not known yet could make up for it, else Degraded.
func CalculatedVerdict(c *profile.Calculated, parts []Part, prev Verdict, now time.Time) Verdict {
	var up, open int
	missing := ""
	for _, p := range parts {
		switch {
		case p.Known && (p.Status == Online || p.Status == Unmonitored):
			up++
		case !p.Known || p.Status == CheckingEndpoint:
			open++
		case missing == "":
			missing = p.Name + " is " + p.Status.String()
		}
	}
	o := Down
	switch {
	case up >= c.AtLeast:
		o = Up
	case up+open >= c.AtLeast:
		o = Checking
	}
	reason := fmt.Sprintf("%d of %d are up, %d needed", up, len(parts), c.AtLeast)
	if missing != "" {
		reason += "; " + missing
	}
	return said(o, reason).since(prev, now)
}
