//go:build linux

package app_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// register is one thing that changes while clients read it, as a row of states 0, 1, 2 ...: asked for up to wanted, seen
// up to seen. Who asks after a state was seen must not get an earlier one, from whatever socket; nobody gets one that has
// not been asked for.
type register struct{ wanted, seen atomic.Int64 }

// legal checks an answer that shows one of the states for which is holds, to a question sent when seen was before.
func (r *register) legal(before int64, is func(state int64) bool) error {
	for state := before; state <= r.wanted.Load(); state++ {
		if !is(state) {
			continue
		}
		for {
			seen := r.seen.Load()
			if seen >= state || r.seen.CompareAndSwap(seen, state) {
				return nil
			}
		}
	}
	return fmt.Errorf("not one of the states %d to %d", before, r.wanted.Load())
}

// busy is a site whose answers tell which state they come from: the profile answers three addresses of one endpoint, a
// chain leads through two zones to an address with the number of the reload, and a set has that number in every record
// and in its TTL.
type busy struct {
	*site
	flips, reloads register
	asked          [6]atomic.Int64 // by client
}

const (
	euGroup = "127.0.11.1 127.0.11.2 127.0.11.3"
	usGroup = "127.0.12.1 127.0.12.2 127.0.12.3"
)

func newBusy(t *testing.T) *busy { return &busy{site: newSite(t)} }

// reloaded is the file after that many reloads. Probes never change a verdict here: a machine under load answers late.
func (b *busy) reloaded(k int64) string {
	list := func(group string) string { return strings.ReplaceAll(group, " ", ", ") }
	return b.nodeText() + fmt.Sprintf(`zones:
  - name: dr.example
    nameservers: [ns1.dr.example]
    records: |
      ns1 300 A 127.0.0.1
      version 60 CNAME v%[1]d.two.example.
      set %[2]d TXT "a %[1]d"
      set %[2]d TXT "b %[1]d"
      set %[2]d TXT "c %[1]d"
  - name: two.example
    nameservers: [ns1.dr.example]
    records: |
      v%[1]d 60 A 10.0.%[3]d.%[4]d
profiles:
  - name: integration
    hostnames: [%[5]s]
    routing: priority
    ttl: 5s
    monitor: {protocol: http, path: /http/health, interval: 1s, timeout: 900ms, tolerated_failures: 9, recovery_successes: 1}
    endpoints:
      - {name: eu20, target: [%[6]s], origin: "http://%[7]s", priority: 1}
      - {name: us21, target: [%[8]s], origin: "http://%[9]s", priority: 2}
`, k, 1000+k, k>>8&255, k&255, host, list(euGroup), b.eu20, list(usGroup), b.us21)
}

func (b *busy) begin() {
	b.startTenants()
	b.write(b.reloaded(0))
	b.startNode()
	b.awaitReady(20 * time.Second)
	eventually(b.t, 5*time.Second, "the first endpoint is answered", func() bool { return b.check(b.exchange("udp", 0)) == nil })
}

// questions that clients ask in turn.
var busyQuestions = []dns.Question{
	{Name: host + ".", Qtype: dns.TypeA, Qclass: dns.ClassINET},
	{Name: "version.dr.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET},
	{Name: "set.dr.example.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET},
	{Name: "missing.dr.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET},
}

// asking is one question under way, with what had been seen when it was sent.
type asking struct {
	q              dns.Question
	flips, reloads int64
	resp           *dns.Msg
	err            error
}

func (b *busy) ready2ask(i int64) *asking {
	return &asking{q: busyQuestions[i%int64(len(busyQuestions))], flips: b.flips.seen.Load(), reloads: b.reloads.seen.Load()}
}

func (x *asking) message() *dns.Msg {
	m := new(dns.Msg)
	m.Id, m.Question = dns.Id(), []dns.Question{x.q}
	return m
}

// exchange asks the i-th question on a socket of its own.
func (b *busy) exchange(network string, i int64) *asking {
	c := dns.Client{Net: network, Timeout: lost}
	x := b.ready2ask(i)
	x.resp, _, x.err = c.Exchange(x.message(), b.dns)
	return x
}

// lost is how long a client waits for an answer.
const lost = 4 * time.Second

// check says what is wrong with an answer.
func (b *busy) check(x *asking) error {
	if x.err != nil {
		return fmt.Errorf("%s: lost: %w", x.q.Name, x.err)
	}
	m, want := x.resp, dns.RcodeSuccess
	if x.q.Name == "missing.dr.example." {
		want = dns.RcodeNameError
	}
	if m.Rcode != want || !m.Authoritative || m.Truncated || len(m.Question) != 1 || m.Question[0] != x.q {
		return fmt.Errorf("wrong answer: %v", m)
	}
	var told []string
	ttls := map[string]uint32{} // by set
	for _, rr := range m.Answer {
		h := rr.Header()
		set := h.Name + dns.Type(h.Rrtype).String()
		if ttl, known := ttls[set]; known && ttl != h.Ttl {
			return fmt.Errorf("two TTLs in one set: %v", m)
		}
		ttls[set] = h.Ttl
		told = append(told, strings.TrimPrefix(rr.String(), h.String()))
	}
	slices.Sort(told)
	text := strings.Join(told, " ")
	var err error
	switch x.q.Name {
	case host + ".":
		err = b.flips.legal(x.flips, func(state int64) bool { return text == []string{euGroup, usGroup}[state%2] })
		if ttl := ttls[host+".A"]; ttl > 5 {
			err = fmt.Errorf("TTL %d", ttl)
		}
	case "version.dr.example.":
		err = b.reloads.legal(x.reloads, func(k int64) bool { return text == fmt.Sprintf("10.0.%d.%d v%d.two.example.", k>>8, k&255, k) })
	case "set.dr.example.":
		err = b.reloads.legal(x.reloads, func(k int64) bool {
			return text == fmt.Sprintf(`"a %d" "b %[1]d" "c %[1]d"`, k) && ttls["set.dr.example.TXT"] == uint32(1000+k)
		})
	default:
		if len(m.Answer) > 0 || len(m.Ns) != 1 {
			err = fmt.Errorf("no plain NXDOMAIN")
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %v", err, m)
	}
	return nil
}

// client asks over one connection, one question after the other, until told to stop.
func (b *busy) client(network string, number int, stop <-chan struct{}) error {
	raw, err := net.Dial(network, b.dns)
	if err != nil {
		return err
	}
	defer raw.Close()
	conn := &dns.Conn{Conn: raw}
	for i := int64(number); ; i++ {
		select {
		case <-stop:
			return nil
		default:
		}
		x := b.ready2ask(i)
		_ = conn.SetDeadline(time.Now().Add(lost))
		m := x.message()
		if x.err = conn.WriteMsg(m); x.err == nil {
			x.resp, x.err = conn.ReadMsg()
		}
		if x.err == nil && x.resp.Id != m.Id {
			return fmt.Errorf("id %d for a question with %d", x.resp.Id, m.Id)
		}
		if err := b.check(x); err != nil {
			return err
		}
		b.asked[number].Add(1)
	}
}

// fresh asks every question over a socket of its own: another port is another member of the group of sockets.
func (b *busy) fresh(network string, number int, stop <-chan struct{}) error {
	for i := int64(number); ; i++ {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := b.check(b.exchange(network, i)); err != nil {
			return err
		}
		b.asked[number].Add(1)
	}
}

// loadTime is how long clients ask; JURYMAST_SOAK=10m makes it longer.
func loadTime(t *testing.T) time.Duration {
	text := os.Getenv("JURYMAST_SOAK")
	if text == "" {
		return 4 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > 24*time.Hour {
		t.Fatalf("JURYMAST_SOAK=%q: a time such as 10m, from 1s to 24h", text)
	}
	return d
}

// TestNameserverUnderLoad: health flips ten times a second and the zones are reloaded every second while clients ask
// without a pause. Nothing is lost, nothing is SERVFAIL, no answer mixes two states, and none is older than one that
// somebody had before the question was sent. The sockets are the same from beginning to end.
func TestNameserverUnderLoad(t *testing.T) {
	b := newBusy(t)
	b.begin()
	sockets := socketsAt(t, b.dns)
	stop, span := make(chan struct{}), loadTime(t)
	var clients, events sync.WaitGroup
	run := func(f func(string, int, <-chan struct{}) error, network string, number int) {
		clients.Go(func() {
			if err := f(network, number, stop); err != nil {
				t.Errorf("client %d over %s: %v", number, network, err)
			}
		})
	}
	run(b.client, "udp", 0)
	run(b.client, "udp", 1)
	run(b.client, "udp", 2)
	run(b.fresh, "udp", 3)
	run(b.client, "tcp", 4)
	run(b.fresh, "tcp", 5)
	events.Go(func() { b.flip(stop) })
	events.Go(func() { b.reload(stop) })
	end := time.NewTimer(span)
	for waiting := true; waiting; {
		select {
		case <-end.C:
			waiting = false
		case <-b.node.done:
			t.Errorf("the node ended: %v", b.node.err)
			waiting = false
		}
	}
	close(stop)
	clients.Wait()
	events.Wait()
	var counts []int64
	for i := range b.asked {
		counts = append(counts, b.asked[i].Load())
	}
	t.Logf("%v: answers by client %v; %d flips, %d seen; %d reloads, %d seen", span, counts,
		b.flips.wanted.Load(), b.flips.seen.Load(), b.reloads.wanted.Load(), b.reloads.seen.Load())
	if slices.Min(counts) < 10 || b.flips.seen.Load() < int64(span/time.Second) || b.reloads.seen.Load() < max(1, int64(span/time.Second)/2) {
		t.Error("too little happened")
	}
	if now := socketsAt(t, b.dns); !slices.Equal(now, sockets) {
		t.Errorf("sockets were %v, are %v", sockets, now)
	}
}

// flip orders the first endpoint down and up again, ten times a second.
func (b *busy) flip(stop <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		b.order([]string{"force-down", "force-off"}[(b.flips.wanted.Add(1)-1)%2], "eu20")
	}
}

// reload writes the next file every second; every second time SIGHUP tells of it too.
func (b *busy) reload(stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		k := b.reloads.wanted.Add(1)
		next := b.file + ".next"
		must(b.t, os.WriteFile(next, []byte(b.reloaded(k)), 0o600))
		must(b.t, os.Rename(next, b.file))
		if k%2 == 0 {
			b.hangup()
		}
	}
}

// socketsAt lists the numbers of the sockets that are bound to an address, of UDP and of TCP that listens.
func socketsAt(t *testing.T, at string) (inodes []string) {
	t.Helper()
	hostText, portText, err := net.SplitHostPort(at)
	must(t, err)
	port, err := strconv.Atoi(portText)
	must(t, err)
	ip := net.ParseIP(hostText).To4()
	local := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], port)
	for file, state := range map[string]string{"/proc/net/udp": "07", "/proc/net/tcp": "0A"} {
		text, err := os.ReadFile(file)
		must(t, err)
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && f[1] == local && f[3] == state {
				inodes = append(inodes, file+" "+f[9])
			}
		}
	}
	slices.Sort(inodes)
	if len(inodes) < 2 {
		t.Fatalf("no sockets at %s", at)
	}
	return inodes
}

// TestKilledNameserverAnswersRightly: kill -9 under load. From the first answer on everything is right: what was so
// before the kill, no NXDOMAIN, no NODATA, no SERVFAIL. It leaves little of a processor to others, so it runs alone.
func TestKilledNameserverAnswersRightly(t *testing.T) {
	b := newBusy(t)
	b.begin()
	b.flips.wanted.Store(1)
	b.order("force-down", "eu20")
	eventually(t, 5*time.Second, "the order is answered", func() bool {
		if err := b.check(b.exchange("udp", 0)); err != nil {
			t.Fatal(err)
		}
		return b.flips.seen.Load() == 1
	})
	eventually(t, 10*time.Second, "the last-good log has the decision", func() bool {
		text, err := os.ReadFile(filepath.Join(b.data, "last-good"))
		return err == nil && strings.Contains(string(text), `"active":"us21"`)
	})
	for round := range 2 {
		b.node.kill()
		if x := b.exchange("udp", 0); x.err == nil {
			t.Fatalf("somebody else answers: %v", x.resp)
		}
		began := time.Now()
		b.startNode()
		var first time.Duration
		answers := 0
		for end := began.Add(20 * time.Second); !b.ready() || answers < 100; {
			if time.Now().After(end) || !b.node.alive() {
				t.Fatalf("round %d: %d answers and ready %v after %v", round, answers, b.ready(), time.Since(began))
			}
			for i := range int64(len(busyQuestions)) {
				x := b.exchange("udp", i)
				if x.err != nil && first == 0 {
					break // refused: not there yet
				}
				if err := b.check(x); err != nil {
					t.Fatalf("round %d, %v after the start: %v", round, time.Since(began), err)
				}
				if answers++; first == 0 {
					first = time.Since(began)
				}
			}
		}
		t.Logf("first answer %v after the start, ready after %v, %d right answers until then", first.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), answers)
		if first > 5*time.Second+slack {
			t.Errorf("the first answer took %v", first)
		}
	}
}
