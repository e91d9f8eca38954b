//go:build interop && linux

package xdp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jurymast/internal/nameserver/xdp"
	"jurymast/internal/testbed"
)

// What does not fit is refused with the reason, and what was published stays.
func TestInteropRefusals(t *testing.T) {
	table := load(t, options())
	good := xdp.Answer{Records: a("203.0.113.1"), Count: 1}
	publish(t, table, "www.dr.example", 1, good)
	for _, c := range []struct {
		name   []byte
		qtype  uint16
		answer xdp.Answer
		want   string
	}{
		{wireName("www.dr.example"), 1, xdp.Answer{}, "negative answers belong to the sockets"},
		{wireName("www.dr.example"), 1, xdp.Answer{Records: make([]byte, 129), Count: 1}, "at most 128"},
		{wireName("www.dr.example"), 1, xdp.Answer{Records: good.Records, Count: 1, Slot: 4}, "counter 4 of 4"},
		{wireName(strings.Repeat("a", 63) + ".bcdef"), 1, good, "1 to 68"},
		{nil, 1, good, "1 to 68"},
		{wireName("www.dr.example"), 65, good, "leave it to the sockets"},
	} {
		if err := table.Publish(c.name, c.qtype, c.answer); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v; want it to tell %q", c.name, err, c.want)
		}
	}
	if verdict, _ := table.Try(t, frame4(question("www.dr.example", 1))); verdict != xdp.VerdictSend {
		t.Errorf("verdict %d after refusals", verdict)
	}
	for _, o := range []xdp.Options{
		{Answers: 0, Slots: 1, UDPSize: 1232, Addresses: []netip.Addr{server4}},
		{Answers: 1, Slots: 0, UDPSize: 1232, Addresses: []netip.Addr{server4}},
		{Answers: 1_000_001, Slots: 1, UDPSize: 1232, Addresses: []netip.Addr{server4}},
		{Answers: 1, Slots: 1, UDPSize: 1232},
		{Answers: 1, Slots: 1, UDPSize: 511, Addresses: []netip.Addr{server4}},
		{Answers: 1, Slots: 1, UDPSize: 1232, Addresses: []netip.Addr{netip.IPv4Unspecified()}},
	} {
		if table, err := xdp.Load(o); err == nil || table != nil {
			t.Errorf("%+v: %v, %v", o, table, err)
		}
	}
	if err := table.Attach(1); err == nil || !strings.Contains(err.Error(), "xdp to off") {
		t.Errorf("loopback has no XDP in its driver: %v", err)
	}
	if err := table.Close(); err != nil {
		t.Error(err)
	}
	if err := table.Publish(wireName("www.dr.example"), 1, good); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("published to a closed table: %v", err)
	}
	if err := table.Withdraw(wireName("www.dr.example"), 1); err != nil {
		t.Errorf("withdrawn from a closed table: %v", err)
	}
	if err := table.Clear(); err != nil {
		t.Errorf("cleared a closed table: %v", err)
	}
}

// The table can be filled, emptied and filled with others for ever.
func TestInteropPlaces(t *testing.T) {
	table := load(t, options())
	verdict := func(name string) uint32 {
		v, _ := table.Try(t, frame4(question(name, 1)))
		return v
	}
	for round := range 5 {
		for i := range 8 {
			publish(t, table, fmt.Sprintf("n%d-%d.example", round, i), 1, xdp.Answer{Records: a("203.0.113.1"), Count: 1})
		}
		if err := table.Publish(wireName("more.example"), 1, xdp.Answer{Records: a("203.0.113.1"), Count: 1}); err == nil || !strings.Contains(err.Error(), "full") {
			t.Fatalf("round %d: a ninth of 8: %v", round, err)
		}
		for range 20 { // more changes than there are records
			publish(t, table, fmt.Sprintf("n%d-3.example", round), 1, xdp.Answer{Records: a("203.0.113.2"), Count: 1})
		}
		for i := range 8 {
			name := fmt.Sprintf("n%d-%d.example", round, i)
			if v := verdict(name); v != xdp.VerdictSend {
				t.Fatalf("%s: verdict %d", name, v)
			}
			if round == 2 {
				continue
			}
			for range 2 {
				if err := table.Withdraw(wireName(strings.ToUpper(name)), 1); err != nil {
					t.Fatal(err)
				}
			}
			if v := verdict(name); v != xdp.VerdictPass {
				t.Fatalf("%s: verdict %d after it was withdrawn", name, v)
			}
		}
		if round == 2 {
			if err := table.Clear(); err != nil {
				t.Fatal(err)
			}
			if v := verdict("n2-3.example"); v != xdp.VerdictPass {
				t.Fatalf("verdict %d in a cleared table", v)
			}
		}
	}
	if c, err := table.Counts(); err != nil || c.Missed != 4*8+1 || c.V4.Total() != 5*8 {
		t.Errorf("counted %+v, %v", c, err)
	}
}

// cable is two namespaces joined by a virtual cable, the table at the server's end.
type cable struct {
	table  *xdp.Table
	client map[string]net.Conn     // by family
	socket map[string]*net.UDPConn // of the server
}

func newCable(t *testing.T, o xdp.Options) *cable {
	t.Helper()
	w := &cable{table: load(t, o), client: map[string]net.Conn{}, socket: map[string]*net.UDPConn{}}
	peer := load(t, xdp.Options{Answers: 1, Slots: 1, UDPSize: 1232, Addresses: []netip.Addr{client4}}) // a cable answers if both ends have a program
	line := testbed.NewCable(t)
	end := func(table *xdp.Table) error {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		return table.Attach(i.Index)
	}
	testbed.Within(t, line.Server, func() error {
		var errs []error
		for family, addr := range map[string]netip.Addr{"udp4": server4, "udp6": server6} {
			socket, err := net.ListenUDP(family, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 53)))
			w.socket[family] = socket
			errs = append(errs, err)
		}
		return errors.Join(append(errs, end(w.table))...)
	})
	testbed.Within(t, line.Client, func() error {
		var errs []error
		for family, addr := range map[string]netip.Addr{"udp4": server4, "udp6": server6} {
			conn, err := (&net.Dialer{}).DialContext(context.Background(), family, netip.AddrPortFrom(addr, 53).String())
			w.client[family] = conn
			errs = append(errs, err)
		}
		return errors.Join(append(errs, end(peer))...)
	})
	t.Cleanup(func() {
		for _, c := range w.client {
			_ = c.Close()
		}
		for _, s := range w.socket {
			_ = s.Close()
		}
	})
	return w
}

// ask and return what comes back, whoever answers.
func (w *cable) ask(t *testing.T, family string, q []byte) []byte {
	t.Helper()
	c := w.client[family]
	if _, err := c.Write(q); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	in := make([]byte, 1500)
	n, err := c.Read(in)
	if err != nil {
		counts, _ := w.table.Counts()
		t.Fatalf("%v; counted %+v", err, counts)
	}
	return in[:n]
}

// On a cable the program answers what it has, real sockets take the answer, and the rest reaches the server.
func TestInteropCable(t *testing.T) {
	w := newCable(t, options())
	publish(t, w.table, "www.dr.example", 1, xdp.Answer{Records: a("203.0.113.1"), Count: 1, Unsigned: true})
	for family, socket := range w.socket {
		go func() {
			in := make([]byte, 1500)
			for {
				n, from, err := socket.ReadFromUDP(in)
				if err != nil {
					return
				}
				in[2] |= 0x80
				_, _ = socket.WriteToUDP(in[:n], from)
			}
		}()
		for range 3 {
			want := append(question("www.dr.example", 1), a("203.0.113.1")...)
			want[2], want[7] = 0x85, 1
			if got := w.ask(t, family, question("www.dr.example", 1)); !bytes.Equal(got, want) {
				t.Errorf("%s: % x; want % x", family, got, want)
			}
			want = question("other.dr.example", 1)
			want[2] |= 0x80
			if got := w.ask(t, family, question("other.dr.example", 1)); !bytes.Equal(got, want) {
				t.Errorf("%s, from the socket: % x; want % x", family, got, want)
			}
		}
	}
	if c, err := w.table.Counts(); err != nil || c.V4.Plain != 3 || c.V6.Plain != 3 || c.Missed != 6 {
		t.Errorf("counted %+v, %v", c, err)
	}
}

// While answers change as fast as they can, through more changes than there are records, each question gets one of
// those that were published for its name, whole.
func TestInteropChanges(t *testing.T) {
	table := load(t, xdp.Options{Answers: 2, Slots: 1, UDPSize: 1232, Addresses: []netip.Addr{server4}})
	answer := func(name, version int) xdp.Answer {
		addr := fmt.Sprintf("203.0.%d.%d", name, version)
		return xdp.Answer{Records: bytes.Repeat(a(addr), 8), Count: 8, Unsigned: true}
	}
	names := []string{"n0.dr.example", "n1.dr.example"}
	for i, name := range names {
		publish(t, table, name, 1, answer(i, 0))
	}
	var stop atomic.Bool
	changed := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			for i, name := range names {
				if err := table.Publish(wireName(name), 1, answer(i, n%250)); err != nil {
					t.Error(err)
				}
			}
		}
		changed <- n
	}()
	asked := 0
	for end := time.Now().Add(time.Second); time.Now().Before(end) && !t.Failed(); asked++ {
		for i, name := range names {
			q := question(name, 1)
			verdict, frame := table.Try(t, frame4(q))
			if verdict != xdp.VerdictSend {
				t.Errorf("%s: verdict %d", name, verdict)
				continue
			}
			got := unwrap(t, frame)[len(q):]
			if want := answer(i, int(got[len(got)-1])).Records; !bytes.Equal(got, want) {
				t.Errorf("%s: % x is no answer of it", name, got)
			}
		}
	}
	stop.Store(true)
	if n := <-changed; n < 10 || asked < 100 {
		t.Errorf("only %d changes, %d questions", n, asked)
	}
}

// Offer never waits: without room the question goes to the sockets, and after Settle it can be had.
func TestInteropOffers(t *testing.T) {
	table := load(t, xdp.Options{Answers: 2, Slots: 1, UDPSize: 1232, Addresses: []netip.Addr{server4}})
	verdict := func(name string) uint32 {
		v, _ := table.Try(t, frame4(question(name, 1)))
		return v
	}
	offer := func(name, addr string) bool {
		t.Helper()
		done, err := table.Offer(wireName(name), 1, xdp.Answer{Records: a(addr), Count: 1})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	for n := range 4 { // four records are there
		if !offer("a.example", fmt.Sprintf("203.0.113.%d", n)) {
			t.Fatalf("offer %d had to wait", n)
		}
	}
	if offer("a.example", "203.0.113.9") || verdict("a.example") != xdp.VerdictPass {
		t.Error("an old answer is given while the new one waits")
	}
	if offer("a.example", "203.0.113.9") {
		t.Error("there was no grace period")
	}
	if err := table.Settle(); err != nil {
		t.Fatal(err)
	}
	if !offer("a.example", "203.0.113.9") || verdict("a.example") != xdp.VerdictSend {
		t.Error("no answer after Settle")
	}
	// A new question waits for the places of those that went, one that is there does not.
	if !offer("b.example", "203.0.113.1") {
		t.Error("there was room")
	}
	if err := table.Withdraw(wireName("b.example"), 1); err != nil {
		t.Fatal(err)
	}
	if offer("c.example", "203.0.113.1") || !offer("a.example", "203.0.113.8") {
		t.Error("the new one did not wait, or the old one did")
	}
	for range 2 {
		if err := table.Settle(); err != nil {
			t.Fatal(err)
		}
	}
	if !offer("c.example", "203.0.113.1") || verdict("c.example") != xdp.VerdictSend {
		t.Error("no answer after Settle")
	}
	if _, err := table.Offer(wireName("d.example"), 1, xdp.Answer{Records: a("203.0.113.1"), Count: 1}); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("a third of two: %v", err)
	}
}

// Whoever says that he is alive for a while is not answered for any longer.
func TestInteropAlive(t *testing.T) {
	table := load(t, options())
	publish(t, table, "www.dr.example", 1, xdp.Answer{Records: a("203.0.113.1"), Count: 1})
	for _, c := range []struct {
		alive time.Duration
		want  uint32
	}{{time.Minute, xdp.VerdictSend}, {-time.Second, xdp.VerdictPass}, {time.Minute, xdp.VerdictSend}} {
		if err := table.Alive(c.alive); err != nil {
			t.Fatal(err)
		}
		if verdict, _ := table.Try(t, frame4(question("www.dr.example", 1))); verdict != c.want {
			t.Errorf("alive for %v: verdict %d, want %d", c.alive, verdict, c.want)
		}
	}
}
