package nameserver_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"jurymast/internal/geo"
	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
)

// globe is a locator that says of every address of both families where it is, or that nobody knows: the leaves of two
// trees of prefixes, as a location database has them.
type globe struct {
	leaves map[netip.Prefix]geo.Place
	table  *geo.Table
}

func (g *globe) Place(at netip.Addr) geo.Place {
	at = at.Unmap()
	for bits := 0; bits <= at.BitLen(); bits++ {
		if p, ok := g.leaves[netip.PrefixFrom(at, bits).Masked()]; ok {
			return p
		}
	}
	return geo.Place{}
}

func (g *globe) Row(at netip.Addr) *geo.Row { return g.table.Find(at) }

// later is a locator that can be replaced while the server runs.
type later struct{ atomic.Pointer[globe] }

func (l *later) Place(at netip.Addr) geo.Place { return l.Load().Place(at) }
func (l *later) Row(at netip.Addr) *geo.Row    { return l.Load().Row(at) }

var globePlaces = []struct {
	code     string
	lat, lon float64
}{{"DE", 51, 10}, {"FR", 47, 2}, {"US", 38, -97}, {"US-CA", 37, -120}, {"JP", 36, 138}, {"BR", -10, -55}}

var globeRegions = []string{"eu-central", "us-west", "us-east", "ap-northeast"}

// anyGlobe splits both address spaces at random, and writes a latency table with prefixes inside others.
func anyGlobe(t *rapid.T, dice *rand.Rand) *globe {
	g := &globe{leaves: map[netip.Prefix]geo.Place{}}
	var known []netip.Prefix
	for range rapid.IntRange(0, 20).Draw(t, "networks") {
		known = append(known, anyPrefix(dice))
	}
	for _, root := range []string{"0.0.0.0/0", "::/0"} {
		g.split(netip.MustParsePrefix(root), known, dice)
	}
	var b strings.Builder
	b.WriteString("prefix,region,ms\n")
	for range rapid.IntRange(0, 12).Draw(t, "rows") {
		p := anyPrefix(dice)
		for _, region := range globeRegions {
			if dice.IntN(4) > 0 {
				fmt.Fprintf(&b, "%s,%s,%d\n", p, region, 1+dice.IntN(200))
			}
		}
	}
	var err error
	if g.table, err = geo.ParseTable(strings.NewReader(b.String())); err != nil {
		g.table = nil // the same prefix and region twice
	}
	return g
}

// split makes leaves so that every known network is made of whole ones.
func (g *globe) split(p netip.Prefix, known []netip.Prefix, dice *rand.Rand) {
	var inside []netip.Prefix
	for _, k := range known {
		if k.Bits() > p.Bits() && p.Contains(k.Addr()) {
			inside = append(inside, k)
		}
	}
	if len(inside) > 0 {
		b := p.Addr().AsSlice()
		b[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
		upper, _ := netip.AddrFromSlice(b)
		g.split(netip.PrefixFrom(p.Addr(), p.Bits()+1), inside, dice)
		g.split(netip.PrefixFrom(upper, p.Bits()+1), inside, dice)
		return
	}
	place := geo.Place{Bits: uint8(p.Bits())}
	if dice.IntN(4) > 0 {
		at := globePlaces[dice.IntN(len(globePlaces))]
		code, _ := geo.ParseCode(at.code)
		place = geo.Place{Code: code, Known: true, Position: geo.Position{Lat: at.lat, Lon: at.lon}, HasPosition: dice.IntN(3) > 0, Bits: uint8(p.Bits())}
	}
	g.leaves[p] = place
}

// anyPrefix lies in one of a few corners, so that prefixes meet.
func anyPrefix(dice *rand.Rand) netip.Prefix {
	if dice.IntN(3) == 0 {
		b := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(dice.IntN(2) * 0x80), byte(dice.IntN(256)), byte(dice.IntN(4) * 64), byte(dice.IntN(256))}
		return netip.PrefixFrom(netip.AddrFrom16(b), 16+dice.IntN(49)).Masked()
	}
	b := [4]byte{byte(198 + dice.IntN(3)), byte(dice.IntN(4) * 64), byte(dice.IntN(256)), byte(dice.IntN(4) * 64)}
	return netip.PrefixFrom(netip.AddrFrom4(b), 4+dice.IntN(29)).Masked()
}

// anyProfiles have every method whose answer depends on where the client is and on nothing else, alone and nested.
func anyProfiles(t *rapid.T, tb testing.TB, dice *rand.Rand) []*profile.Profile {
	used := map[string]bool{}
	fresh := func(invent func() string) string {
		for {
			if s := invent(); !used[s] {
				used[s] = true
				return s
			}
		}
	}
	endpoints := func(n int, first int, keys func(i int) string) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("{name: e%d, target: 192.0.2.%d%s}", i, first+i, keys(i)))
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	codes := []string{"WORLD", "GEO-EU", "DE", "FR", "US", "US-CA", "JP"}
	geographic := func(int) string {
		return ", geo: [" + fresh(func() string { return codes[dice.IntN(len(codes))] }) + "]"
	}
	var taken []netip.Prefix
	nets := func(i int) string {
		if i == 0 {
			return "" // for everybody else
		}
		var list []string
		for range 1 + dice.IntN(12) {
			if p := anyPrefix(dice); p.Bits() > 9 && !slices.ContainsFunc(taken, p.Overlaps) {
				taken = append(taken, p)
				list = append(list, `"`+p.String()+`"`)
			}
		}
		if len(list) == 0 {
			list = []string{fmt.Sprintf("100.64.%d.0/24", i)}
		}
		return ", subnets: [" + strings.Join(list, ", ") + "]"
	}
	near := func(int) string {
		if dice.IntN(5) == 0 {
			return fmt.Sprintf(", location: {lat: %d, lon: %d}", dice.IntN(120)-60, dice.IntN(300)-150)
		}
		return ", location: {region: " + globeRegions[dice.IntN(len(globeRegions))] + "}"
	}
	band := []string{"", ", latency_band: 30ms"}[dice.IntN(2)]
	text := fmt.Sprintf(`
  - {name: geo, hostnames: [geo.dr.example], routing: geographic, endpoints: %s}
  - {name: net, hostnames: [net.dr.example], routing: subnet, endpoints: %s}
  - {name: near, hostnames: [near.dr.example], routing: performance%s, endpoints: %s}
  - {name: sticky, hostnames: [sticky.dr.example], routing: weighted, sticky: true, endpoints: %s}
  - {name: nested, hostnames: [nested.dr.example], routing: geographic, endpoints: [{name: a, target: {profile: net}, geo: [DE]}, {name: b, target: {profile: near}, geo: [GEO-EU]}, {name: c, target: {profile: geo}, geo: [WORLD]}]}
  - {name: fixed, hostnames: [fixed.dr.example], endpoints: [{name: a, target: 192.0.2.90}]}
`, endpoints(rapid.IntRange(1, 5).Draw(t, "geo"), 10, geographic), endpoints(rapid.IntRange(2, 5).Draw(t, "net"), 20, nets), band,
		endpoints(rapid.IntRange(2, 5).Draw(t, "near"), 30, near), endpoints(3, 40, func(int) string { return "" }))
	return decoded(tb, text)
}

// verdict is what one client subnet got.
type verdict struct {
	prefix netip.Prefix // it holds for
	answer string
}

// TestScopesAreTrue: for random maps, networks and profiles, all addresses inside a returned scope get the same answer
// and the same scope, scopes never overlap, and 0 is said only when every address of the family gets that answer.
func TestScopesAreTrue(t *testing.T) {
	hub := &later{}
	hub.Store(&globe{})
	f := create(nameserver.Options{Listen: []string{"127.0.0.1:0"}, Locator: hub, Loops: 1})
	f.publish(t, 1, []*profile.Zone{testZone(records)}, nil, nil)
	conn, err := net.Dial("udp", f.serve(t).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &dns.Conn{Conn: conn}
	gen, longest := uint64(1), 0
	rapid.Check(t, func(rt *rapid.T) {
		dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "dice"), 7))
		g, ps := anyGlobe(rt, dice), anyProfiles(rt, t, dice)
		hub.Store(g)
		gen++
		f.publish(t, gen, []*profile.Zone{testZone(records)}, ps, anyViews(ps, dice))
		for _, p := range ps {
			for _, four := range []bool{true, false} {
				longest = max(longest, scopesOf(rt, c, p.Hostnames[0], four, dice))
			}
		}
	})
	if longest < 8 {
		t.Errorf("no scope was longer than %d: the test tried nothing", longest)
	}
}

// anyViews have some endpoints down, but not all of a profile.
func anyViews(ps []*profile.Profile, dice *rand.Rand) []*health.View {
	var list []*health.View
	byName := map[string]*health.View{}
	for _, p := range ps {
		word := []byte(strings.Repeat("u", len(p.Endpoints)))
		if dice.IntN(3) == 0 && len(word) > 1 {
			word[dice.IntN(len(word))] = 'd'
		}
		v := view(p, string(word), func(v *health.View) {
			for i := range p.Endpoints {
				v.Endpoints[i].Child = byName[p.Endpoints[i].Target.Profile]
			}
		})
		byName[p.Name] = v
		list = append(list, v)
	}
	return list
}

// scopesOf asks for one name from everywhere, and from everywhere inside what comes back.
func scopesOf(rt *rapid.T, c *dns.Conn, name string, four bool, dice *rand.Rand) (longest int) {
	var known []verdict
	for range 12 {
		p := anyPrefix(dice)
		for p.Addr().Is4() != four {
			p = anyPrefix(dice)
		}
		if dice.IntN(6) == 0 {
			p = netip.PrefixFrom(somewhere(netip.PrefixFrom(p.Addr(), 0).Masked(), dice), p.Addr().BitLen())
		}
		v := located(rt, c, name, p)
		longest = max(longest, v.prefix.Bits())
		for _, at := range []netip.Addr{v.prefix.Addr(), final(v.prefix), somewhere(v.prefix, dice), somewhere(v.prefix, dice)} {
			inside := located(rt, c, name, netip.PrefixFrom(at, at.BitLen()))
			if inside != v {
				rt.Fatalf("%s: %v gets %v, but %v inside that %v", name, p, v, at, inside)
			}
		}
		known = append(known, v)
	}
	for i, v := range known {
		for _, o := range known[:i] {
			if v != o && v.prefix.Overlaps(o.prefix) {
				rt.Fatalf("%s: scopes overlap: %v and %v", name, o, v)
			}
		}
	}
	return longest
}

// somewhere is an address in a prefix.
func somewhere(p netip.Prefix, dice *rand.Rand) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < p.Addr().BitLen(); i++ {
		if dice.IntN(2) == 0 {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	at, _ := netip.AddrFromSlice(b)
	return at
}

// final is the last address of a prefix.
func final(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < p.Addr().BitLen(); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	at, _ := netip.AddrFromSlice(b)
	return at
}

// located asks for a client subnet. What comes back of it must be what was sent.
func located(rt *rapid.T, c *dns.Conn, name string, p netip.Prefix) verdict {
	q := query(name+".", dns.TypeA)
	q.SetEdns0(1232, false)
	o := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 2, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice()}
	if p.Addr().Is4() {
		o.Family = 1
	}
	q.IsEdns0().Option = append(q.IsEdns0().Option, o)
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if err := c.WriteMsg(q); err != nil {
		rt.Fatal(err)
	}
	m, err := c.ReadMsg()
	if err != nil {
		rt.Fatal(err)
	}
	back := returned(m)
	if m.Id != q.Id || m.Rcode != dns.RcodeSuccess || back == nil || back.Family != o.Family || back.SourceNetmask != o.SourceNetmask || !back.Address.Equal(o.Address) {
		rt.Fatalf("%s for %v: %v", name, p, m)
	}
	var told []string
	for _, rr := range m.Answer {
		told = append(told, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(told)
	return verdict{netip.PrefixFrom(p.Addr(), int(back.SourceScope)).Masked(), strings.Join(told, " ")}
}

func (v verdict) String() string { return v.prefix.String() + " " + v.answer }
