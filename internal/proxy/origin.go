package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// sender puts a request on a connection to an origin. It may replace a dead pooled connection under a request of
// which no byte was accepted, or under a body-less GET, HEAD or OPTIONS; it never sends anything else twice. What
// really happened is in the trip when send returns, also on error.
type sender interface {
	send(ctx context.Context, to poolKey, out *http.Request, t *trip) (*http.Response, error)
	// drop closes the idle connections to an address.
	drop(addr string)
	// keep forgets the pools for which wanted is false.
	keep(wanted func(poolKey) bool)
}

// poolKey is what connections are shared by: they outlive snapshots as long as somebody uses the same key.
type poolKey struct {
	secure     bool
	addr       string
	serverName string // SNI and verified name; "" without TLS
}

// trip is what happened to one send. Fields that are not atomic are written before send returns.
type trip struct {
	resend bool // the core could send the request again: a pooled connection of any age will do
	fresh  bool // a connection of its own, never a pooled one
	// admit is asked on every connection right before the first byte; false: nothing is written and send fails.
	admit func() bool
	// gate, when set, is passed by the first bytes of the request on every connection; false as with admit. Release is
	// called when they are written.
	gate func() (release func(), ok bool)
	// informational gets each 1xx but 100; an error ends the send.
	informational func(code int, h http.Header) error
	dialTimeout   time.Duration

	conn      atomic.Pointer[countedConn]
	base      atomic.Int64 // of conn.written when this request got it
	conns     atomic.Int32 // connections this request was given
	reused    atomic.Bool
	firstByte atomic.Int64 // unix nanoseconds; 0: none
	start     time.Time
	connected atomic.Int64 // unix nanoseconds
}

// wrote is the number of request bytes the kernel took on the last connection.
func (t *trip) wrote() int64 {
	if c := t.conn.Load(); c != nil {
		return c.written.Load() - t.base.Load()
	}
	return 0
}

// errRefusedToSend is what a write gets when admit said no.
var errRefusedToSend = errors.New("the decision changed before the request was sent")

// countedConn knows how many bytes the kernel took, and can refuse to write at all.
type countedConn struct {
	net.Conn
	written atomic.Int64
	shut    atomic.Bool
	gate    atomic.Pointer[func() (release func(), ok bool)] // of the request that got the connection; nil: passed, or none
}

func (c *countedConn) Write(p []byte) (int, error) {
	if c.shut.Load() {
		return 0, errRefusedToSend
	}
	if gate := c.gate.Swap(nil); gate != nil {
		release, ok := (*gate)()
		if !ok {
			c.shut.Store(true)
			return 0, errRefusedToSend
		}
		defer release()
		_ = c.Conn.SetWriteDeadline(time.Now().Add(firstWrite)) // a connection that takes no deadline takes no bytes either
		defer func() { _ = c.Conn.SetWriteDeadline(time.Time{}) }()
	}
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err //nolint:wrapcheck // a net.Conn passes errors on as they are
}

// CloseWrite ends our direction of a tunnel.
func (c *countedConn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errors.New("this connection has no half-close")
}

// dialError says which phase of connecting failed.
type dialError struct {
	kind Kind
	err  error
}

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

const (
	tlsTimeout     = 5 * time.Second
	maxOriginHead  = 64 << 10
	idlePerOrigin  = 256
	idleOrigin     = 60 * time.Second
	idleUnsafe     = time.Second // a request that cannot be sent again trusts a pooled connection this long
	waitFor100     = time.Second
	maxPools       = 1024
	maxInformation = 16
)

// transports fulfils sender with net/http: three transports per pool, which differ in the connections they trust.
type transports struct {
	roots *x509.CertPool // nil: the system's
	mu    sync.Mutex
	pools map[poolKey]*pool
}

type pool struct {
	safe, unsafe, fresh *http.Transport
	used                time.Time
}

func newTransports(roots *x509.CertPool) *transports {
	return &transports{roots: roots, pools: map[poolKey]*pool{}}
}

func (s *transports) send(ctx context.Context, to poolKey, out *http.Request, t *trip) (*http.Response, error) {
	p := s.pool(to)
	via := p.unsafe
	switch {
	case t.fresh:
		via = p.fresh
	case t.resend:
		via = p.safe
	}
	return via.RoundTrip(out.WithContext(withTrace(context.WithValue(ctx, dialKey{}, t.dialTimeout), t))) //nolint:wrapcheck // classify reads it
}

// dialKey carries timeouts.connect of the exchange that dials: pools are shared by profiles.
type dialKey struct{}

func (s *transports) pool(to poolKey) *pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pools[to]
	if p == nil {
		s.makeRoom()
		p = &pool{safe: s.transport(to), unsafe: s.transport(to), fresh: s.transport(to)}
		p.unsafe.IdleConnTimeout = idleUnsafe
		p.fresh.DisableKeepAlives = true
		s.pools[to] = p
	}
	p.used = time.Now()
	return p
}

// makeRoom bounds the pools: with a wildcard host name the client chooses the server name, and so the key.
func (s *transports) makeRoom() {
	if len(s.pools) < maxPools {
		return
	}
	var oldest poolKey
	var at time.Time
	for k, p := range s.pools {
		if at.IsZero() || p.used.Before(at) {
			oldest, at = k, p.used
		}
	}
	s.pools[oldest].close()
	delete(s.pools, oldest)
}

func (p *pool) close() {
	p.safe.CloseIdleConnections()
	p.unsafe.CloseIdleConnections()
	p.fresh.CloseIdleConnections()
}

func (s *transports) drop(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, p := range s.pools {
		if k.addr == addr {
			p.close()
		}
	}
}

func (s *transports) keep(wanted func(poolKey) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, p := range s.pools {
		if !wanted(k) {
			p.close()
			delete(s.pools, k)
		}
	}
}

// transport is a net/http transport that adds nothing: no proxy from the environment, no compression, no HTTP/2.
func (s *transports) transport(to poolKey) *http.Transport {
	tr := &http.Transport{
		DisableCompression:     true,
		MaxIdleConnsPerHost:    idlePerOrigin,
		IdleConnTimeout:        idleOrigin,
		ExpectContinueTimeout:  waitFor100,
		MaxResponseHeaderBytes: maxOriginHead,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return dialPlain(ctx, addr)
		},
	}
	if to.secure {
		cfg := &tls.Config{
			ServerName: to.serverName, RootCAs: s.roots, MinVersion: tls.VersionTLS12,
			NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(64),
		}
		tr.DialTLSContext = func(ctx context.Context, _, addr string) (net.Conn, error) { return dialTLS(ctx, addr, cfg) }
	}
	return tr
}

func dialPlain(ctx context.Context, addr string) (net.Conn, error) {
	timeout, ok := ctx.Value(dialKey{}).(time.Duration)
	if !ok || timeout <= 0 {
		timeout = time.Second
	}
	c, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, &dialError{dialKind(err), err}
	}
	return &countedConn{Conn: c}, nil
}

func dialTLS(ctx context.Context, addr string, cfg *tls.Config) (net.Conn, error) {
	plain, err := dialPlain(ctx, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, tlsTimeout)
	defer cancel()
	c := tls.Client(plain, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, &dialError{KindTLS, fmt.Errorf("TLS handshake as %s: %w", cfg.ServerName, err)}
	}
	return &countedConn{Conn: c}, nil
}
