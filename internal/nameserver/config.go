package nameserver

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/denial"
	"jurymast/internal/nameserver/flatten"
	"jurymast/internal/nameserver/sign"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// Zone is one zone ready to be served.
type Zone = zone.Zone

// ParseZone reads and checks one zone as the nameserver will serve it. The generation becomes the serial of an SOA
// that the text does not bring itself. Errors name the zone, the line of the records and what is wrong.
func ParseZone(z *profile.Zone, generation uint64) (*Zone, error) { return zone.Parse(z, generation) }

// config is what all questions of one set of documents share.
type config struct {
	zones    map[string]*zone.Zone // by apex in wire form, lower case
	index    *index
	mark     *mark
	routes   map[string]*route            // by name of a target that is answered with its addresses
	abroad   map[string][]string          // of those, what resolvers are asked for, with the host names it is answered for
	numbers  map[*zone.Zone]uint16        // of signed zones, from 1
	books    map[*zone.Zone]*sign.Book    // of signed zones
	outgoing map[*zone.Zone]*outgoing     // of zones that may be fetched
	numbered []*sign.Book                 // the same by number
	chains   map[*zone.Zone]*denial.Chain // of signed zones that deny with one
	flat     flatten.Set                  // abroad, being looked up
	fetched  *transferred                 // secondary zones; nil: nobody looks after them
	hidden   []string                     // host names that are not answered because of what a primary has sent
	warnings []string
}

// mark tells one configuration from all others, without keeping it in memory.
type mark struct{ _ byte }

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
	host, endpoint int // of the profile; endpoint may be atHost, atAllDown or atAnswer
	err            error
}

// What else than an endpoint can be the matter of a refusal.
const (
	atHost    = -1 // the host name itself
	atAllDown = -2 // the target of all_down
	atAnswer  = -3 // the form of the answer
)

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
func build(docs *snapshot.Documents) (*config, error) { return buildWith(docs, nil) }

// buildWith is build with the secondary zones as they are now.
func buildWith(docs *snapshot.Documents, fetched *transferred) (*config, error) {
	c := &config{mark: new(mark), zones: make(map[string]*zone.Zone, len(docs.Zones)), fetched: fetched}
	var refused refusals
	for i, doc := range docs.Zones {
		z, err := c.treeOf(doc, docs.Generation)
		if err == nil && c.zones[z.Key()] != nil {
			err = fmt.Errorf("zone %s is there twice; keep one", doc.Name)
		}
		if err != nil {
			refused = append(refused, refusal{zone: i, profile: -1, endpoint: atHost, err: err})
			continue
		}
		c.zones[z.Key()] = z
	}
	t := newTrees(docs.Profiles)
	var flat []flatHost
	for i, p := range docs.Profiles {
		spots := t.spots(p)
		for j, host := range p.Hostnames {
			flattened, endpoint, err := c.attach(i, p, host, spots)
			switch {
			case err != nil:
				err = fmt.Errorf("profile %s: host name %s: %w", p.Name, host, err)
				refused = append(refused, refusal{zone: -1, profile: i, host: j, endpoint: endpoint, err: err})
			case flattened:
				flat = append(flat, flatHost{profile: i, host: j, spots: spots})
			}
		}
	}
	c.enclose()
	if len(refused) == 0 {
		refused = c.route(docs, t, flat)
	}
	if len(refused) > 0 {
		return nil, refused
	}
	c.link(docs)
	c.number()
	c.index = newIndex(c)
	return c, nil
}

// enclose tells the names of zones, those of profiles among them, of the zones that begin below them.
func (c *config) enclose() {
	for _, z := range c.zones {
		var apex, above wire.Name
		if apex.Set(z.Apex.Name); apex.Labels() == 0 {
			continue
		}
		above.Set(apex.Wire(1))
		if parent := c.find(&above, dns.TypeA); parent != nil {
			parent.Enclose(&apex)
		}
	}
}

// number numbers the signed zones.
func (c *config) number() {
	c.numbers = map[*zone.Zone]uint16{}
	for _, z := range c.zones {
		if z.DNSSEC.Enabled {
			c.numbers[z] = uint16(min(len(c.numbers)+1, unnumbered))
		}
	}
}

// attach puts a host name into its zone. spots are all targets the profile leads to; flat says that their addresses are
// answered where they are host names. With an error, endpoint says what is the matter.
func (c *config) attach(number int, p *profile.Profile, host string, spots []spot) (flat bool, endpoint int, err error) {
	packed, err := zone.PackName(host)
	if err != nil {
		return false, atHost, err
	}
	h := &zone.Host{Profile: number, Service: p.HTTPS != nil}
	h.Name.Set(packed)
	z := c.find(&h.Name, dns.TypeA)
	switch {
	case z != nil:
	case p.DNS == profile.DNSRequired:
		return false, atHost, errors.New("it is in no zone, and the profile says dns: required; add the zone, or write dns: anywhere if its DNS is elsewhere")
	default:
		c.warnings = append(c.warnings, fmt.Sprintf(
			"profile %s: host name %s is in no zone, so DNS does not answer it here; add the zone unless its DNS is elsewhere", p.Name, host))
		return false, atHost, nil
	}
	var kinds kinds
	for i := range spots {
		s := &spots[i]
		if s.target.Host != "" && profile.CanonicalName(s.target.Host) == profile.CanonicalName(host) {
			return false, s.endpoint, fmt.Errorf("%s: its target is this very name, so the answer would point to itself", s.where)
		}
		if err := checkTarget(s.target); err != nil {
			return false, s.endpoint, fmt.Errorf("%s: %w", s.where, err)
		}
		kinds.add(s)
	}
	if z.Foreign {
		flat, err := c.attachForeign(z, p, h, &kinds, spots)
		return flat, atHost, err
	}
	if flat, endpoint, err = kinds.form(p, z.NoAlias(&h.Name)); err != nil {
		return false, endpoint, err
	}
	h.Flat, h.Alias, h.May = flat, kinds.host != nil && !flat, everTypes(spots, flat, h.Service)
	return flat, atHost, z.Attach(h)
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
	list := c.warnings
	for _, r := range c.lint(docs) {
		if !r.note {
			list = append(list, fmt.Sprintf("zone %s: %v", docs.Zones[r.zone].Name, r.fault))
		}
	}
	return list, nil
}

// remark is a warning about the text of a zone.
type remark struct {
	zone  int // index
	fault *zone.Fault
	note  bool // about what stands beside the text, and may be meant
}

// lint looks at the texts of all zones, with the host names of profiles in them.
func (c *config) lint(docs *snapshot.Documents) (list []remark) {
	for i, doc := range docs.Zones {
		apex, err := zone.PackName(doc.Name)
		if err != nil || doc.Secondary != nil {
			continue // it would not have been built, or its text is somebody else's
		}
		var name wire.Name
		name.Set(apex)
		z := c.zones[string(name.Key(0))]
		warnings, notes := z.Lint(func(n *wire.Name) bool { return c.find(n, dns.TypeA) == z })
		for _, f := range warnings {
			list = append(list, remark{zone: i, fault: f})
		}
		for _, f := range notes {
			list = append(list, remark{zone: i, fault: f, note: true})
		}
	}
	return list
}
