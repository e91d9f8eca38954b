package probe

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// place is an endpoint of a profile.
type place struct{ profile, endpoint string }

// subscriber is one Check of the set: somebody who hears the results of a run. It is guarded by the Scheduler's lock,
// except for its names.
type subscriber struct {
	place
	check   string // name
	run     *check
	at      int           // in run.subscribers
	pace    time.Duration // asked for; 0 is none
	fresh   bool          // has heard nothing yet
	round   uint64        // of the Apply that named it last
	counted []counted
}

// counted is the counter of one kind of result; most subscribers have one or two.
type counted struct {
	word    string
	counter prometheus.Counter
}

// sharing is what shared checks must have in common to be one run.
type sharing struct {
	key      Key
	interval time.Duration
}

// Apply replaces the set of checks as a whole. Unchanged checks keep their schedule; new ones and those with another
// Spec are probed at once; removed ones end at once, their probes cancelled and never reported, unless others share
// them. Of two checks with one name at one endpoint the last wins.
func (s *Scheduler) Apply(set []Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	now := time.Now()
	s.round++
	for i := range set {
		s.put(&set[i], now)
	}
	for at, list := range s.endpoints {
		left := slices.DeleteFunc(list, func(sub *subscriber) bool {
			if sub.round == s.round {
				return false
			}
			s.leave(sub)
			return true
		})
		if len(left) == 0 {
			delete(s.endpoints, at)
		} else {
			s.endpoints[at] = left
		}
	}
	s.poke()
}

// put adds or changes one check. Called with the lock.
func (s *Scheduler) put(c *Check, now time.Time) {
	sub := s.find(place{c.Profile, c.Endpoint}, c.Name)
	if sub == nil {
		sub = &subscriber{place: place{c.Profile, c.Endpoint}, check: c.Name}
		s.endpoints[sub.place] = append(s.endpoints[sub.place], sub)
	}
	sub.round = s.round
	s.subscribe(sub, c, now)
}

// Put adds or changes one check as Apply would; all others stay as they are, and cost nothing.
func (s *Scheduler) Put(c Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.put(&c, time.Now())
	s.poke()
}

// Drop ends one check as Apply would that no longer names it. An unknown one is ignored.
func (s *Scheduler) Drop(profile, endpoint, check string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := place{profile, endpoint}
	list := s.endpoints[at]
	i := slices.IndexFunc(list, func(sub *subscriber) bool { return sub.check == check })
	if i < 0 || s.closed {
		return
	}
	s.leave(list[i])
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(s.endpoints, at)
	} else {
		s.endpoints[at] = list
	}
	s.poke()
}

// find returns the subscriber with that name, or nil.
func (s *Scheduler) find(at place, check string) *subscriber {
	for _, sub := range s.endpoints[at] {
		if sub.check == check {
			return sub
		}
	}
	return nil
}

// checksAt returns the runs of an endpoint's check with that name, or of all for "", each once.
func (s *Scheduler) checksAt(at place, name string) []*check {
	var out []*check
	for _, sub := range s.endpoints[at] {
		if (name == "" || sub.check == name) && !slices.Contains(out, sub.run) {
			out = append(out, sub.run)
		}
	}
	return out
}

// subscribe puts a subscriber where the check belongs now. It keeps its pace.
func (s *Scheduler) subscribe(sub *subscriber, in *Check, now time.Time) {
	key, interval := in.Key(), max(in.Interval, time.Millisecond)
	if c := sub.run; c != nil && c.key == key && c.shared == in.Shared {
		switch {
		case c.interval == interval:
			return
		case !c.shared:
			s.retime(c, sub, interval, now)
			return
		}
	}
	if sub.run != nil {
		s.quit(sub)
	}
	s.join(sub, in, key, interval, now)
}

// join finds the run that makes this check already, or begins one. A run that is under way for others makes an extra
// probe at once, for newcomers alone: results of others stay an interval apart.
func (s *Scheduler) join(sub *subscriber, in *Check, key Key, interval time.Duration, now time.Time) {
	sub.fresh = true
	if in.Shared {
		if c := s.shared[sharing{key, interval}]; c != nil {
			c.add(sub)
			switch {
			case c.flying || c.waiting || c.early || c.last.IsZero():
			case c.slot == notPlanned: // a confirm run is under way, and a start is made when it ends
			default:
				c.early, c.regular = true, c.due
				s.agenda.plan(c, now)
			}
			s.hurry(c, now)
			return
		}
	}
	spec := in.Spec
	c := &check{spec: &spec, key: key, interval: interval, shared: in.Shared, slot: notPlanned, lane: laneFresh, born: s.born}
	s.born++
	c.add(sub)
	c.phase = s.phase(c, sub)
	if c.shared {
		s.shared[sharing{key, interval}] = c
	}
	s.agenda.plan(c, now)
}

// phase is the place of a run in its interval: by its name, or by what it does when that is what makes it one.
func (s *Scheduler) phase(c *check, sub *subscriber) time.Duration {
	if c.shared {
		return phaseOf(s.o.Node, "", string(c.key[:]), c.interval, s.o.Seed)
	}
	name := sub.endpoint
	if sub.check != "" {
		name += "\x00" + sub.check
	}
	return phaseOf(s.o.Node, sub.profile, name, c.interval, s.o.Seed)
}

func (c *check) add(sub *subscriber) {
	sub.run, sub.at = c, len(c.subscribers)
	c.subscribers = append(c.subscribers, sub)
	if sub.pace > 0 && (c.pace == 0 || sub.pace < c.pace) {
		c.pace = sub.pace
	}
}

// leave ends a subscriber for good.
func (s *Scheduler) leave(sub *subscriber) {
	s.quit(sub)
	s.metrics.forget(sub)
}

// quit takes a subscriber off its run; a run without one ends.
func (s *Scheduler) quit(sub *subscriber) {
	c := sub.run
	last := len(c.subscribers) - 1
	c.subscribers[sub.at] = c.subscribers[last]
	c.subscribers[sub.at].at = sub.at
	c.subscribers[last] = nil
	c.subscribers = c.subscribers[:last]
	sub.run = nil
	if last == 0 {
		s.end(c)
		return
	}
	if sub.pace == c.pace {
		c.pace = c.fastest()
	}
}

func (s *Scheduler) end(c *check) {
	c.gone = true
	if c.stop != nil {
		c.stop()
	}
	if c.confirm != nil {
		c.confirm()
	}
	s.agenda.drop(c)
	if c.shared {
		delete(s.shared, sharing{c.key, c.interval})
	}
}

// fastest is the shortest pace that is asked for, or 0. It stops at the one that is in force already.
func (c *check) fastest() time.Duration {
	best := time.Duration(0)
	for _, sub := range c.subscribers {
		if sub.pace > 0 && (best == 0 || sub.pace < best) {
			if best = sub.pace; best == c.pace {
				return best
			}
		}
	}
	return best
}

// retime gives an unchanged check another interval. The next start is never later than the old start plus the new
// interval, so the detection bracket of the new settings holds from now on.
func (s *Scheduler) retime(c *check, sub *subscriber, interval time.Duration, now time.Time) {
	c.interval = interval
	c.phase = s.phase(c, sub)
	c.grid = time.Time{}
	s.replan(c, now)
}

// replan moves the next start after a change of interval or pace.
func (s *Scheduler) replan(c *check, now time.Time) {
	if c.last.IsZero() || c.slot == notPlanned {
		return // due now, or as soon as what is under way ends
	}
	due := c.advance(now)
	if latest := c.last.Add(c.every()); due.After(latest) {
		due = latest
	}
	if due.Before(now) {
		due = now
	}
	if c.early {
		c.regular = due // an extra probe comes first
		return
	}
	s.agenda.plan(c, due)
}

// hurry follows a pace that a newcomer brought along.
func (s *Scheduler) hurry(c *check, now time.Time) {
	if c.pace > 0 && c.pace < c.interval {
		s.replan(c, now)
	}
}

// SetPace gives one check another interval until it is set again: the engine's faster one while a first verdict or a
// flip is open; "" means all checks of the endpoint. 0, or the check's own interval or more, returns to the schedule.
// It counts from the last start and holds until the endpoint is removed, also when Apply changes its Spec. A shared
// check runs at the fastest pace that any of its subscribers asks for. An unknown endpoint is ignored.
func (s *Scheduler) SetPace(profile, endpoint, check string, interval time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	interval = max(0, interval)
	for _, sub := range s.endpoints[place{profile, endpoint}] {
		if check != "" && sub.check != check {
			continue
		}
		c, was := sub.run, sub.pace
		before := c.every()
		sub.pace = interval
		switch {
		case interval > 0 && (c.pace == 0 || interval < c.pace):
			c.pace = interval
		case was == c.pace && was != 0:
			c.pace = c.fastest()
		}
		if c.every() != before {
			s.replan(c, time.Now())
			s.poke()
		}
	}
}
