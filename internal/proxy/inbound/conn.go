package inbound

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/proxy/wire"
)

// ErrShutdown is what Next returns when the front closes and no request has come.
var ErrShutdown = errors.New("the proxy is shutting down")

// State of a connection; the package comment has the chart.
type State uint32

// The states.
const (
	Accepted   State = iota
	Announcing       // its PROXY header is awaited
	Handshake        // its TLS handshake runs
	Fresh            // waits for its first request
	Busy             // has a request
	Idle             // waits for its next request
	Tunnel           // carries bytes after an upgrade
	asked            // fresh or idle, and asked to go
	gone
)

func (s State) String() string {
	switch s {
	case Accepted:
		return "accepted"
	case Announcing:
		return "announcing"
	case Handshake:
		return "handshake"
	case Fresh:
		return "fresh"
	case Busy:
		return "busy"
	case Idle:
		return "idle"
	case Tunnel:
		return "tunnel"
	case asked, gone:
		return "closing"
	}
	return "unknown"
}

// Conn is one client connection. What is exported is complete before Serve gets it and does not change.
type Conn struct {
	*wire.Conn // nil when the client speaks HTTP/2: its bytes are net/http's

	Peer, Local netip.AddrPort // the client and where it connected to: as the PROXY header says, else those of the socket
	Socket      netip.AddrPort // who is really connected: the balancer, when there is a PROXY header
	TLS         *tls.ConnectionState
	Listener    string // address listened on
	Since       time.Time

	front *Front
	at    *listener
	tcp   *net.TCPConn
	state atomic.Uint32
	mu    sync.Mutex // held from taking a state away from the owner until it is woken
	http2 bool       // written before the state leaves Handshake
	asks  netip.Addr // whose share of the connections it has; invalid: nobody's

	shard      *shard // of the book
	prev, next *Conn
}

// State is what the connection does now.
func (c *Conn) State() State { return State(c.state.Load()) }

// Closing says that the front is shutting down: the answer being given is the connection's last.
func (c *Conn) Closing() bool { return c.front.closing.Load() }

// Next waits for the first byte of the next request, or the end of the client's bytes, holding no buffer. The
// connection counts as idle meanwhile, and as busy afterwards. ErrShutdown: the front closes and nothing has come; any
// other error is the connection's, and the owner closes it.
//
// This is all a request costs here: two atomic words of its own connection.
func (c *Conn) Next() error {
	waits := Fresh
	if c.State() != Fresh {
		waits = Idle
		c.state.Store(uint32(Idle))
		if c.Closing() {
			c.ask(Idle)
		}
	}
	err := c.Await()
	if c.state.CompareAndSwap(uint32(waits), uint32(Busy)) {
		return err //nolint:wrapcheck // wire's own
	}
	c.mu.Lock() // until the wake that came with the question is there
	c.Clear()
	c.mu.Unlock()
	c.state.Store(uint32(Busy))
	if err != nil && !errors.Is(err, ErrShutdown) {
		return err //nolint:wrapcheck // wire's own
	}
	if c.Alive() {
		return ErrShutdown
	}
	return nil // a request has come at the last moment, or the end has
}

// Tunnelling says that the connection carries bytes after an upgrade from now on.
func (c *Conn) Tunnelling() { c.state.Store(uint32(Tunnel)) }

// ask wakes a connection that waits in that state for a request, so that it goes. Others keep what they have.
func (c *Conn) ask(s State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.http2 && c.state.CompareAndSwap(uint32(s), uint32(asked)) {
		c.Wake(ErrShutdown)
	}
}

// cut breaks the connection, whatever it does.
func (c *Conn) cut() {
	_ = c.tcp.SetLinger(0) // it fails on closed sockets only
	_ = c.tcp.Close()
}

// socket is a TCP connection below TLS: it gives back what was read behind a PROXY header, and has the addresses of
// that header.
type socket struct {
	*net.TCPConn
	of   *Conn
	rest []byte
}

func (s *socket) Read(p []byte) (int, error) {
	if len(s.rest) > 0 {
		n := copy(p, s.rest)
		s.rest = s.rest[n:]
		return n, nil
	}
	s.rest = nil
	return s.TCPConn.Read(p) //nolint:wrapcheck // net's own words
}

// NetConn is the connection below, for package wire.
func (s *socket) NetConn() net.Conn { return s.TCPConn }

func (s *socket) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.of.Peer) }
func (s *socket) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(s.of.Local) }

// addrPort is the address of a socket, with IPv4 as such.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := t.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
