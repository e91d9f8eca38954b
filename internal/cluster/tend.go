package cluster

import (
	"context"
	"time"
)

// tendEvery is how often secrets are looked at when nothing happens: times run out.
const tendEvery = time.Second

// tend looks at once, when it is woken and otherwise once a second, until ctx ends.
func tend(ctx context.Context, wake <-chan struct{}, look func(context.Context)) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-wake:
		}
	}
}
