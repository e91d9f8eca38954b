package proxy_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
)

// blackhole is an address that swallows what goes there: the queue of connections nobody accepts is full.
func blackhole(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at, ok := name.(*unix.SockaddrInet4)
	if !ok {
		t.Fatalf("the socket's name is %T", name)
	}
	addr := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: at.Port}).String()
	for { // until one more does not get through
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
}

// A POST that is still connecting has not been sent: it moves with the decision and does not wait for the timeout.
func TestConnectingRequestsOfAnyMethodMove(t *testing.T) {
	hole := blackhole(t)
	r := newRig(t, func(_ *proxy.Options, p *profile.Profile) {
		p.Endpoints[0].Origin = "http://" + hole
		p.Proxy.Timeouts.Connect, p.Proxy.Hold.MaxWait = 10*time.Second, 10*time.Second
	})
	got := make(chan answer, 1)
	go func() { got <- r.must("POST", "/", strings.NewReader("once"), "X-Id", "one") }()
	r.eventually("it connects", func() bool { return r.metric("jurymast_proxy_inflight") == 1 })
	start := time.Now()
	r.activate(1)
	if a := <-got; a.StatusCode != 200 || r.origins[1].Processed("one") != 1 {
		t.Errorf("%s %s", a.Status, a.body)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it waited for the timeout: %v", took)
	}
}
