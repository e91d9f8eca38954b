//go:build interop && linux

package nameserver_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
	"jurymast/internal/testbed"
)

const (
	wiredProfiles = 300
	wiredStates   = 100 // endpoints of each, one of them answered
	wiredEntries  = 2*wiredProfiles + 4 + 3
)

// wiredAddr is the address of a profile's endpoint.
func wiredAddr(i, state int) string { return fmt.Sprintf("10.%d.%d.%d", i/200, i%200, state) }

func wiredName(i int) string { return fmt.Sprintf("h%d.wired.example", i) }

// publication is one change, and when it was in force.
type publication struct {
	Profile int // -1: the documents
	State   int
	At      int64 // ns since 1970
}

// report is what the server of a test says of itself.
type report struct {
	Driver  nameserver.DriverStatus
	UDP     float64 // jurymast_dns_queries_total
	OK      float64 // jurymast_dns_responses_total
	Answers float64 // jurymast_dns_answers_total
	EDNS    float64
}

// TestInteropDriverServer is no test but the server of some, in a process of its own.
func TestInteropDriverServer(t *testing.T) {
	word := os.Getenv(serverVar)
	if word == "" {
		t.Skip("the server of other tests")
	}
	x := nameserver.XDP{On: true}
	if word != "auto" {
		x.Interfaces = strings.Split(word, ",")
	}
	f := create(nameserver.Options{Listen: []string{wired4.String(), wired6.String()}, XDP: x})
	w := &wiring{t: t, f: f}
	w.reload(0)
	f.serve(t)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var out any
		switch order, argument, _ := strings.Cut(in.Text(), " "); order {
		case "report":
			out = w.report()
		case "change":
			d, err := time.ParseDuration(argument)
			if err != nil {
				t.Fatal(err)
			}
			out = w.change(d)
		case "stop":
			return
		}
		text, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(string(text))
	}
}

// wiring is the server's side of the cable.
type wiring struct {
	t     *testing.T
	f     *fixture
	ps    []*profile.Profile
	alias []*profile.Profile
	state [wiredProfiles]int
	gen   int
}

func (w *wiring) view(i int) *health.View {
	return view(w.ps[i], strings.Repeat("d", w.state[i])+strings.Repeat("u", wiredStates-w.state[i]), nil)
}

// reload publishes documents of another generation, which one record tells.
func (w *wiring) reload(gen int) publication {
	var views []*health.View
	if w.ps == nil {
		for i := range wiredProfiles {
			targets := make([]profile.Target, wiredStates)
			for s := range targets {
				targets[s] = addrs(wiredAddr(i, s), fmt.Sprintf("2001:db8::%x:%x", i, s))
			}
			w.ps = append(w.ps, wide(fmt.Sprintf("p%d", i), wiredName(i), targets))
			views = append(views, w.view(i))
		}
	}
	if gen == 0 {
		p := service("abroad", names("alias.wired.example"), profile.Target{Host: "www.example"}, profile.Target{Host: "elsewhere.test"})
		w.alias = []*profile.Profile{p}
		views = append(views, view(p, "uu", nil))
	}
	w.gen = gen
	zone := &profile.Zone{
		Name: "wired.example", Nameservers: []string{"ns1.wired.example"}, Hostmaster: "ops.wired.example",
		Records: fmt.Sprintf("gen IN A 10.99.%d.%d\n%s", gen/200, gen%200, "txt IN TXT \"hello\"\nmail IN AAAA 2001:db8::25\nweb IN A 192.0.2.80\nweb IN A 192.0.2.81\n*.wild IN A 192.0.2.1\n"),
	}
	w.f.publish(w.t, uint64(gen+1), []*profile.Zone{zone}, append(w.alias, w.ps...), views)
	return publication{-1, gen, time.Now().UnixNano()}
}

func wide(name, host string, targets []profile.Target) *profile.Profile {
	p := service(name, names(host), targets...)
	for i := range p.Endpoints {
		p.Endpoints[i].Name = fmt.Sprintf("e%d", i)
	}
	return p
}

// change flips a profile every 2 ms and reloads every 100 ms, and tells what it did.
func (w *wiring) change(d time.Duration) (out []publication) {
	out = append(out, publication{-1, w.gen, time.Now().UnixNano()})
	for i := range w.ps {
		out = append(out, publication{i, w.state[i], time.Now().UnixNano()})
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(d)
	for n := 1; time.Now().Before(end); n++ {
		<-tick.C
		if n%50 == 0 {
			out = append(out, w.reload(w.gen+1))
			continue
		}
		i := rand.IntN(wiredProfiles)
		w.state[i] = (w.state[i] + 1) % wiredStates
		w.f.hub.Publish(nil, w.view(i))
		out = append(out, publication{i, w.state[i], time.Now().UnixNano()})
	}
	return out
}

func (w *wiring) report() report {
	r := report{Driver: w.f.srv.Driver()}
	for name, n := range w.f.counters(w.t) {
		switch {
		case strings.HasPrefix(name, "queries_total") && strings.Contains(name, "udp"):
			r.UDP += n
		case name == "responses_total rcode=NOERROR":
			r.OK = n
		case strings.HasPrefix(name, "answers_total"):
			r.Answers += n
		case name == "edns_total kind=any":
			r.EDNS = n
		}
	}
	return r
}

// attached waits until the driver answers.
func (s *wiredServer) attached() report {
	s.t.Helper()
	var r report
	for range 100 {
		if s.do("report", &r); r.Driver.State != nameserver.DriverWaits {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if r.Driver.State != nameserver.DriverOn || r.Driver.Entries != wiredEntries {
		s.t.Fatalf("the driver's part: %+v", r.Driver)
	}
	return r
}

// Whoever answers, the driver over the cable or the sockets over loopback, the bytes are the same, and all of them are
// counted as if there were only sockets.
func TestInteropDriverAnswersAsSockets(t *testing.T) {
	c := newCable(t)
	s := c.start("eth0")
	s.attached()
	dice := rand.New(rand.NewPCG(5, 6))
	wires := []net.Conn{c.dial(c.Client, wired4), c.dial(c.Client, wired6)}
	loops := []net.Conn{c.dial(c.Server, wired4), c.dial(c.Server, wired6)}
	var before, after report
	s.do("report", &before)
	const n = 4000
	withEDNS := 0
	for i := range n {
		q := wiredQuestion(dice)
		if q[11] == 1 {
			withEDNS += 2
		}
		wire, err := exchange(wires[i%2], q)
		if err != nil {
			t.Fatalf("question %d over the cable: %v: % x", i, err, q)
		}
		loop, err := exchange(loops[i%2], q)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(wire, loop) {
			t.Fatalf("question % x\ncable   % x\nsockets % x", q, wire, loop)
		}
	}
	s.do("report", &after)
	d := after.Driver
	t.Logf("%+v", d)
	if d.Answered-before.Driver.Answered < n/4 {
		t.Errorf("only %d of %d were answered in the driver", d.Answered, n)
	}
	if got := after.UDP - before.UDP; got != 2*n {
		t.Errorf("counted %v questions, want %d", got, 2*n)
	}
	if got := after.EDNS - before.EDNS; got != float64(withEDNS) {
		t.Errorf("counted %v questions with EDNS, want %d", got, withEDNS)
	}
	if after.Answers <= before.Answers || after.OK-before.OK < float64(n) {
		t.Errorf("answers %v -> %v, NOERROR %v -> %v", before.Answers, after.Answers, before.OK, after.OK)
	}
	answersAreCounted(t, s, wires[0])
}

// answersAreCounted asks one profile's name and expects each answer to be counted for it.
func answersAreCounted(t *testing.T, s *wiredServer, conn net.Conn) {
	t.Helper()
	var before, after report
	s.do("report", &before)
	for range 500 {
		if _, err := exchange(conn, packet(plainHead, "name:"+wiredName(7), "0001 0001")); err != nil {
			t.Fatal(err)
		}
	}
	s.do("report", &after)
	if got := after.Answers - before.Answers; got != 500 {
		t.Errorf("500 answers of a profile were counted as %v", got)
	}
	if after.Driver.Answered == before.Driver.Answered {
		t.Error("none of them was the driver's")
	}
}

// wiredQuestion is a well-formed one about some name, in any case, with any flags and options the driver may meet.
func wiredQuestion(dice *rand.Rand) []byte {
	list := []string{"alias.wired.example", "gen.wired.example", "txt.wired.example", "mail.wired.example", "web.wired.example", "x.wild.wired.example", "none.wired.example", "wired.example", "elsewhere.test"}
	name := wiredName(dice.IntN(wiredProfiles))
	if dice.IntN(4) == 0 {
		name = list[dice.IntN(len(list))]
	}
	if name == "web.wired.example" { // in turning order
		name = "gen.wired.example"
	}
	types := []uint16{dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeSOA, dns.TypeCNAME, dns.TypeHTTPS}
	q := []byte{byte(dice.Uint32()), byte(dice.Uint32()), byte(dice.IntN(2)), byte(dice.IntN(4)) << 4, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(name, ".") {
		q = append(q, byte(len(label)))
		for _, c := range []byte(label) {
			if c >= 'a' && dice.IntN(3) == 0 {
				c -= 'a' - 'A'
			}
			q = append(q, c)
		}
	}
	q = append(q, 0)
	q = binary.BigEndian.AppendUint16(q, types[dice.IntN(len(types))])
	q = append(q, 0, 1)
	if dice.IntN(2) == 0 {
		q[11] = 1
		size := []uint16{0, 512, 1232, 4096}[dice.IntN(4)]
		q = append(q, 0, 0, 41, byte(size>>8), byte(size), 0, 0, byte(dice.IntN(2))<<7, 0, 0, 0)
		if dice.IntN(4) == 0 { // NSID
			q[len(q)-1] = 4
			q = append(q, 0, 3, 0, 0)
		}
	}
	return q
}

// seenAnswer is one answer: what it told, and when its question was sent.
type seenAnswer struct {
	profile, state int
	sent           int64
}

// While health flips 500 times a second and zones reload ten times a second, every question is answered, and no answer
// is older than 20 ms when its question is asked.
func TestInteropDriverNeverLate(t *testing.T) {
	c := newCable(t)
	s := c.start("eth0")
	s.attached()
	const took = 4 * time.Second
	var wait sync.WaitGroup
	stop := make(chan struct{})
	all := make([][]seenAnswer, 4)
	for i := range all {
		conn := c.dial(c.Client, wired4)
		wait.Go(func() { all[i] = askUntil(t, stop, conn, rand.New(rand.NewPCG(uint64(i), 1))) })
	}
	var told []publication
	s.do("change "+took.String(), &told)
	close(stop)
	wait.Wait()
	var r report
	s.do("report", &r)
	history := map[int][]publication{}
	for _, p := range told {
		history[p.Profile] = append(history[p.Profile], p)
	}
	asked, late, worst := 0, 0, time.Duration(0)
	for _, list := range all {
		for _, a := range list {
			asked++
			if age := lateness(history[a.profile], a); age > worst {
				worst = age
				if age > 20*time.Millisecond {
					late++
				}
			}
		}
	}
	t.Logf("%d questions, %d changes, %d answered in the driver, latest answer %v after its successor; %+v", asked, len(told), r.Driver.Answered, worst, r.Driver)
	if late > 0 {
		t.Errorf("%d answers were late, up to %v", late, worst)
	}
	if asked < 1000 || r.Driver.Answered < uint64(asked)/4 {
		t.Errorf("%d questions, of which the driver answered %d: the test shows nothing", asked, r.Driver.Answered)
	}
}

// askUntil asks about random names and notes what they said.
func askUntil(t *testing.T, stop <-chan struct{}, conn net.Conn, dice *rand.Rand) (out []seenAnswer) {
	for {
		select {
		case <-stop:
			return out
		default:
		}
		i, name := dice.IntN(wiredProfiles+wiredProfiles/10), "gen.wired.example"
		if i < wiredProfiles {
			name = wiredName(i)
		} else {
			i = -1
		}
		q := packet(plainHead, "name:"+name, "0001 0001")
		binary.BigEndian.PutUint16(q, uint16(dice.Uint32()))
		sent := time.Now().UnixNano()
		reply, err := exchange(conn, q)
		if err != nil || len(reply) != len(q)+16 {
			t.Errorf("%s: lost: %v % x", name, err, reply)
			return out
		}
		state := int(reply[len(reply)-1])
		if i < 0 {
			state += 200 * int(reply[len(reply)-2])
		} else if want := wiredAddr(i, state); net.IP(reply[len(reply)-4:]).String() != want {
			t.Errorf("%s: %v is no address of it", name, net.IP(reply[len(reply)-4:]))
		}
		out = append(out, seenAnswer{i, state, sent})
	}
}

// lateness is for how long an answer had been replaced when its question was sent.
func lateness(history []publication, a seenAnswer) time.Duration {
	best := time.Hour
	for n, p := range history {
		if p.State != a.state {
			continue
		}
		if n+1 == len(history) || history[n+1].At >= a.sent {
			return 0
		}
		best = time.Duration(a.sent - history[n+1].At)
	}
	return best
}

// kill -9 leaves nothing behind: the interface has no program, and the next server begins anew.
func TestInteropDriverDies(t *testing.T) {
	c := newCable(t)
	s := c.start("eth0")
	s.attached()
	if link := testbed.Shell(t, "ip -n "+c.Server+" link show dev eth0"); !strings.Contains(link, "prog/xdp") {
		t.Errorf("no program is attached: %s", link)
	}
	s.kill()
	if link := testbed.Shell(t, "ip -n "+c.Server+" link show dev eth0"); strings.Contains(link, "xdp") {
		t.Errorf("a program is left: %s", link)
	}
	s = c.start("eth0")
	s.attached()
	s.do("change 10ms", new([]publication))
	if _, err := fmt.Fprintln(s.in, "stop"); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if link := testbed.Shell(t, "ip -n "+c.Server+" link show dev eth0"); strings.Contains(link, "xdp") {
		t.Errorf("a program is left: %s", link)
	}
}

// A server that is stopped is not answered for: what it would follow it does not know.
func TestInteropDriverFallsSilent(t *testing.T) {
	c := newCable(t)
	s := c.start("eth0")
	s.attached()
	conn := c.dial(c.Client, wired4)
	q := packet(plainHead, "name:"+wiredName(1), "0001 0001")
	var before, after report
	if s.do("report", &before); before.Driver.State != nameserver.DriverOn {
		t.Fatalf("%+v", before.Driver)
	}
	if err := s.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	answers := 0
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); answers++ {
		_, _ = conn.Write(q)
		_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1500)); err != nil {
			break
		}
		<-time.After(time.Millisecond)
	}
	if answers == 0 || answers > 2000 {
		t.Errorf("%d answers of a stopped server", answers)
	}
	if err := s.cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.do("report", &before)
	for end := time.Now().Add(5 * time.Second); after.Driver.Answered <= before.Driver.Answered; s.do("report", &after) {
		if time.Now().After(end) {
			t.Fatal("it does not answer again")
		}
		if _, err := exchange(conn, q); err != nil {
			t.Fatal(err)
		}
	}
}

// Where the driver cannot answer the sockets do, and the server says why.
func TestInteropDriverImpossible(t *testing.T) {
	for what, one := range map[string]struct {
		interfaces string
		wrapper    []string
		prepare    string
		want       []string
	}{
		"virtual":     {"auto", nil, "", []string{"virtual (veth); name it if it is meant: xdp: [eth0]"}},
		"loopback":    {"lo", nil, "", []string{"loopback"}},
		"absent":      {"eth7", nil, "", []string{"no such interface"}},
		"no rights":   {"eth0", []string{"setpriv", "--bounding-set=-all", "--inh-caps=-all"}, "ip netns exec $S sysctl -qw net.ipv4.ip_unprivileged_port_start=0", []string{"CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"}},
		"in a bridge": {"eth0", nil, "ip -n $S link add br0 type bridge; ip -n $S link set br0 up; ip -n $S link set eth0 master br0; ip -n $S addr flush dev eth0; ip -n $S addr add 192.0.2.1/24 dev br0; ip -n $S addr add 2001:db8::1/64 dev br0 nodad", []string{"bridge"}},
	} {
		t.Run(what, func(t *testing.T) {
			c := newCable(t)
			if one.prepare != "" {
				testbed.Shell(t, strings.ReplaceAll(one.prepare, "$S", c.Server))
			}
			s := c.start(one.interfaces, one.wrapper...)
			var r report
			for range 100 {
				if s.do("report", &r); r.Driver.State != nameserver.DriverWaits {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			for _, want := range one.want {
				if r.Driver.State != nameserver.DriverRefused || !strings.Contains(fmt.Sprintf("%+v", r.Driver), want) {
					t.Errorf("%+v; want it to tell %q", r.Driver, want)
				}
			}
			if _, err := exchange(c.dial(c.Client, wired4), packet(plainHead, "name:"+wiredName(1), "0001 0001")); err != nil {
				t.Error(err)
			}
		})
	}
}
