package secondary

import (
	"maps"
	"slices"
	"time"
)

// Status is one secondary zone for people.
type Status struct {
	Zone      string
	Phase     Phase
	Serial    uint32
	Records   int
	Primary   string    // that confirmed it last
	Fetched   time.Time // when the content came
	How       How       // and how
	Bytes     int64     // of that transfer; 0 after a restart
	Confirmed time.Time // by a primary
	Next      time.Time // next look; zero while one is under way
	Expires   time.Time
	Failures  int    // looks in a row
	Trouble   string // of the last look
	Older     bool   // the last look found nothing but an older serial
	Refused   string // why the last transfer was not of differences
	Signed    bool   // by its primary
	Digest    Digest
	Warnings  []string
	Primaries []string
}

// Status of the zone at a moment.
func (e *Entry) Status(now time.Time) Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{
		Zone: e.name, Phase: e.state.Phase(now), Fetched: e.info.took, How: e.info.how, Bytes: e.info.bytes, Confirmed: e.state.Confirmed,
		Next: e.state.Next, Expires: e.state.Expires(), Failures: e.state.Failures, Trouble: e.info.trouble, Older: e.info.older, Refused: e.info.refused,
	}
	if e.info.primary.IsValid() {
		s.Primary = e.info.primary.String()
	}
	if c := e.content; c != nil {
		s.Serial, s.Records, s.Signed, s.Digest = c.Serial, len(c.Records), c.Tree.Presigned, c.Digest
		for _, w := range c.Tree.Warnings {
			s.Warnings = append(s.Warnings, w.Text)
		}
	}
	for i := range e.doc.From {
		if addr, ok := e.doc.From[i].Server(); ok {
			s.Primaries = append(s.Primaries, addr.String())
		}
	}
	return s
}

// Status of all zones of a set, in order.
func (s Set) Status(now time.Time) []Status {
	out := make([]Status, 0, len(s))
	for _, name := range slices.Sorted(maps.Keys(s)) {
		out = append(out, s[name].Status(now))
	}
	return out
}

// Untried are the zones of a set of which nothing is here and no look has ended, in order.
func (s Set) Untried() (names []string) {
	for name, e := range s {
		e.mu.Lock()
		if !e.state.Has && e.state.Failures == 0 {
			names = append(names, name)
		}
		e.mu.Unlock()
	}
	slices.Sort(names)
	return names
}
