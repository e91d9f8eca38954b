package side

import (
	"math/bits"
	"time"
)

// steps is the number of buckets per power of two: a latency is known to 1/steps of itself.
const steps = 64

// Histogram counts latencies in buckets whose width grows with the value, like HdrHistogram: counting costs nothing that
// would be seen in the latencies, and nothing is forgotten.
type Histogram struct {
	count [64 * steps]uint64
	N     uint64        // how many were added
	Most  time.Duration // the largest
}

// Add counts one; a negative one counts as 0.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.count[bucket(uint64(d))]++
	h.N++
	h.Most = max(h.Most, d)
}

// bucket is exact below steps; above, the leading bits choose.
func bucket(v uint64) int {
	if v < steps {
		return int(v)
	}
	shift := bits.Len64(v) - bits.Len64(steps)
	return (shift+1)*steps + int(v>>shift) - steps //nolint:gosec // v>>shift is below 2*steps
}

// upper is the largest value of a bucket.
func upper(b int) uint64 {
	if b < steps {
		return uint64(b) //nolint:gosec // a position
	}
	shift := b/steps - 1
	return uint64(b%steps+steps+1)<<shift - 1
}

// Quantile is the latency that the share q of all did not exceed, rounded up to its bucket.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.N == 0 {
		return 0
	}
	need := max(1, uint64(q*float64(h.N)+0.5))
	sum := uint64(0)
	for b, c := range h.count {
		if sum += c; sum >= need {
			return min(h.Most, time.Duration(upper(b))) //nolint:gosec // buckets of durations
		}
	}
	return h.Most
}
