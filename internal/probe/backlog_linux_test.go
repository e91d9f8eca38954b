package probe

import (
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	"jurymast/internal/profile"
)

// TestLateHandshakeIsAFailure: a peer whose queue of connections is full answers the first packet late or never; for a
// TCP probe that is down, after exactly its timeout.
func TestLateHandshakeIsAFailure(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	own, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatalf("%T", name)
	}
	at := "127.0.0.1:" + strconv.Itoa(own.Port)
	for full := false; !full; {
		c, err := (&net.Dialer{Timeout: 200 * time.Millisecond}).DialContext(t.Context(), "tcp", at)
		if full = err != nil; !full {
			t.Cleanup(func() { _ = c.Close() })
		}
	}
	s := specFor(netip.MustParseAddrPort(at))
	s.Protocol, s.Timeout = profile.TCP, 300*time.Millisecond
	got := Run(t.Context(), s)
	if got.Obs.OK || got.Class != ClassTimeout {
		t.Errorf("%+v", got)
	}
	if took := got.Obs.Latency; took < s.Timeout || took > s.Timeout+500*time.Millisecond {
		t.Errorf("took %v, want %v", took, s.Timeout)
	}
}
