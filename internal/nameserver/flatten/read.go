package flatten

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	maxAliases  = 16
	noSOA       = 30 * time.Second // negative TTL of a denial without one
	dayOfAnswer = 24 * time.Hour   // longest TTL that is believed, in effect an hour
)

// read takes from an answer what belongs to the question: the chain of aliases from the asked name on, and the records
// at its end. Everything else in it is ignored.
func read(m *dns.Msg, name string, typ uint16) Reply {
	switch m.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
	default:
		return Reply{err: fmt.Errorf("it answers %s", rcode(m.Rcode))}
	}
	r := Reply{ttl: dayOfAnswer}
	owner := canonical(name)
	for {
		addrs, ttl := addressesOf(m, owner, typ)
		if len(addrs) > 0 {
			r.addrs, r.ttl = addrs, min(r.ttl, ttl)
			return believed(m, r)
		}
		next, ttl := alias(m, owner)
		if next == "" {
			break
		}
		if slices.Contains(r.via, next) || next == canonical(name) || len(r.via) == maxAliases {
			return Reply{err: errors.New("its answer is a chain of aliases without an end")}
		}
		r.via, r.ttl, owner = append(r.via, next), min(r.ttl, ttl), next
	}
	return denial(m, r)
}

// believed keeps the addresses a client could use. Filters answer 0.0.0.0 for names they do not like; passing that on
// would be worse than knowing nothing.
func believed(m *dns.Msg, r Reply) Reply {
	if m.Rcode != dns.RcodeSuccess {
		return Reply{err: errors.New("it answers NXDOMAIN, and addresses")}
	}
	r.addrs = slices.DeleteFunc(r.addrs, func(a netip.Addr) bool {
		return a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
	})
	if len(r.addrs) == 0 {
		return Reply{err: errors.New("it answers addresses nobody can use, such as 0.0.0.0")}
	}
	r.outcome = found
	return r
}

// denial reads that there is no such record. A server that neither resolves nor is responsible cannot know; its
// empty answer is a referral.
func denial(m *dns.Msg, r Reply) Reply {
	var soa *dns.SOA
	referral := false
	for _, rr := range m.Ns {
		switch rr := rr.(type) {
		case *dns.SOA:
			soa = rr
		case *dns.NS:
			referral = true
		}
	}
	lame := !m.RecursionAvailable && (!m.Authoritative || (len(r.via) > 0 && soa == nil))
	if lame || (referral && soa == nil && m.Rcode == dns.RcodeSuccess) {
		return Reply{err: errors.New("it answers nothing, and it does not resolve for us")}
	}
	r.outcome = denied
	ttl := noSOA
	if soa != nil {
		ttl = seconds(min(soa.Hdr.Ttl, soa.Minttl))
	}
	r.ttl = min(r.ttl, ttl)
	return r
}

// addressesOf are the addresses of an owner, and the smallest TTL of them.
func addressesOf(m *dns.Msg, owner string, typ uint16) (addrs []netip.Addr, ttl time.Duration) {
	ttl = dayOfAnswer
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Class != dns.ClassINET || h.Rrtype != typ || canonical(h.Name) != owner {
			continue
		}
		var addr netip.Addr
		ok := false
		switch rr := rr.(type) {
		case *dns.A:
			addr, ok = netip.AddrFromSlice(rr.A.To4())
		case *dns.AAAA:
			addr, ok = netip.AddrFromSlice(rr.AAAA.To16())
		}
		if ok {
			addrs, ttl = append(addrs, addr), min(ttl, seconds(h.Ttl))
		}
	}
	return addrs, ttl
}

// alias is what an owner is an alias of, or "".
func alias(m *dns.Msg, owner string) (target string, ttl time.Duration) {
	for _, rr := range m.Answer {
		if c, ok := rr.(*dns.CNAME); ok && c.Hdr.Class == dns.ClassINET && canonical(c.Hdr.Name) == owner {
			return canonical(c.Target), seconds(c.Hdr.Ttl)
		}
	}
	return "", 0
}

// seconds of a TTL; one with its highest bit set counts as 0 [RFC 2181 8].
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

func canonical(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

func rcode(code int) string {
	if s, ok := dns.RcodeToString[code]; ok {
		return s
	}
	return fmt.Sprintf("code %d", code)
}
