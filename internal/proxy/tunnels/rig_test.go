package tunnels_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"jurymast/internal/proxy/tunnels"
	"jurymast/internal/proxy/wire"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(peerRole); role != "" {
		bePeer(role)
		return
	}
	goleak.VerifyTestMain(m)
}

// outcome is what Run returned.
type outcome struct {
	in, out int64
	why     error
}

// rig is a client, a tunnel and an origin, over real sockets.
type rig struct {
	t       testing.TB
	tunnel  *tunnels.Tunnel
	outcome chan outcome
}

func (r *rig) wait() outcome {
	r.t.Helper()
	select {
	case o := <-r.outcome:
		return o
	case <-time.After(30 * time.Second):
		r.t.Fatal("the tunnel does not end")
		return outcome{}
	}
}

func start(t testing.TB, client, origin net.Conn, o tunnels.Options) *rig {
	t.Helper()
	w := wire.NewWatch(10 * time.Millisecond)
	a, b := wire.Wrap(client), wire.Wrap(origin)
	w.Add(a)
	w.Add(b)
	r := &rig{t: t, tunnel: tunnels.New(a, b, o), outcome: make(chan outcome, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		in, out, why := r.tunnel.Run()
		r.outcome <- outcome{in, out, why}
	}()
	t.Cleanup(func() {
		r.tunnel.Close()
		<-done
		w.Close()
	})
	return r
}

// sockets is a TCP connection on loopback.
func sockets(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn) //nolint:errcheck // TCP it is
}

// raw is a tunnel between two bare sockets, whose far ends it returns.
func raw(t testing.TB, o tunnels.Options) (client, origin *net.TCPConn, r *rig) {
	t.Helper()
	client, a := sockets(t)
	b, origin := sockets(t)
	return client, origin, start(t, a, b, o)
}

// front relays websocket upgrades the short way: the head is passed on as it is, then the tunnel begins.
type front struct {
	t      testing.TB
	url    string
	secure *tls.Config // towards the client
	tuns   chan *rig
}

// newFront starts a front before a websocket origin that is handler.
func newFront(t testing.TB, secure bool, o tunnels.Options, handler func(context.Context, *websocket.Conn)) *front {
	t.Helper()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.CloseNow() }()
		handler(r.Context(), c)
	}))
	f := &front{t: t, tuns: make(chan *rig, 4)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + l.Addr().String()
	if secure {
		f.secure = &tls.Config{Certificates: httptestCertificate(t), MinVersion: tls.VersionTLS12}
		f.url = "https://" + l.Addr().String()
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.serve(c, origin.Listener.Addr().String(), o)
		}
	})
	t.Cleanup(func() { _ = l.Close(); serving.Wait(); origin.Close() })
	return f
}

func (f *front) serve(c net.Conn, addr string, o tunnels.Options) {
	if f.secure != nil {
		c = tls.Server(c, f.secure)
	}
	head, err := http.ReadRequest(bufio.NewReader(c)) // the client says nothing more before the 101
	if err != nil {
		f.t.Error(err)
		return
	}
	d, err := net.Dial("tcp", addr)
	if err != nil {
		f.t.Error(err)
		return
	}
	f.t.Cleanup(func() { _ = d.Close(); _ = c.Close() })
	if err := head.Write(d); err != nil {
		f.t.Error(err)
		return
	}
	answer, b := []byte(nil), []byte{0}
	for !bytes.HasSuffix(answer, []byte("\r\n\r\n")) {
		if _, err := d.Read(b); err != nil {
			f.t.Error(err)
			return
		}
		answer = append(answer, b[0])
	}
	if _, err := c.Write(answer); err != nil {
		f.t.Error(err)
		return
	}
	f.tuns <- start(f.t, c, d, o)
}

func (f *front) dial() (*websocket.Conn, *rig) {
	f.t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	c, resp, err := websocket.Dial(f.t.Context(), f.url, &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		f.t.Fatal(err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	f.t.Cleanup(func() { _ = c.CloseNow(); client.CloseIdleConnections() })
	return c, <-f.tuns
}

func httptestCertificate(t testing.TB) []tls.Certificate {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return s.TLS.Certificates
}
