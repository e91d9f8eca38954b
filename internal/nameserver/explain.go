package nameserver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/zone"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

// Explanation says what one question would be answered from one snapshot, and why.
type Explanation struct {
	Name      string       `json:"name"` // as asked, with a trailing dot
	Type      string       `json:"type"`
	Zone      string       `json:"zone,omitempty"`    // that encloses the name; "" when none does
	Match     string       `json:"match,omitempty"`   // exact, wildcard, delegation, dname or missing
	Profile   string       `json:"profile,omitempty"` // the first one that answered
	Endpoint  string       `json:"endpoint,omitempty"`
	Rcode     string       `json:"rcode"`
	AA        bool         `json:"aa"` // answered with authority
	Answer    []string     `json:"answer,omitempty"`
	Authority []string     `json:"authority,omitempty"`
	Glue      []string     `json:"additional,omitempty"`
	TTL       uint32       `json:"ttl"`              // seconds a resolver may keep this: the smallest of the answer, or of the SOA
	Errors    []string     `json:"errors,omitempty"` // extended errors [RFC 8914]
	Trail     []steer.Step `json:"trail,omitempty"`
}

// Explain answers one question with the code that answers the network, over TCP's sizes, and counts nothing. qtype is
// a type's name or TYPEnnn; client is who would ask. An error means that the question cannot be asked.
func (s *Server) Explain(snap *snapshot.Snapshot, name, qtype string, client netip.Addr) (Explanation, error) {
	msg, err := question(name, qtype)
	if err != nil {
		return Explanation{}, err
	}
	pkt, err := msg.Pack()
	if err != nil {
		return Explanation{}, fmt.Errorf("question %s %s: %w", name, qtype, err)
	}
	a := &responder{slot: s.slot, m: newMetrics(), silent: true, load: func() *snapshot.Snapshot { return snap }}
	reply := new(dns.Msg)
	if err := reply.Unpack(a.respond(pkt, nil, true)); err != nil {
		return Explanation{}, fmt.Errorf("question %s %s: our own answer cannot be read: %w", name, qtype, err)
	}
	e := Explanation{
		Name: msg.Question[0].Name, Type: dns.Type(msg.Question[0].Qtype).String(), AA: reply.Authoritative,
		Rcode: rcodeText(reply), Answer: texts(reply.Answer), Authority: texts(reply.Ns), Glue: texts(reply.Extra),
		TTL: smallest(reply), Errors: extended(reply),
	}
	if a.r.zone != nil {
		e.Zone, e.Match = a.r.zone.Name, a.r.kind.String()
	}
	if a.r.number == zone.NoProfile {
		return e, nil
	}
	e.Profile = snap.Documents().Profiles[a.r.number].Name
	if a.r.profile != nil {
		e.Endpoint = a.r.profile.endpoint
	}
	if v := snap.View(e.Profile); v != nil {
		var trail steer.Trail
		steer.Decide(v, steer.Client{Addr: client}, nil, &trail)
		e.Trail = trail.Steps
	}
	return e, nil
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
			out = append(out, strings.ReplaceAll(rr.String(), "\t", " "))
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
