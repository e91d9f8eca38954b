//go:build linux

package app_test

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// parentServer is the one server of the parent; it answers with the DS it has.
type parentServer struct {
	at string
	ds atomic.Pointer[string]
}

func startParent(t *testing.T) *parentServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	p := &parentServer{at: conn.LocalAddr().String()}
	ready := make(chan struct{})
	s := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(ready) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		if ds := p.ds.Load(); ds != nil {
			rr, err := dns.NewRR("dr.example. 60 IN DS " + *ds)
			if err == nil {
				m.Answer = append(m.Answer, rr)
			}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = s.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() { _ = s.Shutdown() })
	return p
}
