package origins

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"jurymast/internal/proxy/wire"
)

// Phase says what of connecting failed.
type Phase string

// The phases of a DialError.
const (
	Refused     Phase = "refused"     // the origin's machine says that nobody listens
	Timeout     Phase = "timeout"     // no address answered in time
	Unreachable Phase = "unreachable" // no route, no such name, reset, or any other reason
	Handshake   Phase = "tls"         // TLS
)

// DialError is a connection that did not come about. Not a byte of a request was sent.
type DialError struct {
	Phase Phase
	Err   error
}

func (e *DialError) Error() string { return e.Err.Error() }
func (e *DialError) Unwrap() error { return e.Err }

// defaultTimeout is used when a caller gives none, as timeouts.connect.
const defaultTimeout = time.Second

// errConnectTime ends connecting, the look-up of the name included.
var errConnectTime = fmt.Errorf("not connected within the connect timeout: %w", context.DeadlineExceeded)

// keepAlive finds peers that vanished under a connection on which nobody waits for anything: after 30 to 60 s.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}

// Dial makes a new connection within timeout, the TLS handshake (5 s) not included; 0 is 1 s. The error is a *DialError,
// or wraps the cause of ctx when that ended first, which is nobody's failure. Nothing waits for a name that has been
// found before. With Key.Proxy it is a connection of our own, not a client's, see DialFor.
func (p *Pool) Dial(ctx context.Context, timeout time.Duration) (*Conn, error) {
	return p.DialFor(ctx, timeout, nil)
}

// DialFor is Dial on behalf of a client. With Key.Proxy the connection begins with a header that names the client, and
// is private to it: the caller keeps it with its client connection. Without, client is not looked at.
func (p *Pool) DialFor(ctx context.Context, timeout time.Duration, client *Client) (*Conn, error) {
	gen := p.gen.Load() // now: a Drop during the dial counts
	c, remote, shook, err := p.open(ctx, timeout, client)
	if err != nil {
		if ctx.Err() != nil {
			p.tally.dialed(gaveUp)
			return nil, fmt.Errorf("connecting to %s was given up: %w", p.key.Addr, context.Cause(ctx))
		}
		var failed *DialError
		if !errors.As(err, &failed) {
			failed = &DialError{Phase: phase(err), Err: err}
		}
		p.tally.dialed(string(failed.Phase))
		return nil, failed
	}
	p.tally.dialed(dialOK)
	out := p.adopt(c, remote, gen)
	out.Shook = shook
	return out, nil
}

// adopt makes a new connection one of the pool's, lent to the caller.
func (p *Pool) adopt(c *wire.Conn, remote netip.Addr, gen uint64) *Conn {
	now := p.set.now()
	out := &Conn{
		Conn: c, pool: p, remote: remote, gen: gen, since: now,
		retire:      now + int64(jitter(p.set.o.MaxAge)),
		maxRequests: int(jitter(time.Duration(p.set.o.MaxRequests))),
	}
	p.tally.open.Add(1)
	if p.key.Proxy != 0 {
		out.Private()
	}
	if p.set.o.Watch != nil {
		p.set.o.Watch.Add(c)
	}
	return out
}

// open connects, says for whom, and agrees on TLS.
func (p *Pool) open(ctx context.Context, timeout time.Duration, client *Client) (c *wire.Conn, remote netip.Addr, shook time.Duration, err error) {
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	plain, remote, err := p.connect(ctx, timeout)
	if err != nil {
		return nil, remote, 0, err
	}
	if p.key.Proxy != 0 {
		if err := introduce(plain, p.key.Proxy, client); err != nil {
			discard(plain)
			return nil, remote, 0, err
		}
	}
	if p.tls == nil {
		return wire.Plain(plain), remote, 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, tlsTimeout)
	defer cancel()
	secure, began := tls.Client(plain, p.tls), time.Now()
	if err := secure.HandshakeContext(ctx); err != nil {
		discard(plain)
		return nil, remote, 0, &DialError{Handshake, fmt.Errorf("TLS handshake with %s as %s: %w", p.key.Addr, p.key.ServerName, err)}
	}
	return wire.Wrap(secure), remote, time.Since(began), nil
}

// introduce sends the PROXY protocol header. It fits into an empty socket buffer, so nothing waits.
func introduce(c net.Conn, version uint8, client *Client) error {
	h, err := header(version, client)
	if err != nil {
		return err
	}
	if _, err := c.Write(h); err != nil {
		return fmt.Errorf("sending the PROXY protocol header: %w", err)
	}
	return nil
}

// connect makes a TCP connection to one of the origin's addresses.
func (p *Pool) connect(ctx context.Context, timeout time.Duration) (*net.TCPConn, netip.Addr, error) {
	if p.fault != nil {
		return nil, netip.Addr{}, fmt.Errorf("origin %s: %w", p.key.Addr, p.fault)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errConnectTime)
	defer cancel()
	if p.name == nil {
		c, err := dialOne(ctx, p.addr)
		return c, p.addr.Addr(), err
	}
	addrs, err := p.name.addresses(ctx)
	if err != nil {
		return nil, netip.Addr{}, err
	}
	if len(addrs) == 1 {
		c, err := dialOne(ctx, netip.AddrPortFrom(addrs[0], p.port))
		return c, addrs[0], err
	}
	return p.race(ctx, addrs, timeout)
}

// dialOne makes one connection. Not by Dialer.DialTCP: without an address of our own it binds to any, and so keeps a
// port for itself that connections to different origins could share.
func dialOne(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive}
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err //nolint:wrapcheck // says "dial tcp ADDR" itself
	}
	plain, ok := c.(*net.TCPConn)
	if !ok { // cannot happen: this is what the network tcp gives
		discard(c)
		return nil, fmt.Errorf("dial tcp %s: got a %T", to, c)
	}
	return plain, nil
}

// phase reads from a failed dial what to tell.
func phase(err error) Phase {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	}
	return Unreachable
}

// splitAddr reads host:port where host is a name.
func splitAddr(addr string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("is no host:port: %w", err)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, errors.New("is no host:port with a port of 1 to 65535")
	}
	return host, uint16(n), nil
}

func (p *Pool) portOf() uint16 {
	if p.name == nil {
		return p.addr.Port()
	}
	return p.port
}
