package wire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errMoved = errors.New("moved")

func TestWake(t *testing.T) {
	each(t, func(t *testing.T, c, peer *Conn) {
		p := make([]byte, 8)
		for name, op := range map[string]func() error{
			"Read":  func() error { _, err := c.Read(p); return err },
			"Await": c.Await,
		} {
			started := make(chan struct{})
			var waker sync.WaitGroup
			waker.Go(func() {
				waitBlocked(started)
				c.Wake(errMoved)
				c.Wake(io.ErrNoProgress)
			})
			close(started)
			if err := op(); !errors.Is(err, errMoved) {
				t.Errorf("%s while it waits: %v", name, err)
			}
			waker.Wait()
			if err := op(); !errors.Is(err, errMoved) {
				t.Errorf("%s afterwards: %v", name, err)
			}
			if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, errMoved) {
				t.Errorf("Write afterwards: %d, %v", n, err)
			}
			c.Clear()
			var again sync.WaitGroup
			again.Go(func() { _, _ = peer.Write([]byte("again")) })
			if err := c.Await(); err != nil {
				t.Fatalf("Await after Clear: %v", err)
			}
			if n, err := c.Read(p); err != nil || n != 5 {
				t.Fatalf("Read after Clear: %d, %v", n, err)
			}
			again.Wait()
		}
	})
}

// TestWakeWriter: the count is what the peer gets, not one byte more or less.
func TestWakeWriter(t *testing.T) {
	for _, k := range kinds[:2] {
		t.Run(k.name, func(t *testing.T) {
			c, peer := k.make(t)
			started := make(chan struct{})
			go func() {
				waitBlocked(started)
				eventually(t, "nothing written", func() bool { return c.Written() > 0 })
				for last := int64(-1); last != c.Written(); time.Sleep(20 * time.Millisecond) {
					last = c.Written()
				}
				c.Wake(errMoved)
			}()
			big := make([]byte, 32<<20)
			close(started)
			n, err := c.Write2(big[:100], big[100:])
			if !errors.Is(err, errMoved) || n == 0 || n >= len(big) || int64(n) != c.Written() {
				t.Fatalf("write: %d, %v; Written %d", n, err, c.Written())
			}
			if c.plain {
				c.Clear()
				more, err := c.write3(big[:7])
				n += more
				if err != nil {
					t.Fatal(err)
				}
			}
			go func() { _ = c.tcp.CloseWrite() }()
			got, err := io.Copy(io.Discard, peer)
			if err != nil && c.plain || got != int64(n) {
				t.Errorf("the peer got %d of %d, %v", got, n, err)
			}
		})
	}
}

// write3 writes while the other end reads nothing: it fits or it fails.
func (c *Conn) write3(p []byte) (int, error) {
	c.Until(time.Now().Add(50 * time.Millisecond))
	n, err := c.Write(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	c.Until(time.Time{})
	return n, err
}

func TestUntil(t *testing.T) {
	for _, watched := range []bool{false, true} {
		each(t, func(t *testing.T, c, peer *Conn) {
			w := NewWatch(5 * time.Millisecond)
			defer w.Close()
			if watched {
				w.Add(c)
			}
			start := time.Now()
			c.Until(start.Add(30 * time.Millisecond))
			if err := c.Await(); !errors.Is(err, ErrTimeout) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("Await: %v", err)
			}
			if d := time.Since(start); d < 30*time.Millisecond {
				t.Errorf("over after %v", d)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrTimeout) {
				t.Errorf("Read: %v", err)
			}
			c.Until(time.Time{})
			go func() { _, _ = peer.Write([]byte("x")) }()
			if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Errorf("Read after Until(never): %d, %v", n, err)
			}
			go func() { _, _ = peer.Read(make([]byte, 9)) }()
			if _, err := c.Write([]byte("y")); err != nil {
				t.Errorf("Write after Until(never): %v", err)
			}
		})
	}
}

// TestWatchTicks: coarse but never early, late by one tick at most, and no tick while nothing is watched.
func TestWatchTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pipePair(t)
		w := NewWatch(100 * time.Millisecond)
		w.Add(c)
		time.Sleep(30 * time.Millisecond)
		for _, d := range []time.Duration{time.Nanosecond, 70 * time.Millisecond, time.Second} {
			start := time.Now()
			c.Until(start.Add(d))
			if err := c.Await(); !errors.Is(err, ErrTimeout) {
				t.Fatal(err)
			}
			if took := time.Since(start); took < d || took > d+100*time.Millisecond {
				t.Errorf("a limit of %v took %v", d, took)
			}
		}
		c.Until(time.Now().Add(time.Hour))
		shorter := time.AfterFunc(1500*time.Millisecond, func() { c.Until(time.Now().Add(150 * time.Millisecond)) })
		start := time.Now()
		if err := c.Await(); !errors.Is(err, ErrTimeout) {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 1650*time.Millisecond || took > 1750*time.Millisecond {
			t.Errorf("a limit that was shortened took %v", took)
		}
		shorter.Stop()
		w.mu.Lock()
		if !w.ticking {
			t.Error("does not tick")
		}
		w.mu.Unlock()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		w.mu.Lock()
		if w.ticking || w.Len() != 0 {
			t.Errorf("ticks for nobody, %d watched", w.Len())
		}
		w.mu.Unlock()
		d, _ := pipePair(t)
		w.Add(d)
		d.Until(time.Now().Add(time.Second))
		if err := d.Await(); !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		w.Close()
	})
}

// TestLateWake: a sweep for a phase that is over hurts neither reads nor, what TLS would never forgive, writes.
func TestLateWake(t *testing.T) {
	for _, k := range kinds[:2] {
		t.Run(k.name, func(t *testing.T) {
			c, peer := k.make(t)
			w := NewWatch(time.Hour) // swept by hand
			defer w.Close()
			w.Add(c)
			go func() { _, _ = io.Copy(peer, peer) }()
			stop := make(chan struct{})
			var sweeping sync.WaitGroup
			sweeping.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						w.sweep(clock())
						runtime.Gosched()
					}
				}
			})
			p, q := bytes.Repeat([]byte("0123456789"), 10), make([]byte, 100)
			for i, end := 0, time.Now().Add(500*time.Millisecond); i < 3000 && time.Now().Before(end); i++ {
				c.Until(time.Now().Add(-time.Second)) // over: the sweep may strike at any moment
				c.Until(time.Now().Add(time.Hour))
				if _, err := c.Write(p); err != nil {
					t.Fatal("write:", err)
				}
				if _, err := io.ReadFull(c, q); err != nil {
					t.Fatal("read:", err)
				}
			}
			close(stop)
			sweeping.Wait()
		})
	}
}

// TestWakeClearStress: whatever the order of Wake, Clear and time, an operation ends with the reason, or goes on, and
// after the last Clear everything works.
func TestWakeClearStress(t *testing.T) {
	c, peer := plainPair(t)
	w := NewWatch(time.Millisecond)
	defer w.Close()
	w.Add(c)
	go func() { _, _ = io.Copy(peer, peer) }()
	stop := make(chan struct{})
	var wakers sync.WaitGroup
	for range 2 {
		wakers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					c.Wake(errMoved)
					_ = c.Left()
					runtime.Gosched()
				}
			}
		})
	}
	woken := 0
	var sent, got int
	p := make([]byte, 32)
	step := func() {
		c.Until(time.Now().Add(time.Hour))
		n, err := c.Write(p)
		sent += n
		for err == nil && got < sent {
			n, err = c.Read(p)
			got += n
		}
		if errors.Is(err, errMoved) {
			woken++
			c.Clear()
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for i, end := 0, time.Now().Add(time.Second); woken == 0 || i < 1000 && time.Now().Before(end); i++ {
		step()
	}
	close(stop)
	wakers.Wait()
	c.Clear()
	before := woken
	for range 10 {
		step()
	}
	if woken != before {
		t.Error("woken after the last Clear")
	}
}
