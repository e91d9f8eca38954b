package inbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"jurymast/internal/certificates"
	"jurymast/internal/proxy/wire"
)

// secure does the handshake and hands the connection to whoever speaks the protocol agreed on.
func (f *Front) secure(c *Conn, rest []byte) {
	c.state.Store(uint32(Handshake))
	conn := tls.Server(&socket{TCPConn: c.tcp, of: c, rest: rest}, f.o.TLS)
	_ = c.tcp.SetDeadline(time.Now().Add(f.o.HandshakeTime)) // a closed socket says so below
	err := conn.HandshakeContext(context.Background())
	f.stats.handshakes[handshakeResult(err)].Add(1)
	if err != nil {
		explain(c.tcp, err)
		f.end(c)
		return
	}
	_ = c.tcp.SetDeadline(time.Time{})
	state := conn.ConnectionState()
	c.TLS = &state
	if state.NegotiatedProtocol != "h2" {
		c.Conn = wire.Wrap(conn)
		f.serve(c)
		return
	}
	c.http2 = true
	c.state.Store(uint32(Busy))
	if f.Closing() || !f.h2Queue.give(conn) {
		_, _ = conn.Write(lastWords) // nothing was processed: the client may repeat it elsewhere
		_ = conn.CloseWrite()
		linger(c.tcp)
		f.end(c)
	}
}

// lastWords are an empty SETTINGS frame, which a server begins with, and a GOAWAY frame without an error and without a
// stream that was looked at [RFC 9113 sections 3.4, 6.5, 6.8].
var lastWords = []byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x08\x07\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00")

// linger takes what the client sends until it closes, because unread bytes would turn our last words into a reset.
func linger(tcp *net.TCPConn) {
	_ = tcp.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, tcp, headBytes)
}

// explain answers a client that speaks plain HTTP where TLS is spoken, as many servers do.
func explain(tcp *net.TCPConn, err error) {
	var no tls.RecordHeaderError
	if !errors.As(err, &no) || no.Conn == nil {
		return
	}
	for _, method := range []string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO"} {
		if bytes.HasPrefix(no.RecordHeader[:], []byte(method)) {
			const text = "This port speaks HTTPS.\n"
			_, _ = io.WriteString(tcp, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"+text)
			return
		}
	}
}

// handshakeResult is one of the results that are counted.
func handshakeResult(err error) handshake {
	var alert tls.AlertError
	var op *net.OpError
	var no tls.RecordHeaderError
	switch {
	case err == nil:
		return handshakeOK
	case errors.Is(err, os.ErrDeadlineExceeded):
		return handshakeLate
	case errors.Is(err, certificates.ErrNone):
		return handshakeNoCertificate
	case errors.As(err, &no):
		return handshakeNoTLS
	case errors.As(err, &op) && op.Op == "remote error", errors.As(err, &alert):
		return handshakeRefused
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return handshakeLeft
	}
	return handshakeFailed
}

// connKey finds the Conn of an HTTP/2 request.
type connKey struct{}

// ConnOf is the connection of a request that Options.HTTP2 answers; nil for any other context.
func ConnOf(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}

// owner is the Conn of a connection that came through the queue.
func owner(n net.Conn) *Conn {
	if t, ok := n.(*tls.Conn); ok {
		if s, ok := t.NetConn().(*socket); ok {
			return s.of
		}
	}
	return nil
}

// server speaks HTTP/2 on the connections of the queue, whose handshake is done.
func (f *Front) server() *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler:                      f.o.HTTP2,
		IdleTimeout:                  f.o.IdleTime,
		ReadHeaderTimeout:            f.o.HandshakeTime, // of no effect: net/http has it for the handshake, which is done
		MaxHeaderBytes:               f.o.HeadBytes,
		DisableGeneralOptionsHandler: true, // OPTIONS * is the origin's to answer
		Protocols:                    protocols,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: streams, MaxReadFrameSize: frameBytes, WriteByteTimeout: writePause},
		ErrorLog:                     slog.NewLogLogger(f.o.Logger.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, n net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, owner(n))
		},
		ConnState: func(n net.Conn, s http.ConnState) {
			c := owner(n)
			if c == nil {
				return
			}
			switch s {
			case http.StateIdle:
				c.state.CompareAndSwap(uint32(Busy), uint32(Idle))
			case http.StateNew, http.StateActive:
				c.state.CompareAndSwap(uint32(Idle), uint32(Busy))
			case http.StateHijacked, http.StateClosed:
				f.end(c)
			}
		},
	}
}

// queue is a listener that accepts what it is given.
type queue struct {
	conns chan net.Conn
	over  chan struct{}
	once  sync.Once
}

func newQueue() *queue { return &queue{conns: make(chan net.Conn), over: make(chan struct{})} }

// give hands a connection over; false: nobody takes it any more, and it is still the caller's.
func (q *queue) give(c net.Conn) bool {
	select {
	case q.conns <- c:
		return true
	case <-q.over:
		return false
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.over:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.over) })
	return nil
}

func (q *queue) Addr() net.Addr { return &net.TCPAddr{} }
