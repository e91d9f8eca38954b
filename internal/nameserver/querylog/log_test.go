package querylog_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/nameserver/querylog"
	"jurymast/internal/nameserver/tap"
)

func wireName(labels ...string) []byte {
	var out []byte
	for _, l := range labels {
		out = append(append(out, byte(len(l))), l...)
	}
	return append(out, 0)
}

// sheet is a file in memory.
type sheet struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *sheet) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *sheet) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Split(strings.TrimSuffix(s.buf.String(), "\n"), "\n")[:strings.Count(s.buf.String(), "\n")]
}

func begin(t testing.TB, o querylog.Options) *querylog.Log {
	t.Helper()
	l, err := querylog.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); l.Run(stop) }()
	t.Cleanup(func() { close(stop); <-done })
	return l
}

func counter(t testing.TB, l *querylog.Log, what string) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(l)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families[0].GetMetric() {
		if m.GetLabel()[0].GetValue() == what {
			return m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no %s", what)
	return 0
}

func TestLines(t *testing.T) {
	full := tap.Facts{
		Client: netip.MustParseAddr("192.0.2.77"), Subnet: []byte{0, 1, 24, 0, 198, 51, 100}, Name: wireName("WWW", "example"), Type: 28,
		Flags: 0x8500, DO: true, Transport: tap.TCP, Size: 123, Profile: "shop", Endpoint: "eu", Reason: "decision", Epoch: 7, TTL: 30,
	}
	refused := tap.Facts{Client: netip.MustParseAddr("2001:db8:1:22ff::7"), Name: wireName(), Type: 65280, Rcode: 5, Flags: 0x8005, Size: 12}
	nothing := tap.Facts{Rcode: 16}
	const at = `{"time":"2000-01-01T00:00:00.000000Z",`
	for _, c := range []struct {
		whole bool
		facts tap.Facts
		want  string
	}{
		{false, full, at + `"why":"sample","transport":"tcp","client":"192.0.2.0/24","ecs":"198.51.100.0/24","name":"WWW.example.","type":"AAAA",` +
			`"rcode":"NOERROR","flags":"aa rd do","size":123,"profile":"shop","endpoint":"eu","reason":"decision","ttl":30,"epoch":7,"duration_us":12.3}`},
		{true, refused, at + `"why":"error","transport":"udp","client":"2001:db8:1:22ff::7","name":".","type":"TYPE65280","rcode":"REFUSED","flags":"","size":12,"ttl":0}`},
		{false, refused, at + `"why":"error","transport":"udp","client":"2001:db8:1:2200::/56","name":".","type":"TYPE65280","rcode":"REFUSED","flags":"","size":12,"ttl":0}`},
		{false, nothing, at + `"why":"error","transport":"udp","name":"","rcode":"BADVERS","flags":"","size":0,"ttl":0}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out sheet
			if c.facts.Profile != "" {
				c.facts.Received = time.Now().Add(-12340 * time.Nanosecond)
			}
			begin(t, querylog.Options{Out: &out, Sample: 1, Errors: true, Full: c.whole}).Loop().Seen(&c.facts)
			time.Sleep(100 * time.Millisecond)
			if got := out.lines(); len(got) != 1 || got[0] != c.want {
				t.Errorf("got\n%s, want\n%s", got, c.want)
			}
		})
	}
}

// Errors are always written, of the rest one in so many, and of a watched profile everything, until the time is over.
func TestWhatIsWritten(t *testing.T) {
	for _, c := range []struct {
		name     string
		o        querylog.Options
		watch    time.Duration
		from, to int // lines
		why      string
	}{
		{"all", querylog.Options{Sample: 1}, 0, 10_000, 10_000, "sample"},
		{"one in a hundred", querylog.Options{Sample: 100}, 0, 60, 140, "sample"},
		{"none", querylog.Options{Sample: 0}, 0, 0, 0, ""},
		{"errors", querylog.Options{Sample: 0, Errors: true}, 0, 1000, 1000, "error"},
		{"a watched profile", querylog.Options{}, time.Minute, 2000, 2000, "watch"},
		{"a watch that ends", querylog.Options{}, 5 * time.Second, 900, 1300, "watch"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out sheet
			c.o.Out = &out
			l := begin(t, c.o)
			loop := l.Loop()
			if c.watch > 0 {
				if err := l.Watch("p1", time.Now().Add(c.watch)); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 10_000 {
				f := tap.Facts{Name: wireName("a"), Profile: fmt.Sprint("p", i%5)}
				if i%10 == 0 {
					f.Rcode = 2
				}
				loop.Seen(&f)
				if i%100 == 0 {
					time.Sleep(100 * time.Millisecond)
				}
			}
			time.Sleep(time.Second)
			lines := out.lines()
			if len(lines) < c.from || len(lines) > c.to {
				t.Errorf("%s: %d lines, want %d to %d", c.name, len(lines), c.from, c.to)
			}
			for _, line := range lines {
				if !strings.Contains(line, `"why":"`+c.why+`"`) {
					t.Fatalf("%s: %s", c.name, line)
				}
			}
			if n := counter(t, l, "written"); n != float64(len(lines)) {
				t.Errorf("%s: %v counted", c.name, n)
			}
		})
	}
}

func TestWatchesAreListedAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := begin(t, querylog.Options{Out: &sheet{}})
		for i := range 16 {
			if err := l.Watch(fmt.Sprint("p", i), time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Watch("one more", time.Now().Add(time.Minute)); err == nil {
			t.Error("no end of watching")
		}
		if err := l.Watch("p3", time.Now()); err != nil || len(l.Watched()) != 15 {
			t.Errorf("%v, %v", err, l.Watched())
		}
		time.Sleep(2 * time.Minute)
		if err := l.Watch("one more", time.Now().Add(time.Minute)); err != nil || len(l.Watched()) != 1 {
			t.Errorf("%v, %v", err, l.Watched())
		}
	})
}

// Client subnets are cut like addresses, and not made longer.
func TestSubnetsAreCut(t *testing.T) {
	for _, c := range []struct {
		told      []byte
		cut, full string
	}{
		{[]byte{0, 1, 32, 0, 203, 0, 113, 9}, "203.0.113.0/24", "203.0.113.9/32"},
		{[]byte{0, 1, 25, 0, 203, 0, 113, 128}, "203.0.113.0/24", "203.0.113.128/25"},
		{[]byte{0, 1, 16, 0, 203, 0}, "203.0.0.0/16", "203.0.0.0/16"},
		{[]byte{0, 1, 0, 0}, "0.0.0.0/0", "0.0.0.0/0"},
		{[]byte{0, 2, 64, 0, 0x20, 1, 0xd, 0xb8, 0, 1, 0x22, 0xff}, "2001:db8:1:2200::/56", "2001:db8:1:22ff::/64"},
		{[]byte{0, 2, 48, 0, 0x20, 1, 0xd, 0xb8, 0, 1}, "2001:db8:1::/48", "2001:db8:1::/48"},
		{[]byte{0, 2, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 203, 0, 113, 9}, "203.0.113.0/24", "203.0.113.9/32"},
	} {
		for whole, want := range map[bool]string{false: c.cut, true: c.full} {
			line := string(querylog.LineOf(&tap.Facts{Subnet: c.told}, whole))
			if !strings.Contains(line, `"ecs":"`+want+`"`) {
				t.Errorf("% x, whole %v: want %s in %s", c.told, whole, want, line)
			}
		}
	}
}

// Errors are written up to 100 a second of each loop, so that a flood of them does not fill a disk. A watch and the
// sample go on; what nobody writes is counted.
func TestErrorsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sheet
		l := begin(t, querylog.Options{Out: &out, Errors: true})
		if err := l.Watch("watched", time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		loops := []*querylog.Loop{l.Loop(), l.Loop()}
		for range 3 { // seconds
			for _, loop := range loops {
				for range 500 {
					loop.Seen(&tap.Facts{Rcode: 5})
				}
				loop.Seen(&tap.Facts{Rcode: 2, Profile: "watched"})
			}
			time.Sleep(time.Second)
		}
		whys := map[string]int{}
		for _, line := range out.lines() {
			var e struct{ Why string }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			whys[e.Why]++
		}
		if whys["error"] != 600 || whys["watch"] != 6 || counter(t, l, "limited") != 2400 || counter(t, l, "dropped") != 0 {
			t.Errorf("%v, %v limited, %v dropped", whys, counter(t, l, "limited"), counter(t, l, "dropped"))
		}
	})
}

// Nobody waits for a writer that is stuck: what does not fit is dropped and counted.
func TestFullRingDrops(t *testing.T) {
	l, err := querylog.Open(querylog.Options{Out: &sheet{}, Sample: 1})
	if err != nil {
		t.Fatal(err)
	}
	loop := l.Loop()
	for range 3000 {
		loop.Seen(&tap.Facts{})
	}
	if n := counter(t, l, "dropped"); n != 3000-1024 {
		t.Errorf("%v dropped", n)
	}
}

func TestRotation(t *testing.T) {
	name := filepath.Join(t.TempDir(), "q.json")
	l := begin(t, querylog.Options{File: name, Sample: 1})
	loop := l.Loop()
	say := func(label string) { loop.Seen(&tap.Facts{Name: wireName(label)}) }
	has := func(file, label string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
			text, err := os.ReadFile(file)
			if err == nil && strings.Contains(string(text), `"`+label+`."`) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s is not in %s: %s %v", label, file, text, err)
			}
		}
	}
	say("one")
	has(name, "one")
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	for _, err := os.Stat(name); err != nil; _, err = os.Stat(name) {
		<-time.After(time.Millisecond)
	}
	say("two")
	has(name, "two")
	if err := os.Rename(name, name+".2"); err != nil { // and nobody says so
		t.Fatal(err)
	}
	for _, err := os.Stat(name); err != nil; _, err = os.Stat(name) {
		<-time.After(time.Millisecond)
	}
	say("three")
	has(name, "three")
	has(name+".1", "one")
	has(name+".2", "two")
}

func TestFileThatCannotBeOpened(t *testing.T) {
	if _, err := querylog.Open(querylog.Options{File: filepath.Join(t.TempDir(), "missing", "q.json")}); err == nil || !strings.Contains(err.Error(), "query log") {
		t.Errorf("%v", err)
	}
}

// Whatever a name is made of, it stays on one line, in ASCII, in valid JSON, and can be read back.
func FuzzNames(f *testing.F) {
	for _, name := range [][]byte{
		wireName("www", "example"), wireName("a\nb", "\x00\x1b[2J"), wireName(`"},{"x":"`, `\`), wireName("\xff\xfe", "ü", "\u2028"),
		wireName("a.b", "(;@$)"), wireName(" ", "\x7f"), wireName(strings.Repeat("\n", 63), strings.Repeat("\\", 63), strings.Repeat("\"", 63)),
		{0},
		{},
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name []byte) {
		if len(name) > 255 {
			return
		}
		line := querylog.Line(&tap.Facts{Name: name, Type: 1, Profile: string(name), Endpoint: string(name)})
		if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
			t.Fatalf("not one line: %q", line)
		}
		for _, c := range line[:len(line)-1] {
			if c < ' ' || c > '~' {
				t.Fatalf("byte %x in %q", c, line)
			}
		}
		var back struct{ Name, Profile string }
		if err := json.Unmarshal(line, &back); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if back.Profile != strings.ToValidUTF8(string(name), "\ufffd") && !strings.Contains(back.Profile, "\ufffd") {
			t.Fatalf("%q came back as %q", name, back.Profile)
		}
		if _, n, err := dns.UnpackDomainName(name, 0); err != nil || n != len(name) || pointer(name) {
			return // no name
		}
		packed := make([]byte, 300)
		n, err := dns.PackDomainName(back.Name, packed, 0, nil, false)
		if err != nil || !bytes.Equal(packed[:n], name) {
			t.Fatalf("% x was written as %s: % x %v", name, back.Name, packed[:n], err)
		}
	})
}

func pointer(name []byte) bool {
	for i := 0; i < len(name) && name[i] != 0; i += 1 + int(name[i]) {
		if name[i] > 63 {
			return true
		}
	}
	return false
}

func TestNoAllocation(t *testing.T) {
	l, err := querylog.Open(querylog.Options{Out: &sheet{}, Sample: 2, Errors: true})
	if err != nil {
		t.Fatal(err)
	}
	loop, f := l.Loop(), &tap.Facts{Name: wireName("www", "example"), Profile: "p"}
	if n := testing.AllocsPerRun(500, func() { loop.Seen(f) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSeen(b *testing.B) {
	for _, sample := range []int{0, 1000, 1} {
		b.Run(fmt.Sprint("sample ", sample), func(b *testing.B) {
			l := begin(b, querylog.Options{Out: &nowhere{}, Sample: sample, Errors: true})
			loop, f := l.Loop(), &tap.Facts{Name: wireName("www", "example"), Profile: "p"}
			b.ReportAllocs()
			for b.Loop() {
				loop.Seen(f)
			}
		})
	}
}

type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
