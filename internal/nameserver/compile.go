package nameserver

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

// Extended error codes used here [RFC 8914].
const (
	edeOther            = 0
	edeStaleAnswer      = 3
	edeNotReady         = 14
	edeProhibited       = 18
	edeNotAuthoritative = 20
	edeInvalidQueryType = 30
)

// Zone is one zone ready to be served.
type Zone = zone.Zone

// ParseZone reads and checks one zone as the nameserver will serve it. The generation becomes the serial of an SOA
// that the text does not bring itself. Errors name the zone, the line of the records and what is wrong.
func ParseZone(z *profile.Zone, generation uint64) (*Zone, error) { return zone.Parse(z, generation) }

// config is what all questions of one set of documents share.
type config struct {
	zones    map[string]*zone.Zone // by apex in wire form, lower case
	warnings []string
}

// find is the deepest zone that encloses the name, or nil. The DS set of an apex belongs to the zone above, if that
// is ours too [RFC 4035 3.1.4.1].
func (c *config) find(n *wire.Name, typ uint16) *zone.Zone {
	var own *zone.Zone
	for i := 0; i <= n.Labels(); i++ {
		z := c.zones[string(n.Key(i))]
		switch {
		case z != nil && i == 0 && typ == dns.TypeDS:
			own = z
		case z != nil:
			return z
		}
	}
	return own
}

// refusal is one reason why documents cannot be served. Either zone or profile says whose it is; the other is -1.
type refusal struct {
	zone, profile  int
	host, endpoint int // of the profile; endpoint is -1 when the host name itself is the matter
	err            error
}

// refusals are all of them, zones first.
type refusals []refusal

func (r refusals) Error() string {
	lines := make([]string, len(r))
	for i := range r {
		lines[i] = r[i].err.Error()
	}
	return strings.Join(lines, "\n")
}

// build checks the documents and makes the zone trees with the profiles' host names in them. The error is refusals.
func build(docs *snapshot.Documents) (*config, error) {
	c := &config{zones: make(map[string]*zone.Zone, len(docs.Zones))}
	var refused refusals
	for i, doc := range docs.Zones {
		z, err := zone.Parse(doc, docs.Generation)
		if err == nil && c.zones[z.Key()] != nil {
			err = fmt.Errorf("zone %s is there twice; keep one", doc.Name)
		}
		if err != nil {
			refused = append(refused, refusal{zone: i, profile: -1, endpoint: -1, err: err})
			continue
		}
		c.zones[z.Key()] = z
		c.warnings = append(c.warnings, z.Warnings...)
	}
	for i, p := range docs.Profiles {
		for j, host := range p.Hostnames {
			if endpoint, err := c.attach(i, p, host); err != nil {
				err = fmt.Errorf("profile %s: host name %s: %w", p.Name, host, err)
				refused = append(refused, refusal{zone: -1, profile: i, host: j, endpoint: endpoint, err: err})
			}
		}
	}
	if len(refused) > 0 {
		return nil, refused
	}
	return c, nil
}

// attach puts a host name into its zone. With an error, endpoint is the one that is the matter, or -1.
func (c *config) attach(number int, p *profile.Profile, host string) (endpoint int, err error) {
	packed, err := zone.PackName(host)
	if err != nil {
		return -1, err
	}
	h := &zone.Host{Profile: number}
	h.Name.Set(packed)
	z := c.find(&h.Name, dns.TypeA)
	if z == nil {
		c.warnings = append(c.warnings, fmt.Sprintf(
			"profile %s: host name %s is in no zone, so DNS does not answer it here; add the zone unless its DNS is elsewhere", p.Name, host))
		return -1, nil
	}
	for i := range p.Endpoints {
		t := &p.Endpoints[i].Target
		if t.Profile != "" {
			return i, fmt.Errorf("endpoint %s: target profile %s: nested profiles are not answered yet; give a host name or addresses",
				p.Endpoints[i].Name, t.Profile)
		}
		h.Alias = h.Alias || t.Host != ""
		if profile.CanonicalName(t.Host) == profile.CanonicalName(host) {
			return i, fmt.Errorf("endpoint %s: its target is this very name, so the answer would point to itself", p.Endpoints[i].Name)
		}
		if err := checkTarget(t); err != nil {
			return i, fmt.Errorf("endpoint %s: %w", p.Endpoints[i].Name, err)
		}
	}
	return -1, z.Attach(h)
}

func checkTarget(t *profile.Target) error {
	if t.Host != "" {
		_, err := zone.PackName(t.Host)
		return err
	}
	for _, a := range t.Addrs {
		if _, err := netip.ParseAddr(a); err != nil {
			return fmt.Errorf("target %q: not an IP address", a)
		}
	}
	return nil
}

// Warnings lists what works but was hardly meant in documents that build: host names outside every zone, name servers
// that are aliases. The error is the one that would keep the documents from being served.
func Warnings(docs *snapshot.Documents) ([]string, error) {
	c, err := build(docs)
	if err != nil {
		return nil, err
	}
	return c.warnings, nil
}

// compiled is what one profile answers until its next view: sets in wire form, at most one of them alias.
type compiled struct {
	profile  string
	endpoint string // "" when nobody answers
	ready    bool
	ttl      uint32
	alias    *zone.RRset
	v4, v6   *zone.RRset
	errors   []wire.EDE
	answers  counter
}

// compile turns a view into answers. It cannot fail: targets were checked with the documents.
func compile(v *health.View, m *metrics) *compiled {
	a := steer.Decide(v, steer.Client{}, nil, nil)
	c := &compiled{profile: v.Profile.Name, ready: a.Serving != steer.ServingNotReady, ttl: seconds(a.TTL)}
	if len(a.Order) > 0 && a.Order[0] < len(v.Endpoints) {
		e := v.Endpoints[a.Order[0]].Config
		c.endpoint = e.Name
		c.sets(&e.Target)
	}
	c.errors = extendedErrors(v, &a)
	if c.endpoint != "" {
		c.answers = m.answer(c.profile, c.endpoint)
	}
	return c
}

func (c *compiled) sets(t *profile.Target) {
	if t.Host != "" {
		if name, err := zone.PackName(t.Host); err == nil {
			c.alias = &zone.RRset{Type: dns.TypeCNAME, TTL: c.ttl, Data: [][]byte{name}}
		}
		return
	}
	for _, text := range t.Addrs {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		typ, set := dns.TypeAAAA, &c.v6
		if addr = addr.Unmap(); addr.Is4() {
			typ, set = dns.TypeA, &c.v4
		}
		if *set == nil {
			*set = &zone.RRset{Type: typ, TTL: c.ttl}
		}
		(*set).Data = append((*set).Data, addr.AsSlice())
	}
}

// set is what a question of that type gets, or nil for NODATA.
func (c *compiled) set(typ uint16) *zone.RRset {
	switch {
	case c.alias != nil:
		return c.alias
	case typ == dns.TypeA:
		return c.v4
	case typ == dns.TypeAAAA:
		return c.v6
	case typ == dns.TypeANY && c.v4 != nil:
		return c.v4
	case typ == dns.TypeANY:
		return c.v6
	}
	return nil
}

// extendedErrors go to everybody who asks, so they name no endpoint and no node.
func extendedErrors(v *health.View, a *steer.Answer) (list []wire.EDE) {
	switch a.Serving {
	case steer.ServingNotReady:
		return []wire.EDE{{Code: edeNotReady, Text: "first health checks are not done yet"}}
	case steer.ServingAllDown:
		list = append(list, wire.EDE{Code: edeOther, Text: "all endpoints are down, this one may be too"})
	case steer.ServingNone:
		text := "no endpoint may be answered"
		if v.Disabled {
			text = "profile is disabled"
		}
		list = append(list, wire.EDE{Code: edeOther, Text: text})
	case steer.ServingPreferred, steer.ServingFallback:
	}
	if a.Stale {
		list = append(list, wire.EDE{Code: edeStaleAnswer, Text: "last known state, not confirmed"})
	}
	return list
}

func seconds(d time.Duration) uint32 {
	return uint32(min(max(d/time.Second, 0), math.MaxInt32))
}
