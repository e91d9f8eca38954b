package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The peers of a benchmark are processes of their own, so that its CPU time is ours alone. peerRole is "source N",
// which answers each byte with N bytes, or "sink"; both listen and say where.
const peerRole = "WIRE_PEER"

func bePeer(role string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	c, err := l.Accept()
	if err != nil {
		panic(err)
	}
	p := make([]byte, 256<<10)
	size, source := strings.CutPrefix(role, "source ")
	n, _ := strconv.Atoi(size)
	for {
		ask := p
		if source {
			ask = p[:1]
		}
		if _, err := c.Read(ask); err != nil {
			return
		}
		for left := n; source && left > 0; left -= min(left, len(p)) {
			if _, err := c.Write(p[:min(left, len(p))]); err != nil {
				return
			}
		}
	}
}

func peer(b *testing.B, role string) *Conn {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), peerRole+"="+role)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		b.Fatal(err)
	}
	c, err := net.Dial("tcp", strings.TrimSpace(string(line[:n])))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return Wrap(c)
}

func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBody relays bodies from one process to another. One machine of two cores, loopback, CPU of the relay:
// see Splice.
func BenchmarkBody(b *testing.B) {
	for _, size := range []int64{16 << 10, 64 << 10, 256 << 10, 1 << 20, 16 << 20} {
		for _, how := range []struct {
			name string
			move func(dst, src *Conn, n int64) error
		}{
			{"splice", func(dst, src *Conn, n int64) error { _, err := Splice(dst, src, n); return err }},
			{"copy64K", copying(64 << 10)},
			{"copy256K", copying(256 << 10)},
		} {
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, how.name), func(b *testing.B) {
				src, dst := peer(b, "source "+strconv.FormatInt(size, 10)), peer(b, "sink")
				b.SetBytes(size)
				ask := []byte("?")
				b.ResetTimer()
				begin := cpu()
				for range b.N {
					if _, err := src.Write(ask); err != nil {
						b.Fatal(err)
					}
					if err := how.move(dst, src, size); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpu()-begin)/1e3/(float64(b.N)*float64(size)/(1<<20)), "cpu-µs/MiB")
			})
		}
	}
}

func copying(size int) func(dst, src *Conn, n int64) error {
	p := make([]byte, size)
	return func(dst, src *Conn, n int64) error {
		for n > 0 {
			r, err := src.Read(p[:min(n, int64(size))])
			if err != nil {
				return err
			}
			if _, err := dst.Write(p[:r]); err != nil {
				return err
			}
			n -= int64(r)
		}
		return nil
	}
}

// BenchmarkExchange is a question and an answer of 300 bytes with a peer, as net.Conn and as Conn.
func BenchmarkExchange(b *testing.B) {
	for _, how := range []string{"net", "wire", "wire-await"} {
		b.Run(how, func(b *testing.B) {
			c := peer(b, "source 300")
			var rw io.ReadWriter = c
			if how == "net" {
				rw = c.NetConn()
			}
			ask, p := []byte("?"), make([]byte, 4096)
			b.ReportAllocs()
			b.ResetTimer()
			begin := cpu()
			for range b.N {
				if _, err := rw.Write(ask); err != nil {
					b.Fatal(err)
				}
				if how == "wire-await" {
					if err := c.Await(); err != nil {
						b.Fatal(err)
					}
				}
				if n, err := rw.Read(p); n != 300 || err != nil {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(cpu()-begin)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkCalls is one write and one read that find what they need: the price of the calls alone.
func BenchmarkCalls(b *testing.B) {
	for _, how := range []string{"net", "wire"} {
		b.Run(how, func(b *testing.B) {
			c, other := plainPair(b)
			var w, r io.ReadWriter = c, other
			if how == "net" {
				w, r = c.NetConn(), other.NetConn()
			}
			p := make([]byte, 300)
			b.ReportAllocs()
			begin := cpu()
			defer func() { b.ReportMetric(float64(cpu()-begin)/float64(b.N), "cpu-ns/op") }()
			for range b.N {
				if _, err := w.Write(p); err != nil {
					b.Fatal(err)
				}
				if _, err := r.Read(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWatch is one tick of 100,000 connections with a deadline far away: 0.2 ms of CPU, and once per second 3 ms
// more, in which each is looked at.
func BenchmarkWatch(b *testing.B) {
	w := NewWatch(time.Hour)
	defer w.Close()
	for range 100_000 {
		c := &Conn{}
		w.Add(c)
		c.deadline.Store(1 << 62)
	}
	b.ResetTimer()
	begin := cpu()
	for range b.N {
		w.sweep(clock())
	}
	b.ReportMetric(float64(cpu()-begin)/float64(b.N), "cpu-ns/op")
}

// TestIdleSize: an idle connection, its goroutine included, stays small however busy it was.
func TestIdleSize(t *testing.T) {
	const n = 500
	conns, peers := make([]*Conn, n), make([]*Conn, n)
	w := NewWatch(0)
	defer w.Close()
	for i := range n {
		conns[i], peers[i] = plainPair(t)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	var served sync.WaitGroup
	for i := range n {
		c := Plain(conns[i].tcp) // the one above would not be counted
		conns[i] = c
		served.Go(func() {
			w.Add(c)
			if err := serveIdle(c); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		})
	}
	p := make([]byte, 300)
	for _, c := range peers {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, p); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&after)
	heap := (int64(after.HeapInuse) - int64(before.HeapInuse)) / n
	stack := (int64(after.StackInuse) - int64(before.StackInuse)) / n
	t.Logf("%d bytes of heap and %d of stack for each", heap, stack)
	if !raceEnabled && heap+stack > 8<<10 {
		t.Errorf("%d bytes of heap and %d of stack for each idle connection", heap, stack)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	served.Wait()
}

// serveIdle answers what it is asked, with a deep stack meanwhile.
func serveIdle(c *Conn) error {
	for {
		if err := c.Await(); err != nil {
			return err
		}
		if err := answer(c); err != nil {
			return err
		}
	}
}

//go:noinline
func answer(c *Conn) error {
	var deep [6 << 10]byte
	buf := Get(largest)
	defer Put(buf)
	n, err := c.Read(*buf)
	if err != nil {
		return err
	}
	deep[n] = 1
	_, err = c.Write((*buf)[:n+int(deep[n])-1])
	return err
}
