package nameserver_test

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/cookie"
	"jurymast/internal/profile"
)

const (
	mail   = "name:mail.dr.example"
	mailA  = "c00c 0001 0001 00000258 0004 c0000219"
	answer = "1234 8400 0001 0001 0000 0001"
)

// with is the standard fixture with settings.
func with(t testing.TB, e nameserver.EDNS) *fixture {
	t.Helper()
	ps := standard()
	f := create(nameserver.Options{Cookies: aJar, EDNS: e})
	f.srv.SetNow(thisHour)
	f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
	return f
}

// TestSettings compares whole answers under settings that are not the default.
func TestSettings(t *testing.T) {
	const nsid = "0003 0000"
	type E = nameserver.EDNS
	ask := func(options ...string) []byte { return packet(opt, mail, "0001 0001", anOPT, withOptions(options...)) }
	told := func(options ...string) []byte {
		return packet(answer, mail, "0001 0001", mailA, ours, withOptions(options...))
	}
	outside := packet(opt, "name:x.test", soa, anOPT, none)
	version := packet(opt, "name:Version.Bind", "0010 0003", anOPT, none)
	subnet, back := "0008 0007 0001 18 00 c00002", "0008 0007 0001 18 00 c00002"
	resolver := nameserver.SubnetPolicy{From: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("192.0.2.200/32")}}
	others := nameserver.SubnetPolicy{From: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}
	for _, c := range []struct {
		name   string
		set    E
		stream bool
		pkt    []byte
		want   []byte
	}{
		{"NSID asked", E{NSID: "fra1"}, false, ask(nsid), told("0003 0004" + hexOf("fra1"))},
		{"NSID not asked", E{NSID: "fra1"}, false, ask(), told()},
		{"NSID with REFUSED", E{NSID: "fra1"}, true, packet(opt, "name:x.test", soa, anOPT, withOptions(nsid)), packet("1234 8005 0001 0000 0000 0001", "name:x.test", soa, ours, withOptions("0003 0004"+hexOf("fra1"), ede(20, foreign)))},
		{"NSID with BADVERS", E{NSID: "fra1"}, false, packet(opt, apex, soa, "00 0029 1000 00010000", withOptions(nsid)), packet("1234 8000 0001 0000 0000 0001", apex, soa, "00 0029 04d0 01000000 0000")},
		{"every option", E{NSID: "x"}, false, ask(nsid, onlyClient, subnet), told(back, baked(0), "0003 0001 78")},

		{"no extended errors", E{NoErrors: true}, false, outside, packet("1234 8005 0001 0000 0000 0001", "name:x.test", soa, ours, none)},
		{"their codes only", E{NoErrorText: true}, false, outside, packet("1234 8005 0001 0000 0000 0001", "name:x.test", soa, ours, withOptions(ede(20, "")))},

		{"size", E{UDPSize: 1400}, false, ask(), packet(answer, mail, "0001 0001", mailA, "00 0029 0578 00000000", none)},
		{"size of an empty answer", E{UDPSize: 512}, false, packet(opt, apex, soa, "00 0029 1000 00010000 0000"), packet("1234 8000 0001 0000 0000 0001", apex, soa, "00 0029 0200 01000000 0000")},

		{"no subnets", E{Subnets: nameserver.SubnetPolicy{Off: true}}, false, ask(subnet), told()},
		{"subnet of a resolver", E{Subnets: resolver}, false, ask(subnet), told(back)},
		{"subnet of somebody else", E{Subnets: others}, false, ask(subnet), told()},

		{"no cookies", E{NoCookies: true}, false, ask(onlyClient), told()},
		{"no cookies, no question", E{NoCookies: true}, false, packet("1234 0000 0000 0000 0000 0001", anOPT, withOptions(onlyClient)), packet("1234 8001 0000 0000 0000 0001", ours, none)},
		{"cookie required: valid", E{RequireCookies: true}, false, ask(baked(10)), told(baked(10))},
		{"cookie required: old", E{RequireCookies: true}, false, ask(baked(3600)), told(baked(0))},
		{"cookie required: too old", E{RequireCookies: true}, false, ask(baked(3601)), packet("1234 8007 0001 0000 0000 0001", mail, "0001 0001", "00 0029 04d0 01000000", withOptions(baked(0)))},
		{"cookie required: client's alone", E{RequireCookies: true}, false, ask(onlyClient), packet("1234 8007 0001 0000 0000 0001", mail, "0001 0001", "00 0029 04d0 01000000", withOptions(baked(0)))},
		{"cookie required: none", E{RequireCookies: true}, false, ask(), packet("1234 8200 0001 0000 0000 0001", mail, "0001 0001", ours, none)},
		{"cookie required: no EDNS", E{RequireCookies: true}, false, packet(head, mail, "0001 0001"), packet("1234 8200 0001 0000 0000 0000", mail, "0001 0001")},
		{"cookie required: TCP", E{RequireCookies: true}, true, ask(), told()},
		{"cookie required: TCP, client's alone", E{RequireCookies: true}, true, ask(onlyClient), told(baked(0))},
		{"cookie required: no question", E{RequireCookies: true}, false, packet("1234 0000 0000 0000 0000 0001", anOPT, withOptions(onlyClient)), packet("1234 8000 0000 0000 0000 0001", ours, withOptions(baked(0)))},

		{"version", E{Version: "Jurymast"}, false, version, packet("1234 8400 0001 0001 0000 0001", "name:Version.Bind", "0010 0003", "c00c 0010 0003 00000000 0009 08"+hexOf("Jurymast"), ours, none)},
		{"version, ANY", E{Version: "J"}, false, packet(head, "name:version.server", "00ff 0003"), packet("1234 8400 0001 0001 0000 0000", "name:version.server", "00ff 0003", "c00c 0010 0003 00000000 0002 01"+hexOf("J"))},
		{"version, A", E{Version: "J"}, false, packet(head, "name:version.server", "0001 0003"), packet("1234 8005 0001 0000 0000 0000", "name:version.server", "0001 0003")},
		{"id", E{ID: "fra1"}, false, packet(head, "name:hostname.bind", "0010 0003"), packet("1234 8400 0001 0001 0000 0000", "name:hostname.bind", "0010 0003", "c00c 0010 0003 00000000 0005 04"+hexOf("fra1"))},
		{"id, not configured", E{Version: "J"}, false, packet(head, "name:id.server", "0010 0003"), packet("1234 8005 0001 0000 0000 0000", "name:id.server", "0010 0003")},
		{"another name", E{Version: "J", ID: "x"}, false, packet(head, "name:authors.bind", "0010 0003"), packet("1234 8005 0001 0000 0000 0000", "name:authors.bind", "0010 0003")},
		{"our names in CH", E{Version: "J", ID: "x"}, false, packet(head, apex, "0010 0003"), packet("1234 8005 0001 0000 0000 0000", apex, "0010 0003")},
	} {
		if got := with(t, c.set).srv.RawFrom(c.pkt, c.stream, aSender); !bytes.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %x\nwant %x", c.name, got, c.want)
		}
	}
}

// A connection's idle time is told over streams to those who ask, in units of 100 ms.
func TestKeepalive(t *testing.T) {
	f := with(t, nameserver.EDNS{})
	asked := packet(opt, mail, "0001 0001", anOPT, withOptions("000b 0000"))
	for idle, want := range map[uint16]string{1: "0001", 100: "0064", 65535: "ffff"} {
		if got := f.srv.RawIdle(asked, aSender, idle); !bytes.Equal(got, packet(answer, mail, "0001 0001", mailA, ours, withOptions("000b 0002"+want))) {
			t.Errorf("idle %d: %x", idle, got)
		}
	}
	for name, pkt := range map[string][]byte{"not asked": packet(opt, mail, "0001 0001", anOPT, none), "no EDNS": packet(head, mail, "0001 0001")} {
		if got := f.srv.RawIdle(pkt, aSender, 10); bytes.Contains(got, packet("000b 0002")) {
			t.Errorf("%s: %x", name, got)
		}
	}
	if got := f.srv.RawFrom(asked, false, aSender); !bytes.Equal(got, packet(answer, mail, "0001 0001", mailA, ours, none)) {
		t.Errorf("over UDP: %x", got)
	}
}

// Cookies of one address are worth nothing from another, and the secrets may change under the server.
func TestCookiesOfOthers(t *testing.T) {
	jar := cookie.NewJar(cookie.Secrets{Issue: cookie.Secret{9}})
	f := create(nameserver.Options{Cookies: jar, EDNS: nameserver.EDNS{RequireCookies: true}})
	f.srv.SetNow(thisHour)
	f.publish(t, 7, []*profile.Zone{testZone(records)}, nil, nil)
	cookieFor := func(from string) []byte { return f.cookie(t, onlyClient, from) }
	rcode := func(from string, c []byte) byte {
		return f.srv.RawFrom(packet(opt, mail, "0001 0001", anOPT, withOptions("000a 0018"+hex.EncodeToString(c))), false, netip.MustParseAddr(from))[3]
	}
	one := cookieFor("192.0.2.1")
	six := cookieFor("2001:db8::1")
	if rcode("192.0.2.1", one) != 0 || rcode("::ffff:192.0.2.1", one) != 0 || rcode("192.0.2.2", one) != 7 || rcode("2001:db8::1", one) != 7 || rcode("2001:db8::1", six) != 0 {
		t.Error("a cookie holds for the address it was given to alone")
	}
	jar.Store(cookie.Secrets{Issue: cookie.Secret{8}, Verify: []cookie.Secret{{9}}})
	if rcode("192.0.2.1", one) != 0 || bytes.Equal(cookieFor("192.0.2.1"), one) {
		t.Error("after a roll old cookies hold, and new ones are made with the new secret")
	}
	jar.Store(cookie.Secrets{Issue: cookie.Secret{8}})
	if rcode("192.0.2.1", one) != 7 {
		t.Error("a dropped secret still counts")
	}
}

// cookie is the contents of the option that comes back for a question from an address.
func (f *fixture) cookie(t testing.TB, option, from string) []byte {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(f.srv.RawFrom(packet(opt, mail, "0001 0001", anOPT, withOptions(option)), false, netip.MustParseAddr(from))); err != nil {
		t.Fatal(err)
	}
	c, ok := m.IsEdns0().Option[0].(*dns.EDNS0_COOKIE)
	if !ok {
		t.Fatalf("no cookie: %v", m)
	}
	return packet(c.Cookie)
}

// Two servers without shared secrets do not know each other's cookies.
func TestOwnSecret(t *testing.T) {
	var cookies [][]byte
	for range 2 {
		f := create(nameserver.Options{})
		f.srv.SetNow(thisHour)
		f.publish(t, 7, []*profile.Zone{testZone(records)}, nil, nil)
		cookies = append(cookies, f.cookie(t, onlyClient, "192.0.2.1"))
	}
	if bytes.Equal(cookies[0], cookies[1]) {
		t.Errorf("the same cookie twice: %x", cookies[0])
	}
}

func TestCookieMetrics(t *testing.T) {
	f := with(t, nameserver.EDNS{})
	for _, option := range []string{onlyClient, baked(0), baked(1), baked(2000), baked(4000)} {
		f.srv.RawFrom(packet(opt, mail, "0001 0001", anOPT, withOptions(option)), false, aSender)
	}
	f.srv.RawFrom(packet("1234 0000 0000 0000 0000 0001", anOPT, withOptions(baked(4000))), false, aSender)
	for name, want := range map[string]float64{
		"cookies_total state=missing": 1, "cookies_total state=valid": 2, "cookies_total state=renewed": 1, "cookies_total state=wrong": 2,
		"responses_total rcode=BADCOOKIE": 1,
	} {
		if got := f.counter(t, name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestEDNSOf(t *testing.T) {
	decode := func(text string) nameserver.EDNS {
		f, err := profile.DecodeFile("f", []byte("node: {name: fra-1, nameserver: {"+text+"}}"))
		if err != nil {
			t.Fatal(err)
		}
		return nameserver.EDNSOf(&f.Node.Nameserver, f.Node.Name)
	}
	if got := decode(""); got.NSID != "b7c9160a" || got.NoCookies || got.RequireCookies || got.Subnets.Off || got.NoErrors || got.NoErrorText || got.UDPSize != 1232 || got.Version+got.ID != "" {
		t.Errorf("the defaults are %+v", got)
	}
	got := decode(`cookies: {enabled: false}, ecs: off, nsid: off, ede: off, ede_text: off, udp_size: 600, chaos: {version: v, id: i}`)
	if got.NSID != "" || !got.NoCookies || !got.Subnets.Off || !got.NoErrors || !got.NoErrorText || got.UDPSize != 600 || got.Version != "v" || got.ID != "i" {
		t.Errorf("%+v", got)
	}
	got = decode(`cookies: {require: always}, ecs: [192.0.2.1, 2001:db8::/32], nsid: fra`)
	if got.NSID != "fra" || !got.RequireCookies || !slices.Equal(got.Subnets.From, []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32")}) {
		t.Errorf("%+v", got)
	}
}

// Static addresses begin elsewhere for each question: up to 8 orders, each the set as it stands turned around. Other
// types, zones that want it otherwise and explain keep the order of the text.
func TestRotation(t *testing.T) {
	text := "r A 192.0.2.1\nr A 192.0.2.2\nr A 192.0.2.3\nr TXT a\nr TXT b\none A 192.0.2.9\nalias CNAME r\n"
	for i := range 20 {
		text += "many AAAA 2001:db8::" + string(rune('a'+i%6)) + hex.EncodeToString([]byte{byte(i)}) + "\n"
	}
	build := func(order profile.Order) *fixture {
		f, z := create(nameserver.Options{}), testZone(text)
		z.Order = order
		var n uint64
		f.srv.SetDice(func() uint64 { n++; return n - 1 })
		f.publish(t, 7, []*profile.Zone{z}, nil, nil)
		return f
	}
	seen := func(f *fixture, name, typ string) (orders []string) {
		loop := f.srv.RawLoop()
		for range 40 {
			m := new(dns.Msg)
			if err := m.Unpack(loop(packet(opt, "name:"+name+".dr.example", typ, anOPT, none), t0Addr)); err != nil {
				t.Fatal(err)
			}
			var list []string
			for _, rr := range m.Answer {
				list = append(list, strings.Fields(rr.String())[4])
			}
			if order := strings.Join(list, " "); !slices.Contains(orders, order) {
				orders = append(orders, order)
			}
		}
		return orders
	}
	f := build(profile.OrderRotate)
	want := []string{"192.0.2.1 192.0.2.2 192.0.2.3", "192.0.2.2 192.0.2.3 192.0.2.1", "192.0.2.3 192.0.2.1 192.0.2.2"}
	if got := seen(f, "r", "0001 0001"); !slices.Equal(got, want) {
		t.Errorf("orders are %q", got)
	}
	if got := seen(f, "alias", "0001 0001"); len(got) != 3 {
		t.Errorf("behind an alias the orders are %q", got)
	}
	many := seen(f, "many", "001c 0001")
	if len(many) != 8 {
		t.Errorf("%d orders of 20 addresses", len(many))
	}
	for _, order := range many {
		if list := strings.Fields(order); len(list) != 20 || len(slices.Compact(slices.Sorted(slices.Values(list)))) != 20 {
			t.Errorf("%d addresses: %s", len(list), order)
		}
	}
	if len(seen(f, "r", "0010 0001")) != 1 || len(seen(f, "one", "0001 0001")) != 1 || len(seen(build(profile.OrderFixed), "r", "0001 0001")) != 1 {
		t.Error("something rotates that must not")
	}
	for range 3 {
		if e, err := f.srv.Explain(f.hub.Load(), "r.dr.example", "A", t0Addr); err != nil || !strings.HasSuffix(e.Answer[0], "192.0.2.1") {
			t.Errorf("explained as %v, %v", e.Answer, err)
		}
	}
	loop := f.srv.RawLoop()
	pkt := packet(opt, "name:many.dr.example", "001c 0001", anOPT, withOptions(onlyClient, "0003 0000", "0008 0007 0001 18 00 c00002"))
	if n := testing.AllocsPerRun(100, func() { loop(pkt, t0Addr) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
