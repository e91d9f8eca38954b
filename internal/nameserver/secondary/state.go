package secondary

import "time"

// Timers are those of an SOA, within the bounds of a zone's configuration.
type Timers struct {
	Refresh time.Duration // from the last word of a primary to the next look
	Retry   time.Duration // from a look that brought nothing to the next one
	Expire  time.Duration // from the last word of a primary until the zone is given up
}

// Bounds of timers, from the configuration.
type Bounds struct{ Min, Max time.Duration }

const (
	maxExpire  = 365 * 24 * time.Hour
	firstRetry = 5 * time.Second  // of a zone without content, doubled with every failure
	lastRetry  = 15 * time.Minute // at most
	jitter     = 10               // percent of a wait that dice take away, so that zones do not look all at once
)

// TimersOf bounds what an SOA says, in seconds. Refresh and retry lie between the bounds; a zone lives at least one refresh
// and one retry, so that a single look that fails cannot end it, and at most a year.
func TimersOf(refresh, retry, expire uint32, b Bounds) Timers {
	t := Timers{
		Refresh: min(max(time.Duration(refresh)*time.Second, b.Min), b.Max),
		Retry:   min(max(time.Duration(retry)*time.Second, b.Min), b.Max),
	}
	t.Retry = min(t.Retry, t.Refresh)
	t.Expire = min(max(time.Duration(expire)*time.Second, t.Refresh+t.Retry), maxExpire)
	return t
}

// Phase says in one word how a zone stands.
type Phase string

// The words of Phase.
const (
	Missing Phase = "missing" // it was never here: questions get SERVFAIL
	Current Phase = "current" // a primary has confirmed it, and is asked again when refresh is over
	Failing Phase = "failing" // the last look brought nothing; it is answered as it is
	Expired Phase = "expired" // no primary has confirmed it for too long: questions get SERVFAIL
)

// State says when a zone is looked for and when it is given up. It is a value: nothing in it knows a clock.
//
//	           content, or the same serial
//	missing -------------------------------> current <-----------------------------.
//	  '--- failure: 5s, doubled up to 15m      |  refresh over, or NOTIFY: look    |
//	                                           |                                   |
//	                                           '-- failure --> failing -- success -+
//	                                                             |  retry over     |
//	                                       expire after success  v                 |
//	                                                          expired -- success --'
//	                                                             '--- failure: retry
//
// A NOTIFY while a look is under way makes another one follow it at once: what the first one read may be older.
type State struct {
	Timers    Timers
	Has       bool      // there is content
	Confirmed time.Time // when a primary last said that this is what it has
	Next      time.Time // next look; zero while one is under way
	Looking   bool
	Failures  int  // looks in a row that brought nothing
	again     bool // look once more when this one has ended
}

// Begin is a zone of which nothing is here: it is looked for at once.
func Begin(now time.Time) State { return State{Next: now} }

// Restore is a zone that was kept on disk. When it was confirmed lately, the primaries are left alone as long as they
// would have been without the restart; dice spread those that are due.
func Restore(t Timers, confirmed, now time.Time, dice uint64) State {
	if confirmed.After(now) { // the clock was set back
		confirmed = now
	}
	next := confirmed.Add(less(t.Refresh, dice))
	if next.Before(now) {
		next = now
	}
	return State{Timers: t, Has: true, Confirmed: confirmed, Next: next}
}

// Phase at a moment.
func (s *State) Phase(now time.Time) Phase {
	switch {
	case !s.Has:
		return Missing
	case !now.Before(s.Expires()):
		return Expired
	case s.Failures > 0:
		return Failing
	}
	return Current
}

// Serves reports that questions are answered from the content.
func (s *State) Serves(now time.Time) bool { return s.Has && now.Before(s.Expires()) }

// Expires is when the zone is given up unless a primary confirms it; zero without content.
func (s *State) Expires() time.Time {
	if !s.Has {
		return time.Time{}
	}
	return s.Confirmed.Add(s.Timers.Expire)
}

// Wake is when something is due: a look, or the end.
func (s *State) Wake(now time.Time) time.Time {
	wake := s.Next
	if s.Looking {
		wake = now.Add(time.Hour)
	}
	if end := s.Expires(); s.Has && end.After(now) && end.Before(wake) {
		wake = end
	}
	return wake
}

// Due reports that a look has to begin.
func (s *State) Due(now time.Time) bool { return !s.Looking && !now.Before(s.Next) }

// Look notes that one begins.
func (s *State) Look() { s.Looking, s.Next, s.again = true, time.Time{}, false }

// Notified has a look begin now.
func (s *State) Notified(now time.Time) {
	if s.Looking {
		s.again = true
		return
	}
	s.Next = now
}

// Succeeded notes that a primary has confirmed the content, or brought it. t are the timers of its SOA.
func (s *State) Succeeded(t Timers, now time.Time, dice uint64) {
	s.Timers, s.Has, s.Confirmed, s.Failures, s.Looking = t, true, now, 0, false
	s.wait(now, less(t.Refresh, dice))
}

// Failed notes that no primary could be asked, or none had anything of use.
func (s *State) Failed(now time.Time, dice uint64) {
	s.Failures++
	s.Looking = false
	wait := s.Timers.Retry
	if !s.Has {
		wait = min(firstRetry<<min(s.Failures-1, 10), lastRetry)
	}
	s.wait(now, less(wait, dice))
}

func (s *State) wait(now time.Time, d time.Duration) {
	if s.Next = now.Add(d); s.again {
		s.Next, s.again = now, false
	}
}

// less takes up to a tenth from a wait.
func less(d time.Duration, dice uint64) time.Duration {
	part := d * jitter / 100
	if part <= 0 {
		return d
	}
	return d - time.Duration(dice%uint64(part)) //nolint:gosec // below part
}

// Newer reports that serial a is later than b [RFC 1982 3.2]. Two serials exactly half the space apart have no order; then
// a primary that was set anew is believed.
func Newer(a, b uint32) bool { return a != b && a-b <= 1<<31 }
