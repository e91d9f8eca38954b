package batch_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"jurymast/internal/nameserver/batch"
)

var shapes = []batch.Shape{batch.Polite, batch.Raw, batch.Busy, batch.Portable}

// echo answers every packet with itself until it is stopped.
type echo struct {
	conn batch.Conn
	done chan struct{}
	mu   sync.Mutex
	most int // packets of one batch
	all  int
	lost int
}

func serve(t *testing.T, conn batch.Conn, opt batch.Options) *echo {
	t.Helper()
	e := &echo{conn: conn, done: make(chan struct{})}
	go func() {
		defer close(e.done)
		b := batch.New(opt, 2048)
		for {
			n, err := conn.Receive(b)
			if errors.Is(err, batch.ErrStopped) {
				return
			}
			if err != nil {
				continue
			}
			for i := range b.Messages[:n] {
				m := &b.Messages[i]
				m.Reply = append(m.Buffer, m.Packet...)
				if len(m.Packet) > 4 && m.Packet[4] == 'n' { // no answer
					m.Reply = nil
				}
			}
			unsent := conn.Send(b, n)
			e.mu.Lock()
			e.most, e.all, e.lost = max(e.most, n), e.all+n, e.lost+unsent
			e.mu.Unlock()
		}
	}()
	return e
}

func (e *echo) stop(t *testing.T) {
	t.Helper()
	e.conn.Stop()
	select {
	case <-e.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the loop does not end")
	}
	if err := e.conn.Close(); err != nil {
		t.Error(err)
	}
}

func listen(t *testing.T, addr string, opt batch.Options) (batch.Conn, netip.AddrPort) {
	t.Helper()
	at := netip.MustParseAddrPort(addr)
	network := "udp6"
	if at.Addr().Is4() {
		network = "udp4"
	}
	if at.Port() == 0 {
		var lc net.ListenConfig
		probe, err := lc.ListenPacket(t.Context(), network, addr)
		if err != nil {
			t.Skipf("%s is not there: %v", addr, err)
		}
		bound, err := netip.ParseAddrPort(probe.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		at = netip.AddrPortFrom(at.Addr(), bound.Port())
		_ = probe.Close() // nothing was written
	}
	conn, err := batch.Listen(t.Context(), network, at, opt)
	if err != nil {
		t.Fatal(err)
	}
	return conn, at
}

func dial(t *testing.T, at netip.AddrPort) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// burst sends numbered packets without waiting and reads as many answers.
func burst(t *testing.T, conn *net.UDPConn, from, count int) {
	t.Helper()
	var buf [64]byte
	for i := from; i < from+count; i++ {
		if _, err := conn.Write(fmt.Appendf(nil, "%04d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := from; i < from+count; i++ {
		n, err := conn.Read(buf[:])
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if want := fmt.Sprintf("%04d", i); string(buf[:n]) != want {
			t.Fatalf("got %q, want %q", buf[:n], want)
		}
	}
}

// Every shape gives every packet its own answer, in both families, whether packets come alone or many at a time.
func TestEveryPacketIsAnswered(t *testing.T) {
	for _, shape := range shapes {
		for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
			t.Run(string(shape)+" "+addr, func(t *testing.T) {
				opt := batch.Options{Shape: shape}
				conn, at := listen(t, addr, opt)
				e := serve(t, conn, opt)
				client := dial(t, at)
				for i, count := range []int{1, 2, 40, 1, 100} {
					burst(t, client, i*1000, count)
				}
				e.stop(t)
				if e.all != 144 || e.lost != 0 {
					t.Errorf("%d packets, %d answers refused", e.all, e.lost)
				}
				if _, known := conn.Dropped(); known {
					t.Error("a closed socket tells of drops")
				}
			})
		}
	}
}

// Messages without an answer leave the others where they belong.
func TestSilenceIsPossible(t *testing.T) {
	opt := batch.Options{}
	conn, at := listen(t, "127.0.0.1:0", opt)
	a, b := dial(t, at), dial(t, at)
	for i := range 8 { // all of them in one batch: nobody reads yet
		for _, c := range []*net.UDPConn{a, b} {
			if _, err := c.Write(fmt.Appendf(nil, "%03d ", i)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("....no")); err != nil {
				t.Fatal(err)
			}
		}
	}
	e := serve(t, conn, opt)
	var buf [16]byte
	for i := range 8 {
		for _, c := range []*net.UDPConn{a, b} {
			if n, err := c.Read(buf[:]); err != nil || string(buf[:n]) != fmt.Sprintf("%03d ", i) {
				t.Fatalf("%q, %v", buf[:n], err)
			}
		}
	}
	e.stop(t)
	if e.most != batch.DefaultSize {
		t.Errorf("batches of up to %d, want %d", e.most, batch.DefaultSize)
	}
}

// What is queued when Stop comes is still answered.
func TestStopReadsWhatIsQueued(t *testing.T) {
	for _, shape := range shapes {
		opt := batch.Options{Shape: shape}
		conn, at := listen(t, "127.0.0.1:0", opt)
		client := dial(t, at)
		for i := range 50 {
			if _, err := client.Write(fmt.Appendf(nil, "%04d", i)); err != nil {
				t.Fatal(err)
			}
		}
		conn.Stop()
		conn.Stop()
		e := serve(t, conn, opt)
		var buf [16]byte
		for i := range 50 {
			if _, err := client.Read(buf[:]); err != nil {
				t.Fatalf("%s: answer %d: %v", shape, i, err)
			}
		}
		e.stop(t)
	}
}

// A packet longer than there is room for loses its tail, and nothing of it reaches the next one.
func TestLongPacketsAreCut(t *testing.T) {
	for _, shape := range shapes {
		opt := batch.Options{Shape: shape}
		conn, at := listen(t, "127.0.0.1:0", opt)
		client := dial(t, at)
		long := make([]byte, batch.MaxPacket+100)
		for _, p := range [][]byte{long, []byte("next")} {
			if _, err := client.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		b := batch.New(opt, 16)
		var lengths []int
		for len(lengths) < 2 {
			n, err := conn.Receive(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range b.Messages[:n] {
				lengths = append(lengths, len(m.Packet))
			}
		}
		if lengths[0] != batch.MaxPacket || lengths[1] != 4 {
			t.Errorf("%s: lengths %v", shape, lengths)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// An answer leaves from the address that was asked, also on a socket bound to all addresses.
func TestAnswersLeaveFromWhereTheyWereAsked(t *testing.T) {
	if !batch.Wildcard {
		t.Skip("this system does not tell")
	}
	opt := batch.Options{}
	conn, at := listen(t, "0.0.0.0:0", opt)
	e := serve(t, conn, opt)
	for _, addr := range []string{"127.0.0.1", "127.0.0.77", "127.1.2.3"} {
		// A connected socket takes answers from the address it asked alone.
		burst(t, dial(t, netip.AddrPortFrom(netip.MustParseAddr(addr), at.Port())), 0, 20)
	}
	e.stop(t)
	conn, at = listen(t, "[::]:0", opt)
	e = serve(t, conn, opt)
	burst(t, dial(t, netip.AddrPortFrom(netip.IPv6Loopback(), at.Port())), 0, 20)
	e.stop(t)
}

// A loop that keeps its processor while it waits does not hold up a stop of the world, nor other goroutines.
func TestRawWaitHoldsUpNobody(t *testing.T) {
	opt := batch.Options{Shape: batch.Raw}
	conn, at := listen(t, "127.0.0.1:0", opt)
	e := serve(t, conn, opt)
	client := dial(t, at)
	var took []time.Duration
	for i := range 50 {
		burst(t, client, i, 1) // it waits raw from now on
		start := time.Now()
		runtime.GC()
		took = append(took, time.Since(start))
	}
	e.stop(t)
	slices.Sort(took)
	if median := took[len(took)/2]; median > 50*time.Millisecond { // a wait lasts 100 ms when no signal ends it
		t.Errorf("a collection takes %v", median)
	}
}

// The kernel tells how many packets it threw away when nobody read.
func TestDroppedPacketsAreCounted(t *testing.T) {
	if !batch.Shared {
		t.Skip("this system does not tell")
	}
	for _, shape := range []batch.Shape{batch.Polite, batch.Portable} {
		opt := batch.Options{Shape: shape}
		conn, at := listen(t, "127.0.0.1:0", opt)
		client := dial(t, at)
		packet := make([]byte, 4000)
		const sent = 20_000 // 80 MB: more than any queue here
		for range sent {
			if _, err := client.Write(packet); err != nil {
				t.Fatal(err)
			}
		}
		conn.Stop()
		b := batch.New(opt, 16)
		read := 0
		for {
			n, err := conn.Receive(b)
			if errors.Is(err, batch.ErrStopped) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			read += n
		}
		if got, known := conn.Dropped(); !known || int(got) != sent-read || read == sent {
			t.Errorf("%s: %d read and %d dropped of %d (known: %v)", shape, read, got, sent, known)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Sockets of one group take turns by client, or by processor; each packet is answered once either way.
func TestGroupsShareAnAddress(t *testing.T) {
	if !batch.Shared {
		t.Skip("one socket per address")
	}
	for _, byCPU := range []bool{false, true} {
		opt := batch.Options{ByCPU: byCPU}
		first, at := listen(t, "127.0.0.1:0", opt)
		second, err := batch.Listen(t.Context(), "udp4", at, opt)
		if err != nil {
			t.Fatal(err)
		}
		a, b := serve(t, first, opt), serve(t, second, opt)
		for range 20 {
			burst(t, dial(t, at), 0, 10)
		}
		a.stop(t)
		b.stop(t)
		if a.all+b.all != 200 {
			t.Errorf("%d + %d packets", a.all, b.all)
		}
	}
}

func TestListenRefuses(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := batch.Listen(ended, "udp4", netip.MustParseAddrPort("127.0.0.1:0"), batch.Options{}); err == nil {
		t.Error("bound after the end")
	}
	if _, err := batch.Listen(t.Context(), "udp4", netip.MustParseAddrPort("192.0.2.1:53"), batch.Options{}); err == nil {
		t.Error("bound to somebody else's address")
	}
}

// A closed socket never writes to a descriptor that is somebody else's by now: Close waits for who uses it.
func TestCloseWaitsForTheLoop(t *testing.T) {
	for _, shape := range shapes {
		opt := batch.Options{Shape: shape}
		conn, at := listen(t, "127.0.0.1:0", opt)
		done := make(chan struct{})
		go func() {
			defer close(done)
			b := batch.New(opt, 512)
			for {
				n, err := conn.Receive(b)
				if err != nil {
					return
				}
				for i := range b.Messages[:n] {
					b.Messages[i].Reply = append(b.Messages[i].Buffer, "answer"...)
				}
				conn.Send(b, n)
			}
		}()
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		client := dial(t, at)
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		peer, err := net.Dial("tcp4", l.Addr().String()) // takes the descriptor
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		got, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		_, _ = client.Write([]byte("question")) // refused, if anything
		<-done
		_ = got.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		var buf [100]byte
		if n, _ := got.Read(buf[:]); n > 0 {
			t.Errorf("%s: somebody else's connection got %q", shape, buf[:n])
		}
		if err := conn.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: closed twice: %v", shape, err)
		}
	}
}

// A socket whose queue is never empty stops all the same, and one with a packet now and then, too.
func TestStopUnderLoad(t *testing.T) {
	for _, shape := range shapes {
		for _, pause := range []time.Duration{0, 10 * time.Millisecond} {
			opt := batch.Options{Shape: shape, Size: 1}
			conn, at := listen(t, "127.0.0.1:0", opt)
			client, end := dial(t, at), make(chan struct{})
			flood := make(chan struct{})
			go func() {
				defer close(flood)
				for {
					select {
					case <-end:
						return
					default:
						_, _ = client.Write([]byte("....no"))
						time.Sleep(pause)
					}
				}
			}()
			e := serve(t, conn, opt)
			time.Sleep(50 * time.Millisecond)
			begin := time.Now()
			e.stop(t)
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("%s, a packet every %v: stopped after %v", shape, pause, took)
			}
			close(end)
			<-flood
		}
	}
}
