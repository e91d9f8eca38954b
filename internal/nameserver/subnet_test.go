package nameserver_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// returned is the client subnet of an answer, "" without one.
func returned(m *dns.Msg) *dns.EDNS0_SUBNET {
	if o := m.IsEdns0(); o != nil {
		for _, option := range o.Option {
			if e, ok := option.(*dns.EDNS0_SUBNET); ok {
				return e
			}
		}
	}
	return nil
}

// A client subnet goes back as it came, with the scope of the choice, and decides in place of the source.
func TestClientSubnets(t *testing.T) {
	f := methods(t)
	for _, c := range []struct {
		name, subnet, want string
		scope              uint8
	}{
		{"subnet.dr.example", "203.0.113.0/24", first, 25},
		{"subnet.dr.example", "203.0.113.7/32", first, 25},
		{"subnet.dr.example", "203.0.113.200/32", second, 25},
		{"subnet.dr.example", "198.51.100.0/24", second, 5}, // 192.0.0.0/5 less: from there up to 203.0.113.0 nothing is mapped
		{"subnet.dr.example", "2001:db8:1::/56", first, 48},
		{"subnet.dr.example", "::ffff:203.0.113.0/121", first, 96 + 25},
		{"subnet.dr.example", "0.0.0.0/0", first, 0}, // not to be located: the source decides
		{"geographic.dr.example", "203.0.113.0/24", first, 24},
		{"geographic.dr.example", "198.51.100.0/24", second, 22},
		{"performance.dr.example", "198.51.100.0/24", second, 25},
		{"nested.dr.example", "198.51.100.0/24", second, 22}, // the longest on the path
		{"priority.dr.example", "203.0.113.0/24", first, 0},
		{"denied.dr.example", "198.51.100.0/24", "NXDOMAIN (0)", 5},
		{"mail.dr.example", "203.0.113.0/24", "A 192.0.2.25", 0},
		{"nothing.dr.example", "203.0.113.0/24", "NXDOMAIN", 0},
		{"x.sub.dr.example", "203.0.113.0/24", "NODATA", 0},
	} {
		subnet := netip.MustParsePrefix(c.subnet)
		m := f.put(t, c.name, "A", inGermany, subnet)
		o := returned(m)
		if got := told(m); got != c.want || o == nil {
			t.Errorf("%s for %s: got %s, want %s; %v", c.name, c.subnet, got, c.want, o)
			continue
		}
		back, _ := netip.AddrFromSlice(o.Address)
		family := map[bool]uint16{true: 1, false: 2}[subnet.Addr().Is4()]
		if o.Family != family || o.SourceNetmask != uint8(subnet.Bits()) || back.Unmap() != subnet.Masked().Addr().Unmap() || o.SourceScope != c.scope {
			t.Errorf("%s for %s: subnet %v of family %d, want scope %d", c.name, c.subnet, o, o.Family, c.scope)
		}
	}
}

// Without a subnet in the question there is none in the answer; nor of what is not ours, nor of an unknown family.
func TestSubnetIsReturnedOnlyWhenDue(t *testing.T) {
	f := methods(t)
	if o := returned(f.put(t, "subnet.dr.example", "A", inGermany, netip.Prefix{})); o != nil {
		t.Errorf("nobody asked for %v", o)
	}
	if m := f.put(t, "other.test", "A", inGermany, netip.MustParsePrefix("203.0.113.0/24")); returned(m) != nil || m.Rcode != dns.RcodeRefused {
		t.Errorf("not ours: %v", m)
	}
	for name, option := range map[string]string{
		"family 3": "0008 0007 0003 18 00 cb0071", "family 0": "0008 0004 0000 00 00",
	} {
		m := new(dns.Msg)
		length := map[string]string{"family 3": "000b", "family 0": "0008"}[name]
		if err := m.Unpack(f.srv.RawFrom(packet(opt, "name:subnet.dr.example", "0001 0001", "00 0029 1000 00000000 "+length, option), false, inGermany)); err != nil {
			t.Fatal(err)
		}
		if told(m) != first || returned(m) != nil {
			t.Errorf("%s: %v", name, m)
		}
	}
}

// The subnet keeps its place when the answer has to go, and never lets it grow over the limit.
func TestSubnetInNarrowAnswers(t *testing.T) {
	f := methods(t)
	q := query("big.dr.example.", dns.TypeTXT)
	for _, size := range []uint16{512, 600, 612, 619, 620, 621, 640} {
		q.SetEdns0(size, false)
		q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: inGermany.AsSlice()}}
		pkt, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		q.Extra = nil
		raw := f.srv.Raw(pkt, false)
		m := new(dns.Msg)
		if err := m.Unpack(raw); err != nil {
			t.Fatal(err)
		}
		if len(raw) > int(size) || returned(m) == nil || m.Truncated != (len(m.Answer) == 0) {
			t.Errorf("size %d: %d bytes, %v", size, len(raw), m)
		}
	}
}

// Any two clients inside one returned scope get the same answer, and asking from anywhere inside gives the same scope.
func TestScopesTellTheTruth(t *testing.T) {
	f := methods(t)
	for _, name := range []string{"subnet.dr.example", "geographic.dr.example"} {
		for i := range 4000 {
			at := netip.AddrFrom4([4]byte{byte(i * 7), byte(i >> 4), byte(i * 31), byte(i * 13)})
			switch i % 3 {
			case 1:
				at = netip.AddrFrom4([4]byte{203, 0, byte(112 + i%4), byte(i * 13)})
			case 2:
				at = netip.AddrFrom4([4]byte{198, 51, byte(98 + i%7), byte(i * 13)})
			}
			m := f.put(t, name, "A", t0Addr, netip.PrefixFrom(at, 32))
			scope := netip.PrefixFrom(at, int(returned(m).SourceScope)).Masked()
			for _, other := range []netip.Addr{scope.Addr(), last(scope)} {
				again := f.put(t, name, "A", t0Addr, netip.PrefixFrom(other, 32))
				if told(again) != told(m) || returned(again).SourceScope != returned(m).SourceScope {
					t.Fatalf("%s: %s gets %s/%d, and %s inside that %s/%d", name, at, told(m), returned(m).SourceScope, other, told(again), returned(again).SourceScope)
				}
			}
		}
	}
}

// last is the last address of an IPv4 prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// Explaining for a subnet says what that subnet would be answered, with the trail of the same choice.
func TestExplainSubnet(t *testing.T) {
	f := methods(t)
	snap := f.hub.Load()
	e, err := f.srv.ExplainSubnet(snap, "subnet.dr.example", "A", inFrance, netip.MustParsePrefix("203.0.113.77/26"))
	if err != nil || e.Endpoint != "a" || e.Subnet != "203.0.113.64/26/25" || e.Reason != "subnet" || len(e.Trail) == 0 {
		t.Errorf("%+v %v", e, err)
	}
	if e, err = f.srv.Explain(snap, "subnet.dr.example", "A", inFrance); err != nil || e.Endpoint != "b" || e.Subnet != "" || e.Reason != "subnet-fallback" {
		t.Errorf("%+v %v", e, err)
	}
	// What the trail says was chosen is what was answered: dice are thrown once.
	for range 50 {
		if e, err = f.srv.Explain(snap, "weighted.dr.example", "A", inFrance); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(e.Answer, func(s string) bool {
			return strings.HasSuffix(s, map[string]string{"a": "192.0.2.1", "b": "192.0.2.2"}[e.Endpoint])
		}) {
			t.Fatalf("answered %q by %s", e.Answer, e.Endpoint)
		}
		var chosen string
		for _, step := range e.Trail {
			if step.Step == "choice" {
				chosen = step.Result
			}
		}
		if chosen != e.Endpoint {
			t.Fatalf("the trail chose %q, the answer is %q: %+v", chosen, e.Endpoint, e.Trail)
		}
	}
}
