package inbound

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childEnv makes the test binary another program.
const childEnv = "JURYMAST_INBOUND_CHILD"

// beChild is that program: "hold ADDR N" has N connections to ADDR open until its input ends, "ask ADDR N"
// has an answer on each first; "starve" is a front that
// may open few files.
func beChild(what string) {
	words := strings.Fields(what)
	switch words[0] {
	case "hold", "ask":
		n, _ := strconv.Atoi(words[2])
		var conns []net.Conn
		for range n {
			c, err := net.Dial("tcp", words[1])
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			conns = append(conns, c)
			if words[0] == "ask" {
				_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
				_, _ = c.Read(make([]byte, 4096))
			}
		}
		fmt.Println("ready", len(conns))
	case "starve":
		starve()
	}
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// child starts the test binary as another program, which ends with the test. It returns its first line.
func child(t testing.TB, what string) (line string, end func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := false
	end = func() {
		if !over {
			over = true
			in.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(end)
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return strings.TrimSpace(line), end
}

// starve is a front in a process that may open few files; it prints its address.
func starve() {
	const files = 60
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: files, Max: files}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	r := &rig{release: make(chan struct{}), waiting: make(chan struct{}, 1000)}
	f, err := Listen(Options{Plain: []string{"127.0.0.1:0"}, Serve: r.serve})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	f.Start()
	plain, _ := f.Addrs()
	fmt.Println(plain[0])
}

// TestFilesRunOut: a process that may not open more files goes on accepting as soon as it can.
func TestFilesRunOut(t *testing.T) {
	t.Parallel()
	addr, _ := child(t, "starve")
	if _, _, err := net.SplitHostPort(addr); err != nil {
		t.Fatalf("the child says %q", addr)
	}
	r := &rig{t: t}
	var held []*client
	served := func(c *client, within time.Duration) bool {
		_ = c.SetDeadline(time.Now().Add(within))
		_, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: p.example\r\n\r\n"))
		if err == nil {
			_, err = c.r.Peek(1)
		}
		return err == nil
	}
	for len(held) < 200 {
		c := r.dial("", addr)
		if !served(c, 300*time.Millisecond) {
			defer c.Close()
			held = append(held, c)
			break
		}
		held = append(held, c)
	}
	if len(held) < 10 || len(held) == 200 {
		t.Fatalf("%d connections before files ran out", len(held))
	}
	last := held[len(held)-1]
	for _, c := range held[:len(held)-1] {
		c.Close()
	}
	_ = last.SetDeadline(time.Now().Add(patience))
	if _, err := last.r.Peek(1); err != nil {
		t.Fatalf("the client that waited is not served although files are free again: %v", err)
	}
	if !served(r.dial("", addr), patience) {
		t.Fatal("a new client is not served")
	}
}

// BenchmarkIdle measures what a waiting connection costs, all of our process included, the kernel's buffers not: before
// its first request, and after one.
func BenchmarkIdle(b *testing.B) {
	const n = 10_000
	for what, state := range map[string]State{"hold": Fresh, "ask": Idle} {
		b.Run(state.String(), func(b *testing.B) {
			for b.Loop() {
				r := newRig(b, func(o *Options) { o.PerClient, o.Secure, o.HTTP2 = -1, nil, nil })
				runtime.GC()
				before := resident(b)
				line, end := child(b, fmt.Sprintf("%s %s %d", what, r.plain, n))
				if line != fmt.Sprintf("ready %d", n) {
					b.Fatal(line)
				}
				r.eventually("all connections wait", func() bool { return r.state(state) == n })
				b.ReportMetric(float64(resident(b)-before)/n, "B/conn")
				end()
				ctx, cancel := context.WithTimeout(b.Context(), patience)
				if err := r.front.Shutdown(ctx); err != nil {
					b.Error(err)
				}
				cancel()
			}
		})
	}
}

// BenchmarkConnections opens, uses and closes a connection after the other, from several clients.
func BenchmarkConnections(b *testing.B) {
	r := newRig(b, func(o *Options) { o.PerClient = -1 })
	b.RunParallel(func(p *testing.PB) {
		answer := make([]byte, 4096)
		for p.Next() {
			c, err := net.Dial("tcp", r.plain)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			if _, err = c.Read(answer); err != nil {
				b.Error(err)
			}
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // no address is left waiting
			}
			c.Close()
		}
	})
}

func resident(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
