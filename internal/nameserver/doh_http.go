package nameserver

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/wire"
)

// Limits of one HTTP connection, in bytes. A question in a GET may be as long as a head.
const (
	dohHead  = 16 << 10
	dohBody  = 64 << 10 // what is taken in of the body of one request, ahead of its reading
	dohTable = 4096     // header compression
)

// web serves DNS over HTTPS on connections that a stream has accepted, counted and secured.
type web struct {
	t      *stream
	askers *askers
	srv    *http.Server
	handed chan net.Conn // connections on their way to srv
	closed chan struct{}
	once   sync.Once
}

func newWeb(t *stream) *web {
	w := &web{t: t, askers: newAskers(t.s, tap.DoH), handed: make(chan net.Conn), closed: make(chan struct{})}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	w.srv = &http.Server{
		Handler: w, Protocols: protocols, MaxHeaderBytes: dohHead, DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout: t.limits.First, ReadTimeout: t.limits.Idle, WriteTimeout: t.limits.Idle, IdleTimeout: t.limits.Idle,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: t.limits.InFlight, MaxDecoderHeaderTableSize: dohTable, MaxEncoderHeaderTableSize: dohTable,
			MaxReceiveBufferPerConnection: 2 * dohBody, MaxReceiveBufferPerStream: dohBody, WriteByteTimeout: t.limits.Idle,
		},
		ErrorLog: slog.NewLogLogger(t.s.log.Handler(), slog.LevelDebug),
	}
	return w
}

// Accept is net.Listener's, as are the two methods below.
func (w *web) Accept() (net.Conn, error) {
	select {
	case c := <-w.handed:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (w *web) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

// Addr is that of the listener.
func (w *web) Addr() net.Addr { return w.t.listener.Addr() }

// run serves what is handed over until the stream is stopped, and then the requests that are left.
func (w *web) run() { _ = w.srv.Serve(w) } // it always ends with an error

// stop ends connections as soon as their requests are answered.
func (w *web) stop() {
	w.t.s.running.Go(func() { _ = w.srv.Shutdown(context.Background()) }) // the stream cuts what takes too long
}

// serve hands a connection over and returns when it is closed.
func (w *web) serve(c *client) {
	gone := make(chan struct{})
	c.records.closed = sync.OnceFunc(func() { close(gone) })
	w.t.mu.Lock()
	stopped := w.t.stopped
	c.handed = true
	w.t.mu.Unlock()
	if stopped || c.conn.SetDeadline(time.Time{}) != nil {
		return
	}
	select {
	case w.handed <- c.conn:
		<-gone
	case <-w.closed:
	}
}

// ServeHTTP answers one request.
func (w *web) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	g := w.askers.take()
	defer w.askers.give(g)
	r := dohRequest{method: in.Method, target: in.URL.Path + "?" + in.URL.RawQuery, media: in.Header.Get("Content-Type")}
	body, status := r.read(g)
	if body {
		status = readBody(in, g)
	}
	var reply []byte
	if status == 0 {
		if reply = w.askers.answer(g, hostOf(in.RemoteAddr)); reply == nil {
			status = http.StatusBadRequest
		}
	}
	h := out.Header()
	if status != 0 {
		if status == http.StatusMethodNotAllowed {
			h.Set("Allow", "GET, POST")
		}
		http.Error(out, dohReason(status), status)
		return
	}
	h.Set("Content-Type", dohType)
	h.Set("Content-Length", strconv.Itoa(len(reply)))
	h.Set("Cache-Control", "max-age="+strconv.FormatUint(uint64(wire.Freshness(reply)), 10))
	_, _ = out.Write(reply) // fails when the client is gone
}

// readBody brings the question of a POST into the asking.
func readBody(in *http.Request, g *asking) (status int) {
	if in.ContentLength > streamSize {
		return http.StatusRequestEntityTooLarge
	}
	n, err := g.question.ReadFrom(io.LimitReader(in.Body, streamSize+1))
	switch {
	case n > streamSize:
		return http.StatusRequestEntityTooLarge
	case err != nil || n < wire.HeaderLen:
		return http.StatusBadRequest
	}
	return 0
}

// hostOf is the address in "host:port".
func hostOf(text string) netip.Addr {
	at, _ := netip.ParseAddrPort(text) // of a connection that is there
	return at.Addr().Unmap()
}
