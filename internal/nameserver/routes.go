package nameserver

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/flatten"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// route is where a target's name leads when its addresses are answered in its stead: to a name outside our zones,
// which resolvers are asked for, or to a node of ours, which is answered from inside. Aliases on the way are followed
// when the documents are built.
type route struct {
	abroad string          // the name outside; "" inside
	target *flatten.Target // of abroad; nil when nobody looks it up
	zone   *zone.Zone
	node   *zone.Node // inside; nil: there is no such name
	ttl    uint32     // smallest of the aliases on the way

	foreign bool // the way leads through records that somebody else has made
}

// kinds are the first target of each kind that a profile leads to.
type kinds struct {
	host, addrs                 *spot // of any
	endpointHost, endpointAddrs *spot // of an endpoint, not of last resort
}

func (k *kinds) add(s *spot) {
	first := func(p **spot) {
		if *p == nil {
			*p = s
		}
	}
	switch host := s.target.Host != ""; {
	case host && !s.last:
		first(&k.host)
		first(&k.endpointHost)
	case host:
		first(&k.host)
	case !s.last:
		first(&k.addrs)
		first(&k.endpointAddrs)
	default:
		first(&k.addrs)
	}
}

// form says whether addresses are answered where the target is a host name: if the profile says so, if a CNAME cannot
// stand at the name (noAlias says why), or if some targets are addresses: a name that is sometimes a CNAME and
// sometimes has addresses poisons caches.
func (k *kinds) form(p *profile.Profile, noAlias error) (flat bool, endpoint int, err error) {
	switch {
	case k.host == nil:
		return false, atHost, nil
	case p.Answer == profile.AnswerFlatten:
		return true, atHost, nil
	case p.Answer != profile.AnswerCNAME:
		return noAlias != nil || k.addrs != nil, atHost, nil
	case noAlias != nil:
		return false, atAnswer, noAlias
	case k.endpointHost != nil && k.endpointAddrs != nil:
		return false, k.endpointHost.endpoint, fmt.Errorf("%s answers the host name %s and %s answers addresses; with answer: cname one profile "+
			"answers the one or the other: leave answer out, then the addresses of that host are answered, or give host names only",
			k.endpointHost.where, k.endpointHost.target.Host, k.endpointAddrs.where)
	}
	return false, atHost, nil
}

// flatHost is a host name that is answered with addresses of its targets.
type flatHost struct {
	profile, host int
	spots         []spot
}

// route finds where the targets of all flattened host names lead.
func (c *config) route(docs *snapshot.Documents, t *trees, flat []flatHost) (refused refusals) {
	c.routes, c.abroad = map[string]*route{}, map[string][]string{}
	for i := range flat {
		f := &flat[i]
		p := docs.Profiles[f.profile]
		w := walker{c: c, docs: docs, trees: t, owner: profile.CanonicalName(p.Hostnames[f.host]), seen: map[string]bool{}}
		for j := range f.spots {
			s := &f.spots[j]
			if s.target.Host == "" {
				continue
			}
			rt, err := w.walk(s.target.Host)
			if err != nil && w.foreign { // it is SERVFAIL then: documents are not refused for what a primary has sent
				c.warnings = append(c.warnings, fmt.Sprintf("profile %s: host name %s: %s: target %s %v", p.Name, p.Hostnames[f.host], s.where, s.target.Host, err))
				continue
			}
			if err != nil {
				err = fmt.Errorf("profile %s: host name %s: %s: target %s %w", p.Name, p.Hostnames[f.host], s.where, s.target.Host, err)
				refused = append(refused, refusal{zone: -1, profile: f.profile, host: f.host, endpoint: s.endpoint, err: err})
				break
			}
			if rt.abroad == "" && rt.node == nil && !rt.zone.Unloaded {
				c.warnings = append(c.warnings, fmt.Sprintf("host name %s of profile %s: %s: target %s leads to nothing in zone %s, so no address is answered while it is chosen",
					p.Hostnames[f.host], p.Name, s.where, s.target.Host, rt.zone.Name))
			}
		}
	}
	for name, owners := range c.abroad {
		slices.Sort(owners)
		c.abroad[name] = slices.Compact(owners)
	}
	return refused
}

// bind has the names outside our zones looked up.
func (c *config) bind(b *flatten.Book) {
	c.flat = b.Prepare(maps.Clone(c.abroad))
	for _, rt := range c.routes {
		rt.target = c.flat[rt.abroad]
	}
}

// walker follows the targets of one host name, through profiles of ours too.
type walker struct {
	c     *config
	docs  *snapshot.Documents
	trees *trees
	owner string
	seen  map[string]bool // false: on the way down

	foreign bool // some way has led through records that somebody else has made
}

var (
	errCircle  = errors.New("leads back to itself through names of ours, so nothing could ever be answered; name another target")
	errAliases = fmt.Errorf("is an alias of more than %d others, or of itself; name the host at the end", maxChain)
)

func (w *walker) walk(host string) (*route, error) {
	host = profile.CanonicalName(host)
	rt := w.c.routes[host]
	if done, seen := w.seen[host]; seen && !done {
		return nil, errCircle
	} else if seen {
		return rt, nil
	}
	if rt == nil {
		var err error
		if rt, err = w.c.trace(host); err != nil {
			w.foreign = w.foreign || rt.foreign
			return nil, err
		}
		w.c.routes[host] = rt
	}
	w.foreign = w.foreign || rt.foreign
	w.seen[host] = false
	defer func() { w.seen[host] = true }()
	if rt.abroad != "" {
		w.c.abroad[rt.abroad] = append(w.c.abroad[rt.abroad], w.owner)
	}
	if rt.node == nil || rt.node.Profile == zone.NoProfile {
		return rt, nil
	}
	spots := w.trees.spots(w.docs.Profiles[rt.node.Profile])
	for i := range spots {
		if spots[i].target.Host == "" {
			continue
		}
		if _, err := w.walk(spots[i].target.Host); err != nil {
			return nil, err
		}
	}
	return rt, nil
}

// trace follows a name through our zones to where it leaves them, or ends.
func (c *config) trace(host string) (*route, error) {
	rt := &route{ttl: math.MaxUint32}
	packed, err := zone.PackName(host)
	if err != nil {
		return rt, err
	}
	for range maxChain {
		var n wire.Name
		n.Set(packed)
		z := c.find(&n, dns.TypeA)
		if z == nil {
			rt.abroad = profile.CanonicalName(zone.Text(packed))
			return rt, nil
		}
		m := z.Find(&n)
		rt.zone, rt.foreign = z, rt.foreign || z.Foreign
		var set *zone.RRset
		switch m.Kind {
		case zone.Missing:
			return rt, nil
		case zone.Cut:
			rt.abroad = profile.CanonicalName(zone.Text(packed))
			return rt, nil
		case zone.Redirect:
			set = m.Node.Set(dns.TypeDNAME)
			packed = append(slices.Clone(packed[:len(packed)-len(n.Wire(m.Label))]), set.Data[0]...)
			if len(packed) > wire.MaxName {
				return rt, errors.New("becomes too long a name behind the DNAME of " + zone.Text(m.Node.Name))
			}
		case zone.Exact, zone.Wildcard:
			if set = m.Node.Set(dns.TypeCNAME); set == nil || m.Node.Profile != zone.NoProfile {
				rt.node = m.Node
				return rt, nil
			}
			packed = set.Data[0]
		}
		rt.ttl = min(rt.ttl, set.TTL)
	}
	return rt, errAliases
}
