package steer_test

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"jurymast/internal/geo"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// The oracle is a second implementation of the routing methods, written from the words of the specification with
// slices and maps and without a thought for speed. It shares no code with the first: it reads statuses, not tiers, and
// the texts of the configuration, not what was prepared from them.

// outcome is one thing the first implementation may do.
type outcome struct {
	what    string // PROFILE/ENDPOINT, {set}, target, none, nx, not-ready
	serving steer.Serving
}

// oracle lists every outcome the specification allows for the client.
func oracle(v *health.View, c steer.Client) []outcome {
	no := "none"
	if v.Profile.Azure() {
		no = "nx"
	}
	if v.Disabled {
		return []outcome{{no, steer.ServingNone}}
	}
	if !v.Ready {
		return []outcome{{"not-ready", steer.ServingNotReady}}
	}
	eligible := filter(v, func(e *health.EndpointView) bool { return isEligible(e) })
	if len(eligible) == 0 {
		if len(filter(v, func(e *health.EndpointView) bool { return e.Status != health.Disabled })) > 0 {
			no = "none"
		}
		return []outcome{{no, steer.ServingNone}}
	}
	o := question{v: v, c: c, eligible: eligible, candidates: candidatesOf(v)}
	if len(o.candidates) == 0 {
		return o.allDown()
	}
	return o.expand(o.method())
}

type question struct {
	v                    *health.View
	c                    steer.Client
	eligible, candidates []int
	down                 bool
}

// way is one endpoint a method may choose, or a word.
type way struct {
	endpoint int
	word     string
	serving  steer.Serving
}

func filter(v *health.View, keep func(*health.EndpointView) bool) (list []int) {
	for i := range v.Endpoints {
		if keep(&v.Endpoints[i]) {
			list = append(list, i)
		}
	}
	return list
}

func isEligible(e *health.EndpointView) bool {
	return !e.Layer.Drained && e.Status != health.Disabled && e.Status != health.Stopped && e.Status != health.Inactive
}

// standing is 1 for Online and Unmonitored, 2 for Checking, 3 for held down, 4 for down, 5 for not eligible.
func standing(v *health.View, e *health.EndpointView) int {
	switch {
	case !isEligible(e):
		return 5
	case e.Status == health.Online || e.Status == health.Unmonitored:
		return 1
	case e.Status == health.CheckingEndpoint && v.Profile.Checking == profile.CheckingServe:
		return 1
	case e.Status == health.CheckingEndpoint:
		return 2
	case e.Verdict.Held && e.Layer.Forced != health.Down:
		return 3
	}
	return 4
}

func candidatesOf(v *health.View) []int {
	for s := 1; s <= 3; s++ {
		if list := filter(v, func(e *health.EndpointView) bool { return standing(v, e) == s }); len(list) > 0 {
			return list
		}
	}
	return nil
}

func (o question) allDown() []outcome {
	o.down = true
	o.candidates = o.eligible
	p := o.v.Profile
	switch p.AllDown.Rule {
	case profile.AllDownNone:
		return []outcome{{"none", steer.ServingNone}}
	case profile.AllDownTarget:
		return []outcome{{"target", steer.ServingAllDown}}
	case profile.AllDownLastActive:
		if p.Routing != profile.Priority {
			latest := time.Time{}
			for _, i := range o.eligible {
				if s := o.v.Endpoints[i].Verdict.Since; s.After(latest) {
					latest = s
				}
			}
			o.candidates = slices.DeleteFunc(slices.Clone(o.eligible), func(i int) bool { return !o.v.Endpoints[i].Verdict.Since.Equal(latest) })
		}
	case profile.AllDownServe:
	}
	ways := o.method()
	for i := range ways {
		if ways[i].serving != steer.ServingNone {
			ways[i].serving = steer.ServingAllDown
		}
	}
	return o.expand(ways)
}

// expand follows nested endpoints.
func (o question) expand(ways []way) []outcome {
	found := map[outcome]bool{}
	for _, w := range ways {
		if w.word != "" {
			found[outcome{w.word, w.serving}] = true
			continue
		}
		e := &o.v.Endpoints[w.endpoint]
		if e.Config.Target.Profile == "" {
			found[outcome{o.v.Profile.Name + "/" + e.Config.Name, w.serving}] = true
			continue
		}
		below := []outcome{{"not-ready", steer.ServingNotReady}}
		if e.Child != nil {
			below = oracle(e.Child, o.c)
		}
		for _, b := range below {
			if b.what == "nx" && !o.v.Profile.Azure() {
				b.what = "none"
			}
			if badness(w.serving) > badness(b.serving) {
				b.serving = w.serving
			}
			found[b] = true
		}
	}
	return slices.Collect(maps.Keys(found))
}

func badness(s steer.Serving) int {
	return slices.Index([]steer.Serving{steer.ServingPreferred, steer.ServingPartial, steer.ServingFallback, steer.ServingAllDown, steer.ServingNotReady, steer.ServingHalted, steer.ServingNone}, s)
}

func (o question) method() []way {
	switch o.v.Profile.Routing {
	case profile.Weighted:
		return o.weighted()
	case profile.Performance:
		return o.performance()
	case profile.Geographic:
		return o.geographic()
	case profile.Subnet:
		return o.subnet()
	case profile.Multivalue:
		return o.multivalue()
	case profile.Priority:
	}
	return o.priority()
}

func (o question) has(i int) bool { return slices.Contains(o.candidates, i) }

// word is preferred, or partial while some eligible endpoint is no candidate, or fallback.
func (o question) word(fallback bool) steer.Serving {
	switch {
	case fallback:
		return steer.ServingFallback
	case len(o.candidates) < len(o.eligible):
		return steer.ServingPartial
	}
	return steer.ServingPreferred
}

// back reports that an endpoint that is out is so for a time only.
func (o question) back(i int) bool {
	e := &o.v.Endpoints[i]
	return e.Config.Enabled && (!e.Config.Stopped || e.Status != health.Stopped)
}

func (o question) byNumber() []int {
	list := filter(o.v, func(*health.EndpointView) bool { return true })
	slices.SortFunc(list, func(a, b int) int { return o.v.Endpoints[a].Config.Priority - o.v.Endpoints[b].Config.Priority })
	return list
}

func (o question) priority() []way {
	p, order := o.v.Profile, o.byNumber()
	best := order[slices.IndexFunc(order, o.has)]
	_, active := p.Endpoint(o.v.Decision.Active)
	follows := !o.down || p.Fencing == profile.Strict || p.AllDown.Rule == profile.AllDownLastActive ||
		p.Failback.Mode == profile.FailbackManual || p.Failback.Mode == profile.FailbackDelayed
	if active >= 0 && o.has(active) && follows {
		best = active
	}
	if best == order[0] {
		return []way{{endpoint: best, serving: steer.ServingPreferred}}
	}
	return []way{{endpoint: best, serving: steer.ServingFallback}}
}

func (o question) weighted() (ways []way) {
	heavy := slices.DeleteFunc(slices.Clone(o.candidates), func(i int) bool { return o.v.Endpoints[i].Config.Weight == 0 })
	fallback := false
	if len(heavy) == 0 {
		heavy = o.candidates
		for i := range o.v.Endpoints {
			fallback = fallback || o.v.Endpoints[i].Config.Weight > 0 && o.back(i)
		}
	}
	for _, i := range heavy {
		ways = append(ways, way{endpoint: i, serving: o.word(fallback)})
	}
	return ways
}

func (o question) multivalue() []way {
	var names []string
	for _, i := range o.candidates {
		names = append(names, o.v.Endpoints[i].Config.Name)
	}
	return []way{{word: "{" + strings.Join(names, " ") + "}", serving: o.word(false)}}
}

// inRange is the endpoint whose subnets contain the client, or -1.
func (o question) inRange() int {
	for i := range o.v.Endpoints {
		for _, text := range o.v.Endpoints[i].Config.Subnets {
			if o.c.Addr.IsValid() && netip.MustParsePrefix(text).Contains(o.c.Addr) {
				return i
			}
		}
	}
	return -1
}

// values are milliseconds by endpoint from one source; those the source does not know are absent.
func (o question) values(source string) map[int]float64 {
	out := map[int]float64{}
	for i := range o.v.Endpoints {
		cfg := o.v.Endpoints[i].Config
		bias := 1 - float64(cfg.Bias)/100
		region, known := geo.FindRegion(cfg.Location.Region)
		switch source {
		case "table":
			if d, ok := o.c.Row.To(geo.Canonical(cfg.Location.Region)); ok && cfg.Location.Region != "" {
				out[i] = d.Seconds() * 1000 * bias
			}
		case "measured":
			if ms := o.measured(i); ms > 0 {
				out[i] = float64(ms) * bias
			}
		case "distance":
			if known && o.c.Place.HasPosition {
				out[i] = geo.Distance(o.c.Place.Position, region.Position) / 100 * bias
			}
		}
	}
	return out
}

// measured is what the node nearest to the client says of an endpoint.
func (o question) measured(endpoint int) int {
	nearest, least := "", math.Inf(1)
	var nodes []string
	at := map[string]geo.Position{}
	for i := range o.v.Endpoints {
		for _, b := range o.v.Endpoints[i].Votes {
			if r, ok := geo.FindRegion(b.Location); ok && b.RTT > 0 {
				nodes, at[b.Node] = append(nodes, b.Node), r.Position
			}
		}
	}
	slices.Sort(nodes)
	for _, n := range nodes {
		if d := geo.Distance(o.c.Place.Position, at[n]); o.c.Place.HasPosition && d < least && d <= 1500 {
			nearest, least = n, d
		}
	}
	for _, b := range o.v.Endpoints[endpoint].Votes {
		if nearest != "" && b.Node == nearest {
			return b.RTT
		}
	}
	return 0
}

func (o question) performance() []way {
	hit := o.inRange()
	if hit >= 0 && o.has(hit) {
		return []way{{endpoint: hit, serving: o.word(false)}}
	}
	missed := hit >= 0 && o.back(hit)
	var use map[int]float64
	for _, source := range []string{"table", "measured", "distance"} {
		values := o.values(source)
		known := len(slices.DeleteFunc(slices.Clone(o.candidates), func(i int) bool { _, ok := values[i]; return !ok }))
		if known == len(o.candidates) || known > 0 && source == "table" {
			use = values
			break
		}
		if known > 0 && use == nil {
			use = values
		}
	}
	if use == nil {
		return o.nowhere(missed)
	}
	least := math.Inf(1)
	for _, i := range o.candidates {
		if ms, ok := use[i]; ok {
			least = min(least, ms)
		}
	}
	fallback := missed
	for i, ms := range use {
		fallback = fallback || !o.has(i) && o.back(i) && ms < least-1e-9
	}
	var ways []way
	for _, i := range o.candidates {
		if ms, ok := use[i]; ok && ms <= least+float64(o.v.Profile.LatencyBand.Milliseconds())+1e-9 {
			ways = append(ways, way{endpoint: i, serving: o.word(fallback)})
		}
	}
	return ways
}

// nowhere is the answer for a client without a location: the lowest number.
func (o question) nowhere(fallback bool) []way {
	for _, i := range o.byNumber() {
		if o.has(i) {
			return []way{{endpoint: i, serving: o.word(fallback)}}
		}
		fallback = fallback || o.back(i)
	}
	return nil
}

// matched picks from the endpoints that fit the client, the most fitting first.
func (o question) matched(fitting []int) []way {
	if len(fitting) == 0 {
		return []way{{word: "none", serving: steer.ServingNone}}
	}
	for s := 1; s <= 3; s++ {
		for _, i := range fitting {
			if standing(o.v, &o.v.Endpoints[i]) == s || s == 1 && o.down && o.has(i) {
				return []way{{endpoint: i, serving: o.word(i != fitting[0])}}
			}
		}
	}
	for _, i := range fitting {
		if isEligible(&o.v.Endpoints[i]) {
			return []way{{endpoint: i, serving: steer.ServingAllDown}}
		}
	}
	return []way{{word: "none", serving: steer.ServingNone}}
}

// takesPart: disabled endpoints leave the matching; drained ones too where nothing is climbed.
func (o question) takesPart(i int) bool {
	e := &o.v.Endpoints[i]
	return e.Status != health.Disabled && (o.v.Profile.Climb || !e.Layer.Drained)
}

func (o question) geographic() []way {
	var fitting []int
	if hit := o.inRange(); hit >= 0 && o.takesPart(hit) {
		fitting = append(fitting, hit)
	}
	code, more := geo.World, true
	if o.c.Place.Known {
		code = o.c.Place.Code
	}
	for more {
		for i := range o.v.Endpoints {
			if slices.Contains(o.v.Endpoints[i].Config.Geo, code.String()) && o.takesPart(i) {
				fitting = append(fitting, i)
			}
		}
		code, more = code.Parent()
	}
	if !o.v.Profile.Climb && len(fitting) > 1 {
		fitting = fitting[:1]
	}
	return o.matched(fitting)
}

func (o question) subnet() []way {
	p := o.v.Profile
	var fitting []int
	hit := o.inRange()
	if mapped := hit >= 0 && o.takesPart(hit); mapped {
		fitting = append(fitting, hit)
	}
	if len(fitting) == 0 || p.Climb {
		for _, i := range o.byNumber() {
			if len(o.v.Endpoints[i].Config.Subnets) == 0 && o.takesPart(i) {
				fitting = append(fitting, i)
			}
		}
	}
	if !p.Azure() {
		return o.matched(fitting)
	}
	usable := func(i int) bool { return standing(o.v, &o.v.Endpoints[i]) <= 3 || o.down && o.has(i) }
	if len(fitting) == 0 || !p.Climb && !slices.ContainsFunc(fitting, usable) {
		return []way{{word: "nx", serving: steer.ServingNone}}
	}
	return o.matched(fitting)
}
