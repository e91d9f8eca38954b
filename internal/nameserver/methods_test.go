package nameserver_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/geo"
	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
)

// decoded reads profiles as an operator writes them, so that they have the defaults of their mode.
func decoded(t testing.TB, text string) []*profile.Profile {
	t.Helper()
	f, err := profile.DecodeFile("test.yaml", []byte("profiles:\n"+text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var list []*profile.Profile
	for i := range f.Profiles {
		list = append(list, &f.Profiles[i])
	}
	return list
}

// one is a profile p with the host name p.dr.example; the rest is said in flow style.
func one(t testing.TB, mode, rest string) *profile.Profile {
	t.Helper()
	return decoded(t, fmt.Sprintf("  - {name: p, hostnames: [p.dr.example], compat: %s, ttl: 30s, ttl_floor: 2s, %s}\n", mode, rest))[0]
}

// told is an answer in one line: NODATA, a response code, or the records in order; the extended errors' codes behind.
func told(m *dns.Msg) string {
	var out []string
	for _, rr := range m.Answer {
		text := strings.TrimPrefix(rr.String(), rr.Header().String())
		out = append(out, dns.Type(rr.Header().Rrtype).String()+" "+text)
	}
	if len(out) == 0 {
		out = []string{"NODATA"}
	}
	if m.Rcode != dns.RcodeSuccess {
		out = []string{dns.RcodeToString[m.Rcode]}
	}
	if o := m.IsEdns0(); o != nil {
		for _, option := range o.Option {
			if e, ok := option.(*dns.EDNS0_EDE); ok {
				out = append(out, fmt.Sprintf("(%d)", e.InfoCode))
			}
		}
	}
	return strings.Join(out, " ")
}

// put asks one question, without the network; an invalid subnet is none.
func (f *fixture) put(t testing.TB, name, qtype string, from netip.Addr, subnet netip.Prefix) *dns.Msg {
	t.Helper()
	q := query(dns.Fqdn(name), dns.StringToType[qtype])
	q.SetEdns0(1232, false)
	if subnet.IsValid() {
		o := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 2, SourceNetmask: uint8(subnet.Bits()), Address: subnet.Addr().AsSlice()}
		if subnet.Addr().Is4() {
			o.Family = 1
		}
		q.IsEdns0().Option = append(q.IsEdns0().Option, o)
	}
	pkt, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(f.srv.RawFrom(pkt, false, from)); err != nil {
		t.Fatal(err)
	}
	return m
}

// atlas is a locator of a few networks.
type atlas struct {
	places map[netip.Prefix]string
	table  *geo.Table
}

func (a *atlas) Place(at netip.Addr) geo.Place {
	for p, text := range a.places {
		if p.Contains(at) {
			code, _ := geo.ParseCode(text)
			return geo.Place{Code: code, Known: true, Bits: uint8(p.Bits())}
		}
	}
	return geo.Place{}
}

func (a *atlas) Row(at netip.Addr) *geo.Row { return a.table.Find(at) }

var (
	inGermany = netip.MustParseAddr("203.0.113.9")
	inFrance  = netip.MustParseAddr("198.51.100.9")
	inNowhere = netip.MustParseAddr("100.64.0.9")
)

func maps(t testing.TB) *atlas {
	t.Helper()
	table, err := geo.ParseTable(strings.NewReader("prefix,region,ms\n203.0.113.0/24,eu-central,10\n203.0.113.0/24,us-west,90\n198.51.100.0/25,us-west,5\n198.51.100.0/25,eu-central,80\n"))
	if err != nil {
		t.Fatal(err)
	}
	return &atlas{table: table, places: map[netip.Prefix]string{
		netip.MustParsePrefix("203.0.113.0/24"): "DE", netip.MustParsePrefix("198.51.100.0/22"): "FR",
	}}
}

// asked builds a fixture with these profiles and views.
func asked(t testing.TB, ps []*profile.Profile, views ...*health.View) *fixture {
	t.Helper()
	f := create(nameserver.Options{Locator: maps(t)})
	f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, views)
	return f
}

// The form of the answer by type of the question and of what was chosen (traffic manager, common rules).
func TestTypesOfQuestions(t *testing.T) {
	const four, six = "A 192.0.2.1", "AAAA 2001:db8::1"
	for _, c := range []struct {
		name, endpoints string
		want            map[string]string // by type; "azure ANY" where the mode differs
	}{
		{"leaf CNAME", "endpoints: [{name: a, target: x.test}]", map[string]string{
			"A": "CNAME x.test.", "AAAA": "CNAME x.test.", "CNAME": "CNAME x.test.", "ANY": "CNAME x.test.", "TXT": "CNAME x.test.",
		}},
		{"leaf A", "endpoints: [{name: a, target: 192.0.2.1}]", map[string]string{
			"A": four, "AAAA": "NODATA", "CNAME": "NODATA", "ANY": four, "TXT": "NODATA",
		}},
		{"leaf AAAA", `endpoints: [{name: a, target: "2001:db8::1"}]`, map[string]string{
			"A": "NODATA", "AAAA": six, "CNAME": "NODATA", "ANY": six, "TXT": "NODATA",
		}},
		{"leaf of both", `endpoints: [{name: a, target: ["2001:db8::1", 192.0.2.1]}]`, map[string]string{
			"A": four, "AAAA": six, "CNAME": "NODATA", "ANY": four, "TXT": "NODATA",
		}},
		{"multivalue", `routing: multivalue, max_return: 1, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: "2001:db8::1"}]`, map[string]string{
			"A": four, "AAAA": six, "CNAME": "NODATA", "ANY": four, "azure ANY": four + " " + six, "TXT": "NODATA",
		}},
		{"multivalue AAAA", `routing: multivalue, endpoints: [{name: b, target: "2001:db8::1"}]`, map[string]string{
			"A": "NODATA", "AAAA": six, "CNAME": "NODATA", "ANY": six, "TXT": "NODATA",
		}},
	} {
		for _, mode := range []string{"none", "azure"} {
			if mode == "azure" && c.name == "leaf of both" {
				continue // refused there
			}
			p := one(t, mode, c.endpoints)
			f := asked(t, profiles(p), view(p, strings.Repeat("u", len(p.Endpoints)), nil))
			for _, qtype := range []string{"A", "AAAA", "CNAME", "ANY", "TXT"} {
				want := c.want[qtype]
				if other, differs := c.want[mode+" "+qtype]; differs {
					want = other
				}
				if got := told(f.put(t, "p.dr.example", qtype, t0Addr, netip.Prefix{})); got != want {
					t.Errorf("%s, compat %s, %s: got %s, want %s", c.name, mode, qtype, got, want)
				}
			}
		}
	}
}

const (
	two     = "endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: 192.0.2.2}]"
	world   = "routing: geographic, endpoints: [{name: de, target: 192.0.2.1, geo: [DE]}, {name: eu, target: 192.0.2.2, geo: [GEO-EU]}]"
	ranges  = "routing: subnet, endpoints: [{name: net, target: 192.0.2.1, subnets: [203.0.113.0/24]}"
	another = ", {name: other, target: 192.0.2.2}]"
	first   = "A 192.0.2.1"
	second  = "A 192.0.2.2"
)

// The answer by state, in both modes: every row of the traffic manager's table.
func TestStates(t *testing.T) {
	bare := func(v *health.View) { v.Profile.Endpoints, v.Endpoints = nil, nil }
	cases := []struct {
		name, profile, word string
		change              func(*health.View)
		from                netip.Addr
		want, azure         string
		ttl, azureTTL       uint32 // 0: not looked at
	}{
		{"Online", two, "uu", nil, t0Addr, first, first, 0, 30},
		{"Unmonitored", "endpoints: [{name: a, target: 192.0.2.1, always_serve: true}, {name: b, target: 192.0.2.2}]", "uu", nil, t0Addr, first, first, 30, 30},
		{"CheckingEndpoint beside a better one", two, "cu", nil, t0Addr, second, first, 0, 30},
		{"CheckingEndpoint and nothing better", two, "cd", nil, t0Addr, first, first, 0, 30},
		{"Degraded", two, "du", nil, t0Addr, second, second, 0, 30},
		{"Stopped", two, "su", nil, t0Addr, second, second, 0, 30},
		{"Stopped stays out when all are down", two, "sd", nil, t0Addr, second + " (0)", second + " (0)", 2, 30},
		{"Disabled", two, "xu", nil, t0Addr, second, second, 0, 30},
		{"drained", two, "ru", nil, t0Addr, second, second, 0, 30},
		{"all Degraded", two, "dd", nil, t0Addr, first + " (0)", first + " (0)", 2, 30},
		{"all Degraded, a target of last resort", two + ", all_down: {target: 192.0.2.99}", "dd", nil, t0Addr, "A 192.0.2.99 (0)", "A 192.0.2.99 (0)", 2, 30},
		{"all Degraded, an alias of last resort", two + ", answer: cname, all_down: {target: sorry.test}", "dd", nil, t0Addr, "CNAME sorry.test. (0)", "CNAME sorry.test. (0)", 2, 30},
		{"all Degraded, none", two + ", all_down: none", "dd", nil, t0Addr, "NODATA (0)", "NODATA (0)", 0, 0},
		{"profile disabled", two, "uu", disabled, t0Addr, "NODATA (0)", "NXDOMAIN (0)", 30, 30},
		{"all disabled", two, "xx", nil, t0Addr, "NODATA (0)", "NXDOMAIN (0)", 30, 30},
		{"no endpoint", two, "uu", bare, t0Addr, "NODATA (0)", "NXDOMAIN (0)", 30, 30},
		{"all Stopped", two, "ss", nil, t0Addr, "NODATA (0)", "NODATA (0)", 30, 30},
		{"Stopped and disabled", two, "sx", nil, t0Addr, "NODATA (0)", "NODATA (0)", 30, 30},
		{"Stopped and drained", two, "sr", nil, t0Addr, "NODATA (0)", "NODATA (0)", 30, 30},
		{"first checks not done", two, "cc", unready, t0Addr, "SERVFAIL (14)", "SERVFAIL (14)", 0, 0},
		{"not confirmed", two, "uu", stale, t0Addr, first + " (3)", first + " (3)", 2, 0},
		{"all Degraded, not confirmed", two, "dd", stale, t0Addr, first + " (0) (3)", first + " (0) (3)", 2, 0},

		{"geographic: mapped Online", world, "uu", nil, inGermany, first, first, 0, 30},
		{"geographic: mapped Degraded", world, "du", nil, inGermany, second, first + " (0)", 0, 30},
		{"geographic: mapped Stopped", world, "su", nil, inGermany, second, "NODATA (0)", 0, 30},
		{"geographic: nothing but Stopped on the way up", world, "ss", nil, inGermany, "NODATA (0)", "NODATA (0)", 30, 30},
		{"geographic: mapped Disabled leaves the matching", world, "xu", nil, inGermany, second, second, 0, 30},
		{"geographic: the next level", world, "uu", nil, inFrance, second, second, 0, 30},
		{"geographic: no mapping and no WORLD", world, "uu", nil, inNowhere, "NODATA (0)", "NODATA (0)", 30, 30},

		{"subnet: mapped", ranges + another, "uu", nil, inGermany, first, first, 0, 30},
		{"subnet: not mapped", ranges + another, "uu", nil, inFrance, second, second, 0, 30},
		{"subnet: no mapping, no fallback", ranges + "]", "u", nil, inFrance, "NODATA (0)", "NXDOMAIN (0)", 30, 30},
		{"subnet: mapped Degraded", ranges + another, "du", nil, inGermany, second, "NXDOMAIN (0)", 0, 0},
		{"subnet: mapped Degraded, climb: false", ranges + another + ", climb: false", "du", nil, inGermany, first + " (0)", "NXDOMAIN (0)", 0, 0},
		{"subnet: mapped Disabled", ranges + another, "xu", nil, inGermany, second, second, 0, 30},
	}
	for _, c := range cases {
		for mode, want := range map[string]string{"none": c.want, "azure": c.azure} {
			p := one(t, mode, c.profile)
			v := view(p, c.word, c.change)
			f := asked(t, profiles(p), v)
			m := f.put(t, "p.dr.example", "A", c.from, netip.Prefix{})
			if got := told(m); got != want {
				t.Errorf("%s, compat %s: got %s, want %s", c.name, mode, got, want)
			}
			ttl := map[string]uint32{"none": c.ttl, "azure": c.azureTTL}[mode]
			if got := lowest(m); ttl > 0 && got != ttl {
				t.Errorf("%s, compat %s: TTL %d, want %d\n%v", c.name, mode, got, ttl, m)
			}
		}
	}
}

// lowest is the smallest time to live, an SOA's MINIMUM among them: what a resolver may keep.
func lowest(m *dns.Msg) uint32 {
	low := uint32(1 << 31)
	for _, rr := range append(slices.Clone(m.Answer), m.Ns...) {
		low = min(low, rr.Header().Ttl)
		if soa, ok := rr.(*dns.SOA); ok && soa.Minttl < soa.Hdr.Ttl {
			return 0 // the two must agree
		}
	}
	return low
}

// A name with something else at it or below it, and an apex, are never denied; all types are, where one is.
func TestDenialHasGuards(t *testing.T) {
	p := decoded(t, "  - {name: p, compat: azure, ttl: 20s, hostnames: [dr.example, note.dr.example, free.dr.example, up.dr.example, x.up.dr.example, '*.any.dr.example', kid.dr.example], endpoints: [{name: a, target: 192.0.2.1}]}\n")[0]
	zones := []*profile.Zone{
		testZone("note IN TXT \"beside\"\ntofree IN CNAME free\n"),
		{Name: "a.kid.dr.example", Nameservers: []string{"ns.test"}, Records: "www IN A 192.0.2.7\n"},
	}
	f := build(t, zones, profiles(p), []*health.View{view(p, "u", disabled)})
	for q, want := range map[string]string{
		"dr.example A": "NODATA (0)", "dr.example MX": "NODATA", "note.dr.example A": "NODATA (0)", "note.dr.example TXT": `TXT "beside"`, "note.dr.example MX": "NODATA",
		"free.dr.example A": "NXDOMAIN (0)", "free.dr.example TXT": "NXDOMAIN (0)", "free.dr.example ANY": "NXDOMAIN (0)", "free.dr.example CNAME": "NXDOMAIN (0)",
		"up.dr.example A": "NODATA (0)", "x.up.dr.example A": "NXDOMAIN (0)", "q.any.dr.example A": "NXDOMAIN (0)", "kid.dr.example A": "NODATA (0)", "kid.dr.example TXT": "NODATA",
		"tofree.dr.example A": "NXDOMAIN (0)",
	} {
		name, qtype, _ := strings.Cut(q, " ")
		m := f.put(t, name, qtype, t0Addr, netip.Prefix{})
		if got := told(m); got != want {
			t.Errorf("%s: got %s, want %s", q, got, want)
		}
		if len(m.Ns) == 1 && lowest(m) != 20 {
			t.Errorf("%s may be kept for %d s, want the profile's ttl: 20", q, lowest(m))
		}
	}
	f.hub.Publish(nil, view(p, "u", nil))
	if got := told(f.put(t, "free.dr.example", "TXT", t0Addr, netip.Prefix{})); got != "NODATA" {
		t.Errorf("a name that answers addresses is denied for other types: %s", got)
	}
}

// family is a parent over three levels: p -> mid -> low, and the views of all.
func family(t testing.TB, change func(ps []*profile.Profile)) ([]*profile.Profile, func(low string) []*health.View) {
	t.Helper()
	ps := decoded(t, `
  - {name: p, hostnames: [p.dr.example], ttl: 30s, endpoints: [{name: main, target: {profile: mid}}, {name: spare, target: 192.0.2.50}]}
  - {name: mid, hostnames: [mid.dr.example], ttl: 25s, endpoints: [{name: east, target: {profile: low}}], all_down: {target: 192.0.2.60}}
  - {name: low, hostnames: [low.dr.example], ttl: 15s, routing: weighted, endpoints: [{name: one, target: 192.0.2.1}, {name: two, target: 192.0.2.2}]}
`)
	if change != nil {
		change(ps)
	}
	return ps, func(word string) []*health.View {
		low := view(ps[2], word, nil)
		mid := view(ps[1], "u", func(v *health.View) { v.Endpoints[0].Child = low })
		top := view(ps[0], "uu", func(v *health.View) { v.Endpoints[0].Child = mid })
		return []*health.View{top, mid, low}
	}
}

// One question gives the leaf's record however deep it lies, with the smallest TTL on the way, and says the way.
func TestNestedProfiles(t *testing.T) {
	ps, views := family(t, nil)
	f := asked(t, ps, views("du")...)
	m := f.put(t, "p.dr.example", "A", t0Addr, netip.Prefix{})
	if got := told(m); got != second || lowest(m) > 15 {
		t.Errorf("got %s, TTL %d", got, lowest(m))
	}
	e, err := f.srv.Explain(f.hub.Load(), "p.dr.example", "A", t0Addr)
	if err != nil || e.Endpoint != "two" || !slices.Equal(e.Path, names("p", "mid", "low")) || e.Profile != "p" || e.Reason == "" || e.Serving == "" {
		t.Errorf("%+v %v", e, err)
	}
	if n := f.counter(t, "answers_total endpoint=two profile=low reason="+string(e.Reason)); n != 1 {
		t.Errorf("counted %v for the leaf; explaining must not count", n)
	}
	f.hub.Publish(nil, views("dd")...)
	if got := told(f.put(t, "p.dr.example", "A", t0Addr, netip.Prefix{})); got != "A 192.0.2.50" {
		t.Errorf("the nested one is down: %s", got)
	}
	if got := told(f.put(t, "mid.dr.example", "A", t0Addr, netip.Prefix{})); got != "A 192.0.2.60 (0)" {
		t.Errorf("the target of last resort: %s", got)
	}
	if e, err = f.srv.Explain(f.hub.Load(), "mid.dr.example", "A", t0Addr); err != nil || e.Endpoint != "all_down.target" || !slices.Equal(e.Path, names("mid")) {
		t.Errorf("%+v %v", e, err)
	}
}

// Counters are kept over new views and new documents, and go away with their endpoint or profile.
func TestCountersFollowTheDocuments(t *testing.T) {
	ps, views := family(t, nil)
	f := asked(t, ps, views("du")...)
	ask := func() { f.put(t, "low.dr.example", "A", t0Addr, netip.Prefix{}) }
	ask()
	f.hub.Publish(nil, views("xu")...)
	ask()
	const two = "answers_total endpoint=two profile=low reason=weight"
	if n := f.counter(t, two); n != 2 {
		t.Errorf("%v answers counted over two views", n)
	}
	f.publish(t, 8, []*profile.Zone{testZone(records)}, ps, nil)
	ask()
	if n := f.counter(t, two); n != 3 {
		t.Errorf("%v answers counted over two generations", n)
	}
	f.publish(t, 9, []*profile.Zone{testZone(records)}, ps[:2], nil)
	if all := f.series(t, "answers_total"); len(all) != 0 {
		t.Errorf("series of a removed profile are left: %q", all)
	}
	f.publish(t, 10, []*profile.Zone{testZone(records)}, ps, views("du"))
	ask()
	if n := f.counter(t, two); n != 1 {
		t.Errorf("%v answers counted since the profile is back", n)
	}
	for gen := uint64(11); gen < 20; gen += 2 { // what is forgotten is used again, and starts at nothing
		f.publish(t, gen, []*profile.Zone{testZone(records)}, ps[:2], nil)
		f.series(t, "answers_total")
		f.series(t, "answers_total")
		f.publish(t, gen+1, []*profile.Zone{testZone(records)}, ps, views("du"))
		ask()
		if n := f.counter(t, two); n != 1 {
			t.Errorf("generation %d: %v answers counted", gen, n)
		}
	}
}

func (f *fixture) series(t testing.TB, name string) (out []string) {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "jurymast_dns_"+name {
			for _, m := range family.GetMetric() {
				out = append(out, m.String())
			}
		}
	}
	return out
}

// What is answered when nothing is answered is counted too.
func TestSilenceIsCounted(t *testing.T) {
	p := one(t, "none", ranges+"]")
	f := asked(t, profiles(p), view(p, "u", nil))
	f.put(t, "p.dr.example", "A", inFrance, netip.Prefix{})
	if n := f.counter(t, "answers_total endpoint= profile=p reason=no-mapping"); n != 1 {
		t.Errorf("%v counted", n)
	}
}

// A performance profile follows the latency table, and a locator that is nil is nobody's place.
func TestLatencyTable(t *testing.T) {
	p := one(t, "none", "routing: performance, endpoints: [{name: eu, target: 192.0.2.1, location: {region: eu-central}}, {name: us, target: 192.0.2.2, location: {region: us-west}}]")
	v := view(p, "uu", nil)
	f := asked(t, profiles(p), v)
	for from, want := range map[netip.Addr]string{inGermany: first, inFrance: second, inNowhere: first} {
		if got := told(f.put(t, "p.dr.example", "A", from, netip.Prefix{})); got != want {
			t.Errorf("%s: got %s, want %s", from, got, want)
		}
	}
	g := build(t, []*profile.Zone{testZone(records)}, profiles(p), []*health.View{v})
	if got := told(g.put(t, "p.dr.example", "A", inFrance, netip.Prefix{})); got != first {
		t.Errorf("without a locator: %s", got)
	}
}

// Over the network the source address is the client's, over both transports.
func TestSourceAddressDecides(t *testing.T) {
	p := one(t, "none", "routing: subnet, endpoints: [{name: net, target: 192.0.2.1, subnets: [127.0.0.0/8]}, {name: other, target: 192.0.2.2}]")
	f := build(t, []*profile.Zone{testZone(records)}, profiles(p), []*health.View{view(p, "uu", nil)}, "127.0.0.1:0", "[::1]:0")
	f.serve(t)
	for i, want := range []string{first, second} {
		for _, network := range []string{"udp", "tcp"} {
			if got := told(ask(t, network, f.srv.Addrs()[i], query("p.dr.example.", dns.TypeA))); got != want {
				t.Errorf("%s over %s: got %s, want %s", f.srv.Addrs()[i], network, got, want)
			}
		}
	}
}
