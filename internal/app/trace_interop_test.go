//go:build interop && linux

package app_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/testbed"
	"jurymast/internal/witness/trace"
)

// port53 is an address of loopback with the port that resolvers use. Root alone may listen there.
func port53(t *testing.T) netip.AddrPort {
	t.Helper()
	at := netip.MustParseAddrPort(loopback() + ":53")
	l, err := net.ListenPacket("udp", at.String())
	if err != nil {
		if os.Getenv("JURYMAST_INTEROP") == "strict" {
			t.Fatal(err)
		}
		t.Skipf("needs root: %v", err)
	}
	must(t, l.Close())
	return at
}

// rootServer knows one zone, which is not signed.
func rootServer(t *testing.T, at, server netip.AddrPort) {
	t.Helper()
	record := func(format string, args ...any) dns.RR {
		rr, err := dns.NewRR(fmt.Sprintf(format, args...))
		must(t, err)
		return rr
	}
	own, below, glue := record(". 3600 NS r.root."), record("dr.example. 3600 NS ns1.dr.example."), record("ns1.dr.example. 3600 A %s", server.Addr())
	address := record("r.root. 3600 A %s", at.Addr())
	handler := dns.HandlerFunc(func(to dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		switch name := dns.CanonicalName(q.Question[0].Name); {
		case dns.IsSubDomain("dr.example.", name):
			m.Ns, m.Extra = []dns.RR{below}, []dns.RR{glue}
		case name == "." && q.Question[0].Qtype == dns.TypeNS:
			m.Authoritative, m.Answer, m.Extra = true, []dns.RR{own}, []dns.RR{address}
		default:
			m.Authoritative, m.Rcode = true, dns.RcodeNameError
			m.Ns = []dns.RR{record(". 60 SOA r.root. h. 1 2 3 4 5")}
		}
		_ = to.WriteMsg(m)
	})
	for _, network := range []string{"udp", "tcp"} {
		srv := &dns.Server{Addr: at.String(), Net: network, Handler: handler}
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		go func() { _ = srv.ListenAndServe() }()
		<-started
		t.Cleanup(func() { _ = srv.Shutdown() })
	}
}

// unbound starts a resolver with a root of its own. access is what it allows: allow refuses questions without
// recursion, allow_snoop answers them from the cache.
func unbound(t *testing.T, root netip.AddrPort, access string) netip.AddrPort {
	t.Helper()
	path := testbed.Tool(t, "unbound")
	dir, ip := t.TempDir(), loopback()
	at := netip.MustParseAddrPort(ip + ":5300")
	conf, hints := filepath.Join(dir, "unbound.conf"), filepath.Join(dir, "hints")
	must(t, os.WriteFile(hints, fmt.Appendf(nil, ". 3600 IN NS r.root.\nr.root. 3600 IN A %s\n", root.Addr()), 0o600))
	must(t, os.WriteFile(conf, fmt.Appendf(nil, `server:
  interface: %s@%d
  outgoing-interface: 127.0.0.1
  directory: %q
  root-hints: %q
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  do-ip6: no
  num-threads: 1
  qname-minimisation: no
  do-not-query-localhost: no
  module-config: "iterator"
  access-control: 127.0.0.0/8 %s
remote-control:
  control-enable: no
`, ip, at.Port(), dir, hints, access), 0o600))
	cmd := exec.Command(path, "-d", "-c", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // it never outlives the test, however that ends
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	eventually(t, 10*time.Second, "unbound answers", func() bool {
		_, _, err := (&dns.Client{Timeout: 200 * time.Millisecond}).Exchange(new(dns.Msg).SetQuestion("localhost.", dns.TypeA), at.String())
		return err == nil
	})
	return at
}

// holds looks a name up as a client does.
func holds(t *testing.T, resolver netip.AddrPort) string {
	t.Helper()
	m, _, err := (&dns.Client{Timeout: time.Second}).Exchange(new(dns.Msg).SetQuestion(host+".", dns.TypeA), resolver.String())
	if err != nil || len(m.Answer) == 0 {
		return ""
	}
	if a, ok := m.Answer[0].(*dns.A); ok {
		return a.A.String()
	}
	return ""
}

// A failover seen through two resolvers: trace tells that they hold the old answer, and for how long, and that is true to
// the second. One of them answers questions without recursion, so tracing must not fill it; the other refuses them.
func TestInteropTraceUnbound(t *testing.T) {
	s, root := newSite(t), port53(t)
	s.dns = port53(t).String()
	server := netip.MustParseAddrPort(s.dns)
	rootServer(t, root, server)
	s.monitor = "{protocol: http, path: /http/health, interval: 10s, timeout: 300ms, tolerated_failures: 1, recovery_successes: 1}"
	s.startTenants()
	s.write(strings.NewReplacer("ttl: 5s", "ttl: 8s", "ns1 300 A 127.0.0.1", "ns1 300 A "+server.Addr().String()).Replace(s.text()))
	s.startNode()
	s.awaitReady(20 * time.Second)
	eventually(t, 10*time.Second, "eu20 is answered", func() bool { return s.ask() == "127.0.0.11" })
	snoop, plain := unbound(t, root, "allow_snoop"), unbound(t, root, "allow")
	look := func() *trace.Report {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		r, err := trace.Run(ctx, trace.Options{
			Name: host, Roots: []trace.Root{{Name: "r.root.", Addr: root}}, NoSystem: true, NoLocal: true,
			Resolvers: []trace.Resolver{{Addr: snoop, Source: "snoop"}, {Addr: plain, Source: "plain"}},
		})
		must(t, err)
		return r
	}
	for range 2 { // the first look has filled only the one that must be asked as clients ask
		if r := look(); r.Caches[0].State != trace.Empty || r.Caches[1].State != trace.Current || !r.Outlook.Agree {
			t.Fatalf("before anybody asked: %+v", r.Caches)
		}
	}
	eventually(t, 15*time.Second, "both hold eu20 for a while", func() bool {
		old := "127.0.0.11"
		r := look()
		return holds(t, snoop) == old && holds(t, plain) == old && r.Caches[0].State == trace.Current && len(r.Caches[0].Records) == 1 &&
			r.Caches[0].Records[0].TTL >= 4 && r.Caches[1].Records[0].TTL >= 4
	})
	s.order("force-down", "eu20")
	eventually(t, 5*time.Second, "the name server has switched", func() bool { return s.ask() == "127.0.0.12" })
	r := look()
	if len(r.Chain[0].Hops) != 2 || r.Chain[0].Hops[0].Refers != "dr.example." {
		t.Errorf("the delegation: %+v", r.Chain[0].Hops)
	}
	if r.Outlook.Agree || r.Outlook.Old != 2 || r.Chain[0].Records[0].Value != "127.0.0.12" {
		t.Fatalf("after the switch: %+v", r)
	}
	for _, h := range r.Caches {
		if h.State != trace.Old || h.Differs != "A 127.0.0.11" || h.Cached != "yes" || h.Left == 0 || h.Until.After(r.Outlook.By.At) {
			t.Errorf("%+v, by %+v", h, r.Outlook.By)
		}
	}
	switched := [2]time.Time{}
	eventually(t, 20*time.Second, "both have switched", func() bool {
		for i, at := range [2]netip.AddrPort{snoop, plain} {
			if switched[i].IsZero() && holds(t, at) == "127.0.0.12" {
				switched[i] = time.Now()
			}
		}
		return !switched[0].IsZero() && !switched[1].IsZero()
	})
	const slack = 300 * time.Millisecond // between two looks, on a busy machine
	for i := range switched {
		early := r.At.Add(time.Duration(int(r.Caches[i].Left)-1) * time.Second)
		if switched[i].Before(early) || switched[i].After(r.Caches[i].Until.Add(slack)) {
			t.Errorf("resolver %d switched at %v; it told %v left at %v, until %v", i, switched[i], r.Caches[i].Left, r.At, r.Caches[i].Until)
		}
	}
	t.Logf("predicted %v and %v, seen %v and %v after the look", r.Caches[0].Until.Sub(r.At), r.Caches[1].Until.Sub(r.At), switched[0].Sub(r.At), switched[1].Sub(r.At))
	if r := look(); !r.Outlook.Agree || r.Caches[0].State != trace.Current || r.Caches[1].State != trace.Current {
		t.Errorf("at the end: %+v", r)
	}
}
