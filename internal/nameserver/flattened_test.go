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
	for _, text := range strings.Fields(p.book[name]) {
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
