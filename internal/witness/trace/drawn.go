package trace

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// draws is how often a server is asked again before its answers are taken for those of dice.
const draws = 6

// drawn finds out whether answers that differ are drawn, by weight or by dice, so that nobody holds a wrong one: then one
// server gives the same client this answer, another one, and this one again. One change alone may be a switch that happened
// meanwhile. What a server said is true then. A node that knows the name knows better than we can find out.
func (t *tracer) drawn(ctx context.Context, l *Link) {
	if l.looked || t.o.Varies || t.o.Node != nil && t.o.Node.Routing != "" {
		return
	}
	l.looked = true
	said := make([][][]step, len(l.Servers))
	var all sync.WaitGroup
	for i := range l.Servers {
		s := &l.Servers[i]
		to, err := netip.ParseAddrPort(s.Address)
		if s.path == nil || err != nil {
			continue
		}
		all.Go(func() {
			said[i] = [][]step{s.path}
			for range draws {
				r := t.ask(ctx, query{to: to, tcp: s.Transport == "tcp", name: l.Name, typ: t.typ})
				if r.err != nil || !r.Authoritative || returns(said[i]) {
					return
				}
				path, _ := pathOf(r.Msg, l.Name, t.typ)
				if path = inside(path, l.Zone); len(path) == 0 {
					return
				}
				said[i] = append(said[i], path)
			}
		})
	}
	all.Wait()
	if l.Varies = slices.ContainsFunc(said, returns); !l.Varies {
		return
	}
	for _, paths := range said {
		for _, p := range paths {
			t.believe(p)
		}
	}
	t.note("servers of %s give one client other answers in turn, so they are drawn (weighted routing), or several servers stand behind one address: "+
		"every answer that was seen counts as present", l.Zone)
}

// returns reports that an answer came back after another one.
func returns(paths [][]step) bool {
	left := map[string]bool{}
	last := ""
	for _, p := range paths {
		sign := signature(p)
		if left[sign] {
			return true
		}
		if last != "" && sign != last {
			left[last] = true
			if left[sign] {
				return true
			}
		}
		last = sign
	}
	return false
}

// reconsider judges caches with another answer than the present one again, if that answer is one of several that are drawn.
func (t *tracer) reconsider(ctx context.Context, r *Report) {
	old := func(h Holder) bool { return h.State == Old && !h.Stale && !h.Forever && h.path != nil }
	if !slices.ContainsFunc(r.Caches, old) {
		return
	}
	for i := range r.Chain {
		t.drawn(ctx, &r.Chain[i])
	}
	for i := range r.Caches {
		if h := &r.Caches[i]; old(*h) {
			h.Differs, h.Left, h.Until = "", 0, time.Time{}
			t.judge(h, h.path, h.open, h.at)
			t.age(h, h.path)
		}
	}
}
