package flatten

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// running starts a book on a script and a function that says what is in force.
func running(t *testing.T, s *script, parallel int) (*Book, func(Set)) {
	t.Helper()
	b, err := New(Options{Looker: s, MaxStale: time.Hour, Parallel: parallel, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	used := make(chan Set, 1)
	used <- nil
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Run(ctx, func() Set { set := <-used; used <- set; return set })
	}()
	t.Cleanup(func() { stop(); <-done })
	return b, func(set Set) { <-used; used <- set }
}

func named(names ...string) map[string][]string {
	out := map[string][]string{}
	for _, n := range names {
		out[n] = []string{"dr.example"}
	}
	return out
}

// A target is looked up when documents are prepared, again at its TTL, and keeps its addresses while nobody answers.
func TestBookKeepsAddresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{takes: 10 * time.Millisecond}
		s.set(has(time.Minute, "192.0.2.1"), hasNot(one))
		b, use := running(t, s, 0)
		set := b.Prepare(named("x.test"))
		use(set)
		if known, _, _ := set["x.test"].Load().V4.At(time.Now()); known != Unknown || len(set.Untried()) != 1 {
			t.Error("something is known before the first look")
		}
		time.Sleep(20 * time.Millisecond)
		a := set["x.test"].Load()
		if texts(a) != "192.0.2.1" || len(set.Untried()) != 0 || a.State(time.Now()) != Fresh {
			t.Errorf("after the first look: %+v", a)
		}
		time.Sleep(62 * time.Second)
		if n := s.count(); n != 4 {
			t.Errorf("%d questions after a TTL, want 4", n)
		}
		s.set(silence(), silence())
		time.Sleep(50 * time.Minute)
		if a = set["x.test"].Load(); texts(a) != "192.0.2.1" || a.State(time.Now()) != Stale || !a.Network {
			t.Errorf("nobody answers for 50 minutes: %+v", a)
		}
		if st := set.Status(time.Now())[0]; st.State != Stale || st.Failures == 0 || st.TTL != 30 || st.Trouble != "no answer in time" || st.Resolver != "192.0.2.53:53" || !st.Forgotten.After(time.Now()) {
			t.Errorf("%+v", st)
		}
		time.Sleep(15 * time.Minute)
		if state := set["x.test"].Load().State(time.Now()); state != Missing {
			t.Errorf("nobody answers for 65 minutes: %s", state)
		}
		s.set(has(time.Minute, "192.0.2.2"), hasNot(one))
		time.Sleep(maxRetry + 2*time.Second)
		if a = set["x.test"].Load(); texts(a) != "192.0.2.2" || a.State(time.Now()) != Fresh || a.Failures != 0 {
			t.Errorf("answered again: %+v", a)
		}
	})
}

// New documents find the targets of the old ones with what is known of them; what no documents use is forgotten after a
// while, and asked for no more.
func TestTargetsOutliveDocuments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		s.set(has(20*time.Second, "192.0.2.1"), hasNot(one))
		b, use := running(t, s, 0)
		first := b.Prepare(named("x.test", "y.test"))
		use(first)
		time.Sleep(5 * time.Minute)
		second := b.Prepare(named("y.test", "z.test"))
		if second["y.test"] != first["y.test"] || texts(second["y.test"].Load()) == "" {
			t.Error("the target of both sets lost what was known")
		}
		b.Prepare(named("never.test")) // refused by somebody else later
		time.Sleep(time.Second)
		if texts(second["z.test"].Load()) == "" {
			t.Error("a new target is not looked up before its documents are in force")
		}
		time.Sleep(30 * time.Second)
		if first["x.test"].Load().State(time.Now()) != Fresh {
			t.Error("the documents in force lost a target")
		}
		use(second)
		time.Sleep(3 * time.Minute)
		b.mu.Lock()
		var left []string
		for name := range b.all {
			left = append(left, name)
		}
		queued := len(b.queue)
		b.mu.Unlock()
		if len(left) != 2 || b.all["y.test"] == nil || b.all["z.test"] == nil || queued != 2 {
			t.Errorf("kept: %q, queued %d", left, queued)
		}
		if third := b.Prepare(named("x.test")); third["x.test"].Load().Tried {
			t.Error("a forgotten target comes back with old addresses")
		}
	})
}

// Thousands of targets are looked up a few at a time.
func TestBoundedParallelism(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{takes: 100 * time.Millisecond}
		s.set(has(time.Hour, "192.0.2.1"), hasNot(one))
		b, use := running(t, s, 16)
		var list []string
		for i := range 2000 {
			list = append(list, fmt.Sprintf("t%d.test", i))
		}
		set := b.Prepare(named(list...))
		use(set)
		time.Sleep(2000 / 16 * 100 * time.Millisecond * 11 / 10)
		if n := len(set.Untried()); n != 0 {
			t.Errorf("%d of 2000 were not looked up", n)
		}
		if most := s.most.Load(); most != 32 {
			t.Errorf("%d questions at a time, want 32", most)
		}
		reg := prometheus.NewRegistry()
		reg.MustRegister(b.m)
		families, err := reg.Gather()
		if err != nil || len(families) != 1 || len(families[0].GetMetric()) != 4 {
			t.Fatalf("%v %v", families, err)
		}
		for _, m := range families[0].GetMetric() {
			if state, n := m.GetLabel()[0].GetValue(), m.GetGauge().GetValue(); n != map[string]float64{"fresh": 2000}[state] {
				t.Errorf("%s: %v", state, n)
			}
		}
	})
}

// A denial that takes addresses away is asked for again, of another resolver first.
func TestSecondOpinion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		s.set(has(10*time.Second, "192.0.2.1"), hasNot(one))
		b, use := running(t, s, 0)
		set := b.Prepare(named("x.test"))
		use(set)
		time.Sleep(time.Second)
		s.set(hasNot(other), hasNot(other))
		time.Sleep(13 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.lasts) != 3 || s.firsts[1] != one || s.lasts[2] != other || s.firsts[2].IsValid() {
			t.Errorf("firsts %v, lasts %v", s.firsts, s.lasts)
		}
		if a := set["x.test"].Load(); a.State(time.Now()) != Empty {
			t.Errorf("denied twice: %+v", a)
		}
	})
}

// An alias that leads back to the name it is answered for would keep its own answer alive.
func TestAliasOfOurOwnName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		r := has(time.Minute, "192.0.2.1")
		r.via = []string{"cdn.test", "dr.example"}
		s.set(r, r)
		b, use := running(t, s, 0)
		set := b.Prepare(named("x.test"))
		use(set)
		time.Sleep(time.Second)
		if a := set["x.test"].Load(); a.State(time.Now()) != Missing || !strings.Contains(a.Trouble, "x.test is an alias of dr.example, which is answered with x.test") {
			t.Errorf("%+v", a)
		}
	})
}

type breaks struct{}

func (breaks) Look(context.Context, string, uint16, netip.AddrPort, netip.AddrPort) Reply {
	panic("broken")
}

func TestPanicIsAFailedLook(t *testing.T) {
	t.Parallel()
	b, err := New(Options{Looker: breaks{}})
	if err != nil {
		t.Fatal(err)
	}
	set := b.Prepare(named("x.test"))
	b.look(t.Context(), set["x.test"])
	if a := set["x.test"].Load(); !a.Tried || !strings.Contains(a.Trouble, "failed inside: broken") {
		t.Errorf("%+v", a)
	}
	reg := prometheus.NewRegistry()
	if _, err := New(Options{Looker: breaks{}, Registerer: reg}); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Looker: breaks{}, Registerer: reg}); err == nil {
		t.Error("registered twice")
	}
}

// The whole way over the network, with the first resolver lost in between.
func TestOneLostResolver(t *testing.T) {
	quick(t)
	good := records("x.test. 0 IN CNAME y.test.", "y.test. 60 IN A 192.0.2.1", "test. 60 IN SOA ns.test. h.test. 1 2 3 4 60")
	first, second := newResolver(t, good), newResolver(t, good)
	b, err := New(Options{Looker: clientOf(first, second), MaxStale: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	target := b.Prepare(named("x.test"))["x.test"]
	for i, lost := range []func(*resolver, dns.ResponseWriter, *dns.Msg){good, mute, code(dns.RcodeServerFailure), code(dns.RcodeNameError)} {
		first.say(lost)
		b.look(t.Context(), target)
		if a := target.Load(); texts(a) != "192.0.2.1" {
			t.Errorf("look %d: %+v", i, a)
		}
	}
	second.say(mute)
	first.say(mute)
	b.look(t.Context(), target)
	if a := target.Load(); texts(a) != "192.0.2.1" || a.Failures != 1 || !strings.Contains(a.Trouble, "no answer in time") {
		t.Errorf("all lost: %+v", a)
	}
}
