package inbound

import "time"

// Pace says how long a peer may be waited for: it holds a body to a lowest rate and a longest pause. It is an account of
// waiting time, so only time that was really spent waiting for the peer counts; what we spend on the other side does
// not.
//
//	begin                    the peer may be waited for Grace
//	each byte it moves       pays for 1/Rate more, until Pause is saved up
//	each wait                is taken off
//	nothing left             too slow
//
// So a peer may be silent for Grace at first, for Pause after it has moved Pause x Rate bytes, and never falls below
// Rate for longer. The zero value is no limit. It holds no clock and is copied freely.
type Pace struct {
	Rate         int // bytes a second, at least 1
	Grace, Pause time.Duration

	left    time.Duration
	started time.Time // of the present wait; zero: none
	begun   bool
}

// The paces of proxy.md 11.
var (
	BodyPace   = Pace{Rate: 240, Grace: 5 * time.Second, Pause: 30 * time.Second} // of a request's body
	AnswerPace = Pace{Rate: 240, Grace: 5 * time.Second, Pause: 60 * time.Second} // of a client reading its answer
)

// Wait begins to wait for the peer, and says until when at the latest; zero: without end. A wait that has begun
// already goes on.
func (p *Pace) Wait(now time.Time) time.Time {
	if p.Rate <= 0 {
		return time.Time{}
	}
	if !p.begun {
		p.begun, p.left = true, min(p.Grace, p.Pause)
	}
	if p.started.IsZero() {
		p.started = now
	}
	return p.started.Add(p.left)
}

// Moved ends the wait: the peer has sent or taken n bytes, at least 0.
func (p *Pace) Moved(n int, now time.Time) {
	if p.Rate <= 0 || p.started.IsZero() {
		return
	}
	p.left -= max(now.Sub(p.started), 0)
	p.started = time.Time{}
	full := int64(p.Pause/time.Second+1) * int64(p.Rate) // more bytes than ever pay, so that nothing overflows
	p.left = min(max(p.left, 0)+time.Duration(min(int64(n), full))*time.Second/time.Duration(p.Rate), p.Pause)
}
