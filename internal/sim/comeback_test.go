package sim_test

import (
	"testing"
	"testing/synctest"

	"jurymast/internal/engine"
	"jurymast/internal/health"
)

// A profile that comes back into the documents must not act on what it knew, when it left, of those below it.
func TestComebackActsOnNothingOld(t *testing.T) {
	const below = `
  - name: below
    hostnames: [below.example]
    routing: weighted
    endpoints: [{name: b, target: 192.0.2.1}]
`
	const both = below + `
  - name: above
    hostnames: [above.example]
    routing: priority
    failback: {mode: manual}
    endpoints:
      - {name: n, target: {profile: below}}
      - {name: s, target: 192.0.2.2, always_serve: true}
`
	synctest.Test(t, func(t *testing.T) {
		w := newTale(t)
		defer w.end()
		w.do([]string{"config"}, both)
		w.do([]string{"probe", "below/b", "ok"}, "")
		w.do([]string{"order", "force-up", "above/n"}, "")
		w.do([]string{"probe", "below/b", "bad", "bad", "bad", "bad"}, "") // what above knows when it leaves: below is down
		w.do([]string{"config"}, below)
		w.do([]string{"probe", "below/b", "ok", "ok"}, "")
		w.loop.Post("above", engine.OrdersSeen{}) // the order has ended
		w.do([]string{"config"}, both)
		v := w.view("above")
		if v.Endpoints[0].Status != health.Online || v.Decision.Active != "n" || v.Decision.Epoch != 1 {
			t.Errorf("n is %v, active %s, epoch %d, %s: it went by an old view", v.Endpoints[0].Status, v.Decision.Active, v.Decision.Epoch, v.Decision.Evidence)
		}
	})
}

// The same for a reference: an endpoint that comes back does not bring the child's old view with it.
func TestReferenceComesBackActsOnNothingOld(t *testing.T) {
	const without = `
  - name: below
    hostnames: [below.example]
    routing: weighted
    endpoints: [{name: b, target: 192.0.2.1}]
  - name: above
    hostnames: [above.example]
    routing: priority
    failback: {mode: auto}
    endpoints:
      - {name: s, target: 192.0.2.2, always_serve: true, priority: 2}
`
	const with = without + `
      - {name: n, target: {profile: below}, priority: 1}
`
	synctest.Test(t, func(t *testing.T) {
		w := newTale(t)
		defer w.end()
		w.do([]string{"config"}, with)
		w.do([]string{"probe", "below/b", "ok"}, "") // n is active, epoch 1
		w.do([]string{"config"}, without)            // s, epoch 2
		w.do([]string{"probe", "below/b", "bad", "bad", "bad", "bad"}, "")
		w.do([]string{"config"}, with)
		v := w.view("above")
		if v.Endpoint("n").Status != health.Degraded || v.Decision.Active != "s" || v.Decision.Epoch != 2 {
			t.Errorf("n is %v, active %s, epoch %d, %s: it went by an old view", v.Endpoint("n").Status, v.Decision.Active, v.Decision.Epoch, v.Decision.Evidence)
		}
	})
}
