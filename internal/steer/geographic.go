package steer

import (
	"fmt"
	"slices"

	"jurymast/internal/geo"
	"jurymast/internal/health"
)

// compileGeographic makes the table of codes. A code is on one endpoint only; validation refuses a second one.
func (n *node) compileGeographic() {
	wide := true
	codes := make([]int32, geo.NumCodes)
	for i := range n.view.Endpoints {
		for _, text := range n.view.Endpoints[i].Config.Geo {
			code, ok := geo.ParseCode(text)
			if !ok || codes[code] != 0 {
				continue
			}
			codes[code] = int32(i) + 1
			wide = wide && code == geo.World
		}
	}
	n.world = int(codes[geo.World]) - 1
	if !wide {
		n.codes = codes
		n.needs |= NeedPlace
	}
	if len(n.view.Profile.Ranges) > 0 {
		n.needs |= NeedAddr
	}
}

// mapped is the endpoint with that code, or -1.
func (n *node) mapped(c geo.Code) int {
	switch {
	case n.codes != nil && int(c) < len(n.codes):
		return int(n.codes[c]) - 1
	case c == geo.World:
		return n.world
	}
	return -1
}

// geoPath leads from the most specific code of the client's place to the world; a range that contains the client comes
// before all of them.
func (n *node) geoPath(c *Client) (path, uint8) {
	hit, scope := n.locate(c.Addr)
	p := path{n: n, hit: hit, soon: health.Unlimited}
	if n.codes != nil {
		scope = max(scope, c.Place.Bits)
		if c.Place.Known {
			p.code = c.Place.Code
		}
	}
	return p, scope
}

// geographic answers the most specific mapped endpoint.
//
//	climb: true   candidates only, level by level; when no level has one, the most specific that is not excluded
//	climb: false  the first mapped endpoint, whatever its health; a stopped one is not answered
func (n *node) geographic(q *question) choice {
	p, scope := n.geoPath(q.client)
	w := startWalk()
	levels, bestLevel := 0, 0
	for {
		i, code, ranged := p.step()
		w.seen = min(w.seen, p.soon)
		if i < 0 {
			break
		}
		before := w.best
		w.visit(n, i)
		if !ranged {
			levels++
		}
		if w.best != before {
			bestLevel = levels
		}
		if q.trail != nil {
			n.explainLevel(q, i, code, ranged)
		}
		if w.tier == health.TierUsable {
			break
		}
	}
	ch := n.walked(&w, RuleGeoAnyway)
	ch.scope = scope
	switch {
	case w.first < 0:
		ch.rule = RuleNoMapping
	case w.best < 0:
	case bestLevel == 0:
		ch.rule = RuleSubnet
	case bestLevel == 1:
		ch.rule = RuleGeo
	default:
		ch.rule = RuleGeoClimb
	}
	n.explainWalk(q, &w, &ch)
	return ch
}

// walked is the choice of a walk: the best candidate, else what may be answered anyway, else nothing.
func (n *node) walked(w *walk, anyway Rule) choice {
	switch {
	case w.best >= 0:
		ch := chosen(w.best, anyway)
		ch.serving, ch.soon = n.servingOf(w.best != w.first), w.soon
		if w.tier > health.TierUsable {
			ch.soon = w.seen
		}
		return ch
	case w.anyway >= 0:
		ch := chosen(w.anyway, anyway)
		ch.serving, ch.agreed, ch.soon = ServingAllDown, false, w.seen
		return ch
	}
	ch := nothing(RuleStopped)
	ch.soon = w.seen
	return ch
}

func (n *node) explainLevel(q *question, i int, code geo.Code, ranged bool) {
	level := fmt.Sprintf("mapped to %s", code)
	if ranged {
		level = "the client is in a range of this endpoint"
	}
	e := &n.view.Endpoints[i]
	result := e.Status.String()
	switch {
	case e.Tier == health.TierExcluded:
		result = "excluded: " + exclusion(e)
	case n.in[i]:
		result += ", candidate"
	case e.Tier < health.TierDown:
		result += ", second choice"
	default:
		result += ", no candidate"
	}
	q.trail.add("level", level, n.name(i), result)
}

func (n *node) explainWalk(q *question, w *walk, ch *choice) {
	if q.trail == nil {
		return
	}
	switch {
	case w.first < 0:
		q.trail.add("choice", "no endpoint is mapped to the client", "", denial(ch.nx))
	case ch.endpoint < 0:
		q.trail.add("choice", "what is mapped to the client may not be answered", n.name(w.first), denial(ch.nx))
	case w.best < 0 && !n.view.Profile.Climb:
		q.trail.add("choice", "climb: false: the one that fits the client, whatever its health", "", n.name(ch.endpoint))
	case w.best < 0:
		q.trail.add("choice", "none that fits the client is a candidate: the first that is not excluded, anyway", "", n.name(ch.endpoint))
	case ch.endpoint != w.first:
		q.trail.horizon(n.name(w.first), "a better mapped endpoint can return", ch.soon)
		q.trail.add("choice", "the first that fits the client is no candidate: the next", "", n.name(ch.endpoint))
	default:
		q.trail.add("choice", "the first that fits the client", "", n.name(ch.endpoint))
	}
}

// rankWalk appends the candidates that fit the client, in the order in which they do.
func (n *node) rankWalk(p path, buf []int) []int {
	again := p
	w := startWalk()
	for i, _, _ := p.step(); i >= 0; i, _, _ = p.step() {
		w.visit(n, i)
	}
	if w.best < 0 {
		if w.anyway >= 0 {
			buf = append(buf, w.anyway)
		}
		return buf
	}
	from := len(buf)
	for i, _, _ := again.step(); i >= 0; i, _, _ = again.step() {
		one := startWalk()
		one.visit(n, i)
		if one.best < 0 || one.tier != w.tier || slices.Contains(buf[from:], i) {
			continue
		}
		buf = append(buf, i)
	}
	return buf
}
