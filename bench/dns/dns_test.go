package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"jurymast/bench/side"
	"jurymast/internal/profile"
)

const perfSaid = `DNS Performance Testing Tool
Statistics:

  Queries sent:         82711
  Queries completed:    82709 (100.00%)
  Queries lost:         2 (0.00%)

  Response codes:       NOERROR 82708 (100.00%), SERVFAIL 1 (0.00%)
  Average packet size:  request 34, response 50
  Run time (s):         1.001733
  Queries per second:   82565.913272

  Average Latency (s):  0.002396 (min 0.000040, max 0.009467)
  Latency StdDev (s):   0.000529
`

func TestPerf(t *testing.T) {
	p, err := parsePerf([]byte(perfSaid))
	if err != nil {
		t.Fatal(err)
	}
	if want := (perf{completed: 82709, lost: 2, noerror: 82708, qps: 82565.913272, request: 34, response: 50}); p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
	if p.counts() == nil {
		t.Error("a run with lost answers counts")
	}
	good := perf{completed: 5, noerror: 5}
	if err := good.counts(); err != nil {
		t.Error(err)
	}
	if (perf{completed: 5, noerror: 4}).counts() == nil || (perf{}).counts() == nil {
		t.Error("a run with SERVFAIL, or without answers, counts")
	}
	if _, err := parsePerf([]byte("Error: unable to connect")); err == nil {
		t.Error("no figures, no error")
	}
}

func TestRatios(t *testing.T) {
	a := &outcome{Runs: side.Runs{{"us": 4}, {"us": 9}, nil, {"us": 10}}}
	g := &outcome{Runs: side.Runs{{"us": 2}, {"us": 3}, {"us": 1}, {"us": 4}}}
	k := &outcome{Runs: side.Runs{{"us": 1}, {"us": 9}, {"us": 1}, nil}}
	for _, c := range []struct {
		of   func(int) (float64, bool)
		want float64
	}{
		{g.To("us"), 2.5},                          // 2, 3, 2.5
		{toBest([]*outcome{g, k}, "us", true), 2},  // 4/2, 9/9, 10/4
		{toBest([]*outcome{g, k}, "us", false), 3}, // 4/1, 9/3, 10/4
	} {
		if got, why := ratio(a, c.of, "us"); got != c.want || why != "" {
			t.Errorf("%v %q, want %v", got, why, c.want)
		}
	}
	if _, why := ratio(a, g.To("qps"), "qps"); why == "" {
		t.Error("a ratio of nothing")
	}
}

// TestRow takes medians of the runs that counted, of the case asked for.
func TestRow(t *testing.T) {
	o := &outcome{
		contender: contender{server: nsdServer()}, why: []string{"pair 2: lost"},
		Runs: side.Runs{{"DO us": 1, "TCP us": 7}, nil, {"DO us": 3, "TCP us": 9}},
	}
	r := o.row("variants", "TCP", "TCP ")
	if r.Runs != 2 || len(r.Values) != 1 || r.Values["us"] != 8 || r.Why != "pair 2: lost" || r.Server != "nsd" {
		t.Errorf("%+v", r)
	}
}

// TestConfig: what Jurymast is started with is a good configuration, also with events and with more names than one $GENERATE makes.
func TestConfig(t *testing.T) {
	for _, w := range []world{
		{names: 100, dynamic: true},
		{names: 10, dynamic: true, origin: "http://127.0.0.1:1", events: true},
		{names: 1_001},
		{names: 10_000, dynamic: true},
	} {
		f, err := profile.DecodeFile("jurymast.yaml", jurymastConfig("/tmp/bench", 5300, 9460, w))
		if err != nil {
			t.Fatalf("%+v: %v", w, err)
		}
		if n := len(f.Profiles); w.dynamic && n != w.names || !w.dynamic && n != 0 {
			t.Errorf("%+v: %d profiles", w, n)
		}
		if w.origin == "" && bytes.Contains(jurymastConfig("/", 1, 2, w), []byte("monitor")) {
			t.Errorf("%+v: something is probed", w)
		}
	}
}

// responder answers over UDP like a bad nameserver: every n-th question not at all, every m-th with SERVFAIL, every k-th
// empty; 0 is never.
func responder(t *testing.T, lost, servfail, empty int) int {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for i := 1; ; i++ {
			n, from, err := c.ReadFromUDP(buf)
			if err != nil {
				return
			}
			if lost > 0 && i%lost == 0 {
				continue
			}
			buf[2] |= 0x80
			buf[7] = 1
			if servfail > 0 && i%servfail == 0 {
				buf[3], buf[7] = 2, 0
			} else if empty > 0 && i%empty == 0 {
				buf[7] = 0
			}
			_, _ = c.WriteToUDP(buf[:n], from)
		}
	}()
	a, _ := c.LocalAddr().(*net.UDPAddr)
	return a.Port
}

func generate(t *testing.T, port int, rate float64) loadResult {
	g := &generator{names: [][]byte{question(name(0), typeA), question(name(1), typeA)}, window: 64, rate: rate, length: 200 * time.Millisecond}
	for i := range g.sockets {
		var err error
		if g.sockets[i], err = newSocket(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = g.sockets[i].conn.Close() })
	}
	r, err := g.run()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLoad(t *testing.T) {
	open := generate(t, responder(t, 0, 0, 0), 2000)
	if err := open.counts(); err != nil || open.Sent != 400 {
		t.Errorf("2000 per second in 200 ms: %+v, %v", open, err)
	}
	window := generate(t, responder(t, 0, 0, 0), 0)
	if err := window.counts(); err != nil || window.Sent < 64 {
		t.Errorf("%+v, %v", window, err)
	}
	bad := generate(t, responder(t, 10, 7, 11), 2000)
	n := bad.Sent
	if bad.counts() == nil || bad.Lost != n/10 || bad.Answers != n-n/10 || bad.Rcodes["2"] == 0 || bad.Empty == 0 || bad.Rcodes["2"]+bad.Rcodes["0"] != bad.Answers {
		t.Errorf("a bad nameserver: %+v", bad)
	}
}

// TestMissing: a peer that is not there is told by its package, and fails a strict run; an unknown one is an error.
func TestMissing(t *testing.T) {
	known := []*server{
		jurymastServer("sh"), {name: "gdnsd", pkg: "gdnsd-package", program: "no-such-program"}, {name: "nsd", pkg: "nsd", program: "sh"},
	}
	b := &bench{settings: settings{Peers: "nsd,gdnsd"}}
	if err := b.findServers(known); err != nil {
		t.Fatal(err)
	}
	if len(b.servers) != 2 || b.servers[0] != known[0] || b.servers[1] != known[2] {
		t.Errorf("%d servers", len(b.servers))
	}
	if len(b.report.Missing) != 1 || !strings.Contains(b.report.Missing[0], "apt install gdnsd-package") {
		t.Errorf("missing: %q", b.report.Missing)
	}
	if b.report.end("", true) == nil || b.report.end("", false) != nil {
		t.Error("a missing peer fails a strict run, and only that")
	}
	b.Peers = "bind"
	if b.findServers(known) == nil {
		t.Error("bind is no peer")
	}
}

// TestGoals: a missed goal fails a strict run; what could not be measured is missed.
func TestGoals(t *testing.T) {
	for _, c := range []struct {
		value float64
		why   string
		most  bool
		least bool
	}{{1.1, "", false, true}, {1, "", true, true}, {.9, "", true, false}, {1, "no pair", false, false}} {
		var m, l report
		m.most("x", c.value, 1, c.why)
		l.least("x", c.value, 1, c.why)
		if m.Goals[0].Met != c.most || l.Goals[0].Met != c.least || (m.end("", true) == nil) != c.most || (l.end("", true) == nil) != c.least {
			t.Errorf("%+v: most %v, least %v", c, m.Goals[0].Met, l.Goals[0].Met)
		}
	}
}
