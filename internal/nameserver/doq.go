package nameserver

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/wire"
)

// Error codes of DNS over QUIC [RFC 9250 4.3].
const (
	doqNoError          = 0x0
	doqInternalError    = 0x1
	doqProtocolError    = 0x2
	doqRequestCancelled = 0x3
	doqExcessiveLoad    = 0x4
)

// Bytes a client of QUIC may have on the way to us: of one question, and of all of its connection.
const (
	doqStreamWindow = 8 << 10
	doqStreamMost   = 72 << 10 // a whole message, and some more
	doqConnWindow   = 32 << 10
	doqConnMost     = 256 << 10
)

const (
	// strangers is the part of the allowed handshakes that may come from addresses nobody has proved; beyond it, and
	// when half the places are taken, clients are sent a Retry first [RFC 9000 8.1.2].
	strangers = 10

	// lastWords is the time in which answers that were handed to QUIC are on their way when the connection ends.
	lastWords = 100 * time.Millisecond
)

// errRefused ends a handshake that is not wanted now.
var errRefused = errors.New("too many connections")

// quicFront is one UDP socket for QUIC with its connections. A question is one stream with a goroutine of its own, as
// many at once as questions are in flight on TCP; there is no other way to read several streams.
type quicFront struct {
	s         *Server
	limits    TCP
	transport *quic.Transport
	listener  *quic.Listener
	socket    net.PacketConn
	askers    *askers
	ctx       context.Context // ends with stop
	end       context.CancelFunc

	mu       sync.Mutex
	stopped  bool
	open     int
	near     map[netip.Prefix]int
	conns    map[*quic.Conn]struct{}
	rates    *rates // of handshakes
	unproved *rates // of those from addresses that may be forged
}

func (s *Server) bindQUIC(ctx context.Context, addr netip.AddrPort, config *tls.Config) (uint16, error) {
	socket, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp"+family(addr.Addr()), addr.String())
	if err != nil {
		return 0, remedy(err, addr.Port())
	}
	bound, err := netip.ParseAddrPort(socket.LocalAddr().String())
	if err == nil {
		err = s.startQUIC(socket, config)
	}
	if err != nil {
		_ = socket.Close() // nothing was sent
		return 0, err
	}
	s.bound(tap.DoQ, bound)
	return bound.Port(), nil
}

func (s *Server) startQUIC(socket net.PacketConn, config *tls.Config) error {
	l := s.opt.TCP.orDefaults()
	q := &quicFront{
		s: s, limits: l, socket: socket, askers: newAskers(s, tap.DoQ), near: map[netip.Prefix]int{}, conns: map[*quic.Conn]struct{}{},
		rates: newRates(l.Handshakes, l.PerPrefixHandshakes), unproved: newRates(max(l.Handshakes/strangers, 1), max(l.PerPrefixHandshakes/strangers, 1)),
	}
	q.ctx, q.end = context.WithCancel(context.Background())
	config = config.Clone()
	config.MinVersion = tls.VersionTLS13
	pick := config.GetCertificate
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, err := pick(hello)
		if err != nil {
			s.m.lines[tap.DoQ].unshaken[s.unshaken(err)].Add(1)
		}
		return c, err
	}
	q.transport = &quic.Transport{Conn: socket, VerifySourceAddress: q.doubts}
	listener, err := q.transport.Listen(config, &quic.Config{
		GetConfigForClient: q.admit, HandshakeIdleTimeout: l.First, MaxIncomingStreams: int64(l.InFlight), MaxIncomingUniStreams: -1,
		InitialStreamReceiveWindow: doqStreamWindow, MaxStreamReceiveWindow: doqStreamMost,
		InitialConnectionReceiveWindow: doqConnWindow, MaxConnectionReceiveWindow: doqConnMost, DisablePathMTUDiscovery: true,
	})
	if err != nil {
		return fmt.Errorf("QUIC: %w", err)
	}
	q.listener = listener
	s.quic = append(s.quic, q)
	return nil
}

// doubts says whether a client has to prove its address first.
func (q *quicFront) doubts(from net.Addr) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open < q.limits.Connections/2 && q.unproved.allow(network(addrOf(from)), time.Now()) {
		return false
	}
	q.s.m.lines[tap.DoQ].retries.Add(1)
	return true
}

// admit decides about a handshake, and for how long the connection may be idle.
func (q *quicFront) admit(info *quic.ClientInfo) (*quic.Config, error) {
	prefix, count := network(addrOf(info.RemoteAddr)), &q.s.m.lines[tap.DoQ]
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopped:
		return nil, errRefused
	case q.open >= q.limits.Connections:
		count.refused[refusedFull].Add(1)
		return nil, errRefused
	case prefix.IsValid() && q.near[prefix] >= q.limits.PerPrefix:
		count.refused[refusedPrefix].Add(1)
		return nil, errRefused
	case !q.rates.allow(prefix, time.Now()):
		count.refused[refusedRate].Add(1)
		return nil, errRefused
	}
	l := &q.limits
	return &quic.Config{
		HandshakeIdleTimeout: l.First, MaxIdleTimeout: l.idle(l.step(q.open)), MaxIncomingStreams: int64(l.InFlight), MaxIncomingUniStreams: -1,
		InitialStreamReceiveWindow: doqStreamWindow, MaxStreamReceiveWindow: doqStreamMost,
		InitialConnectionReceiveWindow: doqConnWindow, MaxConnectionReceiveWindow: doqConnMost, DisablePathMTUDiscovery: true,
	}, nil
}

func (q *quicFront) accept() {
	for {
		conn, err := q.listener.Accept(q.ctx)
		if err != nil {
			return // only a stop ends it
		}
		from := addrOf(conn.RemoteAddr())
		if !q.enter(conn, network(from)) {
			_ = conn.CloseWithError(doqExcessiveLoad, "") // it is over whatever it says
			continue
		}
		q.s.running.Go(func() { q.serve(conn, from) })
	}
}

// enter gives a connection its place.
func (q *quicFront) enter(conn *quic.Conn, prefix netip.Prefix) bool {
	count := &q.s.m.lines[tap.DoQ]
	q.mu.Lock()
	defer q.mu.Unlock()
	state := conn.ConnectionState()
	count.shook(tls.VersionTLS13, state.TLS.DidResume)
	switch {
	case q.stopped:
		return false
	case q.open >= q.limits.Connections:
		count.refused[refusedFull].Add(1)
		return false
	case prefix.IsValid() && q.near[prefix] >= q.limits.PerPrefix:
		count.refused[refusedPrefix].Add(1)
		return false
	}
	q.open++
	q.near[prefix]++
	q.conns[conn] = struct{}{}
	count.open.Add(1)
	return true
}

func (q *quicFront) leave(conn *quic.Conn, prefix netip.Prefix, why int) {
	q.mu.Lock()
	q.open--
	if q.near[prefix]--; q.near[prefix] == 0 {
		delete(q.near, prefix)
	}
	delete(q.conns, conn)
	q.mu.Unlock()
	q.s.m.lines[tap.DoQ].open.Add(-1)
	q.s.m.lines[tap.DoQ].closed[why].Add(1)
}

// idle is how long a connection may wait for its next question as of now.
func (q *quicFront) idle() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.limits.idle(q.limits.step(q.open))
}

// serve answers the questions of one connection until it or its time is over.
func (q *quicFront) serve(conn *quic.Conn, from netip.Addr) {
	var asked sync.WaitGroup
	why, wait := closedClient, q.limits.First
	for {
		ctx, cancel := context.WithTimeout(q.ctx, wait)
		stream, err := conn.AcceptStream(ctx)
		late := ctx.Err()
		cancel()
		if err != nil {
			switch idle := new(quic.IdleTimeoutError); {
			case q.ctx.Err() != nil:
				why = closedStopped
			case late != nil || errors.As(err, &idle):
				why = closedIdle
			}
			break
		}
		wait = q.idle()
		asked.Go(func() { q.question(conn, stream, from) })
	}
	asked.Wait()
	misuse := new(quic.ApplicationError)
	if err := context.Cause(conn.Context()); errors.As(err, &misuse) && !misuse.Remote {
		why = closedMisuse
	}
	if conn.Context().Err() == nil {
		time.Sleep(lastWords) // QUIC does not tell when they are sent
	}
	_ = conn.CloseWithError(doqNoError, "") // it is over whatever it says
	q.leave(conn, network(from), why)
}

// question answers one stream. What is against the rules ends the connection [RFC 9250 4.3.3].
func (q *quicFront) question(conn *quic.Conn, stream *quic.Stream, from netip.Addr) {
	g := q.askers.take()
	defer func() {
		if p := recover(); p != nil {
			g.a.c.panics.Add(1)
			q.s.log.Error("a stream of QUIC failed inside", "panic", fmt.Sprint(p), "packet", hex.EncodeToString(g.question.Bytes()), "stack", stack())
			_ = conn.CloseWithError(doqInternalError, "") // it is over whatever it says
			return
		}
		q.askers.give(g)
	}()
	err := stream.SetReadDeadline(time.Now().Add(q.limits.First))
	if err == nil {
		err = readDoQ(stream, g)
	}
	switch {
	case errors.Is(err, errDoQ):
		_ = conn.CloseWithError(doqProtocolError, err.Error()) // it is over whatever it says
		return
	case err != nil: // cancelled, too slow, or gone
		stream.CancelRead(doqRequestCancelled)
		stream.CancelWrite(doqRequestCancelled)
		return
	}
	reply := q.askers.answer(g, from)
	if reply == nil || g.a.q.Seen&wire.SeenKeepalive != 0 {
		_ = conn.CloseWithError(doqProtocolError, "no question, or with a keepalive") // it is over whatever it says
		return
	}
	g.question.Reset()
	head := binary.BigEndian.AppendUint16(g.question.AvailableBuffer(), uint16(len(reply))) //nolint:gosec // at most 65535
	_, _ = g.question.Write(head)                                                           // never fails
	_, _ = g.question.Write(reply)
	if stream.SetWriteDeadline(time.Now().Add(q.idle())) != nil {
		return
	}
	if _, err := stream.Write(g.question.Bytes()); err != nil {
		stream.CancelWrite(doqRequestCancelled)
		return
	}
	_ = stream.Close() // fails when the client has cancelled
}

// errDoQ is what a client must not do.
var errDoQ = errors.New("not one message behind its length, with id 0, up to the end of the stream")

// readDoQ reads one message behind its length, up to the end of the stream, into the asking. Memory grows with what has
// arrived.
func readDoQ(in io.Reader, g *asking) error {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return unfinished(err)
	}
	n := int64(binary.BigEndian.Uint16(head[:]))
	if _, err := io.CopyN(&g.question, in, n); err != nil {
		return unfinished(err)
	}
	switch more, err := in.Read(head[:1]); {
	case more > 0:
		return errDoQ
	case err == nil:
		return io.ErrNoProgress
	case !errors.Is(err, io.EOF):
		return err
	}
	if b := g.question.Bytes(); len(b) < wire.HeaderLen || b[0] != 0 || b[1] != 0 {
		return errDoQ
	}
	return nil
}

// unfinished makes a mistake of a stream that ended too early.
func unfinished(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errDoQ
	}
	return err
}

// stop ends accepting and waiting for questions; answers under way are still written.
func (q *quicFront) stop() {
	q.mu.Lock()
	q.stopped = true
	q.mu.Unlock()
	q.end()
}

// cut closes everything at once.
func (q *quicFront) cut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for conn := range q.conns {
		go conn.CloseWithError(doqExcessiveLoad, "") //nolint:errcheck // it is over whatever it says
	}
}

// close gives back the socket. No connection is left.
func (q *quicFront) close() {
	q.stop()
	_ = q.listener.Close()  // nothing is waited for
	_ = q.transport.Close() // the same
	_ = q.socket.Close()    // nothing is buffered
}

// addrOf is the address of a client of UDP.
func addrOf(a net.Addr) netip.Addr {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
