package inbound

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// shutdown begins a shutdown; its result comes later.
func (r *rig) shutdown(within time.Duration) chan error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- r.front.Shutdown(ctx)
	}()
	r.eventually("it closes", r.front.Closing)
	return done
}

// ends wants the shutdown to end without an error, and the client to be closed.
func (r *rig) ends(done chan error, clients ...*client) {
	r.t.Helper()
	for _, c := range clients {
		c.over()
	}
	if err := <-done; err != nil {
		r.t.Error(err)
	}
	if n := r.front.Connections(); n != 0 {
		r.t.Errorf("%d connections after the shutdown", n)
	}
}

func TestShutdownOfIdle(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	a, b := r.dial("", r.plain), r.dial("", r.secure)
	a.get("/")
	s, err := r.tls(b.Conn, "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	secure := r.on(s)
	secure.get("/")
	r.eventually("both are idle", func() bool { return r.state(Idle) == 2 })
	r.ends(r.shutdown(patience), a, secure)
}

// TestSweep: idle connections go at once, fresh ones when their grace is over, busy ones stay.
func TestSweep(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	idle, fresh, busy := r.dial("", r.plain), r.dial("", r.plain), r.dial("", r.plain)
	idle.get("/")
	busy.send("GET /slow HTTP/1.1\r\n\r\n")
	<-r.waiting
	r.eventually("all are in", func() bool { return r.state(Idle) == 1 && r.state(Fresh) == 1 && r.state(Busy) == 1 })
	var since time.Time
	r.front.book.each(func(c *Conn) {
		if c.State() == Fresh {
			since = c.Since
		}
	})
	for grace, left := range []int{2, 1} {
		r.front.sweep(since.Add(time.Duration(grace) * freshGrace))
		r.eventually("who is asked goes", func() bool { return r.front.Connections() == left })
		if grace == 0 && r.state(Fresh) != 1 {
			t.Error("the fresh connection was not spared")
		}
	}
	idle.over()
	fresh.over()
	close(r.release)
	busy.answer()
}

func TestShutdownOfBusy(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	a, tunnel := r.dial("", r.plain), r.dial("", r.plain)
	a.send("GET /slow HTTP/1.1\r\n\r\nGET /never HTTP/1.1\r\n\r\n")
	tunnel.send("GET /tunnel HTTP/1.1\r\n\r\n")
	<-r.waiting
	<-r.waiting
	done := r.shutdown(patience)
	select {
	case err := <-done:
		t.Fatalf("the shutdown did not wait: %v", err)
	case <-time.After(2 * sweepEvery):
	}
	close(r.release)
	resp, err := http.ReadResponse(a.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !resp.Close {
		t.Errorf("%d, Connection: close %t", resp.StatusCode, resp.Close)
	}
	tunnel.Close()
	r.ends(done, a)
}

// TestShutdownOfFresh: a client that has connected may still send its request; one that says nothing goes.
func TestShutdownOfFresh(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	quick, silent := r.dial("", r.plain), r.dial("", r.plain)
	r.eventually("both are in", func() bool { return r.state(Fresh) == 2 })
	done := r.shutdown(patience)
	quick.get("/")
	r.ends(done, quick, silent)
}

// TestShutdownTakesTheQueue: whom the kernel has accepted for us before the shutdown is served.
func TestShutdownTakesTheQueue(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const crowd = 200
	clients := make([]*client, crowd)
	for i := range clients {
		clients[i] = r.dial("", r.plain)
		clients[i].send("GET / HTTP/1.1\r\n\r\n")
	}
	done := r.shutdown(patience)
	for _, c := range clients {
		if status, _ := c.answer(); status != http.StatusOK {
			t.Error(status)
		}
	}
	r.ends(done, clients...)
}

// TestShutdownBeforeHTTP: headers and handshakes that are under way may end, and their first request is answered.
func TestShutdownBeforeHTTP(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix(balancer + "/32")} })
	late := r.dial(balancer, r.plain)
	shaking, shaking2 := r.dial("", r.secure), r.dial("", r.secure)
	r.eventually("all are in", func() bool { return r.state(Announcing) == 1 && r.state(Handshake) == 2 })
	done := r.shutdown(patience)
	late.send("PROXY UNKNOWN\r\n")
	late.get("/")
	s, err := r.tls(shaking.Conn, "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	secure := r.on(s)
	secure.get("/")
	h2, err := r.tls(shaking2.Conn, "h2")
	if err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len(lastWords))
	if _, err := io.ReadFull(h2, said); err != nil || string(said) != string(lastWords) {
		t.Errorf("an HTTP/2 client that comes late hears %q, %v", said, err)
	}
	_ = h2.Close()
	r.ends(done, late, secure)
}

func TestShutdownOfHTTP2(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	idle, busy := r.transport(), r.transport()
	fetch(t, idle, "/")
	answer := make(chan string, 1)
	go func() { answer <- fetch(t, busy, "/slow") }()
	<-r.waiting
	done := r.shutdown(patience)
	r.eventually("the idle one is closed", func() bool { return r.front.Connections() == 1 })
	close(r.release)
	if got := <-answer; !strings.HasPrefix(got, "HTTP/2.0") {
		t.Error(got)
	}
	r.ends(done)
}

// TestShutdownCuts everything that is left when the time is up, whatever it does.
func TestShutdownCuts(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix(balancer + "/32")}
		serve := o.Serve
		o.Serve = func(c *Conn) { serve(c) }
	})
	clients := []*client{r.dial(balancer, r.plain), r.dial("", r.secure), r.dial("", r.plain), r.dial("", r.plain)}
	clients[2].send("GET /tunnel HTTP/1.1\r\n\r\n")
	clients[3].send("GET /half HTTP/1.1\r\n")
	<-r.waiting
	h2 := r.transport()
	go func() { // its answer is lost
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://p.example/slow", http.NoBody)
		if err == nil {
			if resp, err := h2.RoundTrip(req); err == nil {
				resp.Body.Close()
			}
		}
	}()
	<-r.waiting
	r.eventually("all are in", func() bool { return r.front.Connections() == 5 && r.state(Fresh) == 0 && r.state(Accepted) == 0 })
	done := r.shutdown(50 * time.Millisecond)
	r.eventually("all are cut", func() bool { return r.front.Connections() <= 1 })
	for _, c := range clients {
		c.over()
	}
	close(r.release) // the handler of HTTP/2 is somebody else's, who ends it
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "5 client connections were cut") {
		t.Errorf("the shutdown says %v", err)
	}
}

// TestShutdownRace: requests and a shutdown at the same time; a client has an answer or a closed connection, and never
// half an answer.
func TestShutdownRace(t *testing.T) {
	t.Parallel()
	for range 20 {
		r := newRig(t, nil)
		const crowd = 16
		over := make(chan error, crowd)
		for range crowd {
			c := r.dial("", r.plain)
			go func() {
				for {
					if _, err := io.WriteString(c.Conn, "GET / HTTP/1.1\r\n\r\n"); err != nil {
						over <- nil
						return
					}
					if _, err := c.r.Peek(1); err != nil {
						over <- nil
						return
					}
					resp, err := http.ReadResponse(c.r, nil)
					if err == nil {
						_, err = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
					if err != nil {
						over <- err
						return
					}
				}
			}()
		}
		r.eventually("they are in", func() bool { return r.front.Connections() == crowd })
		done := r.shutdown(patience)
		for range crowd {
			if err := <-over; err != nil {
				t.Errorf("half an answer: %v", err)
			}
		}
		r.ends(done)
	}
}
