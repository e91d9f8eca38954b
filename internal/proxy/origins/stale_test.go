package origins

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// hasty answers one request on each connection and closes it soon after, at a moment nobody knows. If a second request
// is there before that it may have been read or not: Requests counts those that were.
type hasty struct {
	Addr     string
	Requests atomic.Int64
	resets   bool         // it ends connections by RST
	patience atomic.Int64 // nanoseconds between answer and end, about; the trials move it to the instant of the reuse
}

const (
	question = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	answer   = "HTTP/1.1 204 No Content\r\n\r\n"
	blur     = 20 * time.Microsecond // by which the origin's end is early or late, at most
	longest  = time.Millisecond
	step     = 2 * time.Microsecond // by which a trial moves the next one's
)

// spin passes time without giving up the processor: a timer would be late by more than what is measured here.
func spin(d time.Duration) {
	for begin := time.Now(); time.Since(begin) < d; {
		continue
	}
}

func newHasty(t *testing.T, resets bool) *hasty {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	h := &hasty{Addr: ln.Addr().String(), resets: resets}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go h.serve(c)
		}
	}()
	return h
}

func (h *hasty) serve(c net.Conn) {
	defer c.Close()
	b := make([]byte, len(question))
	if _, err := io.ReadFull(c, b); err != nil {
		return
	}
	h.answer(c)
	spin(time.Duration(h.patience.Load()-int64(blur)) + rand.N(2*blur))
	if there(c, b) {
		h.answer(c)
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok && h.resets {
		_ = tcp.SetLinger(0) // fails on closed sockets only
	}
}

func (h *hasty) answer(c net.Conn) {
	h.Requests.Add(1)
	_, _ = c.Write([]byte(answer)) // the client notices when it is lost
}

// there reads a request that has arrived already, and does not wait for one.
func there(c net.Conn, b []byte) (got bool) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Read(func(fd uintptr) bool {
		n, err := syscall.Read(int(fd), b)
		got = err == nil && n == len(b)
		return true
	})
	return got && err == nil
}

// ends are how the trials on a reused connection went.
type ends struct {
	answered, found, untouched, lost int
}

// TestStaleConnections is case 5 of the specification's chapter 17.3: the origin ends a connection at the instant of its
// reuse. Whatever happens, a caller must know enough to lose nothing and send nothing twice: found before a byte was
// written, or failed with nothing accepted (any request may be sent again), or failed with bytes accepted (only one that
// is idempotent may). What may never happen is an answer that is none. The figures depend on the machine; for
// all 10,000 set JURYMAST_STALE_TRIALS and run with -v.
func TestStaleConnections(t *testing.T) {
	t.Run("end", func(t *testing.T) { trials(t, newHasty(t, false)) })
	t.Run("reset", func(t *testing.T) { trials(t, newHasty(t, true)) })
}

func trials(t *testing.T, h *hasty) {
	trials := 300
	if n, err := strconv.Atoi(os.Getenv("JURYMAST_STALE_TRIALS")); err == nil {
		trials = n
	}
	s := newPools(t, Options{})
	p := s.For(Key{Addr: h.Addr})
	var e ends
	sent := int64(0)
	for range trials {
		c := dial(t, p)
		if err := ask(c); err != nil {
			t.Fatalf("on a new connection: %v", err)
		}
		sent++
		p.Put(c)
		again := p.Take(Any) // a trial on a busy machine may last longer than Unsafe
		if again == nil {
			e.found++
			h.patience.Store(min(h.patience.Load()+int64(step), int64(longest)))
			continue
		}
		before := again.Written()
		err := ask(again)
		switch {
		case err == nil:
			e.answered++
			sent++
			h.patience.Add(-int64(step))
		case errors.Is(err, errJunk):
			t.Fatal(err)
		case again.Written() == before:
			e.untouched++
		default:
			e.lost++
		}
		discard(again)
	}
	if f := figures(t, s); int(f.Stale) != e.found || f.Idle+f.Busy != 0 {
		t.Errorf("%+v, want %d stale and nothing open", f, e.found)
	}
	t.Logf("%d reuses: %d answered, %d found ended by Take, %d failed with nothing accepted, %d with bytes accepted", trials, e.answered, e.found, e.untouched, e.lost)
	if got := h.Requests.Load(); got < sent || got > sent+int64(e.lost) {
		t.Errorf("the origin read %d requests; %d were answered, %d lost", got, sent, e.lost)
	}
}

var errJunk = errors.New("an answer that is none")

// ask is one exchange.
func ask(c *Conn) error {
	if _, err := c.Write([]byte(question)); err != nil {
		return err
	}
	b := make([]byte, len(answer))
	n, err := io.ReadFull(c, b)
	if err == nil && string(b) != answer || err != nil && !bytes.HasPrefix([]byte(answer), b[:n]) {
		return errJunk
	}
	return err
}
