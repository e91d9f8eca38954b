package nameserver_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// The decisions of docs/azure.md that show in a DNS answer, by number.

// over is the profile p over a nested profile for each of the lists of endpoints, all Online. The nested ones are
// native: only p is of the mode.
func over(t testing.TB, mode, routing string, lists ...string) ([]*profile.Profile, []*health.View) {
	t.Helper()
	text, children := "", make([]string, len(lists))
	for i, list := range lists {
		text += fmt.Sprintf("  - {name: c%d, hostnames: [c%d.dr.example], %s}\n", i, i, list)
		children[i] = fmt.Sprintf("{name: e%d, target: {profile: c%d}}", i, i)
	}
	text += fmt.Sprintf("  - {name: p, hostnames: [p.dr.example], compat: %s, ttl: 30s, routing: %s, endpoints: [%s]}\n", mode, routing, strings.Join(children, ", "))
	ps := decoded(t, text)
	views := make([]*health.View, 0, len(ps))
	for _, p := range ps[:len(lists)] {
		views = append(views, view(p, strings.Repeat("u", len(p.Endpoints)), nil))
	}
	top := view(ps[len(lists)], strings.Repeat("u", len(lists)), func(v *health.View) {
		for i := range v.Endpoints {
			v.Endpoints[i].Child = views[i]
		}
	})
	return ps, append(views, top)
}

func (f *fixture) told(t testing.TB, qtype string) string {
	t.Helper()
	return told(f.put(t, "p.dr.example", qtype, t0Addr, netip.Prefix{}))
}

// The cap holds for each family by itself: what is not asked for does not use it up.
func TestD16MaxReturnCountsTheAskedType(t *testing.T) {
	for _, mode := range []string{"none", "azure"} {
		p := one(t, mode, `routing: multivalue, max_return: 3, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: "2001:db8::1"}, {name: c, target: "2001:db8::2"}, {name: d, target: "2001:db8::3"}, {name: e, target: "2001:db8::4"}, {name: f, target: 192.0.2.2}]`)
		f := asked(t, profiles(p), view(p, "uuuuuu", nil))
		for range 50 { // whatever window the dice choose
			for qtype, want := range map[string]int{"A": 2, "AAAA": 3} {
				m := f.put(t, "p.dr.example", qtype, t0Addr, netip.Prefix{})
				if len(m.Answer) != want {
					t.Fatalf("compat %s, %s: %d records, want %d: %v", mode, qtype, len(m.Answer), want, m.Answer)
				}
			}
		}
	}
}

// ANY is answered with one set [RFC 8482 section 4.1]; the service gives all that the chosen target has.
func TestD24ANY(t *testing.T) {
	const twice = `endpoints: [{name: a, target: ["2001:db8::1", 192.0.2.1]}]`
	for mode, want := range map[string]string{"none": "A 192.0.2.1", "azure": "A 192.0.2.1 AAAA 2001:db8::1"} {
		ps, views := over(t, mode, "priority", twice)
		if got := asked(t, ps, views...).told(t, "ANY"); got != want {
			t.Errorf("one leaf, compat %s: %s, want %s", mode, got, want)
		}
		p := one(t, mode, `routing: multivalue, max_return: 1, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: "2001:db8::1"}]`)
		if got := asked(t, profiles(p), view(p, "uu", nil)).told(t, "ANY"); got != want {
			t.Errorf("multivalue, compat %s: %s, want %s", mode, got, want)
		}
	}
}

// A choice comes before the type: the other endpoint's record of the wanted family is the stand-by's.
func TestD25TypeIsComparedAfterTheChoice(t *testing.T) {
	const four, six = "endpoints: [{name: a, target: 192.0.2.1}]", `endpoints: [{name: a, target: "2001:db8::2"}]`
	for _, mode := range []string{"none", "azure"} {
		ps, views := over(t, mode, "priority", four, six)
		f := asked(t, ps, views...)
		if a, aaaa := f.told(t, "A"), f.told(t, "AAAA"); a != "A 192.0.2.1" || aaaa != "NODATA" {
			t.Errorf("compat %s, IPv4 chosen: A %s, AAAA %s", mode, a, aaaa)
		}
		ps, views = over(t, mode, "priority", six, four)
		f = asked(t, ps, views...)
		if a, aaaa := f.told(t, "A"), f.told(t, "AAAA"); a != "NODATA" || aaaa != "AAAA 2001:db8::2" {
			t.Errorf("compat %s, IPv6 chosen: A %s, AAAA %s", mode, a, aaaa)
		}
	}
	p := one(t, "none", `endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: "2001:db8::2"}]`)
	if got := asked(t, profiles(p), view(p, "uu", nil)).told(t, "AAAA"); got != "NODATA" {
		t.Errorf("without nesting: %s", got)
	}
}

// What is not there may be kept for the SOA's minimum, and never longer than the profile's ttl.
func TestD27NegativeTTL(t *testing.T) {
	for _, c := range []struct {
		ttl, minimum int
		want         uint32
	}{{20, 300, 20}, {60, 50, 50}, {0, 300, 0}, {30, 5, 5}} {
		for _, mode := range []string{"none", "azure"} {
			p := one(t, mode, "endpoints: [{name: a, target: 192.0.2.1}]")
			p.TTL = time.Duration(c.ttl) * time.Second
			z := &profile.Zone{Name: "dr.example", Nameservers: []string{"ns1.dr.example"}, Hostmaster: "ops.dr.example", Records: fmt.Sprintf(
				"@ 3600 IN SOA ns1 ops 1 3600 600 86400 %d\n@ 3600 IN NS ns1\nns1 3600 IN A 192.0.2.53\n", c.minimum)}
			for _, change := range []func(*health.View){nil, disabled} { // a type it has not; nothing at all
				f := build(t, []*profile.Zone{z}, profiles(p), []*health.View{view(p, "u", change)})
				m := f.put(t, "p.dr.example", "AAAA", t0Addr, netip.Prefix{})
				if len(m.Answer) > 0 || len(m.Ns) != 1 {
					t.Fatalf("%+v, compat %s: %v", c, mode, m)
				}
				soa, ok := m.Ns[0].(*dns.SOA)
				if !ok || min(soa.Hdr.Ttl, soa.Minttl) != c.want {
					t.Errorf("%+v, compat %s, %s: may be kept for %v, want %d s", c, mode, dns.RcodeToString[m.Rcode], m.Ns[0], c.want)
				}
			}
		}
	}
}

// One endpoint with both families answers each with its own, so that a failover moves both.
func TestD36AddressLists(t *testing.T) {
	const lists = `endpoints: [{name: a, target: [192.0.2.1, 192.0.2.11, "2001:db8::1"]}, {name: b, target: [192.0.2.2, "2001:db8::2"]}]`
	for _, method := range []string{"priority", "weighted"} {
		p := one(t, "none", "routing: "+method+", "+lists)
		for word, want := range map[string][2]string{
			"ud": {"A 192.0.2.1 A 192.0.2.11", "AAAA 2001:db8::1"},
			"du": {"A 192.0.2.2", "AAAA 2001:db8::2"},
		} {
			f := asked(t, profiles(p), view(p, word, nil))
			if a, aaaa := f.told(t, "A"), f.told(t, "AAAA"); a != want[0] || aaaa != want[1] {
				t.Errorf("%s, %s: A %s, AAAA %s, want %v", method, word, a, aaaa, want)
			}
		}
	}
}
