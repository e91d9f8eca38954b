package nameserver_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
)

// pretended is a table that remembers. It takes back what was withdrawn only after Settle, as the kernel's does, and
// has room for so many changes in between.
type pretended struct {
	t       *testing.T
	answers map[string]string
	room    int // changes until the next Settle; new ones only while none rests
	resting int
	calls   int
	fail    error
	quiet   bool
	quieted int // changes while everything went to the sockets
}

func pretend(t *testing.T, room int) *pretended {
	return &pretended{t: t, answers: map[string]string{}, room: room}
}

func questionOf(name []byte, typ uint16) string {
	text, _, err := dns.UnpackDomainName(name, 0)
	if err != nil {
		panic(err)
	}
	return text + " " + dns.TypeToString[typ]
}

func (p *pretended) Offer(name []byte, typ uint16, records []byte, count uint16, slot uint32) (bool, error) {
	p.calls++
	if p.quiet {
		p.quieted++
	}
	q := questionOf(name, typ)
	_, there := p.answers[q]
	if p.fail != nil {
		return false, p.fail
	}
	if p.room == 0 || !there && p.resting > 0 {
		delete(p.answers, q)
		return false, nil
	}
	p.room--
	p.answers[q] = fmt.Sprintf("%d %x", count, records)
	return true, nil
}

func (p *pretended) Withdraw(name []byte, typ uint16) error {
	p.calls++
	q := questionOf(name, typ)
	delete(p.answers, q)
	p.resting++
	return nil
}

func (p *pretended) Clear() error {
	clear(p.answers)
	return nil
}

func (p *pretended) Alive(d time.Duration) error {
	p.quiet = d < 0
	return nil
}

func (p *pretended) Settle() error {
	p.room, p.resting = 1000, 0
	return nil
}

// check compares all that the table answers with what the sockets write, and reports what they would and it does not.
func (p *pretended) check(srv *nameserver.Server, all []string) (missing []string) {
	p.t.Helper()
	for _, name := range all {
		for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeCNAME, dns.TypeHTTPS} {
			m := new(dns.Msg).SetQuestion(dns.Fqdn(name), typ)
			pkt, err := m.Pack()
			if err != nil {
				p.t.Fatal(err)
			}
			quick, long, ok := srv.Ways(pkt, t0Addr)
			q := dns.Fqdn(name) + " " + dns.TypeToString[typ]
			got, there := p.answers[q]
			if want := fmt.Sprintf("%d %x", uint16(long[6])<<8|uint16(long[7]), long[len(pkt):]); there && got != want {
				p.t.Errorf("%s: the table says %s, the sockets %s", q, got, want)
			}
			if ok && !there {
				missing = append(missing, q)
			}
			_ = quick
		}
	}
	return missing
}

// everything is what can be asked for in the tests' fixtures.
func everything() []string {
	list := []string{
		"dr.example", "mail.dr.example", "web.dr.example", "svc.dr.example", "svcwild.dr.example", "down.dr.example", "off.dr.example",
		"old.dr.example", "silent.dr.example", "mixed.dr.example", "a.ent.dr.example", "host.new.dr.example", "big.dr.example", "ns.sub.dr.example",
	}
	for _, name := range methodNames {
		list = append(list, name+".dr.example")
	}
	return list
}

// The table gets all the quick way answers and nothing else.
func TestMirrorIsWhatTheQuickWayAnswers(t *testing.T) {
	for i, f := range []*fixture{standardFixture(t), methods(t)} {
		p := pretend(t, 1000)
		m := f.srv.Mirror(p, 1000, 1000)
		m.Follow(t)
		if missing := p.check(f.srv, everything()); len(missing) > 0 || len(p.answers) == 0 {
			t.Errorf("fixture %d: %d answers, and not %v", i, len(p.answers), missing)
		}
	}
}

// A flip touches the names of its profile alone.
func TestMirrorFollowsFlips(t *testing.T) {
	var ps []*profile.Profile
	var views []*health.View
	for i := range 2000 {
		p := service(fmt.Sprintf("p%d", i), names(fmt.Sprintf("h%d.dr.example", i), fmt.Sprintf("g%d.dr.example", i)), addrs("192.0.2.1"), addrs("192.0.2.2"))
		ps, views = append(ps, p), append(views, view(p, "uu", nil))
	}
	f := build(t, []*profile.Zone{testZone("")}, ps, views)
	p := pretend(t, 1_000_000)
	m := f.srv.Mirror(p, 10_000, 10_000)
	m.Follow(t)
	if entries, _, left := m.Sizes(); entries != 4000 || left != 0 || len(p.answers) != 4000 {
		t.Fatalf("%d entries, %d left, %d in the table", entries, left, len(p.answers))
	}
	before := []string{p.answers["h700.dr.example. A"], p.answers["g700.dr.example. A"]}
	p.calls = 0
	m.Follow(t)
	if p.calls != 0 {
		t.Errorf("%d calls without a change", p.calls)
	}
	f.hub.Publish(nil, view(ps[700], "du", nil))
	f.hub.Publish(nil, view(ps[1999], "dd", nil)) // all down: an extended error, so no longer here
	m.Follow(t)
	if p.calls != 4 {
		t.Errorf("%d calls for two flips", p.calls)
	}
	for i, name := range []string{"h700.dr.example. A", "g700.dr.example. A"} {
		if p.answers[name] == before[i] || p.answers[name] == "" {
			t.Errorf("%s is %q", name, p.answers[name])
		}
	}
	if _, there := p.answers["h1999.dr.example. A"]; there || len(p.answers) != 3998 {
		t.Errorf("%d answers after the flips", len(p.answers))
	}
	// The same documents anew change nothing.
	p.calls = 0
	f.publish(t, 8, []*profile.Zone{testZone("")}, ps, nil)
	m.Follow(t)
	if p.calls != 0 {
		t.Errorf("%d calls for documents that changed nothing", p.calls)
	}
	// And none at all empty it.
	f.publish(t, 9, nil, nil, nil)
	m.Follow(t)
	if len(p.answers) != 0 {
		t.Errorf("%d answers without documents", len(p.answers))
	}
}

// What could not be had at once goes to the sockets and comes later; what does not fit stays there.
func TestMirrorWaitsAndLeaves(t *testing.T) {
	long := strings.Repeat("a", 63)
	ps := profiles(
		service("a", names("a.dr.example"), addrs("192.0.2.1"), addrs("192.0.2.2")),
		service("b", names("b.dr.example"), addrs("192.0.2.1"), addrs("192.0.2.2")),
		service("long", names(long+".dr.example"), addrs("192.0.2.1")),
		service("deep", names("1.2.3.4.5.6.7.dr.example"), addrs("192.0.2.1")),
		service("wide", names("wide.dr.example"), addrs("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.7", "192.0.2.8", "192.0.2.9")),
	)
	views := []*health.View{view(ps[0], "uu", nil), view(ps[1], "uu", nil), view(ps[2], "u", nil), view(ps[3], "u", nil), view(ps[4], "u", nil)}
	f := build(t, []*profile.Zone{testZone("")}, ps, views)
	p := pretend(t, 2)
	m := f.srv.Mirror(p, 1000, 1000)
	m.Follow(t)
	if entries, waiting, left := m.Sizes(); entries != 2 || waiting != 0 || left != 3 {
		t.Errorf("%d entries, %d wait, %d are left; want 2, 0, 3", entries, waiting, left)
	}
	// No room: what changes is out at once, and back after a grace period.
	f.hub.Publish(nil, view(ps[0], "du", nil))
	m.Follow(t)
	if _, waiting, _ := m.Sizes(); waiting != 1 || len(p.answers) != 1 {
		t.Errorf("%d wait, %v are there", waiting, p.answers)
	}
	_ = p.Settle()
	m.Again(t)
	if _, waiting, _ := m.Sizes(); waiting != 0 || len(p.answers) != 2 {
		t.Errorf("%d wait, %v are there", waiting, p.answers)
	}
	p.check(f.srv, []string{"a.dr.example", "b.dr.example"})
	// What waits may go before it comes.
	p.room = 0
	f.hub.Publish(nil, view(ps[0], "uu", nil))
	m.Follow(t)
	f.hub.Publish(nil, view(ps[0], "dd", nil))
	m.Follow(t)
	if entries, waiting, _ := m.Sizes(); entries != 1 || waiting != 0 {
		t.Errorf("%d entries, %d wait", entries, waiting)
	}
	p.fail = errors.New("kernel says no")
	f.hub.Publish(nil, view(ps[1], "du", nil))
	if err := m.Try(); !errors.Is(err, p.fail) {
		t.Errorf("%v", err)
	}
}

// While many answers of new documents are looked through, nothing that may be wrong is answered for long.
func TestMirrorFallsSilentOverManyChanges(t *testing.T) {
	documents := func(third int) (ps []*profile.Profile, views []*health.View) {
		for i := range 1000 {
			p := service(fmt.Sprintf("p%d", i), names(fmt.Sprintf("h%d.dr.example", i)), addrs(fmt.Sprintf("10.0.%d.1", third)))
			ps, views = append(ps, p), append(views, view(p, "u", nil))
		}
		return ps, views
	}
	ps, views := documents(1)
	f := build(t, []*profile.Zone{testZone("")}, ps, views)
	p := pretend(t, 1_000_000)
	m := f.srv.Mirror(p, 10_000, 10_000)
	for third, c := range []struct {
		limit time.Duration
		least int
	}{{0, 0}, {time.Hour, 0}, {0, 900}} {
		ps, views = documents(third)
		f.publish(t, uint64(8+third), []*profile.Zone{testZone("")}, ps, views)
		m.Limit(c.limit)
		p.quieted = 0
		m.Follow(t)
		if p.quiet || p.quieted < c.least || c.least == 0 && p.quieted > 0 {
			t.Errorf("with %v: %d changes in silence, quiet at the end: %v", c.limit, p.quieted, p.quiet)
		}
	}
}

// A table for few takes few, and others when there is room.
func TestMirrorFull(t *testing.T) {
	f := standardFixture(t)
	p := pretend(t, 1000)
	m := f.srv.Mirror(p, 2, 1000)
	m.Follow(t)
	if entries, _, left := m.Sizes(); entries != 2 || left == 0 || len(p.answers) != 2 {
		t.Errorf("%d entries, %d left", entries, left)
	}
	few := pretend(t, 1000)
	m = f.srv.Mirror(few, 1000, 1)
	m.Follow(t)
	for q := range few.answers {
		if q == "dr.example. A" {
			t.Error("a profile's answer without a counter")
		}
	}
}

// Through random changes, with little room and grace periods now and then, the table never says what the sockets do not.
func TestMirrorThroughChanges(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	f, ps := standardFixture(t), standard()
	p := pretend(t, 3)
	m := f.srv.Mirror(p, 12, 1000)
	words := map[int][]string{0: {"uu", "du", "dd"}, 1: {"u", "d"}, 2: {"uu", "du", "dd", "xu"}, 3: {"uu", "dd"}, 4: {"u", "s"}, 6: {"u", "d"}, 7: {"u", "d"}}
	for i := range 2000 {
		switch dice.IntN(8) {
		case 0:
			extra := fmt.Sprintf("n%d IN A 192.0.2.1\nmail IN TXT \"%d\"\n", dice.IntN(3), i)
			if dice.IntN(2) == 0 {
				ps = standard()
			}
			f.publish(t, uint64(100+i), []*profile.Zone{testZone(records + extra)}, ps, standardViews(ps))
		case 1:
			_ = p.Settle()
			p.room = dice.IntN(5)
			m.Again(t)
		default:
			for n, list := range words {
				if dice.IntN(4) == 0 {
					f.hub.Publish(nil, view(ps[n], list[dice.IntN(len(list))], nil))
				}
			}
		}
		m.Follow(t)
		p.check(f.srv, append(everything(), "n0.dr.example", "n1.dr.example", "n2.dr.example"))
		if t.Failed() {
			t.Fatalf("after %d changes", i)
		}
	}
	_ = p.Settle()
	m.Again(t)
	if _, waiting, _ := m.Sizes(); waiting != 0 {
		t.Errorf("%d wait at the end", waiting)
	}
}

// BenchmarkMirrorFlip is one flip among 10,000 profiles.
func BenchmarkMirrorFlip(b *testing.B) {
	var ps []*profile.Profile
	var views []*health.View
	for i := range 10_000 {
		p := service(fmt.Sprintf("p%d", i), names(fmt.Sprintf("h%d.dr.example", i)), addrs("192.0.2.1"), addrs("192.0.2.2"))
		ps, views = append(ps, p), append(views, view(p, "uu", nil))
	}
	f := build(b, []*profile.Zone{testZone("")}, ps, views)
	m := f.srv.Mirror(nothing{}, 100_000, 100_000)
	start := time.Now()
	if err := m.Try(); err != nil {
		b.Fatal(err)
	}
	filled := time.Since(start)
	flips := []*health.View{view(ps[5000], "du", nil), view(ps[5000], "uu", nil)}
	i := 0
	for b.Loop() {
		i++
		f.hub.Publish(nil, flips[i%2])
		if err := m.Try(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(filled.Microseconds()), "us/fill")
}

// nothing takes everything at once.
type nothing struct{}

func (nothing) Offer([]byte, uint16, []byte, uint16, uint32) (bool, error) { return true, nil }
func (nothing) Withdraw([]byte, uint16) error                              { return nil }
func (nothing) Clear() error                                               { return nil }
func (nothing) Alive(time.Duration) error                                  { return nil }
func (nothing) Settle() error                                              { return nil }
