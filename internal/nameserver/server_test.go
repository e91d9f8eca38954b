package nameserver_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver"
)

func query(name string, typ uint16) *dns.Msg {
	m := new(dns.Msg).SetQuestion(name, typ)
	m.RecursionDesired = false
	return m
}

func TestLoopback(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0", "[::1]:0", ":0")
	f.serve(t)
	list := f.srv.Addrs()
	for _, at := range append(list, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), list[2].Port())) {
		if at.Addr().IsUnspecified() && at.Addr().Is4() {
			at = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), at.Port())
		} else if at.Addr().IsUnspecified() {
			at = netip.AddrPortFrom(netip.IPv6Loopback(), at.Port())
		}
		for _, network := range []string{"udp", "tcp"} {
			r := ask(t, network, at, query("dR.eXample.", dns.TypeA))
			if r.Rcode != 0 || !r.Authoritative || len(r.Answer) != 2 || r.RecursionAvailable || r.Question[0].Name != "dR.eXample." {
				t.Errorf("%s %s: %v", network, at, r)
			}
			if r = ask(t, network, at, query("elsewhere.test.", dns.TypeA)); r.Rcode != dns.RcodeRefused || len(r.Ns) != 0 {
				t.Errorf("%s %s: %v", network, at, r)
			}
		}
	}
}

func TestTruncatedThenTCP(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0")
	at := f.serve(t)
	q := query("big.dr.example.", dns.TypeTXT)
	r := ask(t, "udp", at, q)
	if !r.Truncated || len(r.Answer) != 0 || len(r.Ns) != 0 {
		t.Fatalf("no room, but %v", r)
	}
	if r = ask(t, "tcp", at, q); r.Truncated || len(r.Answer) != 5 {
		t.Fatalf("over TCP %v", r)
	}
	q.SetEdns0(1232, false)
	if r = ask(t, "udp", at, q); r.Truncated || len(r.Answer) != 5 || r.IsEdns0() == nil {
		t.Fatalf("with EDNS %v", r)
	}
}

func TestListenErrorsNameTheRemedy(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0")
	at := f.serve(t)
	for listen, want := range map[string]string{
		at.String():       "in use",
		"localhost:53":    "names are not resolved",
		"127.0.0.1":       "not host:port",
		"127.0.0.1:x":     "0 to 65535",
		"192.0.2.1:53535": "no interface",
	} {
		g := standardFixture(t, listen)
		err := g.srv.Listen(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), listen) {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

func TestRemedies(t *testing.T) {
	for err, want := range map[error]string{
		syscall.EACCES:        "port 53 needs the capability CAP_NET_BIND_SERVICE",
		syscall.EADDRINUSE:    "another program has port 53",
		syscall.EADDRNOTAVAIL: "no interface of this machine has that address",
		syscall.EINVAL:        "",
	} {
		got := nameserver.Remedy(&net.OpError{Op: "listen", Err: err}, 53)
		if !errors.Is(got, err) || !strings.Contains(got.Error(), want) {
			t.Errorf("%v: %v", err, got)
		}
	}
	if nameserver.Remedy(nil, 53) != nil {
		t.Error("a remedy for nothing")
	}
}
