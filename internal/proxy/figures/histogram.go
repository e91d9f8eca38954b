package figures

import (
	"sync/atomic"
	"time"
)

// bounds are the upper ends of the buckets in seconds; the last bucket has none.
var bounds = [...]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// limits are bounds as durations.
var limits = func() (l [len(bounds)]time.Duration) {
	for i, b := range bounds {
		l[i] = time.Duration(b * float64(time.Second))
	}
	return l
}()

// spread is how the times of one profile spread, in one shard.
type spread struct{ total, firstByte histogram }

type histogram struct {
	buckets [len(bounds) + 1]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(limits) && d > limits[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(max(d, 0)))
}

// sum is a histogram as Prometheus takes it: how many were at most so long, by upper end in seconds.
type sum struct {
	count   uint64
	seconds float64
	upTo    map[float64]uint64
}

// sumOf adds up one of the histograms of all shards.
func sumOf(all []atomic.Pointer[spread], which func(*spread) *histogram) sum {
	var counts [len(bounds) + 1]uint64
	var nanos int64
	for i := range all {
		d := all[i].Load()
		if d == nil {
			continue
		}
		h := which(d)
		for b := range counts {
			counts[b] += h.buckets[b].Load()
		}
		nanos += h.sum.Load()
	}
	s := sum{upTo: make(map[float64]uint64, len(bounds)), seconds: time.Duration(nanos).Seconds()}
	for b, n := range counts {
		s.count += n
		if b < len(bounds) {
			s.upTo[bounds[b]] = s.count
		}
	}
	return s
}
