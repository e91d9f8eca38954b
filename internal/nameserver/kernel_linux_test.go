package nameserver_test

import (
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jurymast/internal/nameserver"
)

// What does not fit into a socket's buffer is lost, and the kernel tells how much.
func TestKernelDropsAreKnown(t *testing.T) {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	if err := server.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("udp4", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const sent = 200
	for range sent {
		if _, err := client.Write(make([]byte, 500)); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := server.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var drops uint64
	var known bool
	if err := raw.Control(func(fd uintptr) { drops, known = nameserver.SocketDrops(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	left := uint64(0)
	for buf := make([]byte, 1000); ; left++ {
		_ = server.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := server.Read(buf); err != nil {
			break
		}
	}
	if !known || drops == 0 || drops+left != sent {
		t.Errorf("sent %d, read %d, the kernel tells of %d lost (known: %v)", sent, left, drops, known)
	}
}

func TestThreadTimeGrows(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, known := nameserver.ThreadTime(unix.Gettid())
	if !known {
		t.Skip("this kernel keeps no schedstat")
	}
	start := time.Now()
	spins := 0
	for time.Since(start) < 50*time.Millisecond {
		spins++
	}
	if after, _ := nameserver.ThreadTime(unix.Gettid()); after-before <= 0 || after-before > 10*time.Second {
		t.Errorf("from %v to %v after %d spins", before, after, spins)
	}
}
