package nameserver_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
)

// asker asks one question after the other over one connection and checks every answer.
type asker struct {
	network string
	conn    *dns.Conn
	serial  uint32
	targets map[string]int
}

func newAsker(t *testing.T, network string, at netip.AddrPort) *asker {
	conn, err := net.Dial(network, at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &asker{network: network, conn: &dns.Conn{Conn: conn}, targets: map[string]int{}}
}

func (a *asker) exchange(m *dns.Msg) (*dns.Msg, error) {
	_ = a.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if err := a.conn.WriteMsg(m); err != nil {
		return nil, err
	}
	r, err := a.conn.ReadMsg()
	switch {
	case err != nil:
		return nil, err
	case r.Id != m.Id || r.Rcode != 0 || !r.Authoritative || len(r.Answer) != 1:
		return nil, fmt.Errorf("answer %v", r)
	}
	return r, nil
}

func (a *asker) once() error {
	r, err := a.exchange(query("svc.dr.example.", dns.TypeA))
	if err != nil {
		return err
	}
	cname, ok := r.Answer[0].(*dns.CNAME)
	if !ok {
		return fmt.Errorf("not a CNAME: %v", r.Answer)
	}
	a.targets[cname.Target]++
	if r, err = a.exchange(query("dr.example.", dns.TypeSOA)); err != nil {
		return err
	}
	soa, ok := r.Answer[0].(*dns.SOA)
	if !ok || soa.Serial < a.serial {
		return fmt.Errorf("serial went back from %d: %v", a.serial, r.Answer)
	}
	a.serial = soa.Serial
	return nil
}

// While zones are reloaded and health flips under load, every question is answered, and rightly: nothing is lost, no
// answer mixes two states, no serial goes back.
func TestHotSwapLosesNothing(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0")
	at := f.serve(t)
	ps := standard()
	changes := make(chan struct{}, 100)
	var publisher, clients sync.WaitGroup
	gen := uint64(100)
	f.publish(t, gen, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
	publisher.Go(func() {
		for i := range len(words) * 1000 {
			if _, more := <-changes; !more {
				return
			}
			if i%3 == 0 {
				gen++
				f.publish(t, gen, []*profile.Zone{testZone(records + fmt.Sprintf("n%d IN A 192.0.2.1\n", i))}, ps, standardViews(ps))
			}
			f.hub.Publish(nil, view(ps[0], words[i%len(words)], nil))
		}
	})
	askers := []*asker{newAsker(t, "udp", at), newAsker(t, "udp", at), newAsker(t, "udp", at), newAsker(t, "tcp", at)}
	for _, a := range askers {
		clients.Go(func() {
			for i := range 1500 {
				if err := a.once(); err != nil {
					t.Errorf("%s question %d: %v", a.network, i, err)
					return
				}
				if i%10 == 0 {
					changes <- struct{}{}
				}
			}
		})
	}
	clients.Wait()
	close(changes)
	publisher.Wait()
	for _, a := range askers {
		if len(a.targets) != 2 || a.serial <= 100 {
			t.Errorf("%s saw %v, serial %d: the test changed nothing", a.network, a.targets, a.serial)
		}
	}
	if n := f.counter(t, "panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}

var words = []string{"du", "uu", "ud", "dd"}

// Closing answers what has arrived, ends idle connections at once and may be repeated.
func TestCloseAnswersWhatHasArrived(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0")
	if err := f.srv.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := f.srv.Addrs()[0]
	// Before Serve the questions wait in the sockets.
	const n = 50
	conns := make([]*asker, n)
	for i := range conns {
		conns[i] = newAsker(t, "udp", at)
		if err := conns[i].conn.WriteMsg(query("dr.example.", dns.TypeSOA)); err != nil {
			t.Fatal(err)
		}
	}
	idle := newAsker(t, "tcp", at)
	f.srv.Serve()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 2 {
		if err := f.srv.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("closing took %v with an idle connection", took)
	}
	for i, c := range conns {
		_ = c.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.conn.ReadMsg(); err != nil {
			t.Fatalf("question %d of %d: %v", i, n, err)
		}
	}
	_ = idle.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := idle.conn.Read(make([]byte, 1)); err == nil {
		t.Error("the idle connection is open")
	}
	if len(f.srv.Addrs()) != 0 {
		t.Error("addresses are left")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0")
	if err := f.srv.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := f.srv.Addrs()[0]
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.srv.Run(ctx) }()
	ask(t, "tcp", at, query("dr.example.", dns.TypeSOA))
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
