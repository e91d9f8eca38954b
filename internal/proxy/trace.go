package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"syscall"
	"time"
)

// withTrace makes net/http tell the trip what it does.
func withTrace(ctx context.Context, t *trip) context.Context {
	storm := 0
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			c, ok := i.Conn.(*countedConn)
			if !ok { // cannot happen: both dials return one
				return
			}
			t.base.Store(c.written.Load())
			t.conn.Store(c)
			t.conns.Add(1)
			t.reused.Store(i.Reused)
			t.connected.CompareAndSwap(0, time.Now().UnixNano())
			if t.admit != nil && !t.admit() {
				c.shut.Store(true)
			}
			if t.gate != nil {
				c.gate.Store(&t.gate)
			} else {
				c.gate.Store(nil) // of a request that went before it wrote
			}
		},
		GotFirstResponseByte: func() { t.firstByte.CompareAndSwap(0, time.Now().UnixNano()) },
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if storm++; storm > maxInformation {
				return errStorm
			}
			if code == http.StatusContinue || t.informational == nil {
				return nil // reading the client's body sends its 100
			}
			return t.informational(code, http.Header(h))
		},
	})
}

// errStorm ends an answer of endless 1xx.
var errStorm = errors.New("more than 16 informational responses")

// dialKind reads from a failed dial what to tell the engine.
func dialKind(err error) Kind {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return KindRefused
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return KindConnectTimeout
	}
	return KindUnreachable
}
