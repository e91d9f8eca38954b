package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRoundTrip(t *testing.T) {
	each(t, func(t *testing.T, c, peer *Conn) {
		go func() {
			if _, err := peer.Write2([]byte("hel"), []byte("lo")); err != nil {
				t.Error(err)
			}
			if err := peer.Close(); err != nil {
				t.Error(err)
			}
		}()
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "hello" {
			t.Errorf("read %q, %v", got, err)
		}
		if n := peer.Written(); n != 5 {
			t.Errorf("Written is %d, not 5", n)
		}
	})
}

func TestWrite2Sizes(t *testing.T) {
	a, b := bytes.Repeat([]byte("a"), 300<<10), bytes.Repeat([]byte("b"), 700<<10)
	for _, s := range [][2]int{{0, 0}, {0, 9}, {9, 0}, {1, 1}, {5, 70 << 10}, {70 << 10, 5}, {64 << 10, 1}, {300 << 10, 700 << 10}} {
		each(t, func(t *testing.T, c, peer *Conn) {
			go func() {
				n, err := peer.Write2(a[:s[0]], b[:s[1]])
				if n != s[0]+s[1] || err != nil {
					t.Errorf("Write2 of %d and %d: %d, %v", s[0], s[1], n, err)
				}
				_ = peer.Close()
			}()
			got, err := io.ReadAll(c)
			if want := string(a[:s[0]]) + string(b[:s[1]]); err != nil || string(got) != want {
				t.Errorf("Write2 of %d and %d: %d bytes arrived, %v", s[0], s[1], len(got), err)
			}
		})
	}
}

func TestUnread(t *testing.T) {
	each(t, func(t *testing.T, c, peer *Conn) {
		go func() { _, _ = peer.Write([]byte("abcdef")) }()
		p := make([]byte, 6)
		if _, err := io.ReadFull(c, p); err != nil {
			t.Fatal(err)
		}
		c.Unread(p[4:])
		c.Unread(p[2:4])
		c.Unread(nil)
		if c.Alive() {
			t.Error("alive with bytes put back")
		}
		if err := c.Await(); err != nil {
			t.Errorf("Await with bytes put back: %v", err)
		}
		q := make([]byte, 3)
		if n, err := c.Read(q); n != 3 || err != nil || string(q) != "cde" {
			t.Errorf("read %q, %d, %v", q, n, err)
		}
		if n, err := c.Read(q); n != 1 || err != nil || q[0] != 'f' {
			t.Errorf("read %q, %d, %v", q[:n], n, err)
		}
	})
}

func TestAwait(t *testing.T) {
	each(t, func(t *testing.T, c, peer *Conn) {
		for _, text := range []string{"x", strings.Repeat("long ", 200)} {
			started := make(chan struct{})
			var writer sync.WaitGroup
			writer.Go(func() {
				waitBlocked(started)
				_, _ = peer.Write([]byte(text))
			})
			close(started)
			if err := c.Await(); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(text))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
				t.Errorf("read %q, %v", got, err)
			}
			writer.Wait()
		}
		go func() { _ = peer.Close() }()
		if err := c.Await(); err != nil {
			t.Errorf("Await at the end: %v", err)
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("read %d, %v after the end", n, err)
		}
	})
}

// TestAwaitWholeRecord: reading ahead does not tear records, and one that fits exactly makes nobody wait.
func TestAwaitWholeRecord(t *testing.T) {
	c, peer := tlsPair(t)
	w := NewWatch(0)
	defer w.Close()
	w.Add(c)
	p := make([]byte, largest)
	for _, size := range []int{stashSize - 1, stashSize, stashSize + 1, 5000, 16000} {
		for range 2 {
			if _, err := peer.Write(p[:size]); err != nil {
				t.Fatal(err)
			}
			if err := c.Await(); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(p); n != size || err != nil {
				t.Errorf("a record of %d was read as %d, %v", size, n, err)
			}
		}
	}
	if _, err := peer.Write(p[:stashSize]); err != nil {
		t.Fatal(err)
	}
	_ = peer.Close()
	if err := c.Await(); err != nil {
		t.Fatal(err)
	}
	for n, want := range []error{nil, io.EOF, io.EOF} {
		if _, err := c.Read(p); !errors.Is(err, want) {
			t.Errorf("read %d after the goodbye: %v", n, err)
		}
	}
}

func TestCloseWakesAll(t *testing.T) {
	each(t, func(t *testing.T, c, _ *Conn) {
		started := make(chan struct{})
		go func() {
			waitBlocked(started)
			_ = c.Close()
			_ = c.Close()
		}()
		close(started)
		if err := c.Await(); err == nil { // TLS and pipes keep it for Read
			_, err = c.Read(make([]byte, 1))
			if !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("Read on a closed connection: %v", err)
			}
		} else if !errors.Is(err, net.ErrClosed) {
			t.Errorf("Await on a closed connection: %v", err)
		}
		if c.Alive() || !c.Left() {
			t.Error("a closed connection is alive or has not left")
		}
	})
}

func TestReset(t *testing.T) {
	c, peer := plainPair(t)
	if err := peer.Reset(); err != nil {
		t.Fatal(err)
	}
	if err := c.Await(); err != nil {
		t.Errorf("Await: %v", err)
	}
	if !c.Left() || c.Alive() {
		t.Error("a broken connection has not left or is alive")
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "reset") {
		t.Errorf("read after a reset: %v", err)
	}
}

func TestHalfClose(t *testing.T) {
	for _, k := range kinds[:2] {
		t.Run(k.name, func(t *testing.T) {
			c, peer := k.make(t)
			if err := peer.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Fatalf("read: %v", err)
			}
			if _, err := c.Write([]byte("still")); err != nil {
				t.Fatal(err)
			}
			p := make([]byte, 5)
			if _, err := io.ReadFull(peer, p); err != nil || string(p) != "still" {
				t.Errorf("read %q, %v", p, err)
			}
		})
	}
}

func TestAliveAndLeft(t *testing.T) {
	each(t, func(t *testing.T, c, peer *Conn) {
		if !c.Alive() || c.Left() {
			t.Fatal("a fresh connection is not alive or has left")
		}
		c.Until(time.Now().Add(time.Hour))
		done := make(chan struct{})
		go func() { defer close(done); _, _ = peer.Write([]byte("x")) }()
		eventually(t, "alive with bytes to read", func() bool { return !c.Alive() })
		p := make([]byte, 9)
		if n, err := c.Read(p); n != 1 || err != nil {
			t.Fatalf("read %d, %v after Alive looked", n, err)
		}
		<-done
		if !c.Alive() {
			t.Error("not alive after everything was read")
		}
		if c.raw == nil {
			return
		}
		go func() { _, _ = peer.Write([]byte("last")); _ = peer.Close() }()
		eventually(t, "the peer closed and has not left", c.Left)
		if c.Alive() {
			t.Error("alive after the end")
		}
		if got, err := io.ReadAll(c); err != nil || string(got) != "last" {
			t.Errorf("read %q, %v before the end", got, err)
		}
	})
}

// TestAliveTicket: a session ticket that arrives on an idle connection does not cost the connection.
func TestAliveTicket(t *testing.T) {
	a, b := sockets(t)
	c, peer := secure(t, a, b) // the server's tickets follow the handshake, and nobody has read them
	eventually(t, "no ticket arrived", func() bool {
		quiet, sure := c.quiet()
		return sure && !quiet
	})
	if !c.Alive() {
		t.Fatal("a ticket is no end")
	}
	if quiet, _ := c.quiet(); !quiet {
		t.Error("the ticket is there still")
	}
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// TestNoAllocation: a question and its answer over a plain connection cost no allocation.
func TestNoAllocation(t *testing.T) {
	c, peer := plainPair(t)
	w := NewWatch(0)
	defer w.Close()
	w.Add(c)
	p, a, b := make([]byte, 64), []byte("abc"), []byte("def")
	soon := time.Now().Add(time.Hour)
	got := testing.AllocsPerRun(200, func() {
		c.Until(soon)
		if _, err := peer.Write2(a, b); err != nil {
			t.Error(err)
		}
		if err := c.Await(); err != nil {
			t.Error(err)
		}
		buf := Get(small)
		if n, err := c.Read(*buf); n != 6 || err != nil {
			t.Error(n, err)
		}
		Put(buf)
		if !c.Alive() || c.Left() {
			t.Error("not alive")
		}
		if _, err := c.Write(p); err != nil {
			t.Error(err)
		}
		if n, err := peer.Read(p); n != 64 || err != nil {
			t.Error(n, err)
		}
	})
	if got >= 1 && !raceEnabled {
		t.Errorf("%v allocations", got)
	}
}

func TestBuffers(t *testing.T) {
	for size, want := range map[int]int{0: small, small: small, small + 1: medium, medium + 1: largest, largest + 1: largest + 1} {
		b := Get(size)
		if len(*b) != want {
			t.Errorf("Get(%d) has %d bytes", size, len(*b))
		}
		*b = (*b)[:0]
		Put(b)
	}
	Put(nil)
}
