package steer

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"jurymast/internal/geo"
	"jurymast/internal/health"
)

// near is what a performance profile knows of distances.
type near struct {
	spots []spot // by endpoint
	posts []post // nodes that measure, by name
	seeds []uint64
}

// spot is where an endpoint stands.
type spot struct {
	region   string // canonical; "": none
	position geo.Position
	placed   bool    // position is known
	factor   float64 // bias: below 1 draws clients nearer
	share    float64 // of a tie: 1, less during a ramp
	weight   float64 // inside a latency band; 0: only when nobody else is in it
}

// post is a node that measures how long its probes take.
type post struct {
	node     string
	position geo.Position
	millis   []float64 // by endpoint; 0: not measured
}

// source is where the numbers of one comparison come from. They are never mixed.
type source uint8

const (
	noSource       source = iota
	tableSource           // the operator's table
	measuredSource        // probes of the node nearest to the client
	distanceSource        // great-circle distance
)

// kmPerMilli makes a distance comparable with latency_band: what light in fibre covers there and back in 1 ms.
const kmPerMilli = 100

func (n *node) compilePerformance() {
	v := n.view
	n.near.spots = make([]spot, len(v.Endpoints))
	n.near.seeds = make([]uint64, len(v.Endpoints))
	n.needs |= NeedAddr
	for i := range v.Endpoints {
		s := spotOf(&v.Endpoints[i])
		n.near.spots[i], n.near.seeds[i] = s, seedOf(n.name(i))
		if s.region != "" {
			n.needs |= NeedRow
		}
		if s.placed {
			n.needs |= NeedPlace
		}
		for k := range v.Endpoints[i].Votes {
			n.near.vote(&v.Endpoints[i].Votes[k], i, len(v.Endpoints))
		}
	}
	if len(n.near.posts) > 0 {
		n.needs |= NeedPlace
	}
}

func spotOf(e *health.EndpointView) spot {
	s := spot{factor: 1 - float64(e.Config.Bias)/100, share: 1, weight: float64(e.Weight)}
	if e.Config.Weight > 0 {
		s.share = max(1, float64(e.Weight)) / (1000 * float64(e.Config.Weight))
	} else {
		s.weight = 0
	}
	at := e.Config.Location
	if at.Region != "" {
		s.region = geo.Canonical(at.Region)
		if r, ok := geo.FindRegion(at.Region); ok {
			s.position, s.placed = r.Position, true
		}
	}
	if at.Lat != nil && at.Lon != nil {
		s.position, s.placed = geo.Position{Lat: *at.Lat, Lon: *at.Lon}, true
	}
	return s
}

// vote takes over what a node measured, when its location is a known region.
func (x *near) vote(b *health.Ballot, endpoint, endpoints int) {
	if b.RTT <= 0 || b.Blind {
		return
	}
	k, known := slices.BinarySearchFunc(x.posts, b.Node, func(p post, node string) int { return strings.Compare(p.node, node) })
	if !known {
		r, ok := geo.FindRegion(b.Location)
		if !ok {
			return
		}
		x.posts = slices.Insert(x.posts, k, post{node: b.Node, position: r.Position, millis: make([]float64, endpoints)})
	}
	x.posts[k].millis[endpoint] = float64(b.RTT)
}

// ruler measures from one client to endpoints, in milliseconds of one source.
type ruler struct {
	n      *node
	client *Client
	from   source
	post   *post
}

// ruler takes the first source that knows every endpoint of the pool. A table that knows only some still wins over the
// other sources, those it knows over those it does not; failing all, so does any source that knows somebody.
func (n *node) ruler(c *Client) ruler {
	r := ruler{n: n, client: c, post: n.nearestPost(c)}
	var some source
	for _, r.from = range [...]source{tableSource, measuredSource, distanceSource} {
		known := 0
		for _, i := range n.pool {
			if _, ok := r.millis(i); ok {
				known++
			}
		}
		if known == len(n.pool) || (known > 0 && r.from == tableSource) {
			return r
		}
		if known > 0 && some == noSource {
			some = r.from
		}
	}
	r.from = some
	return r
}

// nearBy is how far a node may be from a client to speak for it, in kilometres: about 15 ms of light in glass and back.
// What a node measures from another continent says nothing about the client, and its distance does.
const nearBy = 1500

func (n *node) nearestPost(c *Client) *post {
	if !c.Place.HasPosition {
		return nil
	}
	best, least := -1, 0.0
	for k := range n.near.posts {
		if d := geo.Distance(c.Place.Position, n.near.posts[k].position); best < 0 || d < least {
			best, least = k, d
		}
	}
	if best < 0 || least > nearBy {
		return nil
	}
	return &n.near.posts[best]
}

// millis is how far the endpoint is, its bias applied; false when the source does not know it.
func (r *ruler) millis(i int) (float64, bool) {
	s := &r.n.near.spots[i]
	value, ok := 0.0, false
	switch r.from {
	case tableSource:
		if s.region != "" {
			var d time.Duration
			d, ok = r.client.Row.To(s.region)
			value = float64(d) / float64(time.Millisecond)
		}
	case measuredSource:
		if r.post != nil {
			value = r.post.millis[i]
			ok = value > 0
		}
	case distanceSource:
		if s.placed && r.client.Place.HasPosition {
			value, ok = geo.Distance(r.client.Place.Position, s.position)/kmPerMilli, true
		}
	case noSource:
	}
	return value * s.factor, ok
}

func (r *ruler) rule() Rule {
	switch r.from {
	case tableSource:
		return RuleLatency
	case measuredSource:
		return RuleMeasured
	case distanceSource:
		return RuleDistance
	case noSource:
	}
	return RuleNoLocation
}

// scope is how many bits of the client's address the numbers hold for.
func (r *ruler) scope() uint8 {
	var scope uint8
	if r.client.Row != nil && r.n.needs&NeedRow != 0 {
		scope = r.client.Row.Bits
	}
	if r.from != tableSource && r.n.needs&NeedPlace != 0 {
		scope = max(scope, r.client.Place.Bits)
	}
	return scope
}

func (n *node) performance(q *question) choice {
	hit, scope := n.locate(q.client.Addr)
	if hit >= 0 && n.in[hit] {
		ch := chosen(hit, RuleSubnet)
		ch.scope, ch.soon, ch.serving = scope, n.soon, n.servingOf(false)
		q.trail.add("choice", "the client is in a range of this endpoint, and it is usable", "", n.name(hit))
		return ch
	}
	r := n.ruler(q.client)
	scope = max(scope, r.scope())
	var ch choice
	if r.from == noSource {
		ch = n.noLocation(q)
	} else {
		ch = n.nearest(q, &r)
	}
	ch.scope = max(ch.scope, scope)
	if hit >= 0 && awaited(&n.view.Endpoints[hit]) {
		ch.serving, ch.soon = ServingFallback, min(ch.soon, returns(&n.view.Endpoints[hit]))
	}
	return ch
}

// noLocation answers the lowest priority number.
func (n *node) noLocation(q *question) choice {
	ch := chosen(n.pool[0], RuleNoLocation)
	fallback := false
	for _, i := range n.order {
		if i == ch.endpoint {
			break
		}
		if e := &n.view.Endpoints[i]; awaited(e) {
			fallback = true
			ch.soon = min(ch.soon, returns(e))
		}
	}
	ch.soon, ch.serving = min(ch.soon, n.soon), n.servingOf(fallback)
	q.trail.add("choice", "nothing is known of where the client is: lowest number", "", n.name(ch.endpoint))
	return ch
}

// nearest answers the endpoint with the least value. Those within latency_band of it, or equally near, share the
// clients: each client's network has its own.
func (n *node) nearest(q *question, r *ruler) choice {
	least := math.Inf(1)
	for _, i := range n.pool {
		if value, ok := r.millis(i); ok {
			least = min(least, value)
		}
	}
	band := float64(n.view.Profile.LatencyBand) / float64(time.Millisecond)
	endpoint, tied := n.among(q.client, r, least+band)
	ch := chosen(endpoint, r.rule())
	if tied > 1 {
		_, ch.scope = network(q.client.Addr)
		ch.rule = RuleRegion
	}
	fallback := false
	for _, i := range n.order {
		e := &n.view.Endpoints[i]
		if n.in[i] || !awaited(e) {
			continue
		}
		if value, ok := r.millis(i); ok && value <= least+band {
			fallback = fallback || value < least
			ch.soon = min(ch.soon, returns(e))
		}
	}
	ch.soon, ch.serving = min(ch.soon, n.soon), n.servingOf(fallback)
	if q.trail != nil {
		n.explainNearest(q, r, &ch, tied)
	}
	return ch
}

// among chooses for the client's network from the candidates with a value of at most limit.
func (n *node) among(c *Client, r *ruler, limit float64) (best, tied int) {
	key, _ := network(c.Addr)
	band := n.view.Profile.LatencyBand > 0
	best, cost := -1, 0.0
	for _, i := range n.pool {
		value, ok := r.millis(i)
		if !ok || value > limit {
			continue
		}
		weight := n.near.spots[i].share
		if band {
			weight = n.near.spots[i].weight
		}
		far := distance(key, n.near.seeds[i], max(weight, tinyWeight))
		if tied++; best < 0 || far < cost {
			best, cost = i, far
		}
	}
	return best, tied
}

// tinyWeight stands for 0 inside a band: it wins against a weight of 1 for one network in 10^15.
const tinyWeight = 1e-12

func (n *node) explainNearest(q *question, r *ruler, ch *choice, tied int) {
	unit := map[source]string{
		tableSource: "latency table", measuredSource: "measured by the nearest node", distanceSource: "great-circle distance, 100 km per ms",
	}[r.from]
	if r.from == measuredSource {
		unit += " " + r.post.node
	}
	var words []string
	for _, i := range n.order {
		if n.view.Endpoints[i].Tier == health.TierExcluded {
			continue
		}
		word := n.name(i) + " unknown"
		if value, ok := r.millis(i); ok {
			word = fmt.Sprintf("%s %.1f ms", n.name(i), value)
		}
		if bias := n.view.Endpoints[i].Config.Bias; bias != 0 {
			word += fmt.Sprintf(" (bias %+d)", bias)
		}
		words = append(words, word)
	}
	least, _ := r.millis(ch.endpoint)
	q.trail.add("distances", unit, listed(words), fmt.Sprintf("%.1f ms", least))
	says := "the nearest candidate"
	if tied > 1 {
		says = fmt.Sprintf("%d candidates are nearest, within %v: the client's network chooses", tied, n.view.Profile.LatencyBand)
	}
	if ch.soon != health.Unlimited {
		q.trail.horizon("", "a nearer endpoint can return", ch.soon)
	}
	q.trail.add("choice", says, "", n.name(ch.endpoint))
}

// rankPerformance appends the candidates from near to far, those of unknown distance last.
func (n *node) rankPerformance(c *Client, buf []int) []int {
	from := len(buf)
	buf = append(buf, n.pool...)
	r := n.ruler(c)
	hit, _ := n.locate(c.Addr)
	far := func(i int) float64 {
		if i == hit {
			return math.Inf(-1)
		}
		if value, ok := r.millis(i); ok {
			return value
		}
		return math.Inf(1)
	}
	slices.SortStableFunc(buf[from:], func(a, b int) int { return compareFloats(far(a), far(b)) })
	return buf
}
