package nameserver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

// Explanation says what one question would be answered from one snapshot, and why. Profile to Stale are about the
// first profile that was asked; what an alias into our own zones leads on to is only in the answer.
type Explanation struct {
	Name      string        `json:"name"` // as asked, with a trailing dot
	Type      string        `json:"type"`
	Zone      string        `json:"zone,omitempty"`     // that encloses the name; "" when none does
	Match     string        `json:"match,omitempty"`    // exact, wildcard, delegation, dname or missing
	Owner     string        `json:"owner,omitempty"`    // the name in the zone that matched: the wildcard, the delegation, the DNAME
	Profile   string        `json:"profile,omitempty"`  // the first one that answered
	Path      []string      `json:"path,omitempty"`     // names of the profiles from Profile to the endpoint's own
	Endpoint  string        `json:"endpoint,omitempty"` // of the last profile of Path; several of a multivalue answer, by comma
	Reason    steer.Rule    `json:"reason,omitempty"`   // of the choice
	Serving   steer.Serving `json:"serving,omitempty"`
	Stale     bool          `json:"stale,omitempty"`
	Subnet    string        `json:"subnet,omitempty"` // client subnet of the answer: address/source length/scope
	Rcode     string        `json:"rcode"`
	AA        bool          `json:"aa"` // answered with authority
	Answer    []string      `json:"answer,omitempty"`
	Authority []string      `json:"authority,omitempty"`
	Glue      []string      `json:"additional,omitempty"`
	TTL       uint32        `json:"ttl"`              // seconds a resolver may keep this: the smallest of the answer, or of the SOA
	Errors    []string      `json:"errors,omitempty"` // extended errors [RFC 8914]
	Trail     []steer.Step  `json:"trail,omitempty"`  // of the very choice that was answered
	Flattened []Flattened   `json:"flattened,omitempty"`
}

// Explain answers one question with the code that answers the network, over TCP's sizes, and counts nothing. qtype is
// a type's name or TYPEnnn; client is who would ask. An error means that the question cannot be asked.
func (s *Server) Explain(snap *snapshot.Snapshot, name, qtype string, client netip.Addr) (Explanation, error) {
	return s.ExplainSubnet(snap, name, qtype, client, netip.Prefix{})
}

// ExplainSubnet is Explain for a client, mostly a resolver, that asks on behalf of others and tells their subnet
// [RFC 7871]. An invalid subnet is none; one of no bits asks not to be located.
func (s *Server) ExplainSubnet(snap *snapshot.Snapshot, name, qtype string, client netip.Addr, subnet netip.Prefix) (Explanation, error) {
	msg, err := question(name, qtype)
	if err != nil {
		return Explanation{}, err
	}
	if subnet.IsValid() {
		msg.IsEdns0().Option = []dns.EDNS0{ecs(subnet)}
	}
	pkt, err := msg.Pack()
	if err != nil {
		return Explanation{}, fmt.Errorf("question %s %s: %w", name, qtype, err)
	}
	var trail steer.Trail
	a := s.responder(new(counts)) // that nobody looks at
	a.silent, a.eyes, a.r.trail = true, nil, &trail
	a.snap = snap
	reply := new(dns.Msg)
	if err := reply.Unpack(a.respond(pkt, nil, true, client)); err != nil {
		return Explanation{}, fmt.Errorf("question %s %s: our own answer cannot be read: %w", name, qtype, err)
	}
	e := Explanation{
		Name: msg.Question[0].Name, Type: dns.Type(msg.Question[0].Qtype).String(), AA: reply.Authoritative,
		Rcode: rcodeText(reply), Answer: texts(reply.Answer), Authority: texts(reply.Ns), Glue: texts(reply.Extra),
		TTL: smallest(reply), Errors: extended(reply), Subnet: subnetText(reply),
	}
	e.found(a)
	if a.r.number == zone.NoProfile {
		return e, nil
	}
	e.Profile, e.Trail = snap.Documents().Profiles[a.r.number].Name, trail.Steps
	if c, p := a.r.profile, &a.r.pick; c != nil {
		e.Reason, e.Serving, e.Stale = p.Rule, p.Serving, p.Stale
		e.Path, e.Endpoint = c.where(p, a.r.given)
	}
	e.flattened(&a.r)
	return e, nil
}

// found tells the zone and what of it matched. A question that is refused before it is looked up has no match.
func (e *Explanation) found(a *responder) {
	z := a.r.zone
	if z == nil && a.r.conf != nil {
		if z = a.r.conf.find(&a.q.Name, a.q.Type); z != nil {
			e.Zone = z.Name
		}
		return
	}
	if z == nil {
		return
	}
	e.Zone, e.Match = z.Name, a.r.kind.String()
	if n := z.Find(&a.q.Name).Node; n != nil {
		e.Owner = zone.Text(n.Name)
	}
}

// where names the profiles a choice led through, and the endpoints it ended at.
func (c *compiled) where(p *steer.Pick, answered []given) (path []string, endpoint string) {
	var owner int // number of a leaf of the profile at the end
	switch {
	case p.Leaf >= 0:
		owner, endpoint = p.Leaf, c.leaves[p.Leaf].endpoint
	case p.Set >= 0:
		owner = c.plan.Sets()[p.Set].Leaves[0]
		var list []string
		for i := range answered {
			if g := &answered[i]; g.leaf.profile == c.leaves[owner].profile && g.rule == p.Rule && !slices.Contains(list, g.leaf.endpoint) {
				list = append(list, g.leaf.endpoint)
			}
		}
		endpoint = strings.Join(list, ", ")
	default:
		return nil, ""
	}
	return pathTo(c.view, c.plan.Leaves()[owner].View), endpoint
}

// pathTo is the names of the profiles from one view down to another, nil when it does not lead there.
func pathTo(from, to *health.View) []string {
	if from == to {
		return []string{from.Profile.Name}
	}
	for i := range from.Endpoints {
		if child := from.Endpoints[i].Child; child != nil {
			if rest := pathTo(child, to); rest != nil {
				return append([]string{from.Profile.Name}, rest...)
			}
		}
	}
	return nil
}

func ecs(p netip.Prefix) *dns.EDNS0_SUBNET {
	p = p.Masked()
	o := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 2, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice()} //nolint:gosec // 0 to 128
	if p.Addr().Is4() {
		o.Family = 1
	}
	return o
}

func subnetText(m *dns.Msg) string {
	opt := m.IsEdns0()
	if opt == nil {
		return ""
	}
	for _, o := range opt.Option {
		if e, ok := o.(*dns.EDNS0_SUBNET); ok {
			return fmt.Sprintf("%s/%d/%d", e.Address, e.SourceNetmask, e.SourceScope)
		}
	}
	return ""
}

func question(name, qtype string) (*dns.Msg, error) {
	typ, ok := dns.StringToType[strings.ToUpper(qtype)]
	if !ok {
		var n uint16
		if _, err := fmt.Sscanf(strings.ToUpper(qtype), "TYPE%d", &n); err != nil {
			return nil, fmt.Errorf("type %q: not a record type; write a name such as A or CNAME, or TYPEnnn", qtype)
		}
		typ = n
	}
	if _, err := zone.PackName(name); err != nil {
		return nil, err
	}
	msg := new(dns.Msg).SetQuestion(dns.Fqdn(name), typ)
	msg.RecursionDesired = false
	msg.SetEdns0(udpSize, false)
	return msg, nil
}

func rcodeText(m *dns.Msg) string {
	code := m.Rcode
	if opt := m.IsEdns0(); opt != nil && opt.ExtendedRcode() > 15 {
		code = opt.ExtendedRcode()
	}
	return dns.RcodeToString[code]
}

// texts are records in zone-file form, OPT left out.
func texts(list []dns.RR) (out []string) {
	for _, rr := range list {
		if rr.Header().Rrtype != dns.TypeOPT {
			text := strings.ReplaceAll(rr.String(), "\t", " ")
			if _, unknown := rr.(*dns.RFC3597); unknown { // its class is written as that of a type is
				text = strings.Replace(text, " CLASS1 ", " IN ", 1)
			}
			out = append(out, text)
		}
	}
	return out
}

// smallest is the TTL a resolver goes by: of the answer, and of the SOA that says what is not there.
func smallest(m *dns.Msg) (ttl uint32) {
	list := slices.Clone(m.Answer)
	for _, rr := range m.Ns {
		if m.Authoritative || len(m.Answer) == 0 {
			list = append(list, rr)
		}
	}
	for i, rr := range list {
		if t := rr.Header().Ttl; i == 0 || t < ttl {
			ttl = t
		}
	}
	return ttl
}

func extended(m *dns.Msg) (out []string) {
	opt := m.IsEdns0()
	if opt == nil {
		return nil
	}
	for _, o := range opt.Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok {
			out = append(out, strings.TrimSuffix(fmt.Sprintf("%d %s: %s", e.InfoCode, dns.ExtendedErrorCodeToString[e.InfoCode], e.ExtraText), ": "))
		}
	}
	return out
}
