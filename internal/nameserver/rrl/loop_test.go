package rrl_test

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"jurymast/internal/nameserver/rrl"
)

var (
	alice = netip.MustParseAddr("192.0.2.7")
	name  = []byte("\x03www\x07example\x00")
)

// many asks n times at once and counts what became of it.
func many(t *rrl.Loop, now time.Duration, from netip.Addr, kind rrl.Kind, name []byte, n int) (got [3]int) {
	for range n {
		got[t.AskAt(now, from, kind, name)]++
	}
	return got
}

// A full bucket has a second's worth; what it owes is at most the window, and comes back at the rate.
func TestBucket(t *testing.T) {
	for _, c := range []struct{ rate, loops int }{{200, 1}, {200, 2}, {1, 1}, {1, 4}, {3, 64}, {rrl.MaxRate, 1}} {
		t.Run(fmt.Sprintf("%d over %d", c.rate, c.loops), func(t *testing.T) {
			l := rrl.NewLimiter(rrl.Options{Rate: c.rate, Loops: c.loops, Window: 15 * time.Second}).Loop()
			share := time.Second * time.Duration(c.loops) / time.Duration(c.rate) // one token
			now := time.Hour
			full := max(c.rate/c.loops, min(c.rate, 20))
			if got := many(l, now, alice, rrl.Positive, name, full); got[rrl.Pass] != full {
				t.Fatalf("a full bucket: %v", got)
			}
			if got := many(l, now, alice, rrl.Positive, name, 1); got[rrl.Pass] != 0 {
				t.Fatalf("one more: %v", got)
			}
			now += 2 * share // the one above is owed
			if got := many(l, now, alice, rrl.Positive, name, 2); got[rrl.Pass] != 1 {
				t.Fatalf("after two tokens' time: %v", got)
			}
			many(l, now, alice, rrl.Positive, name, 40*c.rate) // it may owe no more than the window
			if got := many(l, now+15*time.Second-share, alice, rrl.Positive, name, 1); got[rrl.Pass] != 0 {
				t.Errorf("within the window: %v", got)
			}
			many(l, now, alice, rrl.Positive, name, 40*c.rate)
			if got := many(l, now+15*time.Second+share, alice, rrl.Positive, name, 1); got[rrl.Pass] != 1 {
				t.Errorf("after the window: %v", got)
			}
		})
	}
}

// Who stays below the rate is never limited; who stays above it for good gets nothing but slips.
func TestSteady(t *testing.T) {
	l := rrl.NewLimiter(rrl.Options{Rate: 200}).Loop()
	var below, above [3]int
	for i := range 60_000 { // a minute
		now := time.Duration(i) * time.Millisecond
		if i%5 == 0 {
			below[l.AskAt(now, alice, rrl.NoData, name)]++
		}
		if got := l.AskAt(now, alice, rrl.Positive, name); i > 2000 {
			above[got]++
		}
	}
	if below[rrl.Pass] != 12_000 || above[rrl.Pass] != 0 {
		t.Errorf("at the rate %v, above it %v", below, above)
	}
}

func TestSlip(t *testing.T) {
	for slip, want := range map[int]string{0: "ddddddd", 1: "sssssss", 2: "dsdsdsd", 3: "ddsddsd", 100: "ddddddd"} {
		l := rrl.NewLimiter(rrl.Options{Rate: 5, Slip: slip}).Loop()
		many(l, 0, alice, rrl.Positive, name, 5)
		var got strings.Builder
		for range 7 {
			got.WriteString(l.AskAt(0, alice, rrl.Positive, name).String()[:1])
		}
		if got.String() != want {
			t.Errorf("slip %d: %s, want %s", slip, got.String(), want)
		}
	}
	l := rrl.NewLimiter(rrl.Options{Rate: 5, Slip: 100}).Loop()
	if got := many(l, 0, alice, rrl.Positive, name, 5+1000); got != [3]int{5, 990, 10} {
		t.Errorf("%v", got)
	}
}

// What shares a bucket and what does not.
func TestSources(t *testing.T) {
	for _, c := range []struct {
		one, other string
		v4, v6     int
		same       bool
	}{
		{"192.0.2.1", "192.0.2.254", 0, 0, true},
		{"192.0.2.1", "192.0.3.1", 0, 0, false},
		{"192.0.2.1", "::ffff:192.0.2.200", 0, 0, true},
		{"192.0.2.1", "192.0.2.2", 32, 0, false},
		{"192.0.2.1", "192.255.2.1", 8, 0, true},
		{"2001:db8:0:ff00::1", "2001:db8:0:ffff::1", 0, 0, true},
		{"2001:db8:0:ff00::1", "2001:db8:0:fe00::1", 0, 0, false},
		{"2001:db8::1", "2001:db8:0:1::1", 0, 64, false},
		{"0.0.0.0", "::", 0, 0, false},
	} {
		l := rrl.NewLimiter(rrl.Options{Rate: 5, Networks: rrl.Networks{IPv4: c.v4, IPv6: c.v6}}).Loop()
		one, other := netip.MustParseAddr(c.one), netip.MustParseAddr(c.other)
		many(l, 0, one, rrl.Positive, name, 5)
		if got := l.AskAt(0, other, rrl.Positive, name) != rrl.Pass; got != c.same {
			t.Errorf("%s and %s: same %v", c.one, c.other, got)
		}
		if l.AskAt(0, one, rrl.NXDomain, name) != rrl.Pass || l.AskAt(0, one, rrl.Positive, name[4:]) != rrl.Pass {
			t.Error("kinds or names share a bucket")
		}
	}
}

func TestExempt(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct {
		list []netip.Prefix
		addr string
		want bool
	}{
		{loopback, "127.1.2.3", true},
		{loopback, "::1", true},
		{loopback, "::ffff:127.0.0.1", true},
		{loopback, "192.0.2.1", false},
		{loopback[:1], "127.0.0.1", true},
		{loopback[:1], "::1", false},
		{loopback[1:], "127.0.0.1", false},
		{loopback[1:], "::1", true},
		{nil, "127.0.0.1", false},
		{[]netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}, "192.0.2.15", true},
		{[]netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}, "::ffff:192.0.2.15", true},
		{[]netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}, "192.0.2.16", false},
		{[]netip.Prefix{netip.MustParsePrefix("fe80::/10")}, "fe80::1%eth0", true},
	} {
		l := rrl.NewLimiter(rrl.Options{Networks: rrl.NetworksOf(24, 56, c.list)}).Loop()
		if got := l.Exempt(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%v, %s: %v", c.list, c.addr, got)
		}
	}
	if !rrl.NewLimiter(rrl.Options{}).Loop().Exempt(netip.Addr{}) {
		t.Error("who is not known cannot be limited")
	}
}

func number(i uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, i)))
}

// However many sources come, who is limited stays so: what is forgotten for want of room is what matters least.
func TestEvictionSparesTheGuilty(t *testing.T) {
	l := rrl.NewLimiter(rrl.Options{Rate: 10, Buckets: rrl.MinBuckets}).Loop()
	guilty := 100
	for i := range guilty {
		many(l, 0, number(uint32(i)<<8), rrl.Positive, name, 200)
	}
	for i := range 200_000 { // each once, more than there is room for within the time a token takes
		l.AskAt(time.Duration(i)*time.Microsecond, number(1<<31|uint32(i)<<8), rrl.Positive, name)
	}
	spared := 0
	for i := range guilty {
		if l.AskAt(200*time.Millisecond, number(uint32(i)<<8), rrl.Positive, name) != rrl.Pass {
			spared++
		}
	}
	if spared < guilty*99/100 {
		t.Errorf("%d of %d are still limited", spared, guilty)
	}
	if l.Lost() == 0 {
		t.Error("nothing was forgotten, so nothing was tested")
	}
}

// With two choices of four places each, a table is well filled before the first bucket is forgotten; with one choice a sixth
// would be enough.
func TestTwoChoices(t *testing.T) {
	l := rrl.NewLimiter(rrl.Options{Rate: 1, Buckets: 1 << 14}).Loop()
	dice := rand.New(rand.NewPCG(1, 2))
	n := 0
	for l.Lost() == 0 && n < l.Places() {
		l.AskAt(0, number(dice.Uint32()), rrl.Kind(n%5), name)
		n++
	}
	if used, _ := l.Filled(0); used < l.Places()*40/100 {
		t.Errorf("the first is forgotten with %d of %d places taken", used, l.Places())
	}
	same := 0
	for range 100_000 {
		if a, b := l.SecondLine(dice.Uint64()); a == b {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d of 100000 have one choice", same)
	}
}

// An innocent source beside a flood of random ones is not limited, though its bucket may be forgotten.
func TestInnocentInAFlood(t *testing.T) {
	l := rrl.NewLimiter(rrl.Options{Buckets: rrl.MinBuckets}).Loop()
	dice := rand.New(rand.NewPCG(3, 4))
	for i := range 1_000_000 {
		now := time.Duration(i) * 5 * time.Microsecond // 200,000 a second
		l.AskAt(now, number(dice.Uint32()|1<<31), rrl.NXDomain, name)
		if i%2000 == 0 && l.AskAt(now, alice, rrl.Positive, name) != rrl.Pass {
			t.Fatal("limited at 100 a second")
		}
	}
}

func TestNoAllocation(t *testing.T) {
	l := rrl.NewLimiter(rrl.Options{Rate: 10}).Loop()
	if n := testing.AllocsPerRun(2000, func() { l.Tick(); l.Ask(alice, rrl.Positive, name) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNil(t *testing.T) {
	var l *rrl.Limiter
	var g *rrl.Gate
	if l.Loop() != nil || !g.Allow(alice) || g.Refused() != 0 || g.Level().Buckets != 0 {
		t.Error("nothing limits something")
	}
}

// FuzzAsk looks for sources, names and times that break the arithmetic: never more than the rate and a full bucket pass.
func FuzzAsk(f *testing.F) {
	f.Add(uint32(200), uint32(15), uint32(2), uint32(1), []byte("www"), []byte{1, 2, 3, 4})
	f.Add(uint32(1), uint32(1), uint32(0), uint32(64), []byte{}, make([]byte, 16))
	f.Fuzz(func(t *testing.T, rate, window, loops, slip uint32, name, source []byte) {
		o := rrl.Options{Rate: int(rate%10_000) + 1, Window: time.Duration(window%100) * time.Second, Slip: int(slip % 101), Loops: int(loops % 129), Buckets: rrl.MinBuckets}
		l := rrl.NewLimiter(o).Loop()
		from, ok := netip.AddrFromSlice(source)
		if !ok {
			return
		}
		dice := rand.New(rand.NewPCG(uint64(rate), uint64(window)))
		now, passed := time.Duration(0), 0
		for range 2000 {
			now += time.Duration(dice.Uint32N(10_000_000))
			if l.AskAt(now, from, rrl.Kind(slip%6), name) == rrl.Pass {
				passed++
			}
		}
		if most := max(float64(o.Rate)/float64(max(o.Loops, 1)), 20) + 1 + now.Seconds()*float64(o.Rate)/float64(max(o.Loops, 1)); float64(passed) > most {
			t.Errorf("%d passed in %v, at most %f should", passed, now, most)
		}
	})
}

func BenchmarkAsk(b *testing.B) {
	for _, c := range []struct {
		what    string
		sources int
	}{{"one source", 1}, {"1,000 sources", 1000}, {"1,000,000 sources", 1_000_000}} {
		b.Run(c.what, func(b *testing.B) {
			l := rrl.NewLimiter(rrl.Options{Rate: rrl.MaxRate}).Loop()
			list := make([]netip.Addr, 1<<20)
			for i := range list {
				list[i] = number(uint32(i%c.sources) << 8)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i%16 == 0 {
					l.Tick()
				}
				l.Ask(list[i&(1<<20-1)], rrl.Positive, name)
				i++
			}
		})
	}
	b.Run("hash at hand", func(b *testing.B) {
		seed := maphash.MakeSeed()
		l, hash := rrl.NewLimiter(rrl.Options{Rate: rrl.MaxRate, Seed: seed}).Loop(), maphash.Bytes(seed, name)
		list := make([]netip.Addr, 256)
		for i := range list {
			list[i] = number(uint32(i) << 8)
		}
		for i := 0; b.Loop(); i++ {
			if i%16 == 0 {
				l.Tick()
			}
			l.AskHashed(list[i&255], rrl.Positive, name, hash)
		}
	})
	b.Run("loopback", func(b *testing.B) {
		l := rrl.NewLimiter(rrl.Options{Networks: rrl.Networks{Loopback: true}}).Loop()
		from := netip.MustParseAddr("127.0.0.1")
		for b.Loop() {
			l.Ask(from, rrl.Positive, name)
		}
	})
}

// Who brings the hash of a name along shares the bucket with who does not.
func TestHashAtHand(t *testing.T) {
	seed := maphash.MakeSeed()
	l := rrl.NewLimiter(rrl.Options{Rate: 4, Seed: seed}).Loop()
	for i := range 40 {
		hashed := l.AskHashed(alice, rrl.Positive, name, maphash.Bytes(seed, name))
		plain := l.Ask(alice, rrl.Positive, name)
		if want := i < 2; (hashed == rrl.Pass) != want || (plain == rrl.Pass) != want {
			t.Fatalf("question %d: %v %v", i, hashed, plain)
		}
	}
	for _, from := range []string{"::ffff:192.0.2.9", "192.0.2.200"} { // the same network
		if l.Ask(netip.MustParseAddr(from), rrl.Positive, name) == rrl.Pass {
			t.Errorf("%s has a bucket of its own", from)
		}
	}
}
