package inbound

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func (r *rig) transport() *http.Transport {
	tr := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.secure)
		if err != nil {
			return nil, err
		}
		return r.tls(conn, "h2")
	}}
	r.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func fetch(t *testing.T, tr http.RoundTripper, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://p.example"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestServes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	t.Run("plain", func(t *testing.T) {
		c := r.dial("127.0.0.5", r.plain)
		want := fmt.Sprintf("peer=%s local=%s socket=127.0.0.5 listener=%s", c.LocalAddr(), r.plain, r.plain)
		for range 3 {
			if got := c.get("/"); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		c.send("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
		for range 2 {
			if status, _ := c.answer(); status != http.StatusOK {
				t.Errorf("pipelined: %d", status)
			}
		}
	})
	for name, protocols := range map[string][]string{"chosen": {"h2-is-not-ours", "http/1.1"}, "without ALPN": nil} {
		t.Run("TLS, HTTP/1.1 "+name, func(t *testing.T) {
			c := r.dial("", r.secure)
			s, err := r.tls(c.Conn, protocols...)
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("peer=%s local=%s socket=127.0.0.1 listener=%s sni=p.example", c.LocalAddr(), r.secure, r.secure)
			if got := r.on(s).get("/"); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		tr := r.transport()
		for range 3 {
			if got := fetch(t, tr, "/"); !strings.HasPrefix(got, "HTTP/2.0 peer=127.0.0.1:") || !strings.HasSuffix(got, "sni=p.example") {
				t.Error(got)
			}
		}
		if n := r.state(Idle); n == 0 {
			t.Error("no idle connection")
		}
	})
	if ok := r.metric("tls_handshakes_total", "ok"); ok != 3 {
		t.Errorf("%v good handshakes, want 3", ok)
	}
}

// on is a client on a connection that stands.
func (r *rig) on(c net.Conn) *client { return newClient(r.t, c) }

func TestWithoutHTTP2(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.HTTP2 = nil })
	s, err := r.tls(r.dial("", r.secure).Conn, "h2", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("%q agreed on", got)
	}
	r.on(s).get("/")
}

func TestFaultIsContained(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.dial("", r.plain)
	c.send("GET /panic HTTP/1.1\r\n\r\n")
	if !c.over() {
		t.Error("an answer")
	}
	r.dial("", r.plain).get("/")
	if n := r.front.stats.panics.Load(); n != 1 {
		t.Errorf("%d faults counted", n)
	}
}

// TestAddresses: each address is had by several sockets of ours and by nobody else, not even by another front of ours.
func TestAddresses(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Loops = 4 })
	for _, l := range r.front.listeners {
		if len(l.sockets) != 4 {
			t.Errorf("%s has %d sockets, want 4", l.name, len(l.sockets))
		}
		for _, s := range l.sockets {
			if s.Addr().String() != l.name {
				t.Errorf("a socket of %s is on %s", l.name, s.Addr())
			}
		}
	}
	for range 50 { // the kernel spreads them over the sockets
		r.dial("", r.plain).get("/")
	}
	everywhere := newRig(t, func(o *Options) { o.Plain, o.Loops = []string{":0"}, 2 })
	_, port, _ := net.SplitHostPort(everywhere.plain)
	if n := len(everywhere.front.listeners[0].sockets); n != 2 {
		t.Errorf("%d sockets on every address, want 2", n)
	}
	if got := everywhere.dial("127.0.0.4", "127.0.0.6:"+port).get("/"); !strings.Contains(got, "local=127.0.0.6:"+port) || !strings.HasPrefix(got, "peer=127.0.0.4:") {
		t.Error(got)
	}
	serve := func(*Conn) {}
	_, err := Listen(Options{Plain: []string{r.plain}, Serve: serve})
	if err == nil || !strings.Contains(err.Error(), "proxy cannot listen on "+r.plain) || !strings.Contains(err.Error(), "free the address or change node.proxy.http") {
		t.Errorf("the address of another front: %v", err)
	}
	config, _ := certificate(t)
	_, err = Listen(Options{Plain: []string{"127.0.0.1:0"}, Secure: []string{"127.0.0.1:0", r.secure}, TLS: config, Serve: serve})
	if err == nil || !strings.Contains(err.Error(), "node.proxy.https") {
		t.Errorf("the secure address of another front: %v", err)
	}
	for name, o := range map[string]Options{"Serve": {Plain: []string{"127.0.0.1:0"}}, "TLS": {Secure: []string{"127.0.0.1:0"}, Serve: serve}} {
		if _, err := Listen(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestNeverStarted(t *testing.T) {
	t.Parallel()
	for _, end := range []func(*Front) error{(*Front).Close, func(f *Front) error { return f.Shutdown(t.Context()) }} {
		config, _ := certificate(t)
		f, err := Listen(Options{Plain: []string{"127.0.0.1:0"}, Secure: []string{"127.0.0.1:0"}, TLS: config, HTTP2: http.NotFoundHandler(), Serve: func(*Conn) {}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := end(f); err != nil {
				t.Error(err)
			}
		}
		plain, _ := f.Addrs()
		again, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", plain[0].String())
		if err != nil {
			t.Fatalf("the address is still taken: %v", err)
		}
		again.Close()
	}
}

func TestPerClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.PerClient, o.TrustedProxies = 2, []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}
	})
	first, second := r.dial("127.0.0.2", r.plain), r.dial("127.0.0.2", r.plain)
	first.get("/")
	second.get("/")
	for range 3 {
		if !r.refuses("127.0.0.2", r.plain) {
			t.Error("the third connection of a client is answered")
		}
	}
	if n := r.metric("connections_refused_total", r.plain, "per-client"); n != 3 {
		t.Errorf("%v refused, want 3", n)
	}
	if n := strings.Count(r.log.String(), "a client is refused"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
	r.dial("127.0.0.3", r.plain).get("/")
	for range 5 {
		r.dial("127.0.0.9", r.plain).get("/") // trusted
	}
	first.get("/")
	first.Close()
	r.eventually("the first is over", func() bool { return r.front.Connections() == 7 })
	r.dial("127.0.0.2", r.plain).get("/")
	if !r.refuses("127.0.0.2", r.secure) {
		t.Error("the limit does not hold for all listeners together")
	}
}

func TestShareOf(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::", "::1": "::",
	} {
		if got := shareOf(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s counts as %s, want %s", in, got, want)
		}
	}
	var b book
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::")
	if !b.take(one, 1) || b.take(one, 1) || !b.take(two, 1) || b.take(one, 0) || !b.take(one, -1) {
		t.Error("wrong counts")
	}
	b.putBack(one)
	b.putBack(one)
	b.putBack(two)
	for i := range b.clients {
		if len(b.clients[i].n) != 0 {
			t.Error("somebody without connections is still known")
		}
	}
}

// TestPause: at the limit clients wait in the kernel; each end of a connection lets exactly one in.
func TestPause(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.PerListener, o.Loops = 3, 2 })
	var served []*client
	for range 3 {
		served = append(served, r.dial("", r.plain))
		served[len(served)-1].get("/")
	}
	var waiting []*client
	for range 10 {
		c := r.dial("", r.plain)
		c.send("GET / HTTP/1.1\r\n\r\n")
		waiting = append(waiting, c)
	}
	r.eventually("accepting pauses", func() bool { return r.metric("accept_paused_total", r.plain) > 0 })
	answers := make(chan *client, len(waiting))
	for _, c := range waiting {
		go func() {
			if _, err := c.r.Peek(1); err == nil {
				answers <- c
			}
		}()
	}
	select {
	case <-answers:
		t.Fatal("a client beyond the limit is served")
	case <-time.After(50 * time.Millisecond):
	}
	if _, err := r.tls(r.dial("", r.secure).Conn, "http/1.1"); err != nil {
		t.Errorf("another listener pauses as well: %v", err)
	}
	for range waiting {
		served[0].Close()
		served = append(served[1:], <-answers)
		if n := r.front.listeners[0].open.Load(); n > 3 {
			t.Fatalf("%d connections", n)
		}
	}
	if n := strings.Count(r.log.String(), "all the connections it may have"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}
