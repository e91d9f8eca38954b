package inbound

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const balancer = "127.0.0.2" // must announce; nobody else may

func announcing(o *Options) {
	o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix(balancer + "/32")}
	o.AnnounceTime = patience
}

// TestAnnounced sends every header through real sockets, whole and byte by byte, with the request right behind it.
func TestAnnounced(t *testing.T) {
	t.Parallel()
	r := newRig(t, announcing)
	const request = "GET / HTTP/1.1\r\nHost: p.example\r\n\r\n"
	for _, tc := range headerCases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			good := tc.want == localEnd || strings.Contains(tc.want, ">")
			if !good {
				c := r.dial(balancer, r.plain)
				c.send(tc.in + request)
				if !c.over() {
					t.Error("answered")
				}
				return
			}
			for _, slow := range []bool{false, len(tc.in) < 300} {
				c := r.dial(balancer, r.plain)
				text := tc.in + request
				for slow && len(text) > 20 {
					c.send(text[:1])
					text = text[1:]
				}
				c.send(text)
				want := "peer=" + c.LocalAddr().String() + " local=" + r.plain + " "
				if source, dest, ok := strings.Cut(tc.want, ">"); ok {
					want = "peer=" + source + " local=" + dest + " "
				}
				if status, got := c.answer(); status != http.StatusOK || !strings.HasPrefix(got, want) || !strings.Contains(got, " socket="+balancer+" ") {
					t.Errorf("%d %s, want %s", status, got, want)
				}
				c.get("/") // no second header
			}
		})
	}
}

// TestAnnouncedTLS: the handshake begins right behind the header, in the same segment.
func TestAnnouncedTLS(t *testing.T) {
	t.Parallel()
	r := newRig(t, announcing)
	for _, tc := range headerCases {
		source, dest, ok := strings.Cut(tc.want, ">")
		if !ok {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			s, err := r.tls(&prefixed{Conn: r.dial(balancer, r.secure).Conn, first: tc.in}, "http/1.1")
			if err != nil {
				t.Fatal(err)
			}
			if got, want := r.on(s).get("/"), "peer="+source+" local="+dest+" "; !strings.HasPrefix(got, want) {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		tr := r.transport()
		tr.DialTLSContext = func(context.Context, string, string) (net.Conn, error) {
			return r.tls(&prefixed{Conn: r.dial(balancer, r.secure).Conn, first: v2(header2Proxy, familyTCP6, six)}, "h2")
		}
		if got := fetch(t, tr, "/"); !strings.HasPrefix(got, "HTTP/2.0 peer=[2001:db8::1]:12345 local=[2001:db8::2]:443 ") {
			t.Error(got)
		}
	})
}

// prefixed sends something before the first bytes, in one segment with them.
type prefixed struct {
	net.Conn
	first string
}

func (p *prefixed) Write(b []byte) (int, error) {
	if p.first == "" {
		return p.Conn.Write(b)
	}
	n := len(p.first)
	m, err := p.Conn.Write(append([]byte(p.first), b...))
	p.first = ""
	return max(m-n, 0), err
}

// TestAnnouncedByStrangers: headers of peers that are not listed are no headers but bytes, for HTTP and TLS to refuse.
func TestAnnouncedByStrangers(t *testing.T) {
	t.Parallel()
	r := newRig(t, announcing)
	for _, tc := range headerCases {
		if !strings.Contains(tc.want, ">") {
			continue
		}
		c := r.dial("127.0.0.3", r.plain)
		c.send(tc.in + "GET / HTTP/1.1\r\n\r\n")
		if status, _ := c.answer(); status != http.StatusBadRequest {
			t.Errorf("%s: %d", tc.name, status)
		}
		if _, err := r.tls(&prefixed{Conn: r.dial("127.0.0.3", r.secure).Conn, first: tc.in}, "http/1.1"); err == nil {
			t.Errorf("%s: TLS took it", tc.name)
		}
	}
	if got := r.dial("127.0.0.3", r.plain).get("/"); !strings.HasPrefix(got, "peer=127.0.0.3:") {
		t.Error(got)
	}
}

// TestAnnouncedLate: who must announce and is slow, silent or gone is refused, and nobody waits for it.
func TestAnnouncedLate(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { announcing(o); o.AnnounceTime = time.Second })
	const crowd = 100
	over := make(chan bool, crowd)
	for range crowd {
		c := r.dial(balancer, r.plain)
		go func() {
			for _, b := range []byte("PROXY UNKNOWN " + strings.Repeat("x", 80)) {
				if _, err := c.Write([]byte{b}); err != nil {
					break
				}
				pause(20 * time.Millisecond)
			}
			over <- c.over()
		}()
	}
	r.eventually("the crowd is in", func() bool { return r.metric("connections_total", r.plain) == crowd })
	r.dial("", r.plain).get("/")
	for range crowd {
		if !<-over {
			t.Error("answered")
		}
	}
	if n := r.metric("connections_refused_total", r.plain, "proxy-header-late"); n != crowd {
		t.Errorf("%v late, want %d", n, crowd)
	}
	r.dial(balancer, r.plain).Close()
	r.eventually("who leaves is counted", func() bool { return r.metric("connections_refused_total", r.plain, "proxy-header") == 1 })
	if n := strings.Count(r.log.String(), "does not begin with a PROXY header"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}

// TestAnnouncedShare: behind a balancer the clients it announces are counted, not itself.
func TestAnnouncedShare(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { announcing(o); o.PerClient = 2 })
	from := func(source string) *client {
		c := r.dial(balancer, r.plain)
		c.send("PROXY TCP4 " + source + " 192.0.2.9 1 2\r\nGET / HTTP/1.1\r\n\r\n")
		return c
	}
	for _, source := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.3"} {
		if status, _ := from(source).answer(); status != http.StatusOK {
			t.Errorf("%s: %d", source, status)
		}
	}
	if !from("192.0.2.1").over() {
		t.Error("a third connection of an announced client is served")
	}
	for range 5 { // the balancer's own checks
		c := r.dial(balancer, r.plain)
		c.send(v2(header2Local, familyUnspec, "") + "GET / HTTP/1.1\r\n\r\n")
		if status, _ := c.answer(); status != http.StatusOK {
			t.Errorf("local: %d", status)
		}
	}
	if n := r.metric("connections_refused_total", r.plain, "per-client"); n != 1 {
		t.Errorf("%v refused, want 1", n)
	}
}
