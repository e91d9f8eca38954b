package trace

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// answers is a scripted server: what it says to a question, nil for silence.
type answers func(q *dns.Msg, tcp bool) *dns.Msg

// town is a set of scripted servers on one port of different loopback addresses, so that referrals work as in the
// world.
type town struct {
	t    *testing.T
	port uint16
}

func newTown(t *testing.T) *town {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return &town{t, netip.MustParseAddrPort(l.LocalAddr().String()).Port()}
}

// at starts a server on 127.0.1.n, so that other tests' sockets on 127.0.0.1 are out of the way.
func (w *town) at(n int, say answers) netip.AddrPort {
	w.t.Helper()
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(n)}), w.port)
	for _, network := range []string{"udp", "tcp"} {
		started := make(chan struct{})
		s := &dns.Server{Addr: addr.String(), Net: network, NotifyStartedFunc: func() { close(started) }}
		s.Handler = dns.HandlerFunc(func(to dns.ResponseWriter, q *dns.Msg) {
			if m := say(q, network == "tcp"); m != nil {
				_ = to.WriteMsg(m)
			}
		})
		failed := make(chan error, 1)
		go func() { failed <- s.ListenAndServe() }()
		select {
		case <-started:
		case err := <-failed:
			w.t.Skipf("%s: %v", addr, err) // a system with one loopback address only
		}
		w.t.Cleanup(func() { _ = s.Shutdown() })
	}
	return addr
}

// said is an answer from lines: flags first (aa ra ad, a response code), then records; "--" begins the authority
// section, "++" the additional one.
func said(q *dns.Msg, lines ...string) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	section := &m.Answer
	for i, line := range lines {
		switch {
		case i == 0:
			for word := range strings.FieldsSeq(line) {
				switch word {
				case "aa":
					m.Authoritative = true
				case "ra":
					m.RecursionAvailable = true
				case "ad":
					m.AuthenticatedData = true
				default:
					m.Rcode = dns.StringToRcode[word]
				}
			}
		case line == "--":
			section = &m.Ns
		case line == "++":
			section = &m.Extra
		default:
			rr, err := dns.NewRR(line)
			if err != nil {
				panic(err)
			}
			*section = append(*section, rr)
		}
	}
	return m
}

// refers is a server that knows one zone below it.
func refers(zone string, glue ...string) answers {
	return func(q *dns.Msg, _ bool) *dns.Msg {
		lines := []string{"", "--"}
		for _, g := range glue {
			name, _, _ := strings.Cut(g, " ")
			lines = append(lines, zone+" 3600 NS "+name)
		}
		lines = append(lines, "++")
		for _, g := range glue {
			if strings.Contains(g, " ") {
				lines = append(lines, g)
			}
		}
		return said(q, lines...)
	}
}

// has is a name server of a zone with these records and one alias step.
func has(zone string, serial int, ns []string, records ...string) answers {
	return func(q *dns.Msg, _ bool) *dns.Msg {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		soa := fmt.Sprintf("%s 60 SOA ns. h. %d 1 2 3 30", zone, serial)
		all := append([]string{soa}, records...)
		for _, n := range ns {
			all = append(all, zone+" 60 NS "+n)
		}
		name, there := dns.CanonicalName(q.Question[0].Name), false
		for range 4 {
			alias := ""
			for _, text := range all {
				rr, err := dns.NewRR(text)
				if err != nil {
					panic(err)
				}
				if dns.CanonicalName(rr.Header().Name) != name {
					continue
				}
				there = true
				c, is := rr.(*dns.CNAME)
				if rr.Header().Rrtype == q.Question[0].Qtype || is {
					m.Answer = append(m.Answer, rr)
				}
				if is {
					alias = dns.CanonicalName(c.Target)
				}
			}
			if name = alias; alias == "" {
				break
			}
		}
		if len(m.Answer) == 0 {
			rr, _ := dns.NewRR(soa)
			m.Ns = append(m.Ns, rr)
			if !there {
				m.Rcode = dns.RcodeNameError
			}
		}
		if opt := q.IsEdns0(); opt != nil {
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "6e31"})
		}
		return m
	}
}

// brief is the patience of tests in which somebody is silent. Where all answer it is longer, so that none is taken for
// silent on a busy machine.
const brief = 300 * time.Millisecond

// run traces without a look at this host, unless o says otherwise.
func run(t *testing.T, o Options) *Report {
	t.Helper()
	if o.Patience == 0 {
		o.Patience = 3 * time.Second
	}
	if o.Root == "" {
		o.NoSystem, o.NoLocal = true, true
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
