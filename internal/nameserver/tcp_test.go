package nameserver_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// strict is the standard fixture with limits of connections of its own.
func strict(t testing.TB, limits nameserver.TCP) *fixture {
	t.Helper()
	f, ps := create(nameserver.Options{Listen: []string{"127.0.0.1:0"}, TCP: limits}), standard()
	f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
	return f
}

// dialFrom connects from one address of the loopback network.
func dialFrom(t testing.TB, from string, at netip.AddrPort) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	conn, err := d.DialContext(t.Context(), "tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// served reports whether a connection gets an answer; false: it was closed instead.
func served(t testing.TB, conn net.Conn) bool {
	t.Helper()
	_, err := conn.Write(framed(query("dr.example.", dns.TypeSOA)))
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, 2))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil
}

// The 1001st connection is turned away whoever it comes from, and one that ends makes room for another.
func TestThousandConnections(t *testing.T) {
	f := strict(t, nameserver.TCP{First: time.Minute, Idle: time.Minute, IdleMin: time.Minute})
	at := f.serve(t)
	var open []net.Conn
	for i := range 1000 {
		conn := dialFrom(t, fmt.Sprintf("127.0.%d.1", 1+i/20), at)
		if i%100 == 0 && !served(t, conn) {
			t.Fatalf("connection %d was turned away", i)
		}
		open = append(open, conn)
	}
	if served(t, dialFrom(t, "127.0.200.1", at)) {
		t.Error("the 1001st was served")
	}
	if !served(t, open[999]) {
		t.Error("the 1000th was not")
	}
	for name, want := range map[string]float64{"connections_refused_total transport=tcp why=full": 1, "connections_refused_total transport=tcp why=prefix": 0, "connections transport=tcp": 1000} {
		if n := f.counter(t, name); n != want {
			t.Errorf("%s: %v, want %v", name, n, want)
		}
	}
	_ = open[0].Close()
	eventually(t, "a free place", func() bool { return f.counter(t, "connections transport=tcp") == 999 })
	if !served(t, dialFrom(t, "127.0.201.1", at)) {
		t.Error("there is room, but the next one was turned away")
	}
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// One network gets 20 places and leaves the rest to others.
func TestOneNetworkIsBounded(t *testing.T) {
	f := strict(t, nameserver.TCP{First: time.Minute})
	at := f.serve(t)
	var first net.Conn
	for i := range 20 {
		conn := dialFrom(t, fmt.Sprintf("127.0.0.%d", 1+i), at)
		if !served(t, conn) {
			t.Fatalf("connection %d of its network was turned away", i+1)
		}
		if first == nil {
			first = conn
		}
	}
	for _, c := range []struct {
		from string
		want bool
	}{{"127.0.0.77", false}, {"127.0.1.77", true}, {"127.0.0.1", false}} {
		if got := served(t, dialFrom(t, c.from, at)); got != c.want {
			t.Errorf("from %s: served %v, want %v", c.from, got, c.want)
		}
	}
	if n := f.counter(t, "connections_refused_total transport=tcp why=prefix"); n != 2 {
		t.Errorf("%v counted", n)
	}
	_ = first.Close()
	eventually(t, "a free place", func() bool { return f.counter(t, "connections transport=tcp") == 20 })
	if !served(t, dialFrom(t, "127.0.0.78", at)) {
		t.Error("the network has a place again, but was turned away")
	}
}

// Networks of IPv6 are /56, those of IPv4 /24, also when they come mapped.
func TestNetworks(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "2001:db8:1:22ff::1": "2001:db8:1:2200::/56", "fe80::1%eth0": "fe80::/56",
	} {
		if got := nameserver.Network(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if nameserver.Network(netip.Addr{}).IsValid() {
		t.Error("nobody's address has a network")
	}
}

// As the table fills, connections may idle less, those that wait already among them.
func TestIdleTimeShrinks(t *testing.T) {
	for _, c := range []struct {
		open int
		want time.Duration // of the first one, since its answer
	}{{1, 10 * time.Second}, {4, 10 * time.Second}, {6, 5500 * time.Millisecond}, {8, time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			f := strict(t, nameserver.TCP{Connections: 8})
			connect := f.srv.Connector()
			ended := make(chan time.Time, c.open)
			start := time.Now()
			for range c.open {
				client, server := net.Pipe()
				t.Cleanup(func() { _ = client.Close() })
				go func() { connect(server); ended <- time.Now() }()
				if _, err := client.Write(framed(query("dr.example.", dns.TypeSOA))); err != nil {
					t.Fatal(err)
				}
				readReply(t, client)
				synctest.Wait()
			}
			if got := (<-ended).Sub(start); got != c.want {
				t.Errorf("%d of 8 open: idle for %v, want %v", c.open, got, c.want)
			}
			for range c.open - 1 {
				<-ended
			}
			if n := f.counter(t, "connections_closed_total transport=tcp why=idle"); n != float64(c.open) {
				t.Errorf("%d of 8 open: %v counted", c.open, n)
			}
		})
	}
}

// A question has to be there in time as a whole, however many pieces it comes in, and the pause before it counts.
func TestSlowWriters(t *testing.T) {
	q := framed(query("dr.example.", dns.TypeSOA))
	for _, c := range []struct {
		name   string
		before int           // whole questions, answered at once
		every  time.Duration // then one byte
		after  time.Duration // the connection ends
	}{
		{"a byte each 100 ms", 0, 100 * time.Millisecond, 2 * time.Second},
		{"after an answer", 1, time.Second, 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := standardFixture(t)
			client, server := net.Pipe()
			start, done := time.Now(), make(chan time.Duration)
			go func() { f.srv.ServeConn(server); done <- time.Since(start) }()
			for range c.before {
				if _, err := client.Write(q); err != nil {
					t.Fatal(err)
				}
				readReply(t, client)
			}
			var writer sync.WaitGroup
			writer.Go(func() {
				for i := range q {
					if _, err := client.Write(q[i : i+1]); err != nil {
						return
					}
					time.Sleep(c.every)
				}
			})
			if got := <-done; got != c.after {
				t.Errorf("%s: ended after %v, want %v", c.name, got, c.after)
			}
			_ = client.Close()
			writer.Wait()
		})
	}
}

// A question half there when the one before is answered gets the whole time, not what was left.
func TestHalfAQuestionBehindAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := standardFixture(t)
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() { f.srv.ServeConn(server); close(done) }()
		q := framed(query("dr.example.", dns.TypeSOA))
		time.Sleep(1900 * time.Millisecond)
		if _, err := client.Write(append(bytes.Clone(q), q[:5]...)); err != nil {
			t.Fatal(err)
		}
		readReply(t, client)
		time.Sleep(9 * time.Second)
		if _, err := client.Write(q[5:]); err != nil {
			t.Fatal(err)
		}
		readReply(t, client)
		_ = client.Close()
		<-done
	})
}

// A client that asks and does not read is left after the idle time, with no more than two bursts of answers made for it.
func TestNoReaderOverTCP(t *testing.T) {
	f := strict(t, nameserver.TCP{Idle: 300 * time.Millisecond, IdleMin: 300 * time.Millisecond})
	at := f.serve(t)
	conn := dialFrom(t, "127.0.0.1", at)
	q := framed(query("big.dr.example.", dns.TypeTXT))
	many := bytes.Repeat(q, 100)
	var err error
	for err == nil {
		_, err = conn.Write(many)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection was kept")
	}
	eventually(t, "counted", func() bool { return f.counter(t, "connections_closed_total transport=tcp why=slow") == 1 })
	if f.counter(t, "connections transport=tcp") != 0 {
		t.Error("it is still there")
	}
	other := dialFrom(t, "127.0.0.1", at)
	if !served(t, other) {
		t.Error("others are not served")
	}
}

// The answers to one burst of questions come in few writes, each with its lengths, at most InFlight in one.
func TestAnswersAreWrittenTogether(t *testing.T) {
	for _, c := range []struct{ inFlight, questions, writes int }{{100, 50, 1}, {100, 100, 1}, {10, 30, 3}, {1, 5, 5}} {
		f := strict(t, nameserver.TCP{InFlight: c.inFlight})
		conn := &scripted{in: bytes.Repeat(framed(query("dr.example.", dns.TypeSOA)), c.questions)}
		f.srv.ServeConn(conn)
		if conn.writes != c.writes || len(messages(conn.out.Bytes())) != c.questions {
			t.Errorf("%+v: %d writes with %d answers", c, conn.writes, len(messages(conn.out.Bytes())))
		}
	}
}

// What was asked before something that is no question is answered, what comes behind is not.
func TestWhatIsNoQuestionEndsTheConnection(t *testing.T) {
	q := framed(query("dr.example.", dns.TypeSOA))
	for name, bad := range map[string][]byte{
		"a response": {0, 12, 1, 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "a short one": {0, 3, 1, 2, 3}, "nothing": {0, 0},
	} {
		f := standardFixture(t)
		conn := &scripted{in: bytes.Join([][]byte{q, q, bad, q}, nil)}
		f.srv.ServeConn(conn)
		if n := len(messages(conn.out.Bytes())); n != 2 {
			t.Errorf("%s: %d answers", name, n)
		}
		if n := f.counter(t, "connections_closed_total transport=tcp why=misuse"); n != 1 {
			t.Errorf("%s: %v counted", name, n)
		}
	}
}

// Who sends something that is no question, and more behind it, still gets the answers before it and a regular end: a reset
// may take away what was not read yet. It does not last longer than a moment, whatever is sent.
func TestMisuseIsNoReset(t *testing.T) {
	f := strict(t, nameserver.TCP{First: time.Minute})
	at := f.serve(t)
	q := framed(query("dr.example.", dns.TypeSOA))
	conn := dialFrom(t, "127.0.0.1", at)
	more := bytes.Repeat([]byte{0, 0}, 10_000) // more than the server's buffer
	if _, err := conn.Write(bytes.Join([][]byte{q, q, more}, nil)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		readReply(t, conn)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d bytes, %v; want the regular end", n, err)
	}
	eventually(t, "closed", func() bool { return f.counter(t, "connections_closed_total transport=tcp why=misuse") == 1 })

	conn = dialFrom(t, "127.0.0.1", at)
	var err error
	for err == nil {
		_, err = conn.Write(more)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection was kept")
	}
}

// full is a listener of a process that has no descriptors left, for a while.
type full struct {
	net.Listener

	until time.Time
}

func (l *full) Accept() (net.Conn, error) {
	if time.Now().Before(l.until) {
		return nil, syscall.EMFILE
	}
	return nil, net.ErrClosed
}

func (l *full) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 53} }

// Accepting that fails is told once a second, with how often, and tried again all the time.
func TestAcceptingThatFailsIsToldOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		srv := nameserver.New(nameserver.Options{Hub: snapshot.NewHub(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		srv.Accept(&full{until: time.Now().Add(10*time.Second + time.Millisecond)})
		if n := bytes.Count(log.Bytes(), []byte("accepting")); n != 11 || !bytes.Contains(log.Bytes(), []byte("failures=100")) {
			t.Errorf("%d lines:\n%s", n, &log)
		}
	})
}

// scripted is a connection whose client has sent everything and closed its half; Read gives it in pieces.
type scripted struct {
	net.Conn

	in     []byte
	sizes  []byte // of the pieces, over and over; none: as much as is wanted
	reads  int
	out    bytes.Buffer
	writes int
}

func (s *scripted) Read(b []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := len(b)
	if len(s.sizes) > 0 {
		n = 1 + int(s.sizes[s.reads%len(s.sizes)])
	}
	s.reads++
	n = copy(b, s.in[:min(n, len(s.in), len(b))])
	s.in = s.in[n:]
	return n, nil
}

func (s *scripted) Write(b []byte) (int, error) {
	s.writes++
	return s.out.Write(b)
}

func (s *scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 77), Port: 1} }
func (s *scripted) Close() error                     { return nil }
func (s *scripted) SetReadDeadline(time.Time) error  { return nil }
func (s *scripted) SetWriteDeadline(time.Time) error { return nil }

// messages cuts a stream at its lengths; what is not whole at the end is left out.
func messages(b []byte) (out [][]byte) {
	for len(b) >= 2 {
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return out
		}
		out, b = append(out, b[2:2+n]), b[2+n:]
	}
	return out
}

// FuzzTCPFraming: however a stream is cut into pieces, it is answered like its messages one by one, up to the first that
// is no question.
func FuzzTCPFraming(f *testing.F) {
	fix := standardFixture(f)
	q := framed(query("dr.example.", dns.TypeSOA))
	big := framed(query("big.dr.example.", dns.TypeTXT))
	f.Add(q, []byte{})
	f.Add(bytes.Join([][]byte{q, big, q}, nil), []byte{0, 1, 7})
	f.Add(bytes.Repeat(big, 300), []byte{255})
	f.Add(append(bytes.Clone(q), 0, 12, 1, 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0), []byte{2})
	f.Add(append(bytes.Clone(q), 255, 255, 1), []byte{3})
	f.Fuzz(func(t *testing.T, stream, sizes []byte) {
		if len(stream) > 200_000 {
			return
		}
		conn := &scripted{in: bytes.Clone(stream), sizes: sizes}
		fix.srv.ServeConn(conn)
		var want [][]byte
		for _, m := range messages(stream) {
			reply := fix.srv.RawFrom(bytes.Clone(m), true, netip.MustParseAddr("192.0.2.77"))
			if reply == nil {
				break
			}
			want = append(want, bytes.Clone(reply))
		}
		got := messages(conn.out.Bytes())
		if len(got) != len(want) {
			t.Fatalf("%d answers, want %d", len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("answer %d is\n% x, want\n% x", i, got[i], want[i])
			}
		}
	})
}
