//go:build linux

package app_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/api"
)

// stage is what the monitors look at: pages, a peer that talks and a name server, each of which can be broken by name.
type stage struct {
	web, talk, names int // ports

	mu     sync.Mutex
	broken map[string]bool
	hits   map[string]int
}

// newStage serves on one address.
func newStage(t *testing.T, ip string) *stage {
	t.Helper()
	s := &stage{broken: map[string]bool{}, hits: map[string]int{}}
	listen := func() (net.Listener, int) {
		l, err := net.Listen("tcp", ip+":0")
		must(t, err)
		return l, portOf(l.Addr())
	}
	var site, peer net.Listener
	site, s.web = listen()
	pages := &http.Server{Handler: http.HandlerFunc(s.page), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = pages.Serve(site) }()
	t.Cleanup(func() { _ = pages.Close() })

	peer, s.talk = listen()
	go s.converse(peer)
	t.Cleanup(func() { _ = peer.Close() })

	pc, err := net.ListenPacket("udp", ip+":0")
	must(t, err)
	s.names = portOf(pc.LocalAddr())
	answers := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(s.answer)}
	go func() { _ = answers.ActivateAndServe() }()
	t.Cleanup(func() { _ = pc.Close() })
	return s
}

func portOf(a net.Addr) int { return int(netip.MustParseAddrPort(a.String()).Port()) }

// look counts and says whether name is broken.
func (s *stage) look(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hits[name]++
	return s.broken[name]
}

func (s *stage) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits[name]
}

func (s *stage) set(broken bool, names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range names {
		s.broken[n] = broken
	}
}

func (s *stage) page(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	broken := s.look(name)
	switch {
	case name == "json":
		_, _ = fmt.Fprintf(w, `{"parts": [{"state": %q}]}`, map[bool]string{false: "up", true: "down"}[broken])
	case name == "slow" && broken:
		time.Sleep(250 * time.Millisecond)
	case broken:
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (s *stage) converse(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			line, err := bufio.NewReader(c).ReadString('\n')
			if err == nil && line == "PING\r\n" && !s.look("talk") {
				_, _ = io.WriteString(c, "+PONG\r\n")
			}
		}()
	}
}

func (s *stage) answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	addr := "192.0.2.77"
	if s.look("names") {
		addr = "192.0.2.66"
	}
	if rr, err := dns.NewRR(q.Question[0].Name + " 60 IN A " + addr); err == nil {
		m.Answer = []dns.RR{rr}
	}
	_ = w.WriteMsg(m)
}

// monitors are profiles that use every source of a verdict; ADDR, WEB, TALK, NAMES are the stage.
const monitors = `
profiles:
  - &p
    name: checks
    hostnames: [checks.example]
    monitor: &m {port: WEB, interval: 400ms, timeout: 350ms, tolerated_failures: 1}
    endpoints:
      - &all
        name: all
        target: ADDR
        monitor: &both
          checks: [{name: page, path: /page}, {name: talk, protocol: tcp, port: TALK, send: 'PING\r\n', expect: {text: "+PONG"}}]
      - {name: any, target: ADDR, monitor: {<<: *both, combine: any}}
  - {<<: *p, name: names, hostnames: [names.example], endpoints: [{name: a, target: ADDR, monitor: {protocol: dns, port: NAMES, query: {name: alive.example, answers: [192.0.2.77]}}}]}
  - {<<: *p, name: program, hostnames: [program.example], endpoints: [{name: a, target: ADDR, monitor: {protocol: exec, exec: witness, interval: 1s, timeout: 900ms, tolerated_failures: 0}}]}
  - {<<: *p, name: sum, hostnames: [sum.example], endpoints: [
      {name: one, target: ADDR, monitor: {calculated: {of: [checks/all, names/a], at_least: 1}}}, {name: every, target: ADDR, monitor: {calculated: {of: [checks/all, names/a]}}}]}
  - {<<: *p, name: told, hostnames: [told.example], endpoints: [{name: a, target: ADDR, monitor: {external: {token: {secret: SIGNAL}, ttl: 1m, on_silence: down}}}]}
  - {<<: *p, name: held, hostnames: [held.example], endpoints: [{name: a, target: ADDR, monitor: {path: /held, hold_down: 2s}}]}
  - {<<: *p, name: seen, hostnames: [seen.example], endpoints: [{name: near, target: ADDR, monitor: {path: /near, vantage: [test]}}, {name: far, target: ADDR, monitor: {path: /far, vantage: [elsewhere]}}]}
  - {<<: *p, name: left, hostnames: [left.example], endpoints: [
      {name: disabled, target: ADDR, enabled: false, monitor: {path: /disabled}}, {name: stopped, target: ADDR, stopped: true, monitor: {path: /stopped}},
      {name: always, target: ADDR, always_serve: true, monitor: {path: /always}}, {name: assumed, target: ADDR, monitor: {path: /assumed, assume: up}}]}
  - {<<: *p, name: inactive, hostnames: [inactive.example], enabled: false, endpoints: [{name: a, target: ADDR, monitor: {path: /inactive}}]}
  - {<<: *p, name: rules, hostnames: [rules.example], endpoints: [
      {name: json, target: ADDR, monitor: {path: /json, expect: {json: {path: "parts[0].state", equals: up}}}},
      {name: slow, target: ADDR, monitor: {path: /slow, interval: 1s, timeout: 900ms, max_latency: 200ms}},
      {name: inverted, target: ADDR, monitor: {path: /inverted, invert: true}},
      {name: window, target: ADDR, monitor: {path: /window, window: {size: 4, need: 2}}}]}
  - {<<: *p, name: paced, hostnames: [paced.example], endpoints: [
      {name: own, target: ADDR, monitor: {path: /own, interval: 2s, timeout: 500ms, interval_fast: 100ms, tolerated_failures: 9}},
      {name: idle, target: ADDR, monitor: {path: /idle, interval: 1h, timeout: 500ms, tolerated_failures: 0}}]}
`

func (s *site) endpoint(profile, name string) api.EndpointStatus {
	s.t.Helper()
	var st api.ProfileStatus
	s.get("/api/v1/profiles/"+profile+"/status", &st)
	for _, e := range st.Endpoints {
		if e.Name == name {
			return e
		}
	}
	return api.EndpointStatus{}
}

// awaitReal waits until endpoints, PROFILE/NAME, are really up or down.
func (s *site) awaitReal(state string, endpoints ...string) {
	s.t.Helper()
	for _, e := range endpoints {
		profile, name, _ := strings.Cut(e, "/")
		eventually(s.t, 10*time.Second, e+" is "+state, func() bool { return s.endpoint(profile, name).Real == state })
	}
}

// metric is the sum of the series whose name and labels contain all the words.
func (s *site) metric(words ...string) (sum float64) {
	s.t.Helper()
	resp, err := web.Get("http://" + s.api + "/metrics")
	must(s.t, err)
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		found := true
		for _, w := range words {
			found = found && strings.Contains(name, w)
		}
		if n, err := strconv.ParseFloat(value, 64); err == nil && found {
			sum += n
		}
	}
	return sum
}

// Every source of a verdict on a real node: what the monitors look at breaks, and mends.
func TestEverySourceOfAVerdict(t *testing.T) {
	t.Parallel()
	s, ip := newSite(t), loopback()
	on := newStage(t, ip)
	file := filepath.Join(s.dir, "alive")
	must(t, os.WriteFile(file, nil, 0o600))
	s.env = []string{"SIGNAL=open sesame"}
	s.head = fmt.Sprintf("  secrets: {SIGNAL: {env: SIGNAL}}\n  exec: {witness: [/bin/sh, -c, '%s', %s]}\n", `test -e "$0" || { echo the file is gone; exit 3; }`, file)
	on.set(true, "inverted")
	text := s.nodeText() + strings.NewReplacer("ADDR", ip, "WEB", strconv.Itoa(on.web), "TALK", strconv.Itoa(on.talk), "NAMES", strconv.Itoa(on.names)).Replace(monitors)
	s.write(text)
	s.startNode()

	up := []string{"checks/all", "checks/any", "names/a", "program/a", "sum/one", "sum/every", "held/a", "seen/near", "rules/json", "rules/slow", "rules/inverted", "rules/window", "paced/own", "paced/idle"}
	s.awaitReady(20 * time.Second)
	s.awaitReal("up", up...)
	s.awaitReal("down", "told/a") // silence, by on_silence
	s.signal("told", "wrong", "up", http.StatusUnauthorized)
	s.signal("told", "open sesame", "up", http.StatusOK)
	s.awaitReal("up", "told/a")
	if far := s.endpoint("seen", "far"); far.Real != "checking" || len(far.Votes) != 0 {
		t.Errorf("voted on from nowhere near: %+v", far)
	}

	on.set(true, "page", "names", "held", "json", "slow", "window", "own")
	on.set(false, "inverted")
	must(t, os.Remove(file))
	s.signal("told", "open sesame", "down", http.StatusOK)
	broke := time.Now()
	s.awaitReal("down", "held/a")
	on.set(false, "held")
	fell := s.endpoint("held", "a").Since
	eventually(t, 5*time.Second, "held down, though probes pass", func() bool {
		e := s.endpoint("held", "a")
		return e.Held && e.Real == "down" || e.Real == "up" // over already, if the machine is slow
	})
	s.awaitReal("up", "held/a")
	if got := s.endpoint("held", "a").Since.Sub(fell); got < 2*time.Second {
		t.Errorf("up %v after the fall, hold_down is 2s", got)
	}

	s.awaitReal("down", "told/a", "names/a", "checks/all", "sum/one", "sum/every", "rules/json", "rules/inverted", "rules/window", "rules/slow", "program/a", "paced/own")
	// Ten failures at the interval are 18 s; at interval_fast they are 0.9 s behind the first one.
	if took := s.endpoint("paced", "own").Since.Sub(broke); took > 6*time.Second+slack {
		t.Errorf("interval_fast is not used: down after %v", took)
	}
	for e, want := range map[string]string{
		"program/a": "the file is gone", "names/a": "192.0.2.66", "rules/json": `"down"`, "rules/slow": "allowed 200ms", "rules/inverted": "inverted", "checks/all": "page: status 503",
	} {
		profile, name, _ := strings.Cut(e, "/")
		if got := s.endpoint(profile, name).Reason; !strings.Contains(got, want) {
			t.Errorf("%s: %q does not say %q", e, got, want)
		}
	}
	if e := s.endpoint("checks", "any"); e.Real != "up" {
		t.Errorf("one of two checks is enough for any: %+v", e)
	}
	on.set(true, "talk")
	s.awaitReal("down", "checks/any")

	on.set(false, "page", "talk", "names", "json", "slow", "window", "own")
	on.set(true, "inverted")
	must(t, os.WriteFile(file, nil, 0o600))
	s.signal("told", "open sesame", "up", http.StatusOK)
	s.awaitReal("up", append(up, "told/a")...)

	// One probe of what is switched off may begin before the node has taken its first document to heart.
	for page, most := range map[string]int{"far": 0, "always": 0, "assumed": 0, "disabled": 1, "stopped": 1, "inactive": 1} {
		if n := on.count(page); n > most {
			t.Errorf("%s was probed %d times", page, n)
		}
	}
	if n := on.count("idle"); n != 1 {
		t.Errorf("an endpoint with an interval of its own, 1h, was probed %d times", n)
	}

	// Both endpoints of checks have the same two probes: each runs once, and is counted for both.
	for check, page := range map[string]string{"page": "page", "talk": "talk"} {
		seen, probes := s.metric("jurymast_probe_observations_total", `profile="checks"`, `check="`+check+`"`), float64(on.count(page))
		if seen < 1.7*probes || seen > 2*probes+2 || probes < 8 {
			t.Errorf("%s: %g results of %g probes, want two of each", check, seen, probes)
		}
	}
	if runs, seen := s.metric("jurymast_probe_runs_total"), s.metric("jurymast_probe_observations_total"); runs >= seen || runs == 0 {
		t.Errorf("%g probes gave %g results", runs, seen)
	}

	// Another path is probed at once, long before the interval is over, and one failure is enough there; the verdict
	// stays until then. Another interval holds from now on.
	on.set(true, "later")
	text = strings.Replace(text, "path: /idle", "path: /later", 1)
	s.write(text)
	s.hangup()
	s.awaitReal("down", "paced/idle")
	if n := on.count("later"); n != 1 {
		t.Errorf("the new path was probed %d times", n)
	}
	on.set(false, "later")
	s.write(strings.Replace(text, "interval: 1h", "interval: 600ms", 1))
	s.hangup()
	s.awaitReal("up", "paced/idle")
	eventually(t, 10*time.Second, "the new interval holds", func() bool { return on.count("later") >= 4 })
}

// signal says over the API how an endpoint is, and demands a code.
func (s *site) signal(profile, token, state string, want int) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.api+"/api/v1/profiles/"+profile+"/endpoints/a/signal", strings.NewReader(`{"state":"`+state+`"}`))
	must(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := web.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != want {
		s.t.Fatalf("signal %s: %s %s, want %d", state, resp.Status, text, want)
	}
}
