//go:build interop && linux

package nameserver_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
)

// What the differential suite does by default. JURYMAST_SEEDS=100-300 tries those seeds instead of the fixed ones,
// JURYMAST_SEEDS=17 one of them.
const (
	seedsVar            = "JURYMAST_SEEDS"
	firstSeed, lastSeed = 1, 12
	questionsPerSeed    = 1200
)

// difference is one way in which our answer is like nobody's, for a reason. What stands here must still happen in the
// fixed seeds, or it goes.
type difference struct {
	what   string
	reason string // with its source
	is     func(t *testing.T, c *compared) bool
	mend   func(t *testing.T, c *compared) // makes the answers comparable; then they are compared
}

var differences = []difference{{
	what: "alias into another zone",
	reason: "RFC 1034 4.3.2 begins again with the target, in whatever zone of ours that is. BIND and Knot end at the border of the zone. " +
		"They are asked for the rest; what a resolver would put together must be what we say at once",
	is: func(t *testing.T, c *compared) bool {
		if c.ours.Truncated {
			return c.of.leaves(c.line.stream(t, c.q))
		}
		return c.of.leaves(c.ours)
	},
	mend: func(t *testing.T, c *compared) {
		c.ours = c.line.stream(t, c.q)
		for name, l := range c.lines {
			c.peers[name] = l.through(t, c.of, c.q)
		}
	},
}}

// compared is one question and what became of it.
type compared struct {
	of    *landscape
	q     *question
	ours  *dns.Msg
	line  *line // to us
	peers map[string]*dns.Msg
	lines map[string]*line
}

// like lists who answers as we do.
func (c *compared) like() (names []string) {
	own := canonical(c.of, c.ours)
	for name, m := range c.peers {
		if slices.Equal(own, canonical(c.of, m)) {
			names = append(names, name)
		}
	}
	return names
}

func (c *compared) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %v\n ours  %s\n", c.of.seed, c.q, strings.Join(canonical(c.of, c.ours), "\n       "))
	for name, m := range c.peers {
		fmt.Fprintf(&b, " %-5s %s\n", name, strings.Join(canonical(c.of, m), "\n       "))
	}
	return b.String()
}

func seeds(t *testing.T) (list []uint64) {
	t.Helper()
	from, to := uint64(firstSeed), uint64(lastSeed)
	if text := os.Getenv(seedsVar); text != "" {
		a, b, isRange := strings.Cut(text, "-")
		if !isRange {
			b = a
		}
		var err1, err2 error
		from, err1 = strconv.ParseUint(a, 10, 32)
		to, err2 = strconv.ParseUint(b, 10, 32)
		if err1 != nil || err2 != nil || to < from {
			t.Fatalf("JURYMAST_SEEDS=%q: give one seed, or FIRST-LAST", text)
		}
	}
	for s := from; s <= to; s++ {
		list = append(list, s)
	}
	return list
}

// TestInteropDifferential asks NSD, Knot, BIND and us the same questions about the same generated zones. Ours must be
// equal to one of them, which means to all where they agree.
func TestInteropDifferential(t *testing.T) {
	differential(t, false, func(zones []*profile.Zone) []*peer {
		return []*peer{startNSD(t, zones), startKnot(t, zones), startBIND(t, zones)}
	})
}

// TestInteropDifferentialGdnsd does the same with gdnsd too, for zones of what it knows.
func TestInteropDifferentialGdnsd(t *testing.T) {
	differential(t, true, func(zones []*profile.Zone) []*peer {
		return []*peer{startNSD(t, zones), startKnot(t, zones), startGdnsd(t, zones)}
	})
}

func differential(t *testing.T, plain bool, start func([]*profile.Zone) []*peer) {
	var all []*landscape
	var zones []*profile.Zone
	for _, seed := range seeds(t) {
		l := newLandscape(seed, plain)
		all = append(all, l)
		zones = append(zones, l.zones...)
	}
	f := build(t, zones, nil, nil, "127.0.0.1:0")
	ours, lines := newLine(t, f.serve(t)), map[string]*line{}
	for _, p := range start(zones) {
		lines[p.name] = newLine(t, p.at)
	}
	a, began := &agreement{equal: map[string]int{}, meant: map[string]int{}}, time.Now()
	for _, l := range all {
		for range questionsPerSeed {
			c := &compared{of: l, q: l.ask(), line: ours, lines: lines, peers: map[string]*dns.Msg{}}
			c.ours = ours.ask(t, c.q)
			for name, line := range lines {
				c.peers[name] = line.ask(t, c.q)
			}
			a.add(t, c)
		}
	}
	a.report(t, time.Since(began))
	for _, d := range differences {
		if os.Getenv(seedsVar) == "" && !plain && a.meant[d.what] == 0 {
			t.Errorf("the difference %q no longer happens; remove it", d.what)
		}
	}
}

// agreement counts.
type agreement struct {
	questions, everybody, wrong int
	equal                       map[string]int // by peer
	meant                       map[string]int // by difference
}

// maxShown bounds what a broken server fills the log with.
const maxShown = 10

func (a *agreement) add(t *testing.T, c *compared) {
	t.Helper()
	a.questions++
	if twice(c.ours) || c.ours.CheckingDisabled || !sameQuestion(c) {
		t.Errorf("%v: a record twice, CD, or another question: %v", c, c.ours)
	}
	like := c.like()
	for i := 0; i < len(differences) && len(like) == 0; i++ {
		if d := &differences[i]; d.is(t, c) {
			d.mend(t, c)
			if like = c.like(); len(like) > 0 {
				a.meant[d.what]++
			}
		}
	}
	for _, name := range like {
		a.equal[name]++
	}
	switch len(like) {
	case len(c.peers):
		a.everybody++
	case 0:
		if a.wrong++; a.wrong <= maxShown {
			t.Errorf("%v", c)
		}
	}
}

// sameQuestion reports that the question came back as it was asked, letter case included.
func sameQuestion(c *compared) bool {
	want := c.q.message(0).Question[0]
	want.Name = strings.ReplaceAll(want.Name, `\032`, `\ `) // as it is printed
	return len(c.ours.Question) == 1 && c.ours.Question[0] == want
}

func (a *agreement) report(t *testing.T, took time.Duration) {
	t.Helper()
	t.Logf("%d questions in %v: %d answered alike by everybody, ours like %v, meant differences %v", a.questions, took.Round(time.Millisecond), a.everybody, a.equal, a.meant)
	if a.wrong > 0 {
		t.Errorf("%d answers are like nobody's", a.wrong)
	}
}

// line is one UDP socket to one server. What is cut counts as cut.
type line struct {
	conn net.Conn
	at   netip.AddrPort
	id   uint16
	buf  [65535]byte
}

func newLine(t *testing.T, at netip.AddrPort) *line {
	t.Helper()
	conn, err := net.Dial("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &line{conn: conn, at: at}
}

// ask sends a question until it is answered; a machine under load may lose a datagram.
func (l *line) ask(t *testing.T, q *question) *dns.Msg {
	t.Helper()
	l.id++
	pkt, err := q.message(l.id).Pack()
	if err != nil {
		t.Fatalf("%v: %v", q, err)
	}
	for range 4 {
		if _, err := l.conn.Write(pkt); err != nil {
			t.Fatal(err)
		}
		_ = l.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		for {
			n, err := l.conn.Read(l.buf[:])
			if err != nil {
				break
			}
			m := new(dns.Msg)
			if err := m.Unpack(l.buf[:n]); err != nil {
				t.Fatalf("%v: %s answers what cannot be read: %v\n%x", q, l.at, err, l.buf[:n])
			}
			if m.Id == l.id {
				return m
			}
		}
	}
	t.Fatalf("%v: %s does not answer", q, l.at)
	return nil
}

// stream asks over TCP.
func (l *line) stream(t *testing.T, q *question) *dns.Msg {
	t.Helper()
	c := dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	m, _, err := c.Exchange(q.message(dns.Id()), l.at.String())
	if err != nil {
		t.Fatalf("%v: %s: %v", q, l.at, err)
	}
	return m
}

// through asks a server over TCP and follows aliases that lead from one zone into another as we do [RFC 1034 4.3.2]:
// servers that end their answer at the border of a zone are asked for the rest. It is what a resolver would put together.
func (l *line) through(t *testing.T, of *landscape, q *question) *dns.Msg {
	t.Helper()
	m := l.stream(t, q)
	for range 16 {
		target := of.open(m)
		if target == "" {
			return m
		}
		next := *q
		next.name = target
		rest := l.stream(t, &next)
		m.Rcode, m.Ns, m.Extra = rest.Rcode, rest.Ns, slices.DeleteFunc(m.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeOPT })
		m.Extra = append(m.Extra, slices.DeleteFunc(rest.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })...)
		m.Answer = append(m.Answer, rest.Answer...)
	}
	return m
}

// leaves reports that aliases of an answer lead out of the zone of the question, or further than 16 steps.
func (l *landscape) leaves(m *dns.Msg) bool {
	aliases := 0
	for _, rr := range m.Answer {
		if c, ok := rr.(*dns.CNAME); ok {
			aliases++
			if l.zoneOf(c.Target) != l.zoneOf(m.Question[0].Name) {
				return true
			}
		}
	}
	return aliases > 16
}

// open is the name in one of our zones that an answer ends with without saying anything about it.
func (l *landscape) open(m *dns.Msg) string {
	if len(m.Answer) == 0 || len(m.Ns) > 0 || m.Question[0].Qtype == dns.TypeCNAME || m.Question[0].Qtype == dns.TypeANY {
		return ""
	}
	last, ok := m.Answer[len(m.Answer)-1].(*dns.CNAME)
	if !ok || l.zoneOf(last.Target) == "" || l.zoneOf(last.Target) == l.zoneOf(last.Hdr.Name) && m.Rcode != dns.RcodeSuccess {
		return ""
	}
	for _, rr := range m.Answer {
		if strings.EqualFold(rr.Header().Name, last.Target) {
			return "" // a loop
		}
	}
	return last.Target
}

// zoneOf is the deepest zone a name lies in, "" for none.
func (l *landscape) zoneOf(name string) (apex string) {
	for _, z := range l.zones {
		if dns.IsSubDomain(z.Name+".", strings.ToLower(name)) && len(z.Name) > len(apex) {
			apex = z.Name
		}
	}
	return apex
}

// canonical is an answer without what does not count: CD (BIND copies it), order, letter case, what follows a cut, the NS set of the zone
// beside an answer, and addresses outside referrals, which servers may leave out.
func canonical(l *landscape, m *dns.Msg) []string {
	head := fmt.Sprintf("%s qr=%v aa=%v tc=%v rd=%v ra=%v ad=%v", dns.RcodeToString[m.Rcode], m.Response, m.Authoritative, m.Truncated, m.RecursionDesired,
		m.RecursionAvailable, m.AuthenticatedData)
	if o := m.IsEdns0(); o != nil {
		head += fmt.Sprintf(" edns=%d do=%v", o.Version(), o.Do())
	}
	out := []string{head}
	if m.Truncated {
		return out
	}
	referral := false
	var below []string
	for _, rr := range m.Ns {
		if ns, ok := rr.(*dns.NS); ok {
			if len(m.Answer) > 0 && l.isApex(ns.Hdr.Name) {
				continue
			}
			referral = true
		}
		below = append(below, "^"+lowered(rr))
	}
	for _, rr := range m.Answer {
		below = append(below, "="+lowered(rr))
	}
	for _, rr := range m.Extra {
		if rr.Header().Rrtype != dns.TypeOPT && referral {
			below = append(below, "+"+lowered(rr))
		}
	}
	slices.Sort(below)
	return append(out, slices.Compact(below)...)
}

// twice reports a record that stands in a section twice. Some servers do that when a chain comes back to a wildcard.
func twice(m *dns.Msg) bool {
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		seen := map[string]bool{}
		for _, rr := range section {
			text := lowered(rr)
			if seen[text] {
				return true
			}
			seen[text] = true
		}
	}
	return false
}

func lowered(rr dns.RR) string { return strings.ToLower(strings.ReplaceAll(rr.String(), "\t", " ")) }

func (l *landscape) isApex(name string) bool {
	return slices.ContainsFunc(l.zones, func(z *profile.Zone) bool { return strings.EqualFold(z.Name+".", name) })
}
