package signing

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is a signed zone with its nodes, its parent and every cache there could be. Time goes in steps of a minute.
type world struct {
	dice   *rand.Rand
	now    time.Time
	set    Set // in the store
	nodes  []simNode
	parent []parentServer
	asked  []DS // what the parent was last told to publish, and puts on one server after another
	wanted Wanted
	off    guard
	lazy   bool // the operator of the parent changes the DS as soon as anybody could think of it

	keyTTL, longest, dsTTL time.Duration
	// What somebody may have in a cache: when it was last sent, by content.
	sentDS, sentKeys, sentSigs map[string]time.Time
	steps                      []string
	checked                    string
}

// simNode serves a set, later than it reads it: signing takes time.
type simNode struct {
	name    string
	serves  Set
	reads   Set
	ready   time.Time // when it will serve what it reads
	mark    string
	down    time.Time // until then it is silent and not live
	isAlive bool
}

type parentServer struct{ ds []DS }

func newWorld(seed uint64, off guard) *world {
	w := &world{
		dice: rand.New(rand.NewPCG(seed, 1)), now: t0, off: off, set: Set{Zone: "example.org"},
		sentDS: map[string]time.Time{}, sentKeys: map[string]time.Time{}, sentSigs: map[string]time.Time{},
		parent: make([]parentServer, 2),
	}
	minutes := func(list ...int) time.Duration { return time.Duration(list[w.dice.IntN(len(list))]) * time.Minute }
	w.keyTTL, w.longest, w.dsTTL = minutes(5, 20, 60), minutes(1, 15, 90), minutes(5, 30, 100)
	w.wanted = Wanted{Signed: true, Roles: []Role{CSK}, Algorithm: ECDSAP256, Propagation: minutes(15, 30)}
	if w.dice.IntN(2) == 0 {
		w.wanted.Roles = []Role{KSK, ZSK}
	}
	w.lazy = w.dice.IntN(2) == 0
	w.sentDS[""], w.sentKeys["|"], w.sentSigs[""] = t0, t0, t0 // before it is signed
	for i := range 2 + w.dice.IntN(2) {
		w.nodes = append(w.nodes, simNode{name: fmt.Sprintf("n%d", i+1), isAlive: true})
	}
	return w
}

func (w *world) live() (out []Node) {
	for i := range w.nodes {
		if w.nodes[i].isAlive {
			out = append(out, Node{w.nodes[i].name, w.nodes[i].mark})
		}
	}
	return out
}

func (w *world) facts() *Facts {
	f := &Facts{Wanted: w.wanted, Live: w.live(), Known: true, TTL: w.longest, KeyTTL: w.keyTTL, off: w.off}
	if w.dice.IntN(3) > 0 {
		f.Parent = w.poll()
	}
	for i := range f.Random {
		for j := range f.Random[i] {
			f.Random[i][j] = byte(w.dice.Uint32())
		}
	}
	return f
}

func (w *world) poll() *Parent {
	p := &Parent{At: w.now, Asked: w.now, All: w.dice.IntN(10) > 0, TTL: w.dsTTL, Servers: len(w.parent), Heard: len(w.parent)}
	for _, s := range w.parent {
		if !slices.Equal(s.ds, w.parent[0].ds) {
			p.All = false
		}
		for _, d := range s.ds {
			if !slices.Contains(p.DS, d) {
				p.DS = append(p.DS, d)
			}
			if !slices.ContainsFunc(w.parent, func(o parentServer) bool { return !slices.Contains(o.ds, d) }) && !slices.Contains(p.Common, d) {
				p.Common = append(p.Common, d)
			}
		}
	}
	return p
}

// minute lets a minute pass: the leader steps, nodes read, the parent changes, everybody asks everything.
func (w *world) minute() string {
	w.now = w.now.Add(time.Minute)
	if w.dice.IntN(3) > 0 { // else nobody leads, or the write is lost
		next, step := Next(w.set, w.facts(), w.now)
		if step.Changed {
			text, err := next.Encode()
			if !next.Zero() {
				next, err = Decode("example.org", text) // as another leader would read it
			}
			if err != nil {
				return err.Error()
			}
			w.set = next
		}
		if step.Why != "" {
			w.steps = append(w.steps, fmt.Sprintf("%v %s: %s", w.now.Sub(t0), next.Stage, step.Why))
		}
	}
	for i := range w.nodes {
		w.tick(&w.nodes[i])
	}
	w.parents()
	return w.check()
}

func (w *world) tick(n *simNode) {
	if n.down.After(w.now) {
		return
	}
	back := !n.isAlive
	if back { // it serves what it knew, reads the store within moments, and acknowledges nothing before
		n.isAlive, n.mark, n.reads = true, "", Set{}
	}
	if w.dice.IntN(300) == 0 {
		n.isAlive, n.down = false, w.now.Add(time.Duration(1+w.dice.IntN(8))*time.Minute)
		return
	}
	if n.reads.Step != w.set.Step || n.reads.Zero() != w.set.Zero() {
		n.reads, n.ready = w.set.Clone(), w.now.Add(time.Duration(w.dice.IntN(6))*time.Minute)
		if !back && w.dice.IntN(8) == 0 {
			n.ready = w.now.Add(time.Duration(w.dice.IntN(300)) * time.Minute) // much to sign
		}
	}
	if !n.ready.After(w.now) && (n.mark == "" || n.serves.Step != n.reads.Step) {
		n.serves = n.reads.Clone()
		if n.mark = ""; !n.serves.Zero() {
			n.mark = n.serves.Mark()
		}
	}
}

// parents: the operator, or CDS, gives the parent what the set wants, and each of its servers has it some time later.
func (w *world) parents() {
	s := &w.set
	switch {
	case s.Zero() || s.Stage == StageBegin:
	case !s.Leaving.IsZero():
		if w.dice.IntN(40) == 0 {
			w.asked = nil
		}
	case w.lazy || w.dice.IntN(60) == 0:
		w.asked = nil
		for _, k := range s.DSKeys() {
			w.asked = append(w.asked, k.DS(s.Zone, SHA256))
		}
	}
	for i := range w.parent {
		if w.dice.IntN(20) == 0 {
			w.parent[i].ds = slices.Clone(w.asked)
		}
	}
}

// sent notes what may be in caches from now on, and forgets what no cache can have.
func sent(m map[string]time.Time, what string, now time.Time) { m[what] = now }

func forget(m map[string]time.Time, ttl time.Duration, now time.Time) {
	maps.DeleteFunc(m, func(_ string, at time.Time) bool { return now.Sub(at) > ttl })
}

// check asks every server and then looks at all combinations that some cache may hold now.
func (w *world) check() string {
	for _, s := range w.parent {
		var words []string
		for _, d := range s.ds {
			words = append(words, fmt.Sprintf("%d/%d", d.Algorithm, d.Tag))
		}
		sent(w.sentDS, strings.Join(words, " "), w.now)
	}
	for i := range w.nodes {
		n := &w.nodes[i]
		if !n.isAlive || w.wanted.Signed && n.serves.Zero() {
			continue // without keys a signed zone has no answers
		}
		sent(w.sentSigs, sigsText(&n.serves), w.now)
		if n.reads.Zero() {
			sent(w.sentKeys, keysText(&n.serves), w.now)
		} else {
			sent(w.sentKeys, keysText(&n.reads), w.now) // the DNSKEY set is swapped at once
		}
	}
	forget(w.sentDS, w.dsTTL, w.now)
	forget(w.sentKeys, w.keyTTL, w.now)
	forget(w.sentSigs, w.longest, w.now)
	state := fmt.Sprint(len(w.sentDS), len(w.sentKeys), len(w.sentSigs), w.set.Step)
	if len(w.sentDS)+len(w.sentKeys)+len(w.sentSigs) == 3 && state == w.checked {
		return "" // as the minute before
	}
	w.checked = state
	for ds := range w.sentDS {
		for keys := range w.sentKeys {
			if why := chain(ds, keys); why != "" {
				return fmt.Sprintf("DS {%s} with DNSKEY {%s}: %s", ds, keys, why)
			}
			for sigs := range w.sentSigs {
				if why := answer(ds, keys, sigs); why != "" {
					return fmt.Sprintf("DS {%s}, DNSKEY {%s}, RRSIG {%s}: %s", ds, keys, sigs, why)
				}
			}
		}
	}
	return ""
}

// keysText is a DNSKEY set: what is in it, and who signed it.
func keysText(s *Set) string {
	if s.Zero() {
		return "|"
	}
	v := s.View()
	return idsOf(s, v.Publish) + "|" + idsOf(s, v.KSK)
}

func sigsText(s *Set) string {
	if s.Zero() {
		return ""
	}
	return idsOf(s, s.View().ZSK)
}

func idsOf(s *Set, list []int) string {
	var out []string
	for _, i := range list {
		out = append(out, fmt.Sprintf("%d/%d", s.Keys[i].Algorithm, s.Keys[i].Tag))
	}
	return strings.Join(out, " ")
}

func algorithm(id string) string { a, _, _ := strings.Cut(id, "/"); return a }

// chain is the strict validator: for every algorithm in the DS set, a key that it names must sign the DNSKEY set.
func chain(ds, keys string) string {
	in, by, _ := strings.Cut(keys, "|")
	shown, signers := strings.Fields(in), strings.Fields(by)
	for want := range strings.FieldsSeq(ds) {
		ok := slices.ContainsFunc(strings.Fields(ds), func(d string) bool {
			return algorithm(d) == algorithm(want) && slices.Contains(shown, d) && slices.Contains(signers, d)
		})
		if !ok {
			return "no key that the DS names with algorithm " + algorithm(want) + " signs the keys"
		}
	}
	return ""
}

// answer: for every algorithm in the DNSKEY set there must be a signature of a key in it [RFC 4035 2.2].
func answer(ds, keys, sigs string) string {
	if ds == "" {
		return "" // not signed, for whoever believes the parent
	}
	in, _, _ := strings.Cut(keys, "|")
	shown := strings.Fields(in)
	for _, want := range shown {
		ok := slices.ContainsFunc(strings.Fields(sigs), func(s string) bool { return algorithm(s) == algorithm(want) && slices.Contains(shown, s) })
		if !ok {
			return "no signature of algorithm " + algorithm(want) + " by a key that is shown"
		}
	}
	return ""
}

// until lets minutes pass until done, or says what broke.
func (w *world) until(what string, done func() bool) string {
	for range 14 * 24 * 60 {
		if why := w.minute(); why != "" {
			return what + ": " + why
		}
		if done() {
			return ""
		}
	}
	return fmt.Sprintf("%s: not within 14 days; stage %s, %+v", what, w.set.Stage, w.set.DS)
}

func (w *world) steady() bool { return w.set.Stage == StageSteady && len(w.set.Waiting(w.live())) == 0 }

// life is a zone from its first signature to its last, with rolls of all kinds between.
func (w *world) life() string {
	if why := w.until("begin", w.steady); why != "" {
		return why
	}
	rest := func() { // until the parent has what is wanted
		w.lazy = true
		_ = w.until("rest", func() bool {
			return w.dice.IntN(30) == 0 && !slices.ContainsFunc(w.parent, func(s parentServer) bool { return !slices.Equal(s.ds, w.asked) })
		})
		w.lazy = w.dice.IntN(2) == 0
	}
	rest()
	for range 2 {
		r := Roll{Emergency: w.dice.IntN(3) == 0}
		roles := w.set.Roles()
		r.Role = roles[w.dice.IntN(len(roles))]
		if w.dice.IntN(3) == 0 {
			r.Algorithm = ECDSAP256 + Ed25519 - w.set.Keys[0].Algorithm
		}
		if w.dice.IntN(4) == 0 {
			r.Roles = [][]Role{{CSK}, {KSK, ZSK}}[w.dice.IntN(2)]
		}
		if why := w.until("agreement", w.steady); why != "" {
			return why
		}
		next, err := w.set.Order(r, w.facts(), w.now)
		if err != nil {
			return err.Error()
		}
		w.set = next
		w.steps = append(w.steps, fmt.Sprintf("%v order %+v", w.now.Sub(t0), r))
		if w.dice.IntN(4) == 0 { // an emergency on the way, if it is allowed to take over
			_ = w.until("interrupted", func() bool { return w.dice.IntN(90) == 0 })
			if next, err := w.set.Order(Roll{Emergency: true}, w.facts(), w.now); err == nil {
				w.set = next
				w.steps = append(w.steps, fmt.Sprintf("%v emergency takes over", w.now.Sub(t0)))
			}
		}
		if why := w.until("roll", w.steady); why != "" {
			return why
		}
	}
	rest()
	w.wanted.Signed = false
	if why := w.until("leave", func() bool { return w.set.Zero() }); why != "" {
		return why
	}
	return w.until("after", func() bool { return w.dice.IntN(100) == 0 })
}

// TestNeverBogus: no resolver, whatever mixture of DS, DNSKEY and signatures it holds, finds a zone bogus, in 1,000 lives
// with nodes that die and lag, leaders that write nothing, and a parent whose servers disagree.
func TestNeverBogus(t *testing.T) {
	t.Parallel()
	const parts = 4
	for part := range uint64(parts) {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			for seed := part; seed < lives; seed += parts {
				w := newWorld(seed, "")
				if why := w.life(); why != "" {
					t.Fatalf("seed %d (%v keys, TTLs %v %v %v): %s\nsteps:\n%s", seed, w.wanted.Roles, w.keyTTL, w.longest, w.dsTTL, why, strings.Join(w.steps, "\n"))
				}
			}
		})
	}
}

// TestBogusIsNoticed: with any one guard off, the same lives break. So the test above can fail.
func TestBogusIsNoticed(t *testing.T) {
	t.Parallel()
	for _, off := range []guard{offAck, offKeyTTL, offLongest, offDS, offDSTTL} {
		t.Run(string(off), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(200) {
				w := newWorld(seed, off)
				if why := w.life(); why != "" {
					t.Logf("seed %d: %s", seed, why)
					return
				}
			}
			t.Error("200 lives without this guard, and no cache found anything bogus")
		})
	}
}
