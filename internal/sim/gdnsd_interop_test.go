//go:build interop

package sim_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/testbed"
)

// gdnsdInterval is the shortest gdnsd takes. Its manual says 1 s, the program refuses less than 2.
const gdnsdInterval = 2 * time.Second

// TestInteropGdnsdHysteresis gives Debian's gdnsd and our Tracker the same results of the same probes, and compares what
// they think after each. gdnsd has down_thresh = tolerated+1, up_thresh = recovery and ok_thresh = 1, so that one success
// clears its count of failures as it clears ours.
//
// One difference is meant: the start. gdnsd makes its first result the state at once, up or down. Ours says checking
// until a success, or until one failure too many: a node that has just started must not declare an endpoint down that it
// saw fail once. So most scripts begin with what both read alike (a success, or tolerated+1 failures), and are compared
// from our first verdict on; the script "late" shows the difference itself.
//
// Two readings are compared: the log, which has every transition with the TTL that follows from it (our horizon), and
// the states that the control socket tells between two probes.
func TestInteropGdnsdHysteresis(t *testing.T) {
	g := newOracle(t)
	for seed, r := range []health.Rule{{Recovery: 1}, {Tolerated: 1, Recovery: 1}, {Tolerated: 2, Recovery: 2}, {Recovery: 3}, {Tolerated: 3, Recovery: 1}, {Tolerated: 2, Recovery: 3}} {
		dice := rand.New(rand.NewPCG(uint64(seed), 3))
		for i := range 10 {
			g.add(r, script(dice, r, i%2 == 0, 20))
		}
	}
	late := g.add(health.Rule{Tolerated: 1, Recovery: 2}, "bgbgggbbggbbgg")
	g.run()
	for _, s := range g.services {
		if s != late {
			s.compare(t)
		}
	}
	want := []string{"DOWN", "UP", "DOWN", "UP", "DOWN", "UP"} // the first success alone does not bring it up, the third in a row does
	if got := late.logged; !equalStates(got, want) {
		t.Errorf("a script that begins with one failure: gdnsd logs %v, want %v", got, want)
	}
	if got := late.ours()[:3]; got[0].Opinion != health.Checking || got[1].Opinion != health.Up || got[2].Opinion != health.Up {
		t.Errorf("a script that begins with one failure: ours is %+v", got)
	}
}

func equalStates(logged []logEntry, want []string) bool {
	if len(logged) != len(want) {
		return false
	}
	for i := range want {
		if logged[i].state != want[i] {
			return false
		}
	}
	return true
}

// script is a row of results that come in runs, as those of real failures do.
func script(dice *rand.Rand, r health.Rule, up bool, n int) string {
	b := []byte("g")
	if !up {
		b = bytes.Repeat([]byte("b"), r.Tolerated+1)
	}
	for len(b) < n {
		next := b[len(b)-1]
		if dice.IntN(5) < 2 {
			next = 'g' + 'b' - next
		}
		b = append(b, next)
	}
	return string(b)
}

// oracle is one gdnsd and the server its monitors ask.
type oracle struct {
	t        *testing.T
	dir      string
	services []*service
	mu       sync.Mutex
}

// service is one script and what gdnsd made of it.
type service struct {
	name   string
	rule   health.Rule
	script string

	asked, settled int            // probes received; probes gdnsd has read the answer of and closed
	told           map[int]string // by number of results: the last state the control socket told before the next probe
	logged         []logEntry
}

type logEntry struct {
	state   string
	horizon time.Duration
}

func newOracle(t *testing.T) *oracle {
	for _, name := range []string{"gdnsd", "gdnsdctl"} {
		testbed.Tool(t, name)
	}
	return &oracle{t: t, dir: t.TempDir()}
}

func (g *oracle) add(r health.Rule, script string) *service {
	s := &service{name: fmt.Sprintf("s%d", len(g.services)), rule: r, script: script, told: map[int]string{}}
	g.services = append(g.services, s)
	return s
}

// run plays all scripts at once.
func (g *oracle) run() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	g.must(err)
	defer func() { g.must(l.Close()) }()
	go g.serve(l)
	_, port, err := net.SplitHostPort(l.Addr().String())
	g.must(err)
	g.configure(port)

	cmd := exec.Command("gdnsd", "-c", g.dir, "start")
	log, err := os.Create(filepath.Join(g.dir, "log"))
	g.must(err)
	defer func() { g.must(log.Close()) }()
	cmd.Stdout, cmd.Stderr = log, log
	g.must(cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is ended by a signal, or its log tells why it ended
	}()
	g.t.Cleanup(func() { // whatever became of the test
		_ = cmd.Process.Kill()
		<-ended
	})
	g.watch(ended)
	g.must(cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		g.must(cmd.Process.Kill())
		<-ended
	}
	g.readLog()
}

func (g *oracle) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatalf("%v; gdnsd says: %s", err, g.log())
	}
}

// log is what gdnsd has said so far.
func (g *oracle) log() string {
	text, err := os.ReadFile(filepath.Join(g.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (g *oracle) configure(port string) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	g.must(err)
	g.must(free.Close())
	var types, groups strings.Builder
	for _, s := range g.services {
		fmt.Fprintf(&types, "  %s => { plugin => http_status, port => %s, url_path => /%s, interval => %.0f, timeout => 1, up_thresh => %d, ok_thresh => 1, down_thresh => %d }\n",
			s.name, port, s.name, gdnsdInterval.Seconds(), s.rule.Recovery, s.rule.Tolerated+1)
		fmt.Fprintf(&groups, "  r%s => { service_types => %s, one => 127.0.0.1 }\n", s.name, s.name)
	}
	text := fmt.Sprintf("options => { listen => %s, run_dir => %s, state_dir => %s, udp_threads => 1, tcp_threads => 1 }\nservice_types => {\n%s}\nplugins => { multifo => {\n%s} }\n",
		free.Addr(), filepath.Join(g.dir, "run"), filepath.Join(g.dir, "state"), types.String(), groups.String())
	g.must(os.Mkdir(filepath.Join(g.dir, "zones"), 0o700))
	g.must(os.WriteFile(filepath.Join(g.dir, "config"), []byte(text), 0o600))
}

// serve answers each probe with the next result of its script. gdnsd closes the connection once it has read the status.
func (g *oracle) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			n, err := strconv.Atoi(strings.TrimPrefix(req.URL.Path, "/s"))
			if err != nil || n >= len(g.services) {
				return
			}
			s := g.services[n]
			g.mu.Lock()
			ok := s.asked >= len(s.script) || s.script[s.asked] == 'g'
			s.asked++
			g.mu.Unlock()
			answer := "HTTP/1.0 503 Service Unavailable\r\n\r\n"
			if ok {
				answer = "HTTP/1.0 200 OK\r\n\r\n"
			}
			_, _ = io.WriteString(c, answer)
			_, _ = io.Copy(io.Discard, c)
			g.mu.Lock()
			s.settled++
			g.mu.Unlock()
		}()
	}
}

// watch reads the states until all scripts are through. A state belongs to a number of results when no probe was under
// way before and after the reading; a later reading before the next probe replaces an earlier one.
func (g *oracle) watch(ended <-chan struct{}) {
	longest := 0
	for _, s := range g.services {
		longest = max(longest, len(s.script))
	}
	deadline := time.Now().Add(2*time.Minute + 10*time.Second)
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) { // real programs, real time
		select {
		case <-ended:
			g.t.Fatalf("gdnsd ended: %s", g.log())
		default:
		}
		before := g.results()
		states, err := g.states()
		if err != nil && time.Since(began) < 20*time.Second {
			continue // the control socket is not there yet
		}
		g.must(err)
		after, through := g.results(), true
		for i, s := range g.services {
			if n := before[i]; n >= 0 && n == after[i] {
				s.told[n] = states["127.0.0.1/"+s.name].RealState
			}
			through = through && after[i] > longest
		}
		if through {
			g.t.Logf("%d scripts, %d probes each, %v", len(g.services), longest, time.Since(began).Round(time.Second))
			return
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("gdnsd is not through in time: %s", g.log())
		}
	}
}

// results is how many results each service has; -1 while a probe is under way.
func (g *oracle) results() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]int, len(g.services))
	for i, s := range g.services {
		out[i] = s.asked
		if s.asked != s.settled {
			out[i] = -1
		}
	}
	return out
}

type toldState struct {
	RealState string `json:"real_state"`
}

func (g *oracle) states() (map[string]toldState, error) {
	out, err := exec.CommandContext(g.t.Context(), "gdnsdctl", "-c", g.dir, "-t", "5", "states").Output()
	if err != nil {
		return nil, fmt.Errorf("gdnsdctl states: %w", err)
	}
	var states map[string]toldState
	return states, json.Unmarshal(out, &states)
}

var logged = regexp.MustCompile(`state of '127\.0\.0\.1/s(\d+)' (?:initialized|changed from \S+) to (UP|DOWN)/(\d+)`)

func (g *oracle) readLog() {
	for _, m := range logged.FindAllStringSubmatch(g.log(), -1) {
		n, err := strconv.Atoi(m[1])
		g.must(err)
		ttl, err := strconv.Atoi(m[3])
		g.must(err)
		g.services[n].logged = append(g.services[n].logged, logEntry{m[2], time.Duration(ttl) * time.Second})
	}
}

// ours is what the Tracker thinks after each result of the script, and of the successes gdnsd got behind its end.
func (s *service) ours() []health.Vote {
	var tr health.Tracker
	votes := make([]health.Vote, s.asked)
	for i := range votes {
		tr.Step(s.rule, health.Observation{At: time.Unix(int64(i), 0), OK: i >= len(s.script) || s.script[i] == 'g'})
		votes[i] = tr.Vote
	}
	return votes
}

func (s *service) compare(t *testing.T) {
	t.Helper()
	votes := s.ours()
	var want []logEntry
	was, read := health.Checking, 0
	for i, v := range votes {
		if v.Opinion == health.Checking {
			continue
		}
		word := strings.ToUpper(v.Opinion.String())
		if told, ok := s.told[i+1]; ok {
			read++
			if told != word {
				t.Errorf("%+v %s: after %d results gdnsd says %s, ours %s", s.rule, s.script, i+1, told, word)
			}
		}
		if v.Opinion != was {
			want = append(want, logEntry{word, s.horizon(v)})
			was = v.Opinion
		}
	}
	if read < len(s.script)/2 {
		t.Errorf("%+v %s: only %d of %d states could be read", s.rule, s.script, read, len(votes))
	}
	if fmt.Sprint(s.logged) != fmt.Sprint(want) {
		t.Errorf("%+v %s: gdnsd logs %v, ours are %v", s.rule, s.script, s.logged, want)
	}
}

// horizon is how soon our status could flip, right after it has.
func (s *service) horizon(v health.Vote) time.Duration {
	e := health.EndpointView{
		Config: &profile.Endpoint{Enabled: true, Monitor: profile.Monitor{Interval: gdnsdInterval, ToleratedFailures: s.rule.Tolerated, RecoverySuccesses: s.rule.Recovery}},
		Votes:  []health.Ballot{{Node: "n1", Vote: v}},
	}
	e.Verdict = health.Quorum(profile.Quorum{}, e.Votes, health.Verdict{}, v.Since)
	health.Resolve(&profile.Profile{Enabled: true, Routing: profile.Weighted}, &e, false, v.Since)
	return e.Horizon
}
