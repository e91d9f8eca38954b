package trace

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

const maxAliases = 16

// step is what an answer says of one name on its way: an alias, the records asked for, or that there are none.
type step struct {
	owner  string
	typ    string   // CNAME, the type asked for, or "" for a denial
	values []string // sorted; of a denial the response code
	ttl    uint32   // smallest, in seconds
}

// sign is the same text for steps that say the same, whatever their TTL.
func (s *step) sign() string { return s.typ + " " + strings.Join(s.values, "\n") }

// text is a step for people.
func (s *step) text() string {
	if s.typ == "" {
		return strings.TrimSuffix(s.owner, ".") + ": " + s.values[0]
	}
	return s.typ + " " + strings.Join(s.values, ", ")
}

func (s *step) records() []Record {
	out := make([]Record, 0, len(s.values))
	if s.typ == "" {
		return nil
	}
	for _, v := range s.values {
		out = append(out, Record{Name: s.owner, Type: s.typ, TTL: s.ttl, Value: v})
	}
	return out
}

// pathOf reads from an answer the way from the asked name to its records. A way that ends in a referral or in nothing
// ends with its last alias, and open tells so. Everything else in the answer is ignored.
func pathOf(m *dns.Msg, name string, typ uint16) (path []step, open bool) {
	owner := dns.CanonicalName(name)
	for range maxAliases {
		s, next := at(m, owner, typ)
		if s.typ == "" {
			break
		}
		path = append(path, s)
		if next == "" {
			return path, false
		}
		if slices.ContainsFunc(path, func(p step) bool { return p.owner == next }) {
			return path, false // a loop of aliases
		}
		owner = next
	}
	denial := "no such records"
	switch m.Rcode {
	case dns.RcodeSuccess:
	case dns.RcodeNameError:
		denial = "no such name"
	default:
		return path, true
	}
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(dns.CanonicalName(soa.Hdr.Name), owner) {
			return append(path, step{owner: owner, values: []string{denial}, ttl: min(ttlOf(soa.Hdr.Ttl), ttlOf(soa.Minttl))}), false
		}
	}
	if m.Rcode == dns.RcodeNameError {
		return append(path, step{owner: owner, values: []string{denial}}), false
	}
	return path, true
}

// ttlOf is a TTL in seconds as it counts: 0 above 2^31-1 [RFC 2181 8].
func ttlOf(seconds uint32) uint32 {
	if seconds > 1<<31-1 {
		return 0
	}
	return seconds
}

// at is what the answer section says of one owner, and the name an alias leads to.
func at(m *dns.Msg, owner string, typ uint16) (s step, next string) {
	s.owner = owner
	add := func(rr dns.RR, value string) {
		ttl := ttlOf(rr.Header().Ttl)
		if len(s.values) == 0 || ttl < s.ttl {
			s.ttl = ttl
		}
		s.values = append(s.values, value)
	}
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Class != dns.ClassINET || dns.CanonicalName(h.Name) != owner {
			continue
		}
		if h.Rrtype == typ {
			s.typ = dns.Type(typ).String()
			add(rr, valueOf(rr))
		}
	}
	if s.typ == "" {
		for _, rr := range m.Answer {
			if c, ok := rr.(*dns.CNAME); ok && c.Hdr.Class == dns.ClassINET && dns.CanonicalName(c.Hdr.Name) == owner {
				s.typ, next = "CNAME", dns.CanonicalName(c.Target)
				add(rr, next)
				break
			}
		}
	}
	slices.Sort(s.values)
	s.values = slices.Compact(s.values)
	return s, next
}

// valueOf is the data of a record in presentation form; names in it in lower case, so that spellings compare equal.
func valueOf(rr dns.RR) string {
	text := strings.TrimPrefix(rr.String(), rr.Header().String())
	switch rr.(type) {
	case *dns.CNAME, *dns.NS, *dns.PTR, *dns.MX, *dns.SRV, *dns.DNAME:
		text = strings.ToLower(text)
	}
	return strings.ReplaceAll(text, "\t", " ")
}

func recordsOf(path []step) (out []Record) {
	for i := range path {
		out = append(out, path[i].records()...)
	}
	return out
}

// smallest TTL of a path, in seconds.
func smallest(path []step) (ttl uint32) {
	for i := range path {
		if i == 0 || path[i].ttl < ttl {
			ttl = path[i].ttl
		}
	}
	return ttl
}

// signature of a whole path.
func signature(path []step) string {
	var b strings.Builder
	for i := range path {
		b.WriteString(path[i].owner + " " + path[i].sign() + "\x00")
	}
	return b.String()
}
