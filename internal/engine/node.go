package engine

import (
	"time"

	"jurymast/internal/health"
)

// Node is the machine of what concerns the node as a whole: is it blind?
//
//	sees something --- everything it probes began to fail within one interval --> blind
//	               <-- one probe succeeds ---------------------------------------
//
// Everything means at least two endpoints on at least two addresses, so that a test or a site with everything on one
// host never goes blind: local loss of everything is evidence about the prober, not about the targets. Endpoints that
// never had an address count as well when all of them are so: then it is the resolver.
type Node struct {
	seen  map[sightKey]glance
	good  int // how many of seen are fine
	blind bool
}

type sightKey struct{ profile, endpoint, check string }

type glance struct {
	addr    string
	failing time.Time // since when in a row; zero: fine
	every   time.Duration
}

// NewNode returns a node that sees.
func NewNode() *Node { return &Node{seen: map[sightKey]glance{}} }

// Blind reports what the node thinks of its own eyes.
func (n *Node) Blind() bool { return n.blind }

// Observe takes one probe result with the interval it is probed at, and reports whether Blind changed.
func (n *Node) Observe(profile, endpoint, check string, o health.Observation, interval time.Duration) bool {
	k := sightKey{profile, endpoint, check}
	was, known := n.seen[k]
	is := glance{addr: o.Addr, every: interval}
	if is.addr == "" {
		is.addr = was.addr
	}
	if known && was.failing.IsZero() {
		n.good--
	}
	switch {
	case o.OK:
		n.good++
	case known && !was.failing.IsZero():
		is.failing = was.failing
	default:
		is.failing = o.At
	}
	n.seen[k] = is
	return n.judge(interval, o.At)
}

// Forget drops the checks keep does not name: they are gone.
func (n *Node) Forget(keep func(profile, endpoint, check string) bool) {
	for k := range n.seen {
		if !keep(k.profile, k.endpoint, k.check) {
			n.ForgetOne(k.profile, k.endpoint, k.check)
		}
	}
}

// ForgetOne drops a check that does not run any more: what it last said must not speak for our sight.
func (n *Node) ForgetOne(profile, endpoint, check string) {
	k := sightKey{profile, endpoint, check}
	if s, ok := n.seen[k]; ok && s.failing.IsZero() {
		n.good--
	}
	delete(n.seen, k)
}

// judge looks at everything only when nothing is fine.
func (n *Node) judge(interval time.Duration, now time.Time) (changed bool) {
	was := n.blind
	switch {
	case n.good > 0:
		n.blind = false
	case !n.blind:
		n.blind = n.allFailedAtOnce(interval, now)
	}
	return n.blind != was
}

// allFailedAtOnce looks at what began to fail within one interval before now: at least two endpoints, on at least two
// addresses. What has been down for longer says nothing about this moment.
func (n *Node) allFailedAtOnce(interval time.Duration, now time.Time) bool {
	addrs := map[string]bool{}
	endpoints := map[[2]string]bool{}
	for k, s := range n.seen {
		if now.Sub(s.failing) > max(interval, s.every) {
			continue
		}
		endpoints[[2]string{k.profile, k.endpoint}] = true
		if s.addr != "" {
			addrs[s.addr] = true
		}
	}
	return len(endpoints) >= 2 && (len(addrs) >= 2 || len(addrs) == 0)
}
