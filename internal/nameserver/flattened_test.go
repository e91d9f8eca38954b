package nameserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/flatten"
	"jurymast/internal/profile"
)

// phone is the resolvers of these tests: addresses by name, "!" for SERVFAIL, "..." for silence. What it does not know
// has no address.
type phone struct {
	mu    sync.Mutex
	book  map[string]string
	asked []string
}

var phoneAt = netip.MustParseAddrPort("192.0.2.53:53")

func (p *phone) Look(_ context.Context, name string, typ uint16, _, _ netip.AddrPort) flatten.Reply {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, name)
	var list []netip.Addr
	ttl := 20 * time.Second
	for text := range strings.FieldsSeq(p.book[name]) {
		switch text {
		case "!":
			return flatten.Failed(errors.New("it answers SERVFAIL"), false)
		case "...":
			return flatten.Failed(errors.New("no answer in time"), true)
		}
		if addr, err := netip.ParseAddr(text); err != nil {
			ttl, _ = time.ParseDuration(text)
		} else if addr.Is4() == (typ == dns.TypeA) {
			list = append(list, addr)
		}
	}
	if len(list) == 0 {
		return flatten.Denied(phoneAt, ttl)
	}
	return flatten.Found(phoneAt, ttl, list...)
}

func (p *phone) set(name, says string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.book[name] = says
}

// flat is a fixture whose targets are looked up in a phone book. It must run in a bubble.
func flat(t *testing.T, p *phone, text string, ps []*profile.Profile, views []*health.View) *fixture {
	t.Helper()
	b, err := flatten.New(flatten.Options{Looker: p, MaxStale: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	f := create(nameserver.Options{Targets: b})
	f.publish(t, 7, []*profile.Zone{testZone(text)}, ps, views)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx, f.srv.Targets) }()
	t.Cleanup(func() { stop(); <-done })
	synctest.Wait()
	return f
}

// asked is the answer to a question in one line, TTLs in front.
func (f *fixture) asked(t *testing.T, q string) string {
	t.Helper()
	name, typ, _ := strings.Cut(q, " ")
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.StringToType[typ])
	m.SetEdns0(1232, false)
	pkt, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	r := new(dns.Msg)
	if err := r.Unpack(f.srv.RawFrom(pkt, false, t0Addr)); err != nil {
		t.Fatal(err)
	}
	ttl := uint32(0)
	for i, rr := range append(r.Answer, r.Ns...) {
		switch h := rr.Header(); {
		case i == 0:
			ttl = h.Ttl
		case h.Ttl != ttl && h.Name == r.Answer[0].Header().Name:
			t.Errorf("%s: TTLs %d and %d", q, ttl, h.Ttl)
		}
		if rr.Header().Rrtype != dns.TypeSOA && !strings.EqualFold(rr.Header().Name, dns.Fqdn(name)) && len(r.Answer) == 1 {
			t.Errorf("%s: owner %s", q, rr.Header().Name)
		}
	}
	return fmt.Sprintf("%d %s", ttl, told(r))
}

const flatRecords = `
$TTL 600
@      IN MX  10 mail
@      IN TXT "hello"
side   IN TXT "beside"
mail   IN A   192.0.2.25
mail   IN AAAA 2001:db8::25
web 15 IN A   192.0.2.80
alias 7 IN CNAME web
away   IN CNAME www.elsewhere.test.
www    IN CNAME @
moved 9 IN DNAME else.test.
sub    IN NS  ns.sub
ns.sub IN A   192.0.2.53
`

// Where a CNAME may not stand, what is answered are the target's addresses.
func TestFlattened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{book: map[string]string{
			"x.test": "192.0.2.2 192.0.2.1 2001:db8::1", "v4.test": "192.0.2.4", "www.elsewhere.test": "192.0.2.5", "deep.else.test": "192.0.2.6",
			"lost.test": "!", "mute.test": "...", "host.sub.dr.example": "192.0.2.7", "five.test": "5s 192.0.2.8",
		}}
		say := func(form profile.AnswerForm, q *profile.Profile) *profile.Profile { q.Answer = form; return q }
		azure := service("azure", names("azure.dr.example"), host("five.test"))
		azure.Compat, azure.Answer = profile.CompatAzure, profile.AnswerFlatten
		ps := profiles(
			service("apex", names("dr.example"), host("x.test")),
			service("side", names("side.dr.example"), host("v4.test")),
			say(profile.AnswerFlatten, service("flat", names("flat.dr.example", "*.flat.dr.example"), host("x.test"))),
			say(profile.AnswerCNAME, service("plain", names("plain.dr.example"), host("x.test"))),
			service("mix", names("mix.dr.example"), addrs("192.0.2.99"), host("x.test")),
			service("parent", names("parent.dr.example"), nested("leaf"), addrs("192.0.2.98")),
			service("leaf", nil, host("v4.test")),
			resort(service("down", names("down.dr.example"), addrs("192.0.2.97")), host("v4.test")),
			say(profile.AnswerFlatten, service("lost", names("lost.dr.example"), host("lost.test"))),
			say(profile.AnswerFlatten, service("mute", names("mute.dr.example"), host("mute.test"))),
			say(profile.AnswerFlatten, service("five", names("five.dr.example"), host("five.test"))),
			azure,
			say(profile.AnswerFlatten, service("in", names("in.dr.example"), host("web.dr.example"))),
			say(profile.AnswerFlatten, service("alias", names("in2.dr.example"), host("alias.dr.example"))),
			say(profile.AnswerFlatten, service("away", names("in3.dr.example"), host("away.dr.example"))),
			say(profile.AnswerFlatten, service("moved", names("in4.dr.example"), host("deep.moved.dr.example"))),
			say(profile.AnswerFlatten, service("cut", names("in5.dr.example"), host("host.sub.dr.example"))),
			say(profile.AnswerFlatten, service("no", names("in6.dr.example"), host("nothing.dr.example"))),
			say(profile.AnswerFlatten, service("other", names("in7.dr.example"), host("flat.dr.example"))),
			say(profile.AnswerFlatten, service("many", names("in8.dr.example"), host("multi.dr.example"))),
			decoded(t, `  - {name: multi, hostnames: [multi.dr.example], routing: multivalue, ttl: 30s, endpoints: [{name: a, target: 192.0.2.61}, {name: b, target: 192.0.2.62}]}`)[0],
			say(profile.AnswerFlatten, service("new", names("in9.dr.example"), host("silent.dr.example"))),
			service("silent", names("silent.dr.example"), addrs("192.0.2.10")),
			say(profile.AnswerFlatten, service("closed", names("in10.dr.example"), host("off.dr.example"))),
			service("off", names("off.dr.example"), addrs("192.0.2.11")),
			service("lost side", names("mail2.dr.example"), host("lost.test")),
		)
		var views []*health.View
		for _, one := range ps {
			for i := range one.Endpoints {
				one.Endpoints[i].Monitor.Interval = time.Minute // so that health allows the profile's 30s
			}
			word := strings.Repeat("u", len(one.Endpoints))
			var change func(*health.View)
			switch one.Name {
			case "mix":
				word = "du"
			case "down":
				word = "d"
			case "off":
				change = disabled
			case "parent":
				change = func(v *health.View) { v.Endpoints[0].Child = view(ps[6], "u", nil) }
			case "silent":
				continue
			}
			views = append(views, view(one, word, change))
		}
		f := flat(t, p, flatRecords+"mail2 IN MX 10 mail\n", ps, views)

		both, v6 := "A 192.0.2.1 A 192.0.2.2", "AAAA 2001:db8::1"
		for q, want := range map[string]string{
			"dr.example A": "20 " + both, "dr.example AAAA": "20 " + v6, "dr.example CNAME": "30 NODATA", "dr.example ANY": "20 " + both,
			"dr.example MX": "600 MX 10 mail.dr.example.", "dr.example TXT": `600 TXT "hello"`, "dr.example NS": "3600 NS ns1.dr.example. NS ns2.dr.example.",
			"dr.example SRV": "30 NODATA", "DR.Example A": "20 " + both,
			"side.dr.example A": "20 A 192.0.2.4", "side.dr.example AAAA": "20 NODATA", "side.dr.example TXT": `600 TXT "beside"`, "side.dr.example CNAME": "30 NODATA",
			"flat.dr.example A": "20 " + both, "any.flat.dr.example A": "20 " + both, "any.flat.dr.example CNAME": "30 NODATA", "any.flat.dr.example TXT": "30 NODATA",
			"plain.dr.example A": "30 CNAME x.test.", "mix.dr.example A": "20 " + both, "mix.dr.example CNAME": "30 NODATA",
			"parent.dr.example A": "20 A 192.0.2.4", "down.dr.example A": "1 A 192.0.2.4 (0)",
			"lost.dr.example A": "0 SERVFAIL (22)", "lost.dr.example AAAA": "0 SERVFAIL (22)", "lost.dr.example TXT": "30 NODATA", "lost.dr.example ANY": "0 SERVFAIL (22)",
			"mute.dr.example A": "0 SERVFAIL (23)", "mail2.dr.example A": "0 SERVFAIL (22)", "mail2.dr.example MX": "600 MX 10 mail.dr.example.", "mail2.dr.example ANY": "600 MX 10 mail.dr.example.",
			"five.dr.example A": "5 A 192.0.2.8", "azure.dr.example A": "30 A 192.0.2.8",
			"in.dr.example A": "15 A 192.0.2.80", "in.dr.example AAAA": "30 NODATA", "in2.dr.example A": "7 A 192.0.2.80", "in3.dr.example A": "20 A 192.0.2.5",
			"in4.dr.example A": "9 A 192.0.2.6", "in5.dr.example A": "20 A 192.0.2.7", "in6.dr.example A": "30 NODATA", "in7.dr.example A": "20 " + both,
			"in9.dr.example A": "0 SERVFAIL (14)", "in10.dr.example A": "30 NODATA (0)",
		} {
			if got := f.asked(t, q); got != want {
				t.Errorf("%s: got %q, want %q", q, got, want)
			}
		}
		if got := f.asked(t, "in8.dr.example A"); !strings.HasPrefix(got, "30 A 192.0.2.6") || !strings.Contains(got, " A 192.0.2.61") || !strings.Contains(got, " A 192.0.2.62") {
			t.Errorf("a name with several endpoints' addresses: %s", got)
		}
		if got := f.asked(t, "www.dr.example A"); got != "600 CNAME dr.example. "+both {
			t.Errorf("an alias of a flattened name: %s", got)
		}
		for _, name := range p.asked {
			if strings.HasSuffix(name, "dr.example") && name != "host.sub.dr.example" {
				t.Errorf("a resolver was asked for %s, which is ours", name)
			}
		}
	})
}

// What a flattened name answers while its target's resolvers come and go.
func TestFlattenedOverTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{book: map[string]string{"x.test": "192.0.2.1"}}
		ps := profiles(service("apex", names("dr.example"), host("x.test")))
		ps[0].Endpoints[0].Monitor.Interval = time.Minute
		f := flat(t, p, flatRecords, ps, []*health.View{view(ps[0], "u", nil)})
		step := func(after time.Duration, says, want, six string) {
			t.Helper()
			if says != "" {
				p.set("x.test", says)
			}
			time.Sleep(after)
			if got := f.asked(t, "dr.example A"); got != want {
				t.Errorf("A: got %q, want %q", got, want)
			}
			if got := f.asked(t, "dr.example AAAA"); got != six {
				t.Errorf("AAAA: got %q, want %q", got, six)
			}
		}
		step(0, "", "20 A 192.0.2.1", "20 NODATA")
		step(5*time.Second, "...", "15 A 192.0.2.1", "15 NODATA")
		step(30*time.Second, "", "30 A 192.0.2.1 (3)", "30 NODATA (3)")
		step(50*time.Minute, "!", "30 A 192.0.2.1 (3)", "30 NODATA (3)")
		step(20*time.Minute, "", "0 SERVFAIL (22)", "0 SERVFAIL (22)")
		p.set("x.test", "1h 192.0.2.2 2001:db8::2")
		time.Sleep(35 * time.Second) // longer than between two tries
		step(0, "", "30 A 192.0.2.2", "30 AAAA 2001:db8::2")
	})
}

// New documents with another target: the earlier answer stays until the new target's addresses may be known, and a
// target of both is not forgotten in between.
func TestFlattenedTargetChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{book: map[string]string{"x.test": "192.0.2.1", "y.test": "192.0.2.2"}}
		ps := profiles(service("apex", names("dr.example"), host("x.test")), service("plain", names("p.dr.example"), host("y.test")))
		views := []*health.View{view(ps[0], "u", nil), view(ps[1], "u", nil)}
		f := flat(t, p, flatRecords, ps, views)
		if got := f.asked(t, "p.dr.example A"); !strings.Contains(got, "CNAME y.test.") {
			t.Error(got)
		}
		// Only the zone changes: the profile's part is carried over, and its name is flattened from now on.
		f.publish(t, 8, []*profile.Zone{testZone(flatRecords + "p IN TXT now\n")}, ps, nil)
		synctest.Wait()
		for q, want := range map[string]string{"p.dr.example A": "A 192.0.2.2", "p.dr.example TXT": `TXT "now"`, "p.dr.example CNAME": "NODATA", "dr.example A": "A 192.0.2.1"} {
			if got := f.asked(t, q); !strings.HasSuffix(got, " "+want) {
				t.Errorf("%s: %s", q, got)
			}
		}
		f.publish(t, 9, []*profile.Zone{testZone(flatRecords)}, ps, nil)
		if got := f.asked(t, "p.dr.example A"); !strings.Contains(got, "CNAME y.test.") {
			t.Error(got)
		}
	})
}

// An explanation tells the way from the target to the addresses, and how old they are.
func TestFlattenedExplained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{book: map[string]string{"x.test": "192.0.2.1"}}
		ps := profiles(service("apex", names("dr.example"), host("svc.dr.example")), service("svc", names("svc.dr.example"), host("x.test")), service("lost", names("side.dr.example"), host("no.dr.example")))
		f := flat(t, p, flatRecords, ps, []*health.View{view(ps[0], "u", nil), view(ps[1], "u", nil), view(ps[2], "u", nil)})
		time.Sleep(3 * time.Second)
		e, err := f.srv.Explain(f.hub.Load(), "dr.example", "ANY", t0Addr)
		if err != nil || len(e.Flattened) != 2 || e.Profile != "apex" || e.Endpoint != "a" {
			t.Fatalf("%+v %v", e, err)
		}
		if one := e.Flattened[0]; one.Target != "svc.dr.example" || one.Profile != "svc" || one.Lookup != nil {
			t.Errorf("%+v", one)
		}
		if two := e.Flattened[1]; two.Target != "x.test" || two.Lookup == nil || two.Lookup.State != flatten.Fresh || two.Lookup.TTL != 17 || two.Lookup.Resolver != phoneAt.String() {
			t.Errorf("%+v", two)
		}
		if last := e.Trail[len(e.Trail)-1]; last.Step != "flatten" || !strings.HasPrefix(last.Result, "fresh: 192.0.2.1, told by 192.0.2.53:53 3s ago, next lookup in 1") {
			t.Errorf("%+v", last)
		}
		if e, err = f.srv.Explain(f.hub.Load(), "side.dr.example", "A", t0Addr); err != nil || len(e.Flattened) != 1 || e.Trail[len(e.Trail)-1].Result != "zone dr.example has no such name" {
			t.Errorf("%+v %v", e, err)
		}
		warnings, err := nameserver.Warnings(f.hub.Load().Documents())
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "host name side.dr.example of profile lost: endpoint a: target no.dr.example leads to nothing in zone dr.example") {
			t.Errorf("%q %v", warnings, err)
		}
	})
}

// Whoever asks, the addresses are those of this node's resolvers: the scope is that of the choice alone.
func TestFlattenedScopeAndAllocations(t *testing.T) {
	p := &phone{book: map[string]string{"x.test": "192.0.2.1 192.0.2.2 2001:db8::1", "y.test": "192.0.2.3"}}
	b, err := flatten.New(flatten.Options{Looker: p})
	if err != nil {
		t.Fatal(err)
	}
	f := create(nameserver.Options{Targets: b})
	ps := append(decoded(t, `  - {name: net, hostnames: [net.dr.example], answer: flatten, routing: subnet, endpoints: [{name: a, target: x.test, subnets: [203.0.113.0/25]}, {name: b, target: y.test}]}
  - {name: in, hostnames: [in.dr.example], answer: flatten, endpoints: [{name: a, target: many.dr.example}]}
  - {name: many, hostnames: [many.dr.example], routing: multivalue, endpoints: [{name: a, target: 192.0.2.61}, {name: b, target: 192.0.2.62}]}
`), service("apex", names("dr.example"), host("x.test")), service("lost", names("mail.dr.example"), host("net.dr.example")))
	f.publish(t, 7, []*profile.Zone{testZone("mail IN MX 10 mail\n")}, ps, []*health.View{view(ps[0], "uu", nil), view(ps[1], "u", nil), view(ps[2], "uu", nil), view(ps[3], "u", nil), view(ps[4], "u", nil)})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx, f.srv.Targets) }()
	b.Settle(t.Context())
	defer func() { stop(); <-done }()

	for name, want := range map[string]string{"net": "203.0.113.0/24/25", "mail": "203.0.113.0/24/25", "in": "203.0.113.0/24/0"} {
		e, err := f.srv.ExplainSubnet(f.hub.Load(), name+".dr.example", "A", t0Addr, netip.MustParsePrefix("203.0.113.0/24"))
		if err != nil || e.Subnet != want || len(e.Answer) == 0 {
			t.Errorf("%s: %+v %v", name, e, err)
		}
	}
	answer := f.srv.RawLoop()
	for kind, pkt := range map[string][]byte{
		"apex": packet(head, apex, "0001 0001"), "AAAA": packet(head, apex, "001c 0001"), "ANY": packet(head, apex, "00ff 0001"),
		"CNAME": packet(head, apex, "0005 0001"), "subnet": subnetQuestion("net"), "through": subnetQuestion("mail"), "multivalue": subnetQuestion("in"),
	} {
		for range 50 {
			answer(pkt, t0Addr)
		}
		if n := testing.AllocsPerRun(200, func() { answer(pkt, t0Addr) }); n != 0 {
			t.Errorf("%s: %v allocations", kind, n)
		}
	}
}

func BenchmarkFlattened(b *testing.B) {
	p := &phone{book: map[string]string{"x.test": "192.0.2.1"}}
	book, err := flatten.New(flatten.Options{Looker: p})
	if err != nil {
		b.Fatal(err)
	}
	f := create(nameserver.Options{Targets: book})
	ps := profiles(service("apex", names("dr.example"), host("x.test")))
	f.publish(b, 7, []*profile.Zone{testZone("")}, ps, []*health.View{view(ps[0], "u", nil)})
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); book.Run(ctx, f.srv.Targets) }()
	book.Settle(b.Context())
	defer func() { stop(); <-done }()
	answer, pkt := f.srv.RawLoop(), packet(head, apex, "0001 0001")
	for b.Loop() {
		answer(pkt, t0Addr)
	}
}
