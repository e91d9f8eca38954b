package tunnels_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jurymast/internal/proxy/tunnels"
	"jurymast/internal/proxy/wire"
)

// The ends of a benchmark are processes of their own, so that its CPU time is the tunnel's alone. peerRole is the
// payload of the frames that a source sends, or "sink"; both listen and say where.
const (
	peerRole = "TUNNELS_PEER"
	gigabyte = 1 << 30
)

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
	size, err := strconv.Atoi(role)
	if err != nil {
		p := make([]byte, 256<<10)
		for err = nil; err == nil; _, err = c.Read(p) {
			continue
		}
		return
	}
	frame := websocketFrame(size)
	for len(frame) < 256<<10 { // few system calls, whatever the frames
		frame = append(frame, websocketFrame(size)...)
	}
	for sent := 0; sent < gigabyte; sent += len(frame) {
		if _, err := c.Write(frame); err != nil {
			return
		}
	}
	_ = c.Close()
}

func peer(b *testing.B, role string) net.Conn {
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
	return c
}

func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkGigabyte sends 1 GiB through a tunnel, between two other processes.
func BenchmarkGigabyte(b *testing.B) {
	through := func(o tunnels.Options) func(client, origin net.Conn) {
		return func(client, origin net.Conn) {
			w := wire.NewWatch(0)
			defer w.Close()
			c, d := wire.Wrap(client), wire.Wrap(origin)
			w.Add(c)
			w.Add(d)
			if _, out, why := tunnels.Run(c, d, o); out < gigabyte {
				b.Error(out, why)
			}
		}
	}
	for _, c := range []struct {
		name  string
		frame int
		relay func(client, origin net.Conn)
	}{
		{"no frames", 4 << 10, through(tunnels.Options{})},
		{"frames of 100", 100, through(tunnels.Options{WebSocket: true})},
		{"frames of 4KiB", 4 << 10, through(tunnels.Options{WebSocket: true})},
		{"frames of 256KiB", 256 << 10, through(tunnels.Options{WebSocket: true})},
		{"frames of 4MiB", 4 << 20, through(tunnels.Options{WebSocket: true})},
		{"copy by 32KiB", 4 << 10, func(client, origin net.Conn) {
			p := make([]byte, 32<<10)
			_, _ = io.CopyBuffer(struct{ io.Writer }{client}, struct{ io.Reader }{origin}, p)
			_ = client.Close()
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(gigabyte)
			begin := cpu()
			for range b.N {
				origin, client := peer(b, strconv.Itoa(c.frame)), peer(b, "sink")
				// The sink never ends by itself: its end follows ours.
				c.relay(client, origin)
			}
			b.ReportMetric(float64(cpu()-begin)/1e3/(float64(b.N)*gigabyte/(1<<20)), "cpu-µs/MiB")
		})
	}
}
