package nameserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"jurymast/internal/nameserver/doh2"
	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/wire"
)

// dohHead is how long the head of a request may be, in bytes; a question in a GET is part of it.
const dohHead = doh2.HeadBytes

// web serves DNS over HTTPS on connections that a stream has accepted, counted and secured: HTTP/2 by itself (doh2),
// HTTP/1.1 by net/http, whose own HTTP/2 takes five times the processor time.
type web struct {
	t      *stream
	askers *askers
	srv    *http.Server
	handed chan net.Conn // connections on their way to srv
	closed chan struct{}
	once   sync.Once // of closed
	ends   sync.Once // of stop
}

func newWeb(t *stream) *web {
	w := &web{t: t, askers: newAskers(t.s, tap.DoH), handed: make(chan net.Conn), closed: make(chan struct{})}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	w.srv = &http.Server{
		Handler: w, Protocols: protocols, MaxHeaderBytes: dohHead, DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout: t.limits.First, ReadTimeout: t.limits.Idle, WriteTimeout: t.limits.Idle, IdleTimeout: t.limits.Idle,
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
	w.ends.Do(func() { // once: a second one could join those that run while they are waited for, which panics
		w.t.s.running.Go(func() { _ = w.srv.Shutdown(context.Background()) }) // the stream cuts what takes too long
	})
}

// serve answers on a connection until it is closed, and says why it was.
func (w *web) serve(c *client) (why int) {
	if conn, ok := c.conn.(*tls.Conn); ok && conn.ConnectionState().NegotiatedProtocol == alpnH2 {
		return w.serveH2(c)
	}
	w.serveHTTP1(c)
	return closedClient
}

// serveH2 answers over HTTP/2.
func (w *web) serveH2(c *client) (why int) {
	g, t := w.askers.take(), w.t
	defer func() {
		if p := recover(); p != nil {
			g.a.c.panics.Add(1)
			t.s.log.Error("a connection of HTTP/2 failed inside", "panic", fmt.Sprint(p), "stack", stack())
			return
		}
		w.askers.give(g)
	}()
	refuse := func(status int) doh2.Reply {
		r := doh2.Reply{Status: status, Body: []byte(dohReason(status))}
		if status == http.StatusMethodNotAllowed {
			r.Allow = dohMethods
		}
		return r
	}
	in := bufio.NewReaderSize(c.conn, readBuffer)
	err := doh2.Serve(in, doh2.Options{
		Streams: t.limits.InFlight, Refuse: refuse,
		Ahead: func() bool { return c.records.ahead(in) },
		Wait:  func(first bool) bool { return t.wait(c, first) },
		Begun: func() time.Duration { return t.begun(c) },
		Write: func(b []byte, within time.Duration) error {
			if err := c.conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
				return err
			}
			if _, err := c.conn.Write(b); err != nil {
				return fmt.Errorf("%w: %w", errUntaken, err)
			}
			return nil
		},
		Head: func(r *doh2.Request) (question []byte, body bool, status int) {
			g.question.Reset()
			head := dohRequest{method: r.Method, target: r.Path, media: r.Type}
			body, status = head.read(g)
			return g.question.Bytes(), body, status
		},
		Answer: func(question []byte) doh2.Reply {
			reply := w.askers.reply(g, question, c.from)
			if reply == nil {
				return refuse(http.StatusBadRequest)
			}
			return doh2.Reply{Status: http.StatusOK, Body: reply, MaxAge: wire.Freshness(reply)}
		},
	})
	switch {
	case errors.Is(err, errUntaken) && errors.Is(err, os.ErrDeadlineExceeded):
		abort(c.raw)
		return closedSlow
	case errors.Is(err, doh2.ErrMisuse):
		t.drain(c)
		return closedMisuse
	}
	return t.because(err)
}

// errUntaken is that answers could not be written.
var errUntaken = errors.New("answers were not taken")

// serveHTTP1 hands a connection over and returns when it is closed.
func (w *web) serveHTTP1(c *client) {
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
			h.Set("Allow", dohMethods)
		}
		http.Error(out, dohReason(status), status)
		return
	}
	h.Set("Content-Type", dohType)
	h.Set("Content-Length", strconv.Itoa(len(reply)))
	h.Set("Cache-Control", "max-age="+strconv.FormatUint(uint64(wire.Freshness(reply)), 10))
	_, _ = out.Write(reply) //nolint:gosec // a DNS message, and declared as one; it fails when the client is gone
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
