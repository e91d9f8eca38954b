package traffic_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/geo"
	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/traffic"
)

func wireName(labels ...string) []byte {
	var out []byte
	for _, l := range labels {
		out = append(append(out, byte(len(l))), l...)
	}
	return append(out, 0)
}

func question(client string, labels ...string) *tap.Facts {
	return &tap.Facts{Client: netip.MustParseAddr(client), Name: wireName(labels...), Type: 1, Profile: "p"}
}

// run starts a reader that ends with the bubble.
func run(t *testing.T, tr *traffic.Traffic) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); tr.Run(stop) }()
	t.Cleanup(func() { close(stop); <-done })
}

func text(r traffic.Report) string {
	var b strings.Builder
	for _, l := range r.Lines {
		fmt.Fprintf(&b, "%s %d +-%d, ", l.Value, l.Queries, l.Error)
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// Few questions are all counted, exactly, by everything there are lists of.
func TestListsAreExactAtLowRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := traffic.New(nowhere{})
		l := tr.Loop()
		run(t, tr)
		for i := range 30 {
			q := question("192.0.2.7", "www", "example")
			if i%3 == 0 {
				q = question("2001:db8:1:22ff::1", "WWW", "Example")
				q.Type, q.Rcode, q.Profile = 28, 16, "other"
			}
			if i%10 == 9 {
				q.Subnet = []byte{0, 1, 16, 0, 198, 51}
			}
			l.Seen(q)
			time.Sleep(10 * time.Millisecond)
		}
		for _, c := range []struct {
			by      traffic.By
			profile string
			want    string
		}{
			{traffic.ByPrefix, "", "192.0.2.0/24 18 +-0, 2001:db8:1:2200::/56 9 +-0, 198.51.0.0/16 3 +-0"},
			{traffic.ByPrefix, "p", "192.0.2.0/24 18 +-0, 198.51.0.0/16 2 +-0"},
			{traffic.ByName, "", "www.example. 30 +-0"},
			{traffic.ByType, "", "A 20 +-0, AAAA 10 +-0"},
			{traffic.ByRcode, "", "NOERROR 20 +-0, BADVERS 10 +-0"},
			{traffic.ByRcode, "other", "BADVERS 10 +-0"},
			{traffic.ByPlace, "", "DE 18 +-0, unknown 12 +-0"},
			{traffic.ByPlace, "nobody", ""},
		} {
			for _, span := range []time.Duration{traffic.Lately, traffic.Longer} {
				if r := tr.Top(c.by, c.profile, span, 10); text(r) != c.want {
					t.Errorf("%s of %q, %v: %s, want %s", c.by, c.profile, span, text(r), c.want)
				}
			}
		}
		if r := tr.Top(traffic.ByName, "", traffic.Lately, 10); r.Queries != 30 || r.Sampling != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// nowhere knows where 192.0.2.0/24 is, and nothing else.
type nowhere struct{}

func (nowhere) Place(a netip.Addr) geo.Place {
	code, _ := geo.ParseCode("DE")
	return geo.Place{Code: code, Known: netip.MustParsePrefix("192.0.2.0/24").Contains(a)}
}

func TestTimeGoesBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := traffic.New(nil)
		l := tr.Loop()
		run(t, tr)
		l.Seen(question("192.0.2.7", "a"))
		time.Sleep(49 * time.Second)
		l.Seen(question("192.0.2.7", "b"))
		if got := text(tr.Top(traffic.ByName, "", traffic.Lately, 10)); got != "a. 1 +-0, b. 1 +-0" {
			t.Error(got)
		}
		time.Sleep(20 * time.Second)
		if got := text(tr.Top(traffic.ByName, "", traffic.Lately, 10)); got != "b. 1 +-0" {
			t.Error(got)
		}
		if got := text(tr.Top(traffic.ByName, "", traffic.Longer, 10)); got != "a. 1 +-0, b. 1 +-0" {
			t.Error(got)
		}
		time.Sleep(time.Hour)
		if r := tr.Top(traffic.ByName, "", traffic.Longer, 10); text(r) != "" || r.Queries != 0 || r.Until.Sub(r.Since) > time.Hour {
			t.Errorf("%+v", r)
		}
		if got := text(tr.Top(traffic.ByPlace, "", traffic.Longer, 10)); got != "" {
			t.Error("without a database of places: " + got)
		}
	})
}

// At high rates questions are sampled: sums stay exact, and a share is as near as is told.
func TestHighRatesAreSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := traffic.New(nil)
		l := tr.Loop()
		run(t, tr)
		dice := rand.New(rand.NewPCG(1, 2))
		hot, random, special := 0, 0, question("192.0.2.7", "hot", "example")
		for range 300 { // 3 s, 100,000 a second
			for range 1000 {
				if dice.IntN(10) == 0 {
					hot++
					l.Seen(special)
					continue
				}
				random++
				client := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0x0a000000|dice.Uint32()>>8)))
				l.Seen(question(client.String(), fmt.Sprint(dice.Uint64()), "example"))
			}
			time.Sleep(10 * time.Millisecond)
		}
		r := tr.Top(traffic.ByName, "", traffic.Lately, 10)
		if missing := uint64(hot+random) - r.Queries; missing > 1000 { // left out since the last copy
			t.Errorf("%d questions, %d counted", hot+random, r.Queries)
		}
		if r.Sampling < 32 || r.Sampling > 256 {
			t.Errorf("one in %d is looked at", r.Sampling)
		}
		for _, by := range []traffic.By{traffic.ByName, traffic.ByPrefix} {
			r := tr.Top(by, "", traffic.Longer, 1)
			if len(r.Lines) != 1 || !strings.Contains("hot.example. 192.0.2.0/24", r.Lines[0].Value) {
				t.Fatalf("%s: %s is first", by, text(r))
			}
			got, off := r.Lines[0], int(r.Lines[0].Queries)-hot
			if max(off, -off) > 2*int(got.Error) || int(got.Error) > hot/2 {
				t.Errorf("%s: %d +-%d, really %d", by, got.Queries, got.Error, hot)
			}
		}
		time.Sleep(time.Second)
		if r := tr.Top(traffic.ByName, "", traffic.Lately, 1); r.Sampling != 1 {
			t.Errorf("in silence one in %d is looked at", r.Sampling)
		}
	})
}

// However many different things come, memory is bounded, and what is often is found.
func TestTablesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := traffic.New(nil)
		l := tr.Loop()
		run(t, tr)
		for i := range 20_000 {
			l.Seen(question("192.0.2.7", fmt.Sprint("random", i)))
			if i%20 == 0 {
				l.Seen(question("192.0.2.7", "often"))
			}
			if i%100 == 0 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		r := tr.Top(traffic.ByName, "", traffic.Longer, 100_000)
		if len(r.Lines) > 4000 || r.Lines[0].Value != "often." {
			t.Errorf("%d lines, %v is first", len(r.Lines), r.Lines[0])
		}
		if got := r.Lines[0]; got.Queries > 1000+2*got.Error || got.Queries+2*got.Error < 1000 || got.Error > 150 {
			t.Errorf("%+v, really 1000", got)
		}
	})
}

// What does not fit into a ring is counted with the next that does.
func TestFullRingLosesNoCount(t *testing.T) {
	tr := traffic.New(nil)
	l := tr.Loop()
	for range 5000 {
		l.Seen(question("192.0.2.7", "a"))
	}
	if n := tr.Top(traffic.ByName, "", traffic.Lately, 1).Queries; n != 1024 {
		t.Errorf("%d before", n)
	}
	l.Seen(question("192.0.2.7", "a"))
	if n := tr.Top(traffic.ByName, "", traffic.Lately, 1).Queries; n != 5001 {
		t.Errorf("%d after", n)
	}
}

func TestClients(t *testing.T) {
	for _, c := range []struct {
		client string
		subnet []byte
		want   string
	}{
		{"192.0.2.77", nil, "192.0.2.0/24"},
		{"::ffff:192.0.2.77", nil, "192.0.2.0/24"},
		{"fe80::1%eth0", nil, "fe80::/56"},
		{"192.0.2.77", []byte{0, 1, 0, 0}, "192.0.2.0/24"},
		{"192.0.2.77", []byte{0, 1, 32, 0, 198, 51, 100, 7}, "198.51.100.0/24"},
		{"192.0.2.77", []byte{0, 1, 8, 0, 10}, "10.0.0.0/8"},
		{"192.0.2.77", []byte{0, 2, 32, 0, 0x20, 1, 0xd, 0xb8}, "2001:db8::/32"},
	} {
		if got := traffic.Client(netip.MustParseAddr(c.client), c.subnet).String(); got != c.want {
			t.Errorf("%s % x: %s, want %s", c.client, c.subnet, got, c.want)
		}
	}
	if traffic.Client(netip.Addr{}, nil).IsValid() {
		t.Error("nobody has a network")
	}
}

// Names are shown so that nothing in them acts on a terminal.
func TestHostileNames(t *testing.T) {
	tr := traffic.New(nil)
	l := tr.Loop()
	l.Seen(question("192.0.2.7", "\x1b[2J\n\xff.", "x"))
	l.Seen(&tap.Facts{Client: netip.MustParseAddr("192.0.2.7")})
	l.Seen(&tap.Facts{})
	if got := text(tr.Top(traffic.ByName, "", traffic.Lately, 9)); got != `(unreadable) 2 +-0, \027[2j\010\255\..x. 1 +-0` {
		t.Error(got)
	}
	if got := text(tr.Top(traffic.ByPrefix, "", traffic.Lately, 9)); got != "192.0.2.0/24 2 +-0, unknown 1 +-0" {
		t.Error(got)
	}
}

// The metric has the places of living profiles, and no more series than it may.
func TestMetric(t *testing.T) {
	tr := traffic.New(nowhere{})
	l := tr.Loop()
	for i := range 11_000 {
		q := question("192.0.2.7", "a")
		q.Profile = fmt.Sprint("p", i)
		l.Seen(q)
		if i%500 == 0 {
			tr.Top(traffic.ByName, "", traffic.Lately, 1)
		}
	}
	reg := prometheus.NewRegistry()
	living := ""
	reg.MustRegister(tr.Metrics(func(p string) bool { return living == "" || p == living }))
	count := func() (series int, sum float64) {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				series, sum = series+1, sum+m.GetCounter().GetValue()
			}
		}
		return series, sum
	}
	if series, sum := count(); series != 10_001 || sum != 11_000 {
		t.Errorf("%d series, %v questions", series, sum)
	}
	living = "p7"
	if series, _ := count(); series != 2 { // and the rest
		t.Errorf("%d series", series)
	}
}

func TestNoAllocation(t *testing.T) {
	tr := traffic.New(nil)
	l, q := tr.Loop(), question("192.0.2.7", "www", "example")
	if n := testing.AllocsPerRun(500, func() { l.Seen(q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkSeen is a loop at full speed with its reader.
func BenchmarkSeen(b *testing.B) {
	tr := traffic.New(nil)
	l, q := tr.Loop(), question("192.0.2.7", "www", "example")
	stop := make(chan struct{})
	go tr.Run(stop)
	defer close(stop)
	b.ReportAllocs()
	for b.Loop() {
		l.Seen(q)
	}
}

// BenchmarkCopy is a question that is copied.
func BenchmarkCopy(b *testing.B) {
	tr := traffic.New(nil)
	l, q := tr.Loop(), question("192.0.2.7", "www", "example")
	i := 0
	for b.Loop() {
		l.Seen(q)
		if i++; i%1000 == 0 {
			b.StopTimer()
			tr.Top(traffic.ByName, "", traffic.Lately, 1)
			b.StartTimer()
		}
	}
}
