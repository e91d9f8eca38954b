//go:build interop && linux

package nameserver_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/testbed"
)

// A client asks up to so often, and waits so long each time, as resolvers do.
const (
	tries    = 4
	patience = 500 * time.Millisecond
	pause    = 20 * time.Millisecond // between questions
)

// legitimate is one client that really wants to know.
type legitimate struct {
	what   string
	from   netip.Addr
	name   string // asked for
	typ    uint16
	stream bool   // over TCP, a connection each
	cookie string // sent along; "": none. What comes back is sent the next time
	must   bool   // be answered

	asked, first, answered int
	err                    error
}

type clients struct {
	list []*legitimate
	all  sync.WaitGroup
}

// clients ask until the time is over.
func (b *battlefield) clients(d time.Duration) *clients {
	at := netip.MustParseAddr
	c := &clients{list: []*legitimate{
		{what: "UDP", from: at(plainAddr), name: "n%d.flood.example.", typ: dns.TypeA, must: true},
		{what: "UDP with cookies", from: at(cookieAddr), name: "n%d.flood.example.", typ: dns.TypeA, cookie: clientCookie, must: true},
		{what: "TCP", from: at(streamAddr), name: "n%d.flood.example.", typ: dns.TypeA, stream: true, must: true},
		{what: "UDP with cookies in a flooded network, for what that is flooded with", from: at(victimAddr), name: "big.flood.example.", typ: dns.TypeTXT, cookie: clientCookie, must: true},
		{what: "UDP without cookies there, for another name", from: at(victim2Addr), name: "n%d.flood.example.", typ: dns.TypeA, must: true},
		{what: "UDP without cookies there, for the same", from: at(victim2Addr), name: "big.flood.example.", typ: dns.TypeTXT},
	}}
	for _, l := range c.list {
		c.all.Go(func() {
			l.err = testbed.Inside(b.Client, func() error { return l.run(d) })
		})
	}
	return c
}

// wait for all of them and tell how they fared.
func (c *clients) wait(t *testing.T) {
	t.Helper()
	c.all.Wait()
	for _, l := range c.list {
		share := 100 * float64(l.answered) / float64(max(l.asked, 1))
		t.Logf("%s: %d questions, %.2f %% answered, %.2f %% at once", l.what, l.asked, share, 100*float64(l.first)/float64(max(l.asked, 1)))
		switch {
		case l.err != nil:
			t.Errorf("%s: %v", l.what, l.err)
		case l.must && l.asked < 20:
			t.Errorf("%s: only %d questions", l.what, l.asked)
		case l.must && share < 99.9:
			t.Errorf("%s: %d of %d were not answered", l.what, l.asked-l.answered, l.asked)
		}
	}
}

func (l *legitimate) run(d time.Duration) error {
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: l.from.AsSlice()}, net.UDPAddrFromAddrPort(wired4))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(pause) {
		name := l.name
		if strings.Contains(name, "%d") {
			name = fmt.Sprintf(name, l.asked%100)
		}
		l.asked++
		for try := range tries {
			if l.try(&dns.Conn{Conn: conn, UDPSize: 1232}, name) {
				l.answered++
				if try == 0 {
					l.first++
				}
				break
			}
		}
	}
	return nil
}

// try asks once; who is told to come back with a cookie or over TCP does so.
func (l *legitimate) try(udp *dns.Conn, name string) bool {
	m := query(name, l.typ)
	m.SetEdns0(1232, true)
	if l.cookie != "" {
		m = withCookie(query(name, l.typ), l.cookie)
	}
	if l.stream {
		return l.overTCP(m)
	}
	_ = udp.SetDeadline(time.Now().Add(patience))
	if udp.WriteMsg(m) != nil {
		return false
	}
	for {
		r, err := udp.ReadMsg()
		switch {
		case err != nil:
			return false
		case r.Id != m.Id:
			continue
		}
		if o := r.IsEdns0(); o != nil && l.cookie != "" && len(o.Option) > 0 {
			if c, ok := o.Option[0].(*dns.EDNS0_COOKIE); ok {
				l.cookie = c.Cookie
			}
		}
		switch {
		case r.Rcode == dns.RcodeBadCookie:
			return l.try(udp, name)
		case r.Truncated:
			return l.overTCP(m)
		}
		return len(r.Answer) > 0
	}
}

func (l *legitimate) overTCP(m *dns.Msg) bool {
	c := dns.Client{Net: "tcp", Timeout: 2 * time.Second, Dialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: l.from.AsSlice()}, Timeout: 2 * time.Second}}
	r, _, err := c.Exchange(m, wired4.String())
	return err == nil && len(r.Answer) > 0
}

// vitals of the server's process.
type vitals struct {
	rss int           // KiB
	cpu time.Duration // user and system
}

func (b *battlefield) vitals() (v vitals) {
	b.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", b.server.cmd.Process.Pid)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS:") {
			v.rss, _ = strconv.Atoi(strings.Fields(line)[1])
		}
	}
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		b.t.Fatal(err)
	}
	fields := strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')'):])
	for _, f := range fields[12:14] { // utime and stime, in 10 ms
		n, _ := strconv.Atoi(f)
		v.cpu += time.Duration(n) * 10 * time.Millisecond
	}
	return v
}

// watch notes the resident memory, in MiB, ten times.
func (b *battlefield) watch(d time.Duration) <-chan []int {
	out := make(chan []int, 1)
	proc := fmt.Sprintf("/proc/%d/statm", b.server.cmd.Process.Pid)
	go func() {
		var list []int
		for range 10 {
			time.Sleep(d / 11)
			text, _ := os.ReadFile(proc)
			if f := strings.Fields(string(text)); len(f) > 1 {
				pages, _ := strconv.Atoi(f[1])
				list = append(list, pages*os.Getpagesize()>>20)
			}
		}
		out <- list
	}()
	return out
}

// connections: one network opens them as fast as it can, and holds as many as it may without saying anything; nobody over UDP
// notices, and others over TCP are answered.
func (b *battlefield) connections(d time.Duration) {
	before := b.vitals()
	clients := b.clients(d)
	end := time.Now().Add(d)
	var rude sync.WaitGroup
	var opened [4]int
	for i := range opened {
		rude.Go(func() { opened[i] = b.rude(end) })
	}
	rude.Wait()
	clients.wait(b.t)
	after := b.vitals()
	r := b.report()
	b.t.Logf("connections: %v opened, refused: %v for their rate, %v for their network's places; resident %d KiB before, %d after", opened,
		r.Counters["connections_refused_total transport=tcp why=rate"], r.Counters["connections_refused_total transport=tcp why=prefix"], before.rss, after.rss)
	if r.Counters["connections_refused_total transport=tcp why=rate"] == 0 {
		b.t.Errorf("none was refused for its network's rate: %v", r.Counters)
	}
	if after.rss-before.rss > growth {
		b.t.Error("memory has grown")
	}
}

// rude opens connections, sends one byte and says no more. It keeps the last 50.
func (b *battlefield) rude(end time.Time) (opened int) {
	_ = testbed.Inside(b.Client, func() error {
		var held []net.Conn
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: netip.MustParseAddr(rudeAddr).AsSlice()}, Timeout: patience}
		for time.Now().Before(end) {
			conn, err := dialer.DialContext(b.t.Context(), "tcp", wired4.String())
			if err != nil {
				time.Sleep(time.Millisecond)
				continue
			}
			opened++
			_, _ = conn.Write([]byte{0})
			if held = append(held, conn); len(held) > 50 {
				_ = held[0].Close()
				held = held[1:]
			}
		}
		for _, c := range held {
			_ = c.Close()
		}
		return nil
	})
	return opened
}
