package sim_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

var update = flag.Bool("update", false, "rewrite the scenario files from what happens now; review the diff")

// TestScenarios runs testdata/*.txt. A line is a command; the lines behind it that start with "> " are what came of it,
// as seen by the first node that is reachable.
//
//	nodes n1 n2               who is there; the first one leads; every vote and decision reaches all reachable nodes at once
//	set KEY=VALUE ...         tolerated recovery interval ttl floor failback after quorum isolation fencing, before the first command below
//	endpoints eu us           in priority order
//	probe [NODE] EP ok|bad .. results in a row, one interval apart; without NODE every node sees them
//	passive NODE EP           a front saw a failure
//	order ACT [EP] [for D]    an override; end ID ends it (ids count from 1)
//	store NODE up|down        the node reaches the store or not
//	disk full|ok              writes of decisions fail (a node alone acts all the same)
//	mute NODE yes|no          what it acknowledges does not reach the store
//	gone                      somebody removes the decision from the store
//	blind NODE yes|no
//	wait D                    time passes, machines get the ticks they asked for
//	restart NODE [unclean]    a new life with the last good state
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d scenarios: %v", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			switch {
			case *update:
				if err := os.WriteFile(f, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			case got != string(text):
				t.Fatalf("the story has changed; run with -update and review.\n%s", firstDifference(string(text), got))
			}
		})
	}
}

func play(t *testing.T, text string) string {
	s := newStage(t)
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "> ") {
			continue
		}
		out.WriteString(line + "\n")
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			s.said = nil
			s.do(words)
			for _, l := range s.said {
				out.WriteString("> " + l + "\n")
			}
		}
	}
	return out.String()
}

// stage is the world of one scenario.
type stage struct {
	t      *testing.T
	now    time.Time
	doc    *profile.Profile
	names  []string
	nodes  map[string]*actor
	orders []health.Override
	stored health.Decision
	rev    int64
	full   bool
	stops  bool
	terms  uint64
	acks   map[string]uint64
	mute   map[string]bool
	said   []string
}

type actor struct {
	m         *engine.Profile
	reachable bool
	blind     bool
	votes     map[string]health.Vote
	acked     uint64
}

func newStage(t *testing.T) *stage {
	return &stage{
		acks: map[string]uint64{}, mute: map[string]bool{},
		t: t, now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), nodes: map[string]*actor{}, names: []string{"n1"},
		doc: &profile.Profile{
			Name: "p", Enabled: true, Routing: profile.Priority, TTL: 30 * time.Second, TTLFloor: time.Second, Failback: profile.Failback{Mode: profile.FailbackAuto},
			Monitor: profile.Monitor{Interval: 10 * time.Second, ToleratedFailures: 2, RecoverySuccesses: 1},
		},
	}
}

func (s *stage) solo() bool { return len(s.names) == 1 }

func (s *stage) do(w []string) {
	switch w[0] {
	case "nodes":
		s.names = w[1:]
		return
	case "set":
		s.set(w[1:])
		return
	case "endpoints":
		for i, name := range w[1:] {
			s.doc.Endpoints = append(s.doc.Endpoints, profile.Endpoint{Name: name, Priority: i + 1, Enabled: true, Monitor: s.doc.Monitor, Target: profile.Target{Addrs: []string{fmt.Sprintf("192.0.2.%d", i+1)}}})
		}
		s.raise()
	case "probe":
		s.probe(w[1:])
	case "passive":
		s.tell(w[1], engine.Suspected{Endpoint: w[2], Kind: "refused"})
	case "order":
		s.order(w[1:])
	case "end":
		s.orders = slices.DeleteFunc(s.orders, func(o health.Override) bool { return o.ID == w[1] })
		s.all(engine.OrdersSeen{Orders: s.orders})
	case "store":
		s.reach(w[1], w[2] == "up")
	case "disk":
		s.full = w[1] == "full"
	case "mute":
		s.silence(w[1], w[2] == "yes")
	case "gone":
		s.stored, s.rev = health.Decision{}, 0
		for _, name := range slices.Backward(s.names) { // the leader last: everybody hears of it before the next write
			if s.nodes[name].reachable {
				s.tell(name, engine.DecisionGone{})
			}
		}
	case "blind":
		s.nodes[w[1]].blind = w[2] == "yes"
		s.members()
	case "wait":
		s.wait(s.duration(w[1]))
	case "restart":
		s.restart(w[1], len(w) > 2)
	default:
		s.t.Fatalf("unknown command %q", w[0])
	}
	s.sayState()
}

func (s *stage) set(pairs []string) {
	for _, p := range pairs {
		key, val, _ := strings.Cut(p, "=")
		n, _ := strconv.Atoi(val)
		switch key {
		case "tolerated":
			s.doc.Monitor.ToleratedFailures = n
		case "recovery":
			s.doc.Monitor.RecoverySuccesses = n
		case "interval":
			s.doc.Monitor.Interval = s.duration(val)
		case "ttl":
			s.doc.TTL = s.duration(val)
		case "floor":
			s.doc.TTLFloor = s.duration(val)
		case "fencing":
			s.doc.Fencing = profile.Fencing(val)
		case "isolation":
			s.stops = val == "stop"
		case "failback":
			s.doc.Failback.Mode = profile.FailbackMode(val)
		case "after":
			s.doc.Failback.After = s.duration(val)
		case "quorum":
			s.doc.Quorum = map[string]profile.Quorum{"majority": {}, "any": {Rule: profile.QuorumAny}, "all": {Rule: profile.QuorumAll}}[val]
		default:
			s.t.Fatalf("unknown setting %q", key)
		}
	}
}

func (s *stage) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *stage) raise() {
	for _, name := range s.names {
		s.nodes[name] = &actor{m: engine.NewProfile(engine.Start{Self: engine.Member{Name: name}, Solo: s.solo(), Stops: s.stops})}
		s.tell(name, engine.Configured{Doc: s.doc})
	}
	for _, name := range s.names {
		s.reach(name, true)
	}
}

// tell gives one machine an event and carries out what it wants.
func (s *stage) tell(name string, ev engine.Event) {
	a := s.nodes[name]
	out := a.m.Step(ev, s.now)
	for _, e := range out {
		switch e := e.(type) {
		case engine.PublishVotes:
			a.votes = e.Votes
			s.spread(name)
		case engine.WriteDecision:
			s.write(name, e)
		case engine.ProbeNow:
			s.said = append(s.said, fmt.Sprintf("%s probes %s now, %d runs over at least %v, asks others: %v", name, e.Endpoint, e.Runs, e.Span, e.Ask))
		case engine.Acknowledge:
			a.acked = e.Epoch
			s.acknowledge(name)
		case engine.EndOrder:
			s.orders = slices.DeleteFunc(s.orders, func(o health.Override) bool { return o.ID == e.ID })
			s.all(engine.OrdersSeen{Orders: s.orders})
		case engine.Note:
			if e.Entry.Kind == health.EntryAlarm {
				s.said = append(s.said, "alarm: "+e.Entry.Reason)
			}
		case engine.PublishView, engine.SetPace:
		}
	}
}

func (s *stage) all(ev engine.Event) {
	for _, name := range s.names {
		if s.nodes[name].reachable {
			s.tell(name, ev)
		}
	}
}

// spread shows a node's votes to the others.
func (s *stage) spread(name string) {
	if !s.nodes[name].reachable {
		return
	}
	for _, other := range s.names {
		if o := s.nodes[other]; other != name && o != nil && o.reachable {
			s.tell(other, engine.VotesSeen{Node: name, Votes: s.nodes[name].votes})
		}
	}
}

func (s *stage) write(name string, w engine.WriteDecision) {
	if s.full || !s.nodes[name].reachable {
		s.tell(name, engine.DecisionFailed{Epoch: w.Next.Epoch})
		return
	}
	if w.Prev != s.rev {
		s.tell(name, engine.DecisionFailed{Epoch: w.Next.Epoch, Lost: true})
		return
	}
	s.rev++
	s.stored = w.Next
	s.all(engine.DecisionSeen{Decision: s.stored, Rev: s.rev})
}

// acknowledge shows a node's word to everybody, unless it is mute.
func (s *stage) acknowledge(name string) {
	if a := s.nodes[name]; a.acked != 0 && !s.mute[name] && a.reachable {
		s.acks[name] = a.acked
		s.all(engine.AckSeen{Node: name, Epoch: a.acked})
	}
}

func (s *stage) silence(name string, mute bool) {
	if s.mute[name] = mute; !mute {
		s.acknowledge(name)
	}
}

func (s *stage) members() {
	var list []engine.Member
	for _, name := range s.names {
		if a := s.nodes[name]; a.reachable {
			list = append(list, engine.Member{Name: name, Blind: a.blind})
		}
	}
	s.all(engine.MembersSeen{Members: list})
}

func (s *stage) reach(name string, up bool) {
	a := s.nodes[name]
	a.reachable = up
	s.members()
	if !up {
		delete(s.acks, name)
		s.tell(name, engine.RoleSeen{})
		s.tell(name, engine.StoreSeen{})
		return
	}
	if s.rev > 0 {
		s.tell(name, engine.DecisionSeen{Decision: s.stored, Rev: s.rev})
	}
	s.tell(name, engine.OrdersSeen{Orders: s.orders})
	for node, epoch := range s.acks {
		s.tell(name, engine.AckSeen{Node: node, Epoch: epoch})
	}
	s.terms++
	s.tell(name, engine.StoreSeen{Reachable: true, Term: s.terms})
	s.tell(name, engine.RoleSeen{Leader: name == s.names[0]})
	for _, other := range s.names {
		if o := s.nodes[other]; other != name && o != nil && o.reachable {
			s.tell(name, engine.VotesSeen{Node: other, Votes: o.votes})
		}
	}
}

func (s *stage) probe(w []string) {
	who := s.names
	if slices.Contains(s.names, w[0]) {
		who, w = w[:1], w[1:]
	}
	for i, result := range w[1:] {
		if i > 0 {
			s.wait(s.doc.Monitor.Interval)
		}
		for _, name := range who {
			s.tell(name, engine.Observed{Endpoint: w[0], Obs: health.Observation{At: s.now, OK: result == "ok", Reason: result}})
		}
	}
}

func (s *stage) order(w []string) {
	o := health.Override{ID: strconv.Itoa(len(s.orders) + 1), Profile: "p", By: "ops", At: s.now}
	if err := o.Act.UnmarshalText([]byte(w[0])); err != nil {
		s.t.Fatal(err)
	}
	if i := slices.Index(w, "for"); i > 0 {
		o.Until = s.now.Add(s.duration(w[i+1]))
		w = w[:i]
	}
	if len(w) > 1 {
		o.Endpoint = w[1]
	}
	s.orders = append(s.orders, o)
	s.all(engine.OrdersSeen{Orders: s.orders})
}

// wait lets time pass and gives every machine the ticks it asks for, in time order.
func (s *stage) wait(d time.Duration) {
	end := s.now.Add(d)
	for {
		var due time.Time
		var who string
		for _, name := range s.names {
			if t := s.nodes[name].m.Due(s.now); !t.IsZero() && (due.IsZero() || t.Before(due)) {
				due, who = t, name
			}
		}
		if due.IsZero() || due.After(end) {
			break
		}
		s.now = due
		s.tell(who, engine.Tick{})
	}
	s.now = end
}

func (s *stage) restart(name string, unclean bool) {
	last := s.nodes[name].m.View()
	rec := engine.Recovered{Verdicts: map[string]health.Verdict{}, Decision: last.Decision, Orders: last.Orders, Floor: last.Floor, Ready: last.Ready}
	for i := range last.Endpoints {
		rec.Verdicts[last.Endpoints[i].Config.Name] = last.Endpoints[i].Verdict
	}
	s.nodes[name] = &actor{m: engine.NewProfile(engine.Start{Self: engine.Member{Name: name}, Solo: s.solo(), Lives: map[bool]int{true: 1}[unclean], Stops: s.stops})}
	s.tell(name, engine.Configured{Doc: s.doc})
	s.tell(name, rec)
}

// sayState tells what the first reachable node answers; a node that differs from it is told as well.
func (s *stage) sayState() {
	var lines []string
	for _, name := range s.names {
		if line := s.state(s.nodes[name].m.View()); !slices.Contains(lines, line) {
			if len(lines) > 0 {
				s.said = append(s.said, name+": "+line)
			} else {
				s.said = append(s.said, line)
			}
			lines = append(lines, line)
		}
	}
}

func (s *stage) state(v *health.View) string {
	var b strings.Builder
	for i := range v.Endpoints {
		e := &v.Endpoints[i]
		fmt.Fprintf(&b, "%s %v", e.Config.Name, e.Status)
		if e.Layer.Shown != nil {
			fmt.Fprintf(&b, " [%v]", e.Layer.Shown.Act)
		}
		b.WriteString(", ")
	}
	if d := v.Decision; d.Epoch == 0 {
		b.WriteString("no decision")
	} else {
		fmt.Fprintf(&b, "active %s epoch %d (%s)", d.Active, d.Epoch, d.Reason)
		if d.Phase != health.PhaseActive {
			fmt.Fprintf(&b, ", %s", d.Phase)
		}
		if d.Pending != "" {
			fmt.Fprintf(&b, ", %s waits to return", d.Pending)
		}
	}
	a := steer.Decide(v, steer.Client{}, nil, nil)
	answer := "nothing"
	if len(a.Order) > 0 {
		answer = v.Endpoints[a.Order[0]].Config.Name
	}
	fmt.Fprintf(&b, ", answer %s ttl %v %s", answer, a.TTL, a.Serving)
	if v.Stale {
		b.WriteString(" stale")
	}
	if v.Halt != health.HaltNone {
		b.WriteString(" " + v.Halt.String())
		if v.Awaits != nil {
			b.WriteString(" waits for " + strings.Join(v.Awaits, " "))
		}
	}
	return b.String()
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d\nfile: %s\nnow:  %s", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("the file has %d lines, now there are %d", len(w), len(g))
}
