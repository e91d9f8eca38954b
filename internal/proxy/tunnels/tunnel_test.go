package tunnels_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"jurymast/internal/proxy/tunnels"
)

func echo(ctx context.Context, c *websocket.Conn) {
	c.SetReadLimit(-1)
	for {
		kind, p, err := c.Read(ctx)
		if err != nil {
			return
		}
		if err := c.Write(ctx, kind, p); err != nil {
			return
		}
	}
}

func TestWebsocket(t *testing.T) {
	for _, secure := range []bool{false, true} {
		f := newFront(t, secure, tunnels.Options{WebSocket: true}, echo)
		c, r := f.dial()
		c.SetReadLimit(-1)
		sent := 0
		for _, size := range []int{0, 1, 125, 126, 65535, 65536, 3 << 20} {
			p := bytes.Repeat([]byte("x"), size)
			if err := c.Write(t.Context(), websocket.MessageBinary, p); err != nil {
				t.Fatal(err)
			}
			if _, got, err := c.Read(t.Context()); err != nil || !bytes.Equal(got, p) {
				t.Fatalf("%d bytes came back as %d, %v", size, len(got), err)
			}
			sent += size
		}
		if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
			t.Errorf("the closing handshake: %v", err)
		}
		o := r.wait()
		if o.why != nil || o.in < int64(sent) || o.out < int64(sent) {
			t.Errorf("ended with %+v after %d bytes", o, sent)
		}
	}
}

// TestCut: the client is told by a close frame, at a frame boundary, whatever goes on.
func TestCut(t *testing.T) {
	flood := func(ctx context.Context, c *websocket.Conn) {
		for i := 0; ; i++ {
			if c.Write(ctx, websocket.MessageBinary, make([]byte, []int{10, 300, 70_000, 1 << 20}[i%4])) != nil {
				return
			}
		}
	}
	for _, secure := range []bool{false, true} {
		for name, handler := range map[string]func(context.Context, *websocket.Conn){"quiet": echo, "flood": flood} {
			for _, code := range []uint16{0, 1001} {
				f := newFront(t, secure, tunnels.Options{WebSocket: true, Code: code}, handler)
				c, r := f.dial()
				c.SetReadLimit(-1)
				messages := 0
				if name == "flood" {
					for ; messages < 20; messages++ {
						if _, _, err := c.Read(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				}
				r.tunnel.Cut()
				r.tunnel.Cut()
				var err error
				for err == nil {
					_, _, err = c.Read(t.Context())
				}
				if code == 0 {
					code = 1012
				}
				if got := websocket.CloseStatus(err); got != websocket.StatusCode(code) {
					t.Errorf("%s, secure %v: the client saw %v, %v, not %d", name, secure, got, err, code)
				}
				if o := r.wait(); !errors.Is(o.why, tunnels.ErrCut) {
					t.Errorf("%s: ended with %+v", name, o)
				}
			}
		}
	}
}

// TestCutWithinFrame: the frame under way is finished first; what follows it is not begun.
func TestCutWithinFrame(t *testing.T) {
	for _, size := range []int{5, 300, 100_000} {
		client, origin, r := raw(t, tunnels.Options{WebSocket: true})
		frame := websocketFrame(size)
		half := len(frame) - size/2 - 1
		if _, err := origin.Write(frame[:half]); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, half)
		if _, err := io.ReadFull(client, got); err != nil {
			t.Fatal(err)
		}
		r.tunnel.Cut()
		if _, err := origin.Write(append(frame[half:], "\x81\x05never"...)); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(client)
		if want := append(frame[half:], 0x88, 2, 1012>>8, 1012&0xff); err != nil || !bytes.Equal(rest, want) {
			t.Errorf("size %d: after the cut came %d bytes, not %d, %v", size, len(rest), len(want), err)
		}
		_ = client.Close()
		if o := r.wait(); !errors.Is(o.why, tunnels.ErrCut) || o.out != int64(len(frame))+4 {
			t.Errorf("ended with %+v", o)
		}
	}
}

// TestCutNow: the origin's connection is broken at once; the client is told, unless a frame is under way.
func TestCutNow(t *testing.T) {
	for sent, want := range map[string]string{
		"":                   "\x88\x02\x03\xf4",
		"\x81\x02hi":         "\x81\x02hi\x88\x02\x03\xf4",
		"\x81\x02h":          "\x81\x02h",
		"\x81\x02hi\x81\x7e": "\x81\x02hi\x81\x7e",
	} {
		client, origin, r := raw(t, tunnels.Options{WebSocket: true})
		if _, err := io.WriteString(origin, sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(client, got); err != nil {
			t.Fatal(err)
		}
		r.tunnel.CutNow()
		if _, err := origin.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("the origin saw %v, no reset", err)
		}
		rest, err := io.ReadAll(client)
		if err != nil || string(got)+string(rest) != want {
			t.Errorf("the client got %q%q, not %q, %v", got, rest, want, err)
		}
		_ = client.Close()
		if o := r.wait(); !errors.Is(o.why, tunnels.ErrCut) {
			t.Errorf("ended with %+v", o)
		}
	}
}

func websocketFrame(size int) []byte {
	head := []byte{0x82, byte(size)}
	switch {
	case size > 65535:
		head = []byte{0x82, 127, 0, 0, 0, 0, byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)}
	case size > 125:
		head = []byte{0x82, 126, byte(size >> 8), byte(size)}
	}
	return append(head, bytes.Repeat([]byte("p"), size)...)
}

// TestCutOutOfPatience: a frame that never ends, a client that never reads or never leaves, a stream that is no
// websocket: the cut comes all the same.
func TestCutOutOfPatience(t *testing.T) {
	const patience = 100 * time.Millisecond
	for name, c := range map[string]struct {
		o    tunnels.Options
		send []byte
	}{
		"half a frame":   {tunnels.Options{WebSocket: true, Patience: patience}, []byte{0x81, 0x05, 'h'}},
		"no reader":      {tunnels.Options{WebSocket: true, Patience: patience}, websocketFrame(64 << 20)},
		"no end":         {tunnels.Options{WebSocket: true, Patience: patience}, []byte{0x81, 0}},
		"no frame":       {tunnels.Options{WebSocket: true}, []byte{0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0, 1}},
		"no websocket":   {tunnels.Options{}, []byte("text")},
		"closed already": {tunnels.Options{WebSocket: true, Patience: patience}, []byte{0x88, 2, 3, 232}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, origin, r := raw(t, c.o)
			var sending sync.WaitGroup
			sending.Go(func() { _, _ = origin.Write(c.send) })
			if name != "no reader" {
				if _, err := io.ReadFull(client, make([]byte, len(c.send))); err != nil {
					t.Fatal(err)
				}
			} else {
				for _, n := r.tunnel.Bytes(); n == 0; _, n = r.tunnel.Bytes() {
					runtime.Gosched()
				}
			}
			r.tunnel.Cut()
			if o := r.wait(); !errors.Is(o.why, tunnels.ErrCut) {
				t.Errorf("ended with %+v", o)
			}
			if name == "closed already" {
				if rest, _ := io.ReadAll(client); len(rest) != 0 {
					t.Errorf("after the origin's goodbye came %q", rest)
				}
			}
			_ = origin.Close()
			sending.Wait()
		})
	}
}

func TestHalfClose(t *testing.T) {
	client, origin, r := raw(t, tunnels.Options{WebSocket: true})
	question, answer := strings.Repeat("q", 3<<20), strings.Repeat("a", 5<<20)
	go func() {
		_, _ = io.WriteString(client, question)
		_ = client.CloseWrite()
	}()
	if got, err := io.ReadAll(origin); err != nil || string(got) != question {
		t.Fatalf("the origin got %d bytes, %v", len(got), err)
	}
	go func() {
		_, _ = io.WriteString(origin, answer)
		_ = origin.CloseWrite()
	}()
	if got, err := io.ReadAll(client); err != nil || string(got) != answer {
		t.Fatalf("the client got %d bytes, %v", len(got), err)
	}
	if o := r.wait(); o != (outcome{int64(len(question)), int64(len(answer)), nil}) {
		t.Errorf("ended with %+v", o)
	}
}

// TestBackPressure: when one side does not read, the other cannot write, and nothing piles up here.
func TestBackPressure(t *testing.T) {
	client, origin, r := raw(t, tunnels.Options{})
	const total = 256 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var written atomic.Int64
	done := make(chan [32]byte, 1)
	go func() {
		h := sha256.New()
		p := make([]byte, 64<<10)
		for i := 0; written.Load() < total; i++ {
			p[0], p[1], p[2] = byte(i), byte(i>>8), byte(i>>16)
			n, err := origin.Write(p)
			written.Add(int64(n))
			h.Write(p[:n])
			if err != nil {
				t.Error(err)
				break
			}
		}
		_ = origin.CloseWrite()
		done <- [32]byte(h.Sum(nil))
	}()
	for last := int64(-1); last != written.Load() || last == 0; time.Sleep(100 * time.Millisecond) {
		last = written.Load()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := written.Load(); n > total/4 {
		t.Errorf("the origin could write %d MiB that nobody read", n>>20)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	h := sha256.New()
	if n, err := io.Copy(h, client); n != total || err != nil {
		t.Errorf("the client got %d bytes, %v", n, err)
	}
	if [32]byte(h.Sum(nil)) != <-done {
		t.Error("what the client got is not what the origin sent")
	}
	_ = client.Close()
	if o := r.wait(); o.why != nil || o.out != total {
		t.Errorf("ended with %+v", o)
	}
}

// TestIdle: bytes in either direction keep both.
func TestIdle(t *testing.T) {
	const idle = 500 * time.Millisecond
	client, origin, r := raw(t, tunnels.Options{Idle: idle})
	begin := time.Now()
	go func() {
		for range 6 {
			_, _ = client.Write([]byte("x"))
			time.Sleep(idle / 4)
		}
	}()
	if got, err := io.ReadAll(origin); string(got) != "xxxxxx" || err != nil {
		t.Errorf("the origin got %q, %v", got, err)
	}
	o := r.wait()
	if took := time.Since(begin); !errors.Is(o.why, tunnels.ErrIdle) || took < 2*idle {
		t.Errorf("ended with %+v after %v", o, took)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the client saw %v", err)
	}
}

func TestBroken(t *testing.T) {
	for _, byClient := range []bool{false, true} {
		client, origin, r := raw(t, tunnels.Options{WebSocket: true})
		breaking, other := origin, client
		if byClient {
			breaking, other = client, origin
		}
		_ = breaking.SetLinger(0)
		_ = breaking.Close()
		o := r.wait()
		var broken *tunnels.BrokenError
		if !errors.As(o.why, &broken) || broken.Client != byClient {
			t.Errorf("ended with %+v", o)
		}
		if _, err := other.Read(make([]byte, 1)); err == nil {
			t.Error("the other side goes on")
		}
	}
}

func TestClose(t *testing.T) {
	client, _, r := raw(t, tunnels.Options{WebSocket: true})
	r.tunnel.Close()
	r.tunnel.Close()
	r.tunnel.Cut()
	if o := r.wait(); !errors.Is(o.why, tunnels.ErrClosed) {
		t.Errorf("ended with %+v", o)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client is connected still")
	}
}

// TestCutStorm: cuts, ends and closes at the same time leave nothing behind; goleak looks.
func TestCutStorm(t *testing.T) {
	for i := range 50 {
		client, origin, r := raw(t, tunnels.Options{WebSocket: true, Patience: 50 * time.Millisecond})
		var all sync.WaitGroup
		for _, c := range []net.Conn{client, origin} {
			all.Go(func() { _, _ = c.Write([]byte{0x82, 3, 1, 2, 3}) })
			all.Go(func() { _, _ = io.Copy(io.Discard, c) })
		}
		all.Go(r.tunnel.Cut)
		switch i % 3 {
		case 0:
			all.Go(r.tunnel.Close)
		case 1:
			all.Go(func() { _ = origin.CloseWrite() })
		}
		r.wait()
		_ = client.Close()
		_ = origin.Close()
		all.Wait()
	}
}
