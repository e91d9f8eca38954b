package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

func TestManualOrdersEnd(t *testing.T) {
	live(t, true, func(l *engine.Loop, hub *snapshot.Hub, s *storing) {
		p := leafy("p")
		p.Routing, p.Failback.Mode = profile.Priority, profile.FailbackManual
		p.Endpoints[0].AlwaysServe = true
		use(t, l, hub, nil, p)
		l.Post("p", engine.OrdersSeen{Orders: []health.Override{{ID: "1", Act: health.Disable, Profile: "p", Endpoint: "e", At: time.Now(), Until: time.Now().Add(40 * time.Second)}}})
		synctest.Wait()
		time.Sleep(35 * time.Second)
		synctest.Wait()
		if a := steer.Decide(hub.Load().View("p"), steer.Client{}, nil, nil); a.TTL > 5*time.Second {
			t.Errorf("NODATA ends in 5s, ttl %v", a.TTL)
		}
	})
}

func TestBlindOneEndpoint(t *testing.T) {
	n := engine.NewNode()
	bad := health.Observation{At: t0, Reason: "no such host"}
	n.Observe("p", "e", "web", bad, time.Second)
	n.Observe("p", "e", "login", bad, time.Second)
	if n.Blind() {
		t.Error("blind by one endpoint with two checks")
	}
	n = engine.NewNode()
	n.Observe("p", "dead", "", health.Observation{At: t0.Add(-time.Hour), Addr: "192.0.2.9"}, time.Second)
	for _, a := range []string{"1", "2", "3"} {
		n.Observe("p", a, "", health.Observation{At: t0, OK: true, Addr: "192.0.2." + a}, time.Second)
	}
	for _, a := range []string{"1", "2", "3"} {
		n.Observe("p", a, "", health.Observation{At: t0.Add(time.Second), Addr: "192.0.2." + a}, time.Second)
	}
	n.Observe("p", "dead", "", health.Observation{At: t0.Add(time.Second), Addr: "192.0.2.9"}, time.Second)
	if !n.Blind() {
		t.Error("three fell at once beside one that has been dead for long: not blind")
	}
}

func TestChildPolicyInParentTTL(t *testing.T) {
	live(t, true, func(l *engine.Loop, hub *snapshot.Hub, s *storing) {
		c := leafy("a")
		c.Routing, c.Failback.Mode = profile.Priority, profile.FailbackManual
		p := parentOf("p", profile.FailbackAuto, "a")
		p.Endpoints = append(p.Endpoints, profile.Endpoint{Name: "f", Priority: 2, Weight: 1, Enabled: true, AlwaysServe: true, Monitor: mon, Target: profile.Target{Addrs: []string{"192.0.2.9"}}})
		use(t, l, hub, nil, c, p)
		l.Post("a", seen("e", true))
		synctest.Wait()
		l.Post("a", seen("e", false))
		synctest.Wait()
		v := hub.Load().View("p")
		a := steer.Decide(v, steer.Client{}, nil, nil)
		t.Logf("active %s, recovery of to1 %v", v.Decision.Active, v.Endpoints[0].Recovery)
		if a.TTL > 10*time.Second {
			t.Errorf("the child can be back in 10s, ttl of the stand-in %v", a.TTL)
		}
		l.Post("a", seen("e", true))
		synctest.Wait()
		t.Logf("back: %s %s", hub.Load().View("p").Decision.Active, hub.Load().View("p").Decision.Reason)
	})
}

// orders of parent and child that end at the same instant
func TestOrdersEndTogether(t *testing.T) {
	bad := 0
	for range 20 {
		live(t, true, func(l *engine.Loop, hub *snapshot.Hub, s *storing) {
			a, b, c := leafy("a"), leafy("b"), leafy("c")
			use(t, l, hub, nil, a, b, c, parentOf("p", profile.FailbackManual, "a", "b", "c"))
			for _, n := range []string{"a", "b", "c"} {
				l.Post(n, seen("e", true))
			}
			synctest.Wait()
			until := time.Now().Add(time.Minute)
			o := func(act health.Act, p, e string) engine.Event {
				return engine.OrdersSeen{Orders: []health.Override{{ID: "1", Act: act, Profile: p, Endpoint: e, At: time.Now(), Until: until}}}
			}
			// a forced down and to2 forced up while b is down: both end at once, a is fine again, b is not
			l.Post("a", o(health.ForceDown, "a", "e"))
			l.Post("p", o(health.ForceUp, "p", "to2"))
			l.Post("b", seen("e", false))
			synctest.Wait()
			was := hub.Load().View("p").Decision
			time.Sleep(61 * time.Second)
			synctest.Wait()
			if d := hub.Load().View("p").Decision; d.Active != "to1" {
				bad++
				t.Logf("%s -> %s %s %s", was.Active, d.Active, d.Reason, d.Evidence)
			}
		})
	}
	if bad > 0 {
		t.Errorf("%d of 20", bad)
	}
}
