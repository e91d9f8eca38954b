package probe

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"jurymast/internal/profile"
)

// origin listens on loopback and lets serve misbehave with each connection, after the request head was read.
func origin(t *testing.T, serve func(c net.Conn, head string)) netip.AddrPort {
	t.Helper()
	return serveOn(t, listen(t), serve)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func serveOn(t *testing.T, l net.Listener, serve func(c net.Conn, head string)) netip.AddrPort {
	t.Helper()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				br := bufio.NewReader(c)
				var head strings.Builder
				for {
					line, err := br.ReadString('\n')
					if err != nil {
						return
					}
					head.WriteString(line)
					if line == "\r\n" {
						break
					}
				}
				serve(c, head.String())
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// answer sends raw and closes in order.
func answer(raw string) func(net.Conn, string) {
	return func(c net.Conn, _ string) { _, _ = io.WriteString(c, raw) }
}

// hang sends raw and then nothing until the probe gives up.
func hang(raw string) func(net.Conn, string) {
	return func(c net.Conn, _ string) {
		_, _ = io.WriteString(c, raw)
		_, _ = io.Copy(io.Discard, c)
	}
}

func reset(raw string) func(net.Conn, string) {
	return func(c net.Conn, _ string) {
		_, _ = io.WriteString(c, raw)
		if tc, ok := c.(*net.TCPConn); ok {
			_ = tc.SetLinger(0)
		}
	}
}

func specFor(at netip.AddrPort) Spec {
	return Spec{
		Protocol: profile.HTTP, Targets: []string{at.Addr().String()}, Port: int(at.Port()), Timeout: 5 * time.Second,
		Method: "GET", Path: "/health", Host: "www.dr.example", ServerName: "www.dr.example", Verify: true,
		Expect: Expect{Status: []profile.StatusRange{{Min: 200, Max: 200}}},
	}
}

const ok200 = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Region: eu\r\n\r\nhello"

func TestRunEveryClass(t *testing.T) {
	type rules = func(*Spec)
	short := func(s *Spec) { s.Timeout = 150 * time.Millisecond }
	body := func(want string) rules { return func(s *Spec) { s.Expect.Body = want } }
	pattern := func(want string) rules { return func(s *Spec) { s.Expect.BodyRegex = regexp.MustCompile(want) } }
	all := func(rs ...rules) rules {
		return func(s *Spec) {
			for _, r := range rs {
				r(s)
			}
		}
	}
	none := func(*Spec) {}
	big := "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", BodyLimit-3) + "needle" + strings.Repeat("x", BodyLimit)
	for _, tc := range []struct {
		name   string
		serve  func(net.Conn, string)
		rules  rules
		class  Class
		reason string
	}{
		{"healthy", answer(ok200), none, "", "status 200"},
		{"503", answer("HTTP/1.1 503 no\r\n\r\n"), none, ClassStatus, "status 503, expected 200"},
		{"other 2xx fails", answer("HTTP/1.1 204 No Content\r\n\r\n"), none, ClassStatus, "status 204, expected 200"},
		{"ranges", answer("HTTP/1.1 401 no\r\nContent-Length: 0\r\n\r\n"), func(s *Spec) {
			s.Expect.Status = []profile.StatusRange{{Min: 200, Max: 200}, {Min: 401, Max: 403}}
		}, "", "status 401"},
		{"above the range", answer("HTTP/1.1 404 no\r\n\r\n"), func(s *Spec) {
			s.Expect.Status = []profile.StatusRange{{Min: 200, Max: 200}, {Min: 401, Max: 403}}
		}, ClassStatus, "status 404, expected 200, 401-403"},
		{"redirect", answer("HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n"), none, ClassStatus, "status 302 to /login (not followed), expected 200"},
		{"interim answers", answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok200), none, "", "status 200"},
		{"endless interim", answer(strings.Repeat("HTTP/1.1 103 E\r\n\r\n", 20)), none, ClassProtocol, "more than 8 interim answers"},
		{"hang before the first byte", hang(""), short, ClassTimeout, "timeout after 150ms waiting for the first byte"},
		{"hang in the header", hang("HTTP/1.1 200 OK\r\nX-A:"), short, ClassTimeout, "timeout after 150ms waiting for the header"},
		{"hanging body decides nothing", hang("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"), none, "", "status 200"},
		{"broken body decides nothing", reset("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"), none, "", "status 200"},
		{"hanging body with rule", hang("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"), all(short, body("needle")), ClassTimeout, `timeout after 150ms reading the body (2 bytes, does not contain "needle")`},
		{"match before the body hangs", hang("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nneedle"), body("needle"), "", "status 200, body matches"},
		{"pattern before the body hangs", hang("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nneedle"), pattern("n.+le"), "", "status 200, body matches"},
		{"pattern about the end waits for it", hang("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nneedle"), all(short, pattern("needle$")), ClassTimeout, `timeout after 150ms reading the body (6 bytes, does not match "needle$")`},
		{"pattern about the end", answer(ok200), pattern("^hello$"), "", "status 200, body matches"},
		{"both body rules", answer(ok200), all(body("hell"), pattern("nope")), ClassBody, `body of 5 bytes does not match "nope"`},
		{"wrong case", answer(ok200), body("Hello"), ClassBody, `body of 5 bytes does not contain "Hello"`},
		{"match beyond the limit", answer(big), body("needle"), ClassBody, `body does not contain "needle" in its first 65536 bytes`},
		{"big body without rule", answer(big), none, "", "status 200"},
		{"chunked, match over a chunk's edge", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnee\r\n3\r\ndle\r\n0\r\n\r\n"), body("needle"), "", "status 200, body matches"},
		{"header", answer(ok200), func(s *Spec) { s.Expect.Headers = []Header{{Name: "x-region", value: "eu"}} }, "", "status 200, header x-region"},
		{"header differs", answer(ok200), func(s *Spec) { s.Expect.Headers = []Header{{Name: "X-Region", value: "us"}} }, ClassHeader, `header X-Region is "eu", expected "us"`},
		{"header missing", answer(ok200), func(s *Spec) { s.Expect.Headers = []Header{{Name: "X-None", value: "us"}} }, ClassHeader, "header X-None is missing"},
		{"reset", reset(""), none, ClassProtocol, "no answer: connection reset by peer"},
		{"closed", answer(""), none, ClassProtocol, "no answer: connection closed"},
		{"closed in the header", answer("HTTP/1.1 200 OK\r\nX:"), none, ClassProtocol, "no HTTP answer: connection closed in the middle"},
		{"no HTTP", answer("220 mail ESMTP\r\n\r\n"), none, ClassProtocol, "no HTTP answer: malformed HTTP status code \"mail\""},
		{"endless header", answer("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 1100)), none, ClassProtocol, "the header is longer than 1048576 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := specFor(origin(t, tc.serve))
			tc.rules(&s)
			got := Run(t.Context(), s)
			if got.Class != tc.class || got.Obs.Reason != tc.reason || got.Obs.OK != (tc.class == "") {
				t.Errorf("%s %q, want %s %q\n%+v", got.Class, got.Obs.Reason, tc.class, tc.reason, got.Log)
			}
			if got.Obs.Addr != "127.0.0.1" || got.Obs.Latency <= 0 || got.Obs.At.IsZero() || len(got.Log) < 3 {
				t.Errorf("incomplete: %+v", got)
			}
			if took := got.Obs.Latency; got.Class == ClassTimeout && (took < s.Timeout || took > s.Timeout+500*time.Millisecond) {
				t.Errorf("timed out after %s, want %s", took, s.Timeout)
			}
		})
	}
}

func TestRunRequestAndLog(t *testing.T) {
	heads := make(chan string, 2)
	at := origin(t, func(c net.Conn, head string) {
		heads <- head
		_, _ = io.WriteString(c, "HTTP/1.1 403 no\r\nContent-Length: 24\r\n\r\nbad key Basic c2VjcmV0OjE")
	})
	s := specFor(at)
	s.Headers = []Header{{Name: "Authorization", value: "Basic c2VjcmV0OjE=", Secret: true}, {Name: "X-A", value: "1"}}
	got := (&Prober{UserAgent: "jurymast-probe/1.2.3"}).Run(t.Context(), s)
	want := "GET /health HTTP/1.1\r\nHost: www.dr.example\r\nUser-Agent: jurymast-probe/1.2.3\r\nAccept: */*\r\n" +
		"Authorization: Basic c2VjcmV0OjE=\r\nX-A: 1\r\nConnection: close\r\n\r\n"
	if head := <-heads; head != want {
		t.Errorf("sent %q, want %q", head, want)
	}
	var names []string
	var sum time.Duration
	for _, p := range got.Log {
		names = append(names, p.Name)
		sum += p.Duration
		if strings.Contains(p.Detail, "c2VjcmV0") {
			t.Errorf("phase %s shows the secret: %q", p.Name, p.Detail)
		}
	}
	if strings.Join(names, ",") != "resolve,connect,request,first byte,status,body,rule" || sum < got.Obs.Latency {
		t.Errorf("phases %v, sum %s, latency %s", names, sum, got.Obs.Latency)
	}
	s.Headers = []Header{{Name: "user-agent", value: "mine"}}
	Run(t.Context(), s)
	if head := <-heads; strings.Count(strings.ToLower(head), "user-agent") != 1 || !strings.Contains(head, "user-agent: mine") {
		t.Errorf("sent %q, want the named User-Agent alone", head)
	}
}

func TestRunConnect(t *testing.T) {
	l := listen(t)
	dead := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	got := Run(t.Context(), specFor(dead))
	if got.Class != ClassConnect || got.Obs.Reason != "connect "+dead.String()+": connection refused" || got.Obs.Addr != "127.0.0.1" {
		t.Errorf("refused: %+v", got)
	}
	live := origin(t, answer(ok200))
	s := specFor(live)
	s.Targets = []string{"127.0.0.9", "127.0.0.1"}
	if got = Run(t.Context(), s); !got.Obs.OK || got.Obs.Addr != "127.0.0.1" || !strings.Contains(got.Log[1].Detail, "127.0.0.9:") {
		t.Errorf("second address: %+v", got)
	}
	s.Targets = []string{"localhost"}
	if got = Run(t.Context(), s); !got.Obs.OK {
		t.Errorf("by name: %+v", got)
	}
	s.Targets = []string{"127.0.0.1"}
	s.Protocol = profile.TCP
	if got = Run(t.Context(), s); !got.Obs.OK || got.Obs.Reason != "connected to "+live.String() {
		t.Errorf("tcp: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s = specFor(origin(t, func(c net.Conn, _ string) { cancel(); _, _ = io.Copy(io.Discard, c) }))
	if got = Run(ctx, s); got.Class != ClassCancelled {
		t.Errorf("cancelled: %+v", got)
	}
}

// TestD3TCPEndsWithFIN also shows that a peer that talks first is not reset, and that nothing is said to it.
func TestD3TCPEndsWithFIN(t *testing.T) {
	l := listen(t)
	ended := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "220 banner\r\n")
		n, err := io.Copy(io.Discard, c)
		if n > 0 {
			err = fmt.Errorf("%d bytes came", n)
		}
		ended <- err
	}()
	s := specFor(netip.MustParseAddrPort(l.Addr().String()))
	s.Protocol = profile.TCP
	got := Run(t.Context(), s)
	if err := <-ended; err != nil || !got.Obs.OK {
		t.Errorf("the peer saw %v, want an orderly end; %+v", err, got)
	}
}

// TestStoppedProcess is the peer whose kernel still accepts connections for a process that does not run.
func TestStoppedProcess(t *testing.T) {
	l := listen(t)
	s := specFor(netip.MustParseAddrPort(l.Addr().String()))
	s.Timeout = 150 * time.Millisecond
	if got := Run(t.Context(), s); got.Class != ClassTimeout || got.Obs.Reason != "timeout after 150ms waiting for the first byte" {
		t.Errorf("stopped process: %+v", got)
	}
}

func TestRunResolve(t *testing.T) {
	s := specFor(netip.MustParseAddrPort("127.0.0.1:1"))
	s.Targets = []string{"no.such.name.invalid"}
	fail := func(err error) *Prober {
		return &Prober{Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if err == nil {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, err
		}}}
	}
	if got := fail(syscall.ECONNREFUSED).Run(t.Context(), s); got.Class != ClassResolve || !strings.HasPrefix(got.Obs.Reason, "resolve no.such.name.invalid: ") || got.Obs.Addr != "" {
		t.Errorf("dead resolver: %+v", got)
	}
	if got := fail(syscall.EMFILE).Run(t.Context(), s); got.Class != ClassLocal {
		t.Errorf("no socket left: %+v", got)
	}
	s.Timeout = 100 * time.Millisecond
	if got := fail(nil).Run(t.Context(), s); got.Class != ClassResolve || got.Obs.Reason != "resolve no.such.name.invalid: timeout after 100ms" {
		t.Errorf("silent resolver: %+v", got)
	}
}

// authority makes certificates for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(t *testing.T, name string, from, to time.Duration) tls.Certificate {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to),
	}, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestRunTLS(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	day := 24 * time.Hour
	for _, tc := range []struct {
		name   string
		cert   tls.Certificate
		change func(*Spec)
		class  Class
		reason string // part
		logged string // part of the tls phase
	}{
		{"good", a.issue(t, "www.dr.example", -day, 10*day+time.Hour), nil, "", "status 200", "issuer CN=test authority, expires in 10 days"},
		{"wrong name", a.issue(t, "other.example", -day, day), nil, ClassTLS, "certificate: valid for [other.example], not for www.dr.example", "subject CN=other.example"},
		{"expired", a.issue(t, "www.dr.example", -3*day, -2*day), nil, ClassTLS, "certificate: expired on ", "expires in -2 days"},
		{"not yet valid", a.issue(t, "www.dr.example", day, 2*day), nil, ClassTLS, "certificate: not valid before ", "subject CN=www"},
		{"unknown authority", stranger.issue(t, "www.dr.example", -day, day), nil, ClassTLS, "certificate: signed by an unknown authority", "subject CN=www"},
		{"not verified", a.issue(t, "other.example", -3*day, -2*day), func(s *Spec) { s.Verify = false }, "", "status 200", "TLS 1.3"},
		{"own SNI", a.issue(t, "sni.example", -day, day), func(s *Spec) { s.ServerName = "sni.example" }, "", "status 200", "sni.example"},
		{"no name for an address", a.issue(t, "x.example", -day, day), func(s *Spec) { s.ServerName, s.Verify = "127.0.0.1", false }, "", "status 200", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			snis := make(chan string, 1)
			l := tls.NewListener(listen(t), &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
				snis <- h.ServerName
				return &tc.cert, nil
			}})
			s := specFor(serveOn(t, l, answer(ok200)))
			s.Protocol = profile.HTTPS
			if tc.change != nil {
				tc.change(&s)
			}
			got := (&Prober{Roots: a.pool}).Run(t.Context(), s)
			if got.Class != tc.class || !strings.Contains(got.Obs.Reason, tc.reason) {
				t.Errorf("%s %q, want %s %q", got.Class, got.Obs.Reason, tc.class, tc.reason)
			}
			if len(got.Log) < 3 || got.Log[2].Name != PhaseTLS || !strings.Contains(got.Log[2].Detail, tc.logged) {
				t.Errorf("log %+v, want %q in the tls phase", got.Log, tc.logged)
			}
			want := s.ServerName
			if want == "127.0.0.1" {
				want = ""
			}
			if sni := <-snis; sni != want {
				t.Errorf("SNI %q, want %q", sni, want)
			}
		})
	}
	s := specFor(serveOn(t, listen(t), answer("HTTP/1.1 400 plain\r\n\r\n")))
	s.Protocol, s.Timeout = profile.HTTPS, 200*time.Millisecond
	if got := Run(t.Context(), s); got.Obs.OK || (got.Class != ClassTLS && got.Class != ClassTimeout) {
		t.Errorf("https to a plain port: %+v", got)
	}
}

// TestExhaustedNodeSaysNothing: a node without file descriptors is no evidence against an endpoint.
func TestExhaustedNodeSaysNothing(t *testing.T) {
	for err, want := range map[error]bool{
		&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}:          true,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}:   false,
		&net.DNSError{Err: "dial udp 192.0.2.53:53: socket: too many open files", Name: "x"}: true, // only its text is left
		io.EOF: false,
	} {
		if got := local(err); got != want {
			t.Errorf("local(%v) = %t, want %t", err, got, want)
		}
	}
}

// TestSchedulerWithRealProbes kills a real origin: the confirm run says so in milliseconds, not in intervals.
func TestSchedulerWithRealProbes(t *testing.T) {
	l := listen(t)
	at := serveOn(t, l, answer(ok200))
	reports := make(chan Report, 16)
	s, err := New(Options{Report: func(r Report) { reports <- r }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	s.Apply([]Check{{Profile: "p", Endpoint: "a", Interval: time.Hour, Spec: specFor(at)}})
	if r := <-reports; !r.Obs.OK || r.Confirm {
		t.Fatalf("healthy: %+v", r)
	}
	l.Close()
	begin := time.Now()
	if !s.Confirm("p", "a", "", 3, 10*time.Millisecond) {
		t.Fatal("the run did not start")
	}
	for range 3 {
		if r := <-reports; r.Obs.OK || !r.Confirm || r.Result.Class != ClassConnect {
			t.Errorf("dead: %+v", r)
		}
	}
	if took := time.Since(begin); took < 10*time.Millisecond || took > time.Second {
		t.Errorf("the run took %s, want about 10ms", took)
	}
}

// TestRunAgainstNetHTTP shows a real server that a probe ends without leaving an idle connection.
func TestRunAgainstNetHTTP(t *testing.T) {
	l := listen(t)
	states := make(chan http.ConnState, 16)
	srv := &http.Server{
		ReadHeaderTimeout: time.Second,
		ConnState:         func(_ net.Conn, s http.ConnState) { states <- s },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Set-Cookie", "a=b")
			if r.Host != "www.dr.example" || r.Header.Get("Cookie") != "" {
				w.WriteHeader(http.StatusTeapot)
			}
			_, _ = io.WriteString(w, strings.Repeat(strconv.Itoa(1), 5000))
		}),
	}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	for range 2 {
		if got := Run(t.Context(), specFor(netip.MustParseAddrPort(l.Addr().String()))); !got.Obs.OK {
			t.Errorf("%+v", got)
		}
		for s := range states {
			if s == http.StateIdle {
				t.Error("the connection became idle: it was kept")
			}
			if s == http.StateClosed {
				break
			}
		}
	}
}
