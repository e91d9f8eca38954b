package parent

import (
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

const ours = "12345 13 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"

// pretended is a name server that answers what say makes of a question.
func pretended(t *testing.T, say func(m, q *dns.Msg)) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	s := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(ready) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		say(m, q)
		_ = w.WriteMsg(m)
	})}
	go func() { _ = s.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() { _ = s.Shutdown() })
	return netip.MustParseAddrPort(conn.LocalAddr().String())
}

func with(records ...string) func(m, q *dns.Msg) {
	return func(m, _ *dns.Msg) {
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, rr)
		}
	}
}

func TestAskEveryServer(t *testing.T) {
	ds := "dr.example. 7200 IN DS " + ours
	other := "dr.example. 3600 IN DS 1 13 2 " + strings.Repeat("AB", 32)
	lame := func(m, _ *dns.Msg) { m.Authoritative = false }
	fails := func(m, _ *dns.Msg) { m.Rcode = dns.RcodeServerFailure }
	missing := func(m, _ *dns.Msg) { m.Rcode = dns.RcodeNameError }
	for _, row := range []struct {
		what    string
		servers []func(m, q *dns.Msg)
		all     bool
		ds      int
		trouble string
	}{
		{"both have it", []func(m, q *dns.Msg){with(ds), with(ds)}, true, 1, ""},
		{"another order is the same", []func(m, q *dns.Msg){with(ds, other), with(other, ds)}, true, 2, ""},
		{"none has any", []func(m, q *dns.Msg){with(), missing}, true, 0, ""},
		{"one lags", []func(m, q *dns.Msg){with(ds), with()}, false, 1, "has other DS"},
		{"one is lame", []func(m, q *dns.Msg){with(ds), lame}, false, 1, "not authoritative"},
		{"one fails", []func(m, q *dns.Msg){fails, with(ds)}, false, 1, "SERVFAIL"},
		{"of another name", []func(m, q *dns.Msg){with("example. 1 IN DS " + ours)}, true, 0, ""},
	} {
		t.Run(row.what, func(t *testing.T) {
			var list []netip.AddrPort
			for _, say := range row.servers {
				list = append(list, pretended(t, say))
			}
			got := (&Client{}).Ask(t.Context(), "dr.example", list)
			if got.All != row.all || len(got.DS) != row.ds || !strings.Contains(got.Trouble, row.trouble) || (row.trouble == "") != (got.Trouble == "") {
				t.Errorf("%+v", got)
			}
			if row.what == "both have it" && (got.DS[0].String() != ours || got.TTL.Hours() != 2) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// The parent's servers are found by asking upwards, and asked at all their addresses.
func TestFindTheParent(t *testing.T) {
	var asked atomic.Int32
	resolver := pretended(t, func(m, q *dns.Msg) {
		asked.Add(1)
		m.Authoritative = false
		switch one := q.Question[0]; {
		case one.Name == "example." && one.Qtype == dns.TypeNS:
			with("example. 60 IN NS ns2.example.", "example. 60 IN NS NS1.example.")(m, q)
		case one.Qtype == dns.TypeA:
			with(one.Name+" 60 IN A 127.0.0.9")(m, q)
		case one.Qtype == dns.TypeNS:
			m.Rcode = dns.RcodeNameError
		}
	})
	c := &Client{Resolvers: func() []netip.AddrPort { return []netip.AddrPort{resolver} }}
	list, err := c.find(t.Context(), "a.dr.example.")
	if err != nil || len(list) != 2 || list[0].name != "ns1.example." || list[1].addrs[0] != netip.MustParseAddrPort("127.0.0.9:53") {
		t.Fatalf("%+v, %v", list, err)
	}
	if n := asked.Load(); n != 2+4 {
		t.Errorf("%d questions", n)
	}
	if got := (&Client{Resolvers: func() []netip.AddrPort { return nil }}).Ask(t.Context(), "dr.example", nil); got.All || !strings.Contains(got.Trouble, "dnssec.parents") {
		t.Errorf("without resolvers: %+v", got)
	}
}

// What no server says is unknown, and the text names an address once.
func TestAskTellsWhoAnswers(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := netip.MustParseAddrPort(conn.LocalAddr().String())
	_ = conn.Close()
	got := (&Client{}).Ask(t.Context(), "dr.example", []netip.AddrPort{closed})
	if got.Heard != 0 || got.Servers != 1 || strings.Count(got.Trouble, closed.String()) != 1 || !strings.Contains(got.Trouble, "refused") {
		t.Errorf("%+v", got)
	}
	ds, other := "dr.example. 7200 IN DS "+ours, "dr.example. 3600 IN DS 1 13 2 "+strings.Repeat("AB", 32)
	got = (&Client{}).Ask(t.Context(), "dr.example", []netip.AddrPort{pretended(t, with(ds, other)), closed, pretended(t, with(ds))})
	if got.Heard != 2 || got.All || len(got.DS) != 2 || len(got.Common) != 1 || got.Common[0].String() != ours {
		t.Errorf("%+v", got)
	}
}
