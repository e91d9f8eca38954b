package engine_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/snapshot"
)

// A Suspected that is handled just after a due time, before the Tick, makes the Tick disappear.
func TestTickLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, s := snapshot.NewHub(), &storing{}
		var slow atomic.Bool
		l := engine.New(engine.Options{
			Start: engine.Start{Self: engine.Member{Name: "n1"}, Solo: true}, Hub: hub, Carrier: s, Logger: slog.New(slog.DiscardHandler),
			Trace: func(p string, ev engine.Event, _ time.Time, _ []engine.Effect) {
				if _, ok := ev.(engine.MembersSeen); ok && slow.Swap(false) {
					time.Sleep(300 * time.Millisecond) // a burst that takes its time
				}
			},
		})
		s.l = l
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); l.Run(ctx) }()
		l.PostAll(engine.StoreSeen{Reachable: true})
		l.PostAll(engine.RoleSeen{Leader: true})
		use(t, l, hub, nil, leafy("a"))
		l.Post("a", seen("e", true))
		l.Post("a", engine.OrdersSeen{Orders: []health.Override{{ID: "1", Profile: "a", Act: health.DisableProfile, Until: time.Now().Add(10 * time.Second)}}})
		synctest.Wait()
		time.Sleep(9900 * time.Millisecond)
		synctest.Wait()
		slow.Store(true)
		l.PostTogether(nil)
		go func() {
			l.PostAll(engine.MembersSeen{Members: []engine.Member{{Name: "n1"}}})
			l.Post("a", engine.Suspected{Endpoint: "e", Kind: "refused"})
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if v := hub.Load().View("a"); v.Disabled {
			t.Errorf("50 s after the order ended the profile is still disabled")
		}
		stop()
		<-ended
	})
}
