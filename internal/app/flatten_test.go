//go:build linux

package app_test

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/api"
)

// provider is a resolver that knows one host.
func provider(t *testing.T, at, host, addr string) (stop func()) {
	t.Helper()
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(t.Context(), "udp", at)
	must(t, err)
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		if strings.EqualFold(q.Question[0].Name, host+".") && q.Question[0].Qtype == dns.TypeA {
			rr, _ := dns.NewRR(fmt.Sprintf("%s. 2 IN A %s", host, addr))
			m.Answer = append(m.Answer, rr)
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = s.ActivateAndServe() }()
	stop = func() { _ = s.Shutdown() }
	t.Cleanup(stop)
	return stop
}

// A whole node whose profile has the apex and a host name as target: ready with its addresses, through changes of the
// documents, and while the resolver is lost.
func TestFlattenedApex(t *testing.T) {
	s := newSite(t)
	at := loopback() + ":5353"
	stop := provider(t, at, "site.cdn.test", "192.0.2.7")
	text := func(target string) string {
		out := strings.Replace(s.text(), "hostnames: [", "hostnames: [dr.example, ", 1)
		out = strings.Replace(out, "nameserver: {listen", fmt.Sprintf("nameserver: {resolvers: [%q], listen", at), 1)
		return strings.Replace(out, "target: 127.0.0.11", "target: "+target, 1)
	}
	s.startTenants()
	s.write(text("site.cdn.test"))
	s.startNode()
	s.awaitReady(20 * time.Second)
	for _, name := range []string{"dr.example", host} { // the other target is an address, so neither name is ever a CNAME
		if got := askFor(s.dns, name); got != "192.0.2.7" {
			t.Errorf("%s is %q as soon as the node is ready", name, got)
		}
	}
	var e api.Explanation
	if !s.get("/api/v1/explain?"+url.Values{"name": {"dr.example"}}.Encode(), &e) || len(e.Trail) == 0 || !strings.HasPrefix(e.Trail[len(e.Trail)-1].Result, "fresh: 192.0.2.7, told by "+at) {
		t.Errorf("%+v", e.Trail)
	}
	if n := s.nodeStatus(); len(n.Flattened) != 1 || n.Flattened[0].State != "fresh" || len(n.Alarms) != 0 {
		t.Errorf("%+v %q", n.Flattened, n.Alarms)
	}
	stop()
	eventually(t, 20*time.Second, "the loss is told", func() bool {
		n := s.nodeStatus()
		return n.Flattened[0].State == "stale" && len(n.Alarms) == 1 && strings.Contains(n.Alarms[0], "site.cdn.test")
	})
	if got := askFor(s.dns, "dr.example"); got != "192.0.2.7" {
		t.Errorf("without the resolver it is %q", got)
	}
	provider(t, at, "other.cdn.test", "192.0.2.8")
	s.write(text("other.cdn.test"))
	eventually(t, 20*time.Second, "the new target is answered, and never nothing", func() bool {
		got := askFor(s.dns, "dr.example")
		if got != "192.0.2.7" && got != "192.0.2.8" {
			t.Errorf("in between it is %q", got)
		}
		return got == "192.0.2.8"
	})
}
