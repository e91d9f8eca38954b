package inbound

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"jurymast/internal/certificates"
)

// TestHandshakes has one client for each result.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	for want, meet := range map[string]func(r *rig, c *client){
		"client-left": func(_ *rig, c *client) { c.Close() },
		"timeout":     func(_ *rig, c *client) { c.over() },
		"refused-by-client": func(_ *rig, c *client) {
			_, _ = shake(c, &tls.Config{ServerName: "p.example", MinVersion: tls.VersionTLS12})
		}, // our root is unknown
		"no-tls": func(r *rig, c *client) {
			c.send("GET / HTTP/1.1\r\nHost: p.example\r\n\r\n")
			if status, body := c.answer(); status != 400 || !strings.Contains(body, "HTTPS") {
				r.t.Errorf("%d %s", status, body)
			}
		},
		"failed": func(_ *rig, c *client) {
			_, _ = shake(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
		},
		"no-certificate": func(_ *rig, c *client) {
			_, _ = shake(c, &tls.Config{ServerName: "nobody.example", InsecureSkipVerify: true})
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *Options) {
				if want == "timeout" {
					o.HandshakeTime = 300 * time.Millisecond
				}
				o.TLS.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
					if hello.ServerName == "nobody.example" {
						return nil, certificates.ErrNone
					}
					return nil, nil //nolint:nilnil // the usual one
				}
			})
			meet(r, r.dial("", r.secure))
			r.eventually(want, func() bool { return r.metric("tls_handshakes_total", want) == 1 })
			r.eventually("it is forgotten", func() bool { return r.front.Connections() == 0 })
		})
	}
}

func shake(c *client, config *tls.Config) (*tls.Conn, error) {
	s := tls.Client(c.Conn, config)
	err := s.HandshakeContext(context.Background())
	if err == nil { // with TLS 1.3 a client learns late
		_, err = s.Read(make([]byte, 1))
	}
	return s, err
}

// TestSlowHandshakes: a crowd that says a byte now and then holds nobody up, and is gone when its time is over, however
// busy it looks.
func TestSlowHandshakes(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.HandshakeTime = 3 * time.Second })
	const crowd = 200
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 500)
	over := make(chan error, crowd)
	for range crowd {
		c := r.dial("", r.secure)
		go func() {
			for i := range hello {
				if _, err := io.WriteString(c.Conn, hello[i:i+1]); err != nil {
					over <- err
					return
				}
				pause(20 * time.Millisecond)
			}
			over <- errors.New("all was taken")
		}()
	}
	r.eventually("the crowd is in", func() bool { return r.metric("connections_total", r.secure) == crowd })
	s, err := r.tls(r.dial("", r.secure).Conn)
	if err != nil {
		t.Fatal(err)
	}
	r.on(s).get("/")
	r.dial("", r.plain).get("/")
	for range crowd {
		if err := <-over; strings.Contains(err.Error(), "taken") {
			t.Fatal(err)
		}
	}
	if n := r.metric("tls_handshakes_total", "timeout"); n != crowd {
		t.Errorf("%v handshakes ended by time, want %d", n, crowd)
	}
}

// pause is how slow a client is.
func pause(d time.Duration) { <-time.After(d) }
