package steer

import (
	"fmt"
	"math/bits"
	"slices"

	"jurymast/internal/health"
)

// weights is the table of a weighted profile.
type weights struct {
	list   []int    // endpoints that can be chosen, in order
	sums   []uint64 // running sums of their weights
	each   []uint64 // their weights, in thousandths
	seeds  []uint64
	second bool // those with weight 0 answer because nobody else is left
}

// total is the sum of all weights.
func (w *weights) total() uint64 { return w.sums[len(w.sums)-1] }

// compileWeighted fills the table. An endpoint with weight 0 answers only when every other candidate is gone; then all
// of them answer evenly.
func (n *node) compileWeighted() {
	w := &n.weights
	for _, i := range n.pool {
		if n.view.Endpoints[i].Config.Weight > 0 {
			w.list = append(w.list, i)
		}
	}
	even := len(w.list) == 0
	if even {
		w.list = n.pool
	}
	var sum uint64
	for _, i := range w.list {
		each := uint64(max(1, n.view.Endpoints[i].Weight))
		if even {
			each = 1000
		}
		sum += each
		w.each, w.sums, w.seeds = append(w.each, each), append(w.sums, sum), append(w.seeds, seedOf(n.name(i)))
	}
	for i := range n.view.Endpoints {
		if e := &n.view.Endpoints[i]; even && e.Config.Weight > 0 && awaited(e) {
			w.second = true
			n.soon = min(n.soon, returns(e))
		}
	}
	switch {
	case len(w.list) == 1:
		n.needs = n.childNeeds(w.list[0])
	case n.view.Profile.Sticky:
		n.needs |= NeedAddr
	default:
		n.needs |= NeedDice
	}
}

func (n *node) weighted(q *question) choice {
	w := &n.weights
	at, rule, scope := 0, RuleWeight, uint8(0)
	switch {
	case n.view.Profile.Sticky:
		rule = RuleSticky
		var key uint64
		if key, scope = network(q.client.Addr); len(w.list) > 1 {
			at = w.nearest(key)
		}
	case len(w.list) > 1:
		at = w.at(q.draw())
	}
	ch := chosen(w.list[at], rule)
	ch.scope, ch.soon, ch.serving = scope, n.soon, n.servingOf(w.second)
	if q.trail != nil {
		says := "at random by weight"
		if rule == RuleSticky {
			says = "by weight, the client's network chooses"
		}
		q.trail.add("weights", "a share is a weight by the sum of all", w.words(n), "sum "+bounded(w.total()))
		q.trail.add("choice", says, "", n.name(ch.endpoint))
	}
	return ch
}

// servingOf is the word for a method's choice: fallback when it stands in for another one.
func (n *node) servingOf(fallback bool) Serving {
	switch {
	case n.down():
		return ServingAllDown
	case fallback:
		return ServingFallback
	case n.out:
		return ServingPartial
	}
	return ServingPreferred
}

// at maps 64 random bits to an endpoint: multiply and shift, biased by less than total/2^64.
func (w *weights) at(random uint64) int {
	point, _ := bits.Mul64(random, w.total())
	i, _ := slices.BinarySearch(w.sums, point+1) // the first sum above the point
	return i
}

// nearest is the endpoint of a client's network by rendezvous hashing.
func (w *weights) nearest(key uint64) int {
	best := 0
	cost := distance(key, w.seeds[0], float64(w.each[0]))
	for i := 1; i < len(w.list); i++ {
		if c := distance(key, w.seeds[i], float64(w.each[i])); c < cost {
			best, cost = i, c
		}
	}
	return best
}

// words lists the shares for a trail.
func (w *weights) words(n *node) string {
	out := ""
	for k, i := range w.list {
		if k > 0 {
			out += ", "
		}
		if k == maxListed {
			return out + fmt.Sprintf("and %d more", len(w.list)-k)
		}
		out += n.name(i) + " " + bounded(w.each[k])
	}
	return out
}

// bounded writes thousandths as a decimal number.
func bounded(thousandths uint64) string {
	if thousandths%1000 == 0 {
		return fmt.Sprint(thousandths / 1000)
	}
	return fmt.Sprintf("%d.%03d", thousandths/1000, thousandths%1000)
}

// rankWeighted appends the candidates by descending weight, or as the client's network prefers them, those of weight 0
// last.
func (n *node) rankWeighted(c *Client, buf []int) []int {
	from := len(buf)
	buf = append(buf, n.pool...)
	key, _ := network(c.Addr)
	slices.SortStableFunc(buf[from:], func(a, b int) int { return n.compareWeights(a, b, key) })
	return buf
}

func (n *node) compareWeights(a, b int, key uint64) int {
	x, y := &n.view.Endpoints[a], &n.view.Endpoints[b]
	if zx, zy := x.Config.Weight == 0, y.Config.Weight == 0; zx != zy {
		if zx {
			return 1
		}
		return -1
	}
	if !n.view.Profile.Sticky {
		return int(int64(y.Weight) - int64(x.Weight))
	}
	return compareFloats(distance(key, seedOf(n.name(a)), weightOf(x)), distance(key, seedOf(n.name(b)), weightOf(y)))
}

func weightOf(e *health.EndpointView) float64 {
	if e.Config.Weight == 0 {
		return 1000
	}
	return float64(max(1, e.Weight))
}
