package wire

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"sync"
	"testing"
	"time"
)

// relays are all pairs a Splice may have: name, source kind, sink kind.
func eachRelay(t *testing.T, f func(t *testing.T, client, in, out, origin *Conn)) {
	t.Helper()
	for _, a := range kinds[:2] {
		for _, b := range kinds[:2] {
			t.Run(a.name+" to "+b.name, func(t *testing.T) {
				client, in := a.make(t)
				out, origin := b.make(t)
				f(t, client, in, out, origin)
			})
		}
	}
}

func noise(n int) []byte {
	p := make([]byte, n)
	x := uint32(1)
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

func TestSplice(t *testing.T) {
	data := noise(3<<20 + 17)
	for _, n := range []int{0, 1, 4000, 70_000, len(data)} {
		eachRelay(t, func(t *testing.T, client, in, out, origin *Conn) {
			go func() { _, _ = client.Write2(data[:n], []byte("next")) }()
			in.Unread([]byte("un"))
			var splicing sync.WaitGroup
			splicing.Go(func() {
				moved, err := Splice(out, in, int64(n)+2)
				if moved != int64(n)+2 || err != nil {
					t.Errorf("moved %d of %d, %v", moved, n+2, err)
				}
				if out.Written() != moved {
					t.Errorf("Written is %d", out.Written())
				}
				_ = out.Close()
			})
			h := sha256.New()
			got, err := io.Copy(h, origin)
			want := sha256.Sum256(append([]byte("un"), data[:n]...))
			if got != int64(n)+2 || err != nil || !bytes.Equal(h.Sum(nil), want[:]) {
				t.Errorf("%d arrived, %v", got, err)
			}
			splicing.Wait()
			p := make([]byte, 4)
			if _, err := io.ReadFull(in, p); err != nil || string(p) != "next" {
				t.Errorf("what follows is %q, %v", p, err)
			}
		})
	}
}

func TestSpliceToEnd(t *testing.T) {
	data := noise(1 << 20)
	eachRelay(t, func(t *testing.T, client, in, out, origin *Conn) {
		go func() { _, _ = client.Write(data); _ = client.Close() }()
		go func() {
			if n, err := Splice(out, in, -1); n != int64(len(data)) || err != nil {
				t.Errorf("moved %d, %v", n, err)
			}
			_ = out.Close()
		}()
		if got, err := io.ReadAll(origin); !bytes.Equal(got, data) || err != nil {
			t.Errorf("%d arrived, %v", len(got), err)
		}
	})
}

// TestSpliceSides: the error says whose it is, and the count is what the sink took.
func TestSpliceSides(t *testing.T) {
	data := noise(100_000)
	eachRelay(t, func(t *testing.T, client, in, out, origin *Conn) {
		go func() { _, _ = client.Write(data); _ = client.Close() }()
		go func() { _, _ = io.Copy(io.Discard, origin) }()
		n, err := Splice(out, in, 1<<30)
		checkSide(t, err, Source, io.ErrUnexpectedEOF)
		if n != int64(len(data)) || out.Written() != n {
			t.Errorf("moved %d, Written %d", n, out.Written())
		}
	})
	eachRelay(t, func(t *testing.T, client, in, out, origin *Conn) {
		go func() {
			for {
				if _, err := client.Write(data); err != nil {
					return
				}
			}
		}()
		_ = origin.Reset()
		_, err := Splice(out, in, 1<<30)
		checkSide(t, err, Sink, nil)
	})
}

func checkSide(t *testing.T, err error, side Side, is error) {
	t.Helper()
	var e *SideError
	if !errors.As(err, &e) || e.Side != side || (is != nil && !errors.Is(err, is)) {
		t.Errorf("error %v, wanted one of the %v: %v", err, side, is)
	}
}

// TestSpliceUntil: a limit is a pause: progress renews it, on either side.
func TestSpliceUntil(t *testing.T) {
	eachRelay(t, func(t *testing.T, client, in, out, origin *Conn) {
		w := NewWatch(2 * time.Millisecond)
		defer w.Close()
		w.Add(in)
		w.Add(out)
		const limit = time.Second
		t.Parallel()
		both := func(end time.Time) {
			in.Until(end)
			out.Until(end)
		}
		if _, err := client.Write([]byte("drop")); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, origin) }()
		var later *time.Timer
		defer func() { later.Stop() }()
		start := time.Now()
		both(start.Add(limit))
		n, err := SpliceRenew(out, in, 1<<20, func() {
			if later == nil { // long after the first limit comes the second drop
				both(time.Now().Add(time.Hour))
				later = time.AfterFunc(limit*3/2, func() { _, _ = client.Write([]byte("last")) })
				return
			}
			both(time.Now().Add(limit / 10))
		})
		checkSide(t, err, Source, ErrTimeout)
		if n != 8 || time.Since(start) < limit*3/2 {
			t.Errorf("moved %d in %v", n, time.Since(start))
		}
	})
	eachRelay(t, func(t *testing.T, client, in, out, _ *Conn) {
		go func() { _, _ = client.Write(make([]byte, 64<<20)) }()
		n := 0
		_, err := SpliceRenew(out, in, 64<<20, func() {
			n++
			out.Until(time.Now().Add(50 * time.Millisecond))
		})
		checkSide(t, err, Sink, ErrTimeout)
		if n == 0 {
			t.Error("nothing moved")
		}
	})
}

// TestSpliceKeepsNoPipe: who waits for a source holds no pipe, and a pipe with something in it is never used again.
func TestSpliceKeepsNoPipe(t *testing.T) {
	_, in := plainPair(t)
	out, _ := plainPair(t)
	done := make(chan error, 1)
	go func() { _, err := Splice(out, in, 10); done <- err }()
	eventually(t, "a waiting splice holds a pipe", func() bool { return idlePipesNow() > 0 })
	in.Wake(errMoved)
	checkSide(t, <-done, Source, errMoved)
}
