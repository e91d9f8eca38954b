package app

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"jurymast/internal/nameserver/alarm"
)

// A burst of five minutes is one alarm: raised at the next look, cleared when it has been calm for a while.
func TestOddQuestionsAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var told []string
		o := &odd{
			machine: alarm.Machine{Calm: 2 * time.Minute},
			gauges: func(now time.Time) []alarm.Gauge {
				share := 10.0
				if at := now.Sub(start); at > time.Minute && at <= 6*time.Minute {
					share = 80 + 40*float64(int(at.Seconds())/10%2) - 40 // it swings around the mark
				}
				return []alarm.Gauge{{Kind: alarm.NXDomain, Value: share, Mark: 50, Text: fmt.Sprint(share, " %")}}
			},
			note: func(c alarm.Change, now time.Time) {
				told = append(told, fmt.Sprint(c.Kind, " ", c.Raised, " at ", now.Sub(start), " lasted ", c.Lasted))
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		go o.run(ctx)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if len(o.raised()) != 1 {
			t.Errorf("status shows %q", o.raised())
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if want := []string{"nxdomain true at 1m10s lasted 0s", "nxdomain false at 8m10s lasted 7m0s"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		if len(o.raised()) != 0 {
			t.Errorf("status still shows %q", o.raised())
		}
	})
}
