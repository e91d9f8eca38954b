package nameserver_test

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Listeners take data that comes with the handshake, and connections keep little in the kernel.
func TestStreamOptions(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0")
	f.serve(t)
	l, ok := f.srv.Listener().(*net.TCPListener)
	if !ok {
		t.Fatal("not a TCP listener")
	}
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		for _, c := range []struct {
			name       string
			level, opt int
			least      int
			most       int
		}{
			{"fast open", unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 1, 256},
			{"send buffer", unix.SOL_SOCKET, unix.SO_SNDBUF, 4096, 256 << 10},
			{"receive buffer", unix.SOL_SOCKET, unix.SO_RCVBUF, 2048, 256 << 10},
		} {
			if n, err := unix.GetsockoptInt(int(fd), c.level, c.opt); err != nil || n < c.least || n > c.most {
				t.Errorf("%s: %d %v", c.name, n, err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
}
