package origins

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// blackhole is an address on host where connecting takes for ever.
func blackhole(t *testing.T, host string) string {
	t.Helper()
	a, p := full(t, netip.AddrPortFrom(netip.MustParseAddr(host), 0))
	return netip.AddrPortFrom(a, p).String()
}

// blackholeAt is the same at a given port, and gives its host.
func blackholeAt(t *testing.T, addr string) string {
	t.Helper()
	a, _ := full(t, netip.MustParseAddrPort(addr))
	return a.String()
}

// full is a listener that accepts nothing and whose queue is full, so that the kernel drops every further SYN.
func full(t *testing.T, at netip.AddrPort) (netip.Addr, uint16) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	in, ok := sa.(*unix.SockaddrInet4)
	if !ok {
		t.Fatalf("%T", sa)
	}
	here := netip.AddrPortFrom(at.Addr(), uint16(in.Port))
	for range 16 {
		c, err := (&net.Dialer{Timeout: 100 * time.Millisecond}).DialContext(t.Context(), "tcp", here.String())
		if err != nil {
			return here.Addr(), here.Port()
		}
		t.Cleanup(func() { discard(c) })
	}
	t.Fatal("the queue does not fill")
	return netip.Addr{}, 0
}
