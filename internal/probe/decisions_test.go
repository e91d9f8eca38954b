package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"jurymast/internal/profile"
)

// The decisions of docs/azure.md that one probe carries out, by number, from the document as it is written.

// written is the spec of the only endpoint of a document; %d in monitor is the port.
func written(t *testing.T, compat, target, monitor string, port int) Spec {
	t.Helper()
	text := fmt.Sprintf("{name: p, hostnames: [www.dr.example], compat: %s, monitor: %s, endpoints: [{name: a, target: %s}]}", compat, fmt.Sprintf(monitor, port), target)
	p, err := profile.DecodeProfile("p", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	s, err := SpecOf(p, &p.Endpoints[0], Node{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func bothModes(t *testing.T, f func(t *testing.T, compat string)) {
	t.Helper()
	for _, compat := range []string{"none", "azure"} {
		t.Run("compat "+compat, func(t *testing.T) { f(t, compat) })
	}
}

// What comes behind the headers decides nothing, unless all of it is asked for.
func TestD2HeadersDecide(t *testing.T) {
	const short, promised = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab", "HTTP/1.1 503 no\r\nContent-Length: 2\r\n\r\nab"
	bothModes(t, func(t *testing.T, compat string) {
		for _, c := range []struct {
			name, more string
			serve      func(net.Conn, string)
			class      Class
		}{
			{"a body that breaks", "", answer(short), ""},
			{"a body that hangs", "", hang(short), ""},
			{"a body that is reset", "", reset(short), ""},
			{"the status still counts", "", answer(promised), ClassStatus},
			{"complete: broken", ", expect: {complete: true}", answer(short), ClassBody},
			{"complete: hanging", ", expect: {complete: true}", hang(short), ClassTimeout},
			{"complete", ", expect: {complete: true}", answer(ok200), ""},
		} {
			at := origin(t, c.serve)
			s := written(t, compat, "127.0.0.1", "{port: %d, interval: 1s, timeout: 300ms"+c.more+"}", int(at.Port()))
			began := time.Now()
			if got := Run(t.Context(), s); got.Class != c.class {
				t.Errorf("%s: %s %q, want %s", c.name, got.Class, got.Obs.Reason, c.class)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("%s took %v", c.name, took)
			}
		}
	})
}

// Certificates count, and under compat: azure they do not, unless the document says otherwise.
func TestD18CertificatesAreVerified(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	day := 24 * time.Hour
	for name, cert := range map[string]tls.Certificate{
		"good":    a.issue(t, "www.dr.example", -day, day),
		"chain":   stranger.issue(t, "www.dr.example", -day, day),
		"name":    a.issue(t, "other.example", -day, day),
		"expired": a.issue(t, "www.dr.example", -3*day, -day),
	} {
		at := serveOn(t, tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}), answer(ok200))
		for monitor, verified := range map[string][2]bool{ // none, azure
			"{protocol: https, host: profile, port: %d}":                       {true, false},
			"{protocol: https, host: profile, port: %d, tls: {verify: true}}":  {true, true},
			"{protocol: https, host: profile, port: %d, tls: {verify: false}}": {false, false},
		} {
			for i, compat := range []string{"none", "azure"} {
				got := (&Prober{Roots: a.pool}).Run(t.Context(), written(t, compat, "127.0.0.1", monitor, int(at.Port())))
				if want := name == "good" || !verified[i]; got.Obs.OK != want || !want && got.Class != ClassTLS {
					t.Errorf("%s, compat %s, %s: %s %q", name, compat, monitor, got.Class, got.Obs.Reason)
				}
			}
		}
	}
}

// A name that does not resolve is a failure of its own class, within the timeout, and names no address; the node's
// part of the decision, being blind when nothing resolves, is its own.
func TestD20UnresolvableTargetFails(t *testing.T) {
	broken := map[string]*net.Resolver{
		"refused": {PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }},
		"silent": {PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
	}
	bothModes(t, func(t *testing.T, compat string) {
		for name, resolver := range broken {
			for _, monitor := range []string{"{port: %d, interval: 1s, timeout: 200ms}", "{protocol: tcp, port: %d, interval: 1s, timeout: 200ms}"} {
				began := time.Now()
				got := (&Prober{Resolver: resolver}).Run(t.Context(), written(t, compat, "gone.example", monitor, 9))
				if got.Obs.OK || got.Class != ClassResolve || got.Obs.Addr != "" || !strings.HasPrefix(got.Obs.Reason, "resolve gone.example: ") {
					t.Errorf("%s: %+v", name, got)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("%s took %v", name, took)
				}
			}
		}
	})
}

func TestD23ProbesSayGET(t *testing.T) {
	bothModes(t, func(t *testing.T, compat string) {
		for more, want := range map[string]string{"": "GET", ", method: HEAD": "HEAD", ", method: OPTIONS": "OPTIONS"} {
			said := make(chan string, 1)
			at := origin(t, func(c net.Conn, head string) {
				said <- strings.Fields(head)[0]
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			})
			got := Run(t.Context(), written(t, compat, "127.0.0.1", "{port: %d"+more+"}", int(at.Port())))
			if method := <-said; method != want || !got.Obs.OK {
				t.Errorf("%q: said %s, %+v", more, method, got)
			}
		}
	})
}
