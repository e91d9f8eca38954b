package nameserver

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/nameserver/tap"
)

// TCP are the limits of DNS over TCP [RFC 7766, RFC 9210], for each address that is listened on. A limit of 0 is its
// default.
type TCP struct {
	Connections int           // at once, from everywhere; 1000
	PerPrefix   int           // of them from one network, IPv4 /24 or IPv6 /56; 20
	InFlight    int           // questions of one connection that are answered before the answers are written; 100
	First       time.Duration // from accepting to the end of the first question; 2 s
	Idle        time.Duration // between questions, and for answers to be taken, while at most half the places are taken; 10 s
	IdleMin     time.Duration // the same when all places are taken; in between it shrinks evenly; 1 s

	Handshakes          int // of TLS and QUIC a second, from everywhere; 1000
	PerPrefixHandshakes int // of them from one network; 100
}

func (l TCP) orDefaults() TCP {
	number := func(n *int, otherwise int) {
		if *n <= 0 {
			*n = otherwise
		}
	}
	span := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	number(&l.Connections, 1000)
	number(&l.PerPrefix, 20)
	number(&l.InFlight, 100)
	number(&l.Handshakes, 1000)
	number(&l.PerPrefixHandshakes, 100)
	span(&l.First, 2*time.Second)
	span(&l.Idle, 10*time.Second)
	span(&l.IdleMin, time.Second)
	l.IdleMin = min(l.IdleMin, l.Idle)
	return l
}

// Bytes of one connection.
const (
	readBuffer = 4096     // questions sent in one go are answered in one go
	burst      = 16 << 10 // answers are written when they are that many
	keepBuffer = 32 << 10 // larger buffers are given back
)

// tellEvery keeps lines about accepting apart: who holds all descriptors makes it fail a hundred times a second.
const tellEvery = time.Second

// What is still read of a client that sent something that is no question, so that closing does not take away the answers
// before it.
const (
	drainTime  = 500 * time.Millisecond
	drainBytes = 64 << 10
)

// idleSteps is in how many steps the idle time shrinks. At each one the connections that wait learn of it.
const idleSteps = 8

// step says how full the table is: 0 up to half of it, idleSteps when it is full.
func (l *TCP) step(open int) int {
	half := l.Connections / 2
	if open <= half {
		return 0
	}
	return ((open-half)*idleSteps + l.Connections - half - 1) / (l.Connections - half)
}

func (l *TCP) idle(step int) time.Duration {
	return l.Idle - (l.Idle-l.IdleMin)*time.Duration(step)/idleSteps
}

// stream is one TCP listener with its connections. Each connection has one goroutine: it answers in order, which costs
// nothing because answering never waits, so a slow reader holds up nobody else. It never holds more than one question
// and one burst of answers.
type stream struct {
	s        *Server
	listener net.Listener
	limits   TCP
	via      tap.Transport
	tls      *tls.Config // nil: not encrypted
	web      *web        // nil: DNS is not inside HTTP

	mu      sync.Mutex
	clients map[*client]struct{}
	near    map[netip.Prefix]int // connections by network
	step    int                  // how full clients is
	stopped bool
	counts  *counts // of all connections; nil before the first
	rates   *rates  // of handshakes; nil: there are none
}

// client is one connection.
type client struct {
	conn    net.Conn   // what is talked over: raw, or TLS over it
	raw     net.Conn   // as it was accepted
	records *records   // between the two; nil: not encrypted
	from    netip.Addr // invalid: not known
	prefix  netip.Prefix
	idle    time.Time // since when it waits for another question; zero: it does not. Guarded by the stream's mu
	handed  bool      // somebody else reads it and keeps its times. Guarded by the stream's mu
}

func newStream(s *Server, l net.Listener) *stream {
	return &stream{s: s, listener: l, via: tap.TCP, limits: s.opt.TCP.orDefaults(), clients: map[*client]struct{}{}, near: map[netip.Prefix]int{}}
}

func (t *stream) accept() {
	var told time.Time
	for failed := 0; ; {
		conn, err := t.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			failed++
			if now := time.Now(); told.IsZero() || now.Sub(told) >= tellEvery {
				t.s.log.Warn("accepting TCP connections failed, trying again", "address", t.listener.Addr().String(), "failures", failed, "error", err)
				told, failed = now, 0
			}
			select {
			case <-t.s.stopping:
			case <-time.After(retryPause): // out of descriptors: give them time to come back
			}
			continue
		}
		if c := t.enter(conn); c != nil {
			t.s.running.Go(func() { t.serve(c) })
			continue
		}
		conn.Close()
	}
}

// enter gives a connection its place, or nil.
func (t *stream) enter(conn net.Conn) *client {
	c := &client{conn: conn, raw: conn, from: source(conn)}
	c.prefix = network(c.from)
	count := &t.s.m.lines[t.via]
	if t.rates == nil && !t.s.gate.Allow(c.from) { // handshakes have rates of their own
		count.refused[refusedRate].Add(1)
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.stopped:
		return nil
	case len(t.clients) >= t.limits.Connections:
		count.refused[refusedFull].Add(1)
		return nil
	case c.prefix.IsValid() && t.near[c.prefix] >= t.limits.PerPrefix:
		count.refused[refusedPrefix].Add(1)
		return nil
	case t.rates != nil && !t.rates.allow(c.prefix, time.Now()):
		count.refused[refusedRate].Add(1)
		return nil
	}
	t.protect(c)
	t.clients[c] = struct{}{}
	t.near[c.prefix]++
	count.open.Add(1)
	if step := t.limits.step(len(t.clients)); step > t.step {
		t.hurry(step)
	}
	return c
}

// hurry tells connections that wait for another question that they may not wait as long any more. It needs mu.
func (t *stream) hurry(step int) {
	t.step = step
	for c := range t.clients {
		if !c.idle.IsZero() {
			_ = c.conn.SetReadDeadline(c.idle.Add(t.limits.idle(step))) // fails on a closed connection only
		}
	}
}

func (t *stream) leave(c *client, why int) {
	c.conn.Close()
	t.mu.Lock()
	delete(t.clients, c)
	if t.near[c.prefix]--; t.near[c.prefix] == 0 {
		delete(t.near, c.prefix)
	}
	t.step = t.limits.step(len(t.clients))
	t.mu.Unlock()
	t.s.m.lines[t.via].open.Add(-1)
	t.s.m.lines[t.via].closed[why].Add(1)
}

// stop ends accepting and waiting for questions; answers under way are still written.
func (t *stream) stop() {
	t.listener.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	for c := range t.clients {
		if !c.handed {
			_ = c.conn.SetReadDeadline(time.Now()) // fails on a closed connection only
		}
	}
	if t.web != nil {
		t.web.stop()
	}
}

// cut closes everything at once.
func (t *stream) cut() {
	t.stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.clients {
		c.raw.Close() // TLS would say goodbye first, and wait for who does not listen
	}
}

// wait starts the time in which the next question has to be there, all of it. It is set under the lock, so that a stop or
// a hurry that came in between is not undone. false: there is no more time.
func (t *stream) wait(c *client, first bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return false
	}
	now, d := time.Now(), t.limits.First
	if !first {
		c.idle, d = now, t.limits.idle(t.step)
	}
	return c.conn.SetReadDeadline(now.Add(d)) == nil
}

// begun ends the waiting and returns how long the client may wait for its next question, as of now.
func (t *stream) begun(c *client) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.idle = time.Time{}
	return t.limits.idle(t.step)
}

// serve answers until the client or its time is over.
func (t *stream) serve(c *client) {
	if !t.shake(c) {
		t.leave(c, closedHandshake)
		return
	}
	if t.web != nil {
		t.leave(c, t.web.serve(c))
		return
	}
	talk := &talk{t: t, c: c, in: bufio.NewReaderSize(c.conn, readBuffer), a: t.responder()}
	talk.a.port = portOf(c.conn)
	talk.queries = talk.a.c.received(t.via, c.from)
	talk.a.streams = talk.send
	why := talk.run()
	talk.settle(why)
	switch why {
	case closedSlow:
		abort(c.raw)
	case closedMisuse:
		t.drain(c)
	}
	t.leave(c, why)
}

// responder makes one that counts together with all connections of the listener.
func (t *stream) responder() *responder {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = t.s.m.take()
	}
	a := t.s.responder(t.counts)
	a.via = t.via
	return a
}

// drain ends our half of the connection and reads on for a moment. Closing with bytes that were not read resets the
// connection, and a client may throw away what it has not taken by then [RFC 9112 9.6].
func (t *stream) drain(c *client) {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	t.mu.Lock()
	stopped := t.stopped
	if !stopped { // under the lock: a stop that comes later ends the reading
		_ = c.conn.SetReadDeadline(time.Now().Add(drainTime)) // fails on a closed connection only
	}
	t.mu.Unlock()
	if !stopped {
		_, _ = io.CopyN(io.Discard, c.conn, drainBytes) // however it ends, the connection is closed
	}
}

// abort makes closing throw away what the client does not take, instead of leaving it to the kernel for minutes.
func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails on a closed connection only
	}
}

// talk is what is said on one connection.
type talk struct {
	t        *stream
	c        *client
	in       *bufio.Reader
	a        *responder
	queries  counter
	question bytes.Buffer
	out      []byte // answers that are not written yet, each behind its length
	held     int    // how many

	writing sync.Mutex     // of conn: transfers write beside the answers
	sending sync.WaitGroup // transfers under way
	under   atomic.Int32   // how many
}

// run reads one question after the other and returns why there will be no more. A half-closed client still gets what it
// asked for; what is no question has no place on a connection, but what was asked before it is answered.
func (k *talk) run() (why int) {
	for first := true; ; first = false {
		if !another(k.in) && !k.t.wait(k.c, first) {
			return closedStopped
		}
		if err := readMessage(k.in, &k.question); err != nil {
			return k.t.because(err)
		}
		idle := k.t.begun(k.c)
		k.queries.Add(1)
		k.a.keepalive = tenths(idle)
		k.a.refresh()
		k.a.received()
		if !k.answer() {
			_ = k.flush(idle) // it ends anyway
			return closedMisuse
		}
		if k.held < k.t.limits.InFlight && len(k.out) < burst && k.more() {
			continue
		}
		if err := k.flush(idle); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return closedSlow
			}
			return closedClient
		}
	}
}

// answer adds the answer to the question to out. false: it was none.
func (k *talk) answer() bool {
	k.out = slices.Grow(k.out, 2+udpSize+wireSlack)
	at := len(k.out)
	k.out = append(k.out, 0, 0)
	reply := k.t.s.answer(k.a, k.question.Bytes(), k.out[at+2:], true, k.c.from)
	if reply == nil || len(reply) > streamSize {
		k.out = k.out[:at]
		return k.a.begun()
	}
	if room := k.out[at+2 : cap(k.out)]; len(room) >= len(reply) && &room[0] == &reply[0] {
		k.out = k.out[:at+2+len(reply)] // it was written in place
	} else {
		k.out = append(k.out, reply...)
	}
	binary.BigEndian.PutUint16(k.out[at:], uint16(len(reply))) //nolint:gosec // at most 65535, see above
	k.held++
	return true
}

// flush writes the answers, all at once. They have to be taken within idle.
func (k *talk) flush(idle time.Duration) error {
	if k.held == 0 {
		return nil
	}
	err := k.write(k.out, idle)
	k.held, k.out = 0, k.out[:0]
	if cap(k.out) > keepBuffer {
		k.out = nil
	}
	return err
}

// another reports that the next question has arrived as a whole.
func another(in *bufio.Reader) bool {
	if in.Buffered() < 2 {
		return false
	}
	prefix, err := in.Peek(2)
	return err == nil && in.Buffered() >= 2+int(binary.BigEndian.Uint16(prefix))
}

// more reports that the next question can be read without waiting for the client.
func (k *talk) more() bool {
	for !another(k.in) {
		if !k.c.records.ahead(k.in) {
			return false
		}
	}
	return true
}

// because is why reading ended.
func (t *stream) because(err error) int {
	switch {
	case t.s.isStopping():
		return closedStopped
	case errors.Is(err, os.ErrDeadlineExceeded):
		return closedIdle
	}
	return closedClient
}

// tenths is the unit of the keepalive option [RFC 7828]: 100 ms.
func tenths(d time.Duration) uint16 {
	return uint16(min(d/(100*time.Millisecond), 0xFFFF)) //nolint:gosec // at most 65535
}

// source is the address of the client, invalid when the connection has none.
func source(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// portOf is the client's port; 0: not known.
func portOf(conn net.Conn) uint16 {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Port()
	}
	return 0
}

// How much of an address is one network, in bits: what one customer has, mostly.
const (
	network4 = 24
	network6 = 56
)

// network is where an address belongs; invalid for one that is not known.
func network(a netip.Addr) netip.Prefix {
	bits := network6
	if a.Is4() {
		bits = network4
	}
	p, _ := a.WithZone("").Prefix(bits) // fails on an invalid address only
	return p
}

// readMessage reads one message behind its length into b. Memory grows with what has arrived, not with what was
// announced.
func readMessage(in *bufio.Reader, b *bytes.Buffer) error {
	var prefix [2]byte
	if _, err := io.ReadFull(in, prefix[:]); err != nil {
		return err
	}
	if b.Cap() > keepBuffer {
		*b = bytes.Buffer{}
	}
	b.Reset()
	_, err := io.CopyN(b, in, int64(binary.BigEndian.Uint16(prefix[:])))
	return err
}
