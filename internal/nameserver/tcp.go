package nameserver

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits of DNS over TCP [RFC 7766, RFC 9210].
const (
	maxConnections = 1000             // per address, default of Options.MaxTCP
	firstQuestion  = 2 * time.Second  // from accept to the end of the first question
	idleTimeout    = 10 * time.Second // between questions, and for one answer to be taken
	readBuffer     = 4096             // bytes; questions sent in one go are answered in one go
	keepBuffer     = 16 << 10         // bytes; larger answer buffers are given back
)

// stream is one TCP listener with its connections. Each connection has one goroutine: it answers in order, so a slow
// reader holds up nobody else, and never holds more than one question and one answer.
type stream struct {
	s        *Server
	listener net.Listener
	places   chan struct{}
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	stopped  bool
}

func newStream(s *Server, l net.Listener) *stream {
	return &stream{s: s, listener: l, places: make(chan struct{}, s.opt.MaxTCP), conns: map[net.Conn]struct{}{}}
}

func (t *stream) accept() {
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			t.s.log.Warn("accepting a TCP connection failed, trying again", "address", t.listener.Addr().String(), "error", err)
			select {
			case <-t.s.stopping:
			case <-time.After(retryPause): // out of descriptors: give them time to come back
			}
			continue
		}
		select {
		case t.places <- struct{}{}:
		default:
			t.s.m.turns[refusedFull].Add(1)
			conn.Close()
			continue
		}
		if !t.enter(conn) {
			conn.Close()
			<-t.places
			continue
		}
		t.s.running.Go(func() { t.serve(conn) })
	}
}

func (t *stream) enter(conn net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return false
	}
	t.conns[conn] = struct{}{}
	t.s.m.open.Add(1)
	return true
}

func (t *stream) leave(conn net.Conn) {
	conn.Close()
	t.mu.Lock()
	delete(t.conns, conn)
	t.mu.Unlock()
	t.s.m.open.Add(-1)
	<-t.places
}

// stop ends accepting and waiting for questions; answers under way are still written.
func (t *stream) stop() {
	t.listener.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	for conn := range t.conns {
		_ = conn.SetReadDeadline(time.Now()) // fails on a closed connection only
	}
}

// cut closes everything at once.
func (t *stream) cut() {
	t.stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	for conn := range t.conns {
		conn.Close()
	}
}

// deadline is set under the lock, so that a stop that came in between is not undone.
func (t *stream) deadline(conn net.Conn, d time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.stopped && conn.SetDeadline(time.Now().Add(d)) == nil
}

// serve reads one question after the other until the client or its time is over. A half-closed client still gets
// what it asked for.
func (t *stream) serve(conn net.Conn) {
	defer t.leave(conn)
	a, in, from := t.s.responder(), bufio.NewReaderSize(conn, readBuffer), source(conn)
	defer t.s.m.give(a.c)
	queries := &a.c.tcp6
	if from.Unmap().Is4() {
		queries = &a.c.tcp4
	}
	var question bytes.Buffer
	var out []byte
	for wait := firstQuestion; ; wait = idleTimeout {
		if in.Buffered() == 0 && !t.deadline(conn, wait) {
			return
		}
		if readMessage(in, &question) != nil {
			return
		}
		queries.Add(1)
		if cap(out) < 2+plainSize || cap(out) > keepBuffer {
			out = make([]byte, 2+plainSize, 2+2*udpSize)
		}
		reply := t.s.answer(a, question.Bytes(), out[2:2], true, from)
		if reply == nil {
			return // what is no question has no place on a connection
		}
		if out = framed(out, reply); out == nil {
			return
		}
		if !t.deadline(conn, idleTimeout) && conn.SetWriteDeadline(time.Now().Add(idleTimeout)) != nil {
			return
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// source is the address of the client, invalid when the connection has none.
func source(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr()
	}
	return netip.Addr{}
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

// framed puts the length before the reply, which normally lies in out[2:] already.
func framed(out, reply []byte) []byte {
	if len(reply) > streamSize {
		return nil
	}
	if 2+len(reply) <= cap(out) && &out[:3][2] == &reply[0] {
		out = out[:2+len(reply)]
	} else {
		out = append(out[:2], reply...)
	}
	binary.BigEndian.PutUint16(out, uint16(len(reply))) //nolint:gosec // at most 65535, see above
	return out
}
