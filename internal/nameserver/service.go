package nameserver

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
)

// The keys of service parameters used here [RFC 9460 14.3.2].
const (
	keyALPN     = 1
	keyIPv4Hint = 4
	keyIPv6Hint = 6
)

// maxHints are the addresses of one family in an HTTPS record at most: hints save a question, they are not the answer.
const maxHints = 8

// services are the HTTPS records [RFC 9460] a profile can answer. They follow the choice as addresses do:
//
//	addresses, chosen for certain    1 . alpn=... ipv4hint=... ipv6hint=...
//	addresses, chosen by dice        1 . alpn=...   since the question for A throws its own
//	a host name where no CNAME is    0 host.        if it lies outside our zones, so that we never send anybody in a circle
//	a host name inside our zones     1 . alpn=...
//	a host name elsewhere            the CNAME, for every type
//
// The target "." is the name itself, so this form leads nowhere else than the addresses at it.
type services struct {
	plain  *zone.RRset
	leaves []*zone.RRset // by number in the plan: with hints, or the alias
}

// servicesOf are those of a profile, nil when it has none.
func servicesOf(s *profile.Service, leaves []leaf) *services {
	if s == nil {
		return nil
	}
	out := &services{plain: serviceSet(s, nil), leaves: make([]*zone.RRset, len(leaves))}
	for i := range leaves {
		l := &leaves[i]
		if l.alias != nil {
			out.leaves[i] = &zone.RRset{Type: dns.TypeHTTPS, Data: [][]byte{append([]byte{0, 0}, l.alias.Data[0]...)}}
			continue
		}
		out.leaves[i] = serviceSet(s, l)
	}
	return out
}

// serviceSet is the record that points to its own name, with the addresses of a leaf as hints.
func serviceSet(s *profile.Service, l *leaf) *zone.RRset {
	data := []byte{0, 1, 0} // priority, target "."
	var alpn []byte
	for _, protocol := range s.ALPN {
		alpn = append(append(alpn, byte(len(protocol))), protocol...) //nolint:gosec // at most 64 bytes, checked with the file
	}
	data = param(data, keyALPN, alpn)
	if l != nil {
		data = hints(data, keyIPv4Hint, l.v4)
		data = hints(data, keyIPv6Hint, l.v6)
	}
	return &zone.RRset{Type: dns.TypeHTTPS, Data: [][]byte{data}}
}

func hints(data []byte, key uint16, set *zone.RRset) []byte {
	if set == nil {
		return data
	}
	var list []byte
	for _, addr := range set.Data[:min(len(set.Data), maxHints)] {
		list = append(list, addr...)
	}
	return param(data, key, list)
}

// param appends one parameter; keys must come in rising order.
func param(data []byte, key uint16, value []byte) []byte {
	data = binary.BigEndian.AppendUint16(data, key)
	data = binary.BigEndian.AppendUint16(data, uint16(len(value))) //nolint:gosec // at most 8 protocols of 64 bytes or 8 addresses
	return append(data, value...)
}

// service is the HTTPS record for a choice that answers, or nil where the choice is a CNAME. certain says that a
// question for addresses gets the same choice.
func (r *response) service(c *compiled, p *choice, n *zone.Node, certain bool) *zone.RRset {
	switch {
	case p.Leaf < 0: // a window over several: each question has its own
		return c.services.plain
	case c.leaves[p.Leaf].alias != nil && n.Alias:
		return nil
	case c.leaves[p.Leaf].alias != nil:
		if r.temp.Set(c.leaves[p.Leaf].alias.Data[0]) > 0 && r.conf.find(&r.temp, dns.TypeA) == nil {
			return c.services.leaves[p.Leaf]
		}
		return c.services.plain
	case !certain:
		return c.services.plain
	}
	return c.services.leaves[p.Leaf]
}
