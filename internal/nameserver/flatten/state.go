package flatten

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/zone"
)

// Limits of looks.
const (
	minRefresh  = 5 * time.Second  // between two good looks, however short the TTL
	maxRefresh  = time.Hour        // and at most
	maxNegative = 5 * time.Minute  // after "none": a family that is new is found
	minRetry    = time.Second      // after the first failure [RFC 9520 3.2], doubling
	maxRetry    = 30 * time.Second // [RFC 8767 5]
	spread      = time.Second      // looks are put off by a random part of this
	grace       = 15 * time.Second // a look under way may take, before what it renews is forgotten
	maxAddrs    = 64               // of one family that are kept
)

// state is what one target's looks have brought. It has no clock: now and dice are arguments.
type state struct {
	v4, v6   memory
	tried    bool
	failures int
	doubts   int // looks in a row that ended with a denial nobody believes yet
	network  bool
	trouble  string
	resolver netip.AddrPort // that gave what is known
	doubted  netip.AddrPort // that denied
	learned  time.Time
}

type memory struct {
	Family
	denials int       // in a row, not believed yet
	sure    time.Time // until then it holds without anybody being asked again: the end of its TTL, or the look after it
}

// learn takes one look's replies and says when to look again.
func (s *state) learn(v4, v6 *Reply, maxStale time.Duration, now time.Time, dice uint64) (next time.Time) {
	s.tried, s.trouble, s.network = true, "", false
	s.doubted = netip.AddrPort{}
	lost := v4.outcome != found && v6.outcome != found
	wait, bad := time.Duration(1<<62), false
	for _, one := range []struct {
		m   *memory
		r   *Reply
		typ uint16
	}{{&s.v4, v4, dns.TypeA}, {&s.v6, v6, dns.TypeAAAA}} {
		w, ok := s.family(one.m, one.r, one.typ, lost, now)
		wait, bad = min(wait, w), bad || !ok
	}
	switch {
	case !bad:
		s.failures, s.doubts = 0, 0
	case s.doubted.IsValid() && s.doubts < 1:
		s.doubts++
		wait = minRetry
	default:
		s.failures++
		wait = min(wait, retry(s.failures))
	}
	next = now.Add(wait).Add(time.Duration(dice % uint64(spread)))
	for _, m := range []*memory{&s.v4, &s.v6} {
		if m.Known != Unknown && !m.Failing {
			m.sure = later(m.Until, next)
			m.Dead = m.sure.Add(max(maxStale, grace))
		}
	}
	s.v4.bound(&s.v6, maxStale)
	s.v6.bound(&s.v4, maxStale)
	return next
}

// bound says how long it may be told that there are no addresses of a family: as long as the other family's addresses
// are told, since they are what clients use, and not longer than a stale set. Without such addresses NODATA would be a
// lasting failure that nobody confirms, and SERVFAIL sends resolvers on to who may know better.
func (m *memory) bound(other *memory, maxStale time.Duration) {
	if m.Known != None {
		return
	}
	m.Dead = m.sure.Add(grace)
	if other.Known != Addresses {
		return
	}
	stale := m.sure.Add(max(maxStale, grace))
	if other.Dead.Before(stale) {
		stale = other.Dead
	}
	m.Dead = later(m.Dead, stale)
}

// family takes the reply for one family. ok is false when it brought nothing that is believed.
func (s *state) family(m *memory, r *Reply, typ uint16, lost bool, now time.Time) (wait time.Duration, ok bool) {
	switch r.outcome {
	case found:
		m.denials = 0
		ttl := min(r.ttl, maxRefresh)
		m.Family = Family{Known: Addresses, Set: setOf(typ, r.addrs), Until: now.Add(ttl)}
		s.learned, s.resolver = now, r.resolver
		return max(ttl, minRefresh), true
	case denied:
		takes := m.Known == Addresses || (m.Known == Unknown && lost)
		if m.denials++; takes && m.denials < 2 {
			m.Failing = true
			s.doubted = r.resolver
			s.trouble = "the resolver " + r.resolver.String() + " says that there is no " + dns.Type(typ).String() + " record; it is asked for once more before that is believed"
			return minRetry, false
		}
		ttl := min(r.ttl, maxNegative)
		m.Family = Family{Known: None, Until: now.Add(ttl)}
		s.learned, s.resolver = now, r.resolver
		return max(ttl, minRefresh), true
	case failed:
	}
	m.denials = 0
	m.Failing = true
	s.network = s.network || r.silent
	if r.err != nil {
		s.trouble = r.err.Error()
	}
	return maxRetry, false
}

func retry(failures int) time.Duration {
	return min(minRetry<<min(failures-1, 10), maxRetry)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// setOf is a set in wire form, sorted: nodes that learn the same addresses answer the same.
func setOf(typ uint16, addrs []netip.Addr) *zone.RRset {
	list := slices.Clone(addrs)
	slices.SortFunc(list, netip.Addr.Compare)
	list = slices.Compact(list)
	set := &zone.RRset{Type: typ}
	for _, a := range list[:min(len(list), maxAddrs)] {
		set.Data = append(set.Data, a.AsSlice())
	}
	return set
}

// answer is the state in the form questions read.
func (s *state) answer(next time.Time) *Answer {
	return &Answer{
		V4: s.v4.Family, V6: s.v6.Family, Tried: s.tried, Network: s.network, Failures: s.failures, Trouble: s.trouble,
		Resolver: s.resolver, Learned: s.learned, Next: next,
	}
}

// leadsBack reports that a target is an alias of a name that is answered with the target: the addresses would be our
// own answer, kept alive for ever.
func leadsBack(via, owners []string) (string, bool) {
	for _, name := range via {
		for _, owner := range owners {
			if name == owner || strings.HasPrefix(owner, "*.") && strings.HasSuffix(name, owner[1:]) {
				return owner, true
			}
		}
	}
	return "", false
}
