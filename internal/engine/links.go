package engine

import (
	"slices"
	"strings"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// What one profile tells another travels as views: a nested endpoint stands for a whole profile, a calculated check
// looks at endpoints of others. The loop carries them upwards, level by level, before anything is published.

// linksOf lists the profiles a document is built on, each once, in name order.
func linksOf(doc *profile.Profile) []string {
	var out []string
	for i := range doc.Endpoints {
		e := &doc.Endpoints[i]
		if e.Target.Profile != "" {
			out = append(out, e.Target.Profile)
		}
		if c := e.Monitor.Calculated; c != nil {
			for _, of := range c.Of {
				if other, _, far := strings.Cut(of, "/"); far && other != doc.Name {
					out = append(out, other)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// inOrder lists the endpoints so that a calculated one comes after those of its own profile that it looks at. A loop,
// which no valid document has, is cut anywhere.
func (p *Profile) inOrder() []int {
	order := make([]int, 0, len(p.doc.Endpoints))
	var calculated []int
	for i := range p.doc.Endpoints {
		if p.doc.Endpoints[i].Monitor.Calculated != nil {
			calculated = append(calculated, i)
		} else {
			order = append(order, i)
		}
	}
	done := func(name string) bool {
		_, i := p.doc.Endpoint(name)
		return i < 0 || slices.Contains(order, i)
	}
	for len(calculated) > 0 {
		next := slices.IndexFunc(calculated, func(i int) bool {
			return !slices.ContainsFunc(p.doc.Endpoints[i].Monitor.Calculated.Of, func(of string) bool { return !done(p.near(of)) })
		})
		next = max(next, 0)
		order = append(order, calculated[next])
		calculated = slices.Delete(calculated, next, next+1)
	}
	return order
}

// near is the endpoint's name when of means one of this profile, else "".
func (p *Profile) near(of string) string {
	if _, i := p.doc.Endpoint(of); i >= 0 {
		return of
	}
	if other, name, far := strings.Cut(of, "/"); far && other == p.doc.Name {
		return name
	}
	return ""
}

// parts is what a calculated check looks at, nil for other endpoints.
func (p *Profile) parts(v *health.View, cfg *profile.Endpoint) []health.Part {
	c := cfg.Monitor.Calculated
	if c == nil {
		return nil
	}
	out := make([]health.Part, len(c.Of))
	for i, of := range c.Of {
		out[i] = health.Part{Name: of}
		var e *health.EndpointView
		if name := p.near(of); name != "" {
			e = v.Endpoint(name)
		} else if other, name, far := strings.Cut(of, "/"); far && p.links[other] != nil {
			e = p.links[other].Endpoint(name)
		}
		out[i].Coming = e == nil
		if e != nil {
			out[i].Known, out[i].Status, out[i].Change = true, e.Status, min(e.Horizon, e.Recovery)
			out[i].Coming = steer.Undecided(e)
			if e.Tier == health.TierUsable {
				out[i].Change = e.Horizon
			}
		}
	}
	return out
}

// network knows which profile is built on which.
type network struct {
	links map[string][]string // profile -> those it is built on
	users map[string][]string // profile -> those built on it
	level map[string]int      // 0: built on nothing; else one more than the highest below
}

func networkOf(docs []*profile.Profile) network {
	below := map[string][]string{}
	n := network{links: below, users: map[string][]string{}, level: map[string]int{}}
	for _, d := range docs {
		if links := linksOf(d); len(links) > 0 {
			below[d.Name] = links
			for _, l := range links {
				n.users[l] = append(n.users[l], d.Name)
			}
		}
	}
	for name := range below {
		n.measure(name, below, 0)
	}
	return n
}

// maxLevels is more than any valid set of documents has.
const maxLevels = 32

// measure finds the level of a profile. Documents with a loop were refused; the depth bounds the damage of one anyway.
func (n *network) measure(name string, below map[string][]string, depth int) int {
	if l, known := n.level[name]; known || depth > maxLevels {
		return l
	}
	level := 0
	for _, b := range below[name] {
		level = max(level, 1+n.measure(b, below, depth+1))
	}
	if level > 0 {
		n.level[name] = level
	}
	return level
}
