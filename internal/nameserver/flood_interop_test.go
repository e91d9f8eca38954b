//go:build interop && linux

package nameserver_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/rrl"
	"jurymast/internal/nameserver/sign"
	"jurymast/internal/profile"
	"jurymast/internal/testbed"
)

// Where they all are: each legitimate client in a network of its own, but for two in one that is flooded.
const (
	plainAddr   = "198.51.100.9"
	cookieAddr  = "198.51.101.9"
	streamAddr  = "198.51.102.9"
	victimAddr  = "10.9.0.9" // sends cookies
	victim2Addr = "10.9.1.9" // does not
	rudeAddr    = "203.0.113.9"
)

// floodVar makes the test long: for how long, like 10m. floodServerVar makes the test binary the server.
const (
	floodVar       = "JURYMAST_FLOOD"
	floodServerVar = "JURYMAST_FLOOD_SERVER"
)

// growth is what may be added to the server's memory, in KiB: the tables of who asks for what and the signatures made for
// questions fill up in the first minute, and are bounded.
const growth = 64 << 10

// floodRate is packets a second: enough to exceed every limit many times, little enough for a machine that has other things
// to do.
const floodRate = 20_000

// TestInteropFloodServer is no test but the server of some, in a process of its own.
func TestInteropFloodServer(t *testing.T) {
	if os.Getenv(floodServerVar) == "" {
		t.Skip("the server of other tests")
	}
	f := create(nameserver.Options{
		Listen: []string{wired4.String()}, EDNS: nameserver.EDNS{CookiesFirst: true},
		Limits: nameserver.Limits{Answers: true, RRL: rrl.Options{Slip: 2}, Connections: 100},
	})
	var text strings.Builder
	for i := range 8 { // with its signature just below what is sent over UDP
		fmt.Fprintf(&text, "big IN TXT \"%d%s\"\n", i, strings.Repeat("0123456789", 10))
	}
	for i := range 100 {
		fmt.Fprintf(&text, "n%d IN A 192.0.2.%d\n", i, i)
	}
	z := &profile.Zone{Name: "flood.example", Nameservers: []string{"ns1.flood.example"}, Hostmaster: "ops.flood.example", Records: text.String()}
	z.DNSSEC.Enabled, z.DNSSEC.Denial = true, profile.DenialCompact // what is not there is signed for the question
	f.publish(t, 7, []*profile.Zone{z}, nil, nil)
	f.srv.UseKeys(newCSK(t, "flood.example", sign.ECDSAP256))
	f.serve(t)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() && in.Text() != "stop" {
		out := floodReport{f.srv.Suppressed(), f.srv.LimitedNow(), f.counters(t)}
		line, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(string(line))
	}
}

type floodReport struct {
	Suppressed map[string]uint64
	Networks   int
	Counters   map[string]float64
}

// battlefield is a server behind a cable, and clients of all kinds.
type battlefield struct {
	*testbed.Cable

	t      *testing.T
	server *wiredServer
	length time.Duration // of the whole test
	began  time.Time
}

func newBattlefield(t *testing.T) *battlefield {
	testbed.Tool(t, "ip")
	b := &battlefield{Cable: testbed.NewCable(t), t: t, length: 12 * time.Second, began: time.Now()}
	if text := os.Getenv(floodVar); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 10*time.Second {
			t.Fatalf("%s=%s: write a duration from 10s on, like 10m", floodVar, text)
		}
		b.length = d
	}
	var addrs strings.Builder
	for _, a := range []string{plainAddr, cookieAddr, streamAddr, victimAddr, victim2Addr, rudeAddr} {
		fmt.Fprintf(&addrs, "ip -n %s addr add %s/32 dev eth0\n", b.Client, a)
	}
	testbed.Shell(t, addrs.String()+"ip -n "+b.Server+" route add default via 192.0.2.9")
	c := &cable{Cable: b.Cable, t: t}
	b.server = c.launch("TestInteropFloodServer", floodServerVar+"=1")
	b.report() // it answers now
	return b
}

func (b *battlefield) report() (r floodReport) {
	b.t.Helper()
	b.server.do("report", &r)
	return r
}

// share of the test's time.
func (b *battlefield) share(percent int) time.Duration {
	return b.length * time.Duration(percent) / 100
}

// ofVictims are sources in 16 networks.
func ofVictims(dice *rand.Rand) func(uint64) netip.AddrPort {
	return func(uint64) netip.AddrPort {
		n := dice.Uint32()
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(n & 15), byte(n >> 8)}), uint16(n>>16)|1024)
	}
}

// ofEverybody are sources in 65,536 networks.
func ofEverybody(dice *rand.Rand) func(uint64) netip.AddrPort {
	return func(uint64) netip.AddrPort {
		n := dice.Uint64()
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n), byte(n >> 8), byte(n >> 16)}), uint16(n>>32)|1024)
	}
}

// asking is a packed question; the packet's number goes into its id, and into the name where there is a label for it.
func asking(t *testing.T, name string, typ uint16) func(uint64, []byte) []byte {
	m := query(name, typ)
	m.SetEdns0(1232, true)
	pkt, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(pkt), "00000000")
	return func(i uint64, buf []byte) []byte {
		buf = append(buf, pkt...)
		buf[0], buf[1] = byte(i>>8), byte(i)
		if at >= 0 {
			copy(buf[at:], fmt.Sprintf("%08x", uint32(i)*2654435761))
		}
		return buf
	}
}

// flood for a while, with all of these at once; each takes its part of the rate.
func (b *battlefield) flood(d time.Duration, list ...*testbed.Flood) (sent uint64) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), d)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, f := range list {
		f.Namespace, f.To, f.Rate = b.Client, wired4, floodRate/len(list)
		all.Go(func() {
			n, err := f.Run(ctx)
			mu.Lock()
			defer mu.Unlock()
			if sent += n; err != nil {
				b.t.Error(err)
			}
		})
	}
	all.Wait()
	return sent
}

// TestInteropFlood floods a server with everything at hand, and has others ask it meanwhile.
func TestInteropFlood(t *testing.T) {
	b := newBattlefield(t)
	b.amplification(b.share(30))
	b.mixed(b.share(40))
	b.connections(b.share(30))
}

// amplification: who forges addresses does not get more sent to his victims than three times what he sends himself.
func (b *battlefield) amplification(d time.Duration) {
	before, err := testbed.Counters(b.Server)
	if err != nil {
		b.t.Fatal(err)
	}
	dice := rand.New(rand.NewPCG(1, 1))
	sent := b.flood(d, &testbed.Flood{From: ofVictims(dice), Payload: asking(b.t, "big.flood.example.", dns.TypeTXT)})
	after, err := testbed.Counters(b.Server)
	if err != nil {
		b.t.Fatal(err)
	}
	in, out := after.RxBytes-before.RxBytes, after.TxBytes-before.TxBytes
	ratio := float64(out) / float64(in)
	r := b.report()
	b.t.Logf("amplification: %d questions in %v, %d bytes in, %d out: %.2f; %v, %d networks limited", sent, d, in, out, ratio, r.Suppressed, r.Networks)
	switch {
	case after.RxPackets-before.RxPackets < sent*9/10:
		b.t.Errorf("%d questions have arrived", after.RxPackets-before.RxPackets)
	case ratio >= 3:
		b.t.Error("it amplifies")
	case r.Networks != 16:
		b.t.Errorf("%d networks are limited, want 16", r.Networks)
	case r.Counters["truncated_total"] > 0:
		b.t.Error("the answer does not fit, so nothing was tested")
	}
}

// mixed: two floods at once, one of them with random names from everywhere. Memory stays, and who really asks is answered.
func (b *battlefield) mixed(d time.Duration) {
	start := b.vitals()
	clients := b.clients(d)
	curve := b.watch(d)
	dice, dice2 := rand.New(rand.NewPCG(2, 2)), rand.New(rand.NewPCG(3, 3))
	sent := b.flood(d,
		&testbed.Flood{From: ofVictims(dice), Payload: asking(b.t, "big.flood.example.", dns.TypeTXT)},
		&testbed.Flood{From: ofEverybody(dice2), Payload: asking(b.t, "00000000.flood.example.", dns.TypeA)})
	clients.wait(b.t)
	end := b.vitals()
	cpu := end.cpu - start.cpu
	b.t.Logf("mixed: %d packets in %v, %.1f us of processor time each; resident %d KiB before, %d after: %v", sent, d,
		float64(cpu.Microseconds())/float64(sent), start.rss, end.rss, <-curve)
	if grown := end.rss - start.rss; grown > growth {
		b.t.Errorf("memory has grown by %d KiB", grown)
	}
	if each := cpu / time.Duration(sent); each > 100*time.Microsecond {
		b.t.Errorf("%v of processor time for each packet", each)
	}
}
