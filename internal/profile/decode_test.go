package profile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// minimalProfile decodes a profile with one endpoint and nothing else.
func minimalProfile(t *testing.T, extra string) *Profile {
	t.Helper()
	p, err := DecodeProfile("p", []byte("name: p\nhostnames: [p.example]\nendpoints: [{name: a, target: 192.0.2.1}]\n"+extra))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDefaults is the table of the documentation: what a key says when nobody wrote it.
func TestDefaults(t *testing.T) {
	t.Parallel()
	f, err := DecodeFile("f", []byte("node: {}"))
	if err != nil {
		t.Fatal(err)
	}
	p := minimalProfile(t, "proxy: {sessions: {keys: [{soap: Body//userId}]}}")
	m, e, x := p.Monitor, p.Endpoints[0], p.Proxy
	for _, c := range []struct {
		key       string
		got, want any
	}{
		{"node.data", f.Node.Data, "/var/lib/jurymast"},
		{"node.api.socket", f.Node.API.Socket, "/var/lib/jurymast/api.sock"},
		{"node.api.listen", f.Node.API.Listen, "127.0.0.1:9460"},
		{"node.store.lease", f.Node.Store.Lease, 3 * time.Second},
		{"node.store.renew", f.Node.Store.Renew, time.Second},
		{"node.on_isolation", f.Node.OnIsolation, IsolationHold},
		{"node.proxy.tls.min_version", f.Node.Proxy.TLS.MinVersion, TLS12},
		{"node.proxy.access_log.file", f.Node.Proxy.AccessLog.File, ""},
		{"node.proxy.access_log.sample", f.Node.Proxy.AccessLog.Sample, 1},
		{"node.proxy.access_log.errors", f.Node.Proxy.AccessLog.Errors, true},
		{"node.proxy.access_log.query", f.Node.Proxy.AccessLog.Query, QueryHash},
		{"enabled", p.Enabled, true},
		{"routing", p.Routing, Priority},
		{"ttl", p.TTL, 30 * time.Second},
		{"ttl_floor", p.TTLFloor, time.Second},
		{"quorum", p.Quorum.String(), "majority"},
		{"failback.mode with sessions", p.Failback.Mode, FailbackManual},
		{"failback.mode", minimalProfile(t, "").Failback.Mode, FailbackAuto},
		{"failback.mode with proxy", minimalProfile(t, "proxy: {}").Failback.Mode, FailbackAuto},
		{"fencing", p.Fencing, Relaxed},
		{"compat", p.Compat, CompatNone},
		{"proxy", minimalProfile(t, "").Proxy == nil, true},
		{"monitor.protocol", m.Protocol, HTTP},
		{"monitor.port", m.Port, 0},
		{"monitor.path", m.Path, "/"},
		{"monitor.method", m.Method, "GET"},
		{"monitor.host", m.Host, "profile"},
		{"monitor.headers", len(m.Headers), 0},
		{"monitor.interval", m.Interval, 30 * time.Second},
		{"monitor.timeout", m.Timeout, 10 * time.Second},
		{"monitor.timeout, interval 10s", minimalProfile(t, "monitor: {interval: 10s}").Monitor.Timeout, 9 * time.Second},
		{"monitor.timeout, interval 1s", minimalProfile(t, "monitor: {interval: 1s}").Endpoints[0].Monitor.Timeout, 900 * time.Millisecond},
		{"monitor.tolerated_failures", m.ToleratedFailures, 2},
		{"monitor.recovery_successes", m.RecoverySuccesses, 1},
		{"monitor.expect.status", fmt.Sprint(m.Expect.Status), "[200]"},
		{"monitor.tls.verify", m.TLS.Verify, true},
		{"max_return", p.MaxReturn, 2},
		{"all_down", p.AllDown.String(), "serve"},
		{"checking", p.Checking, CheckingSecond},
		{"climb", p.Climb, true},
		{"answer", p.Answer, AnswerAuto},
		{"min_usable", p.MinUsable, 1},
		{"min_between", p.MinBetween, time.Duration(0)},
		{"monitor.body_limit", m.BodyLimit, Size(65536)},
		{"monitor.close", m.Close, CloseFIN},
		{"monitor.shared", m.Shared, true},
		{"monitor.query", m.Query, Query{Type: "A", Transport: "udp", Rcode: "NOERROR"}},
		{"monitor.combine", m.Combine.String(), "all"},
		{"monitor.tls.min_version", m.TLS.MinVersion, TLS12},
		{"monitor.tls.expiry_warn", m.TLS.ExpiryWarn, 336 * time.Hour},
		{"monitor.external", *minimalProfile(t, "monitor: {external: {token: {secret: S}}}").Monitor.External, External{Token: Value{Secret: "S"}, TTL: time.Minute, OnSilence: SilenceDown}},
		{"monitor.port with dns", minimalProfile(t, "monitor: {protocol: dns}").Endpoints[0].Monitor.Port, 53},
		{"endpoint.min_child", e.MinChild, 0},
		{"endpoint.priority", e.Priority, 1},
		{"endpoint.weight", e.Weight, 1},
		{"endpoint.enabled", e.Enabled, true},
		{"endpoint.always_serve", e.AlwaysServe, false},
		{"proxy.mode", x.Mode, ModeFailover},
		{"proxy.balance", x.Balance, RoundRobin},
		{"proxy.sessions.idle", x.Sessions.Idle, 8 * time.Hour},
		{"proxy.sessions.on_failure", x.Sessions.OnFailure, Rebind},
		{"proxy.sessions.on_failback", x.Sessions.OnFailback, Return},
		{"proxy.sessions.presence", x.Sessions.Presence, PresenceNotNeeded},
		{"proxy.sessions.keys.max_bytes", x.Sessions.Keys[0].MaxBytes, Size(65536)},
		{"proxy.retry.attempts", x.Retry.Attempts, 2},
		{"proxy.retry.methods", strings.Join(x.Retry.Methods, " "), "GET HEAD OPTIONS PUT DELETE"},
		{"proxy.retry.body_buffer", x.Retry.BodyBuffer, Size(65536)},
		{"proxy.retry.budget", x.Retry.Budget, Percent(20)},
		{"proxy.hold.max_requests", x.Hold.MaxRequests, 1000},
		{"proxy.hold.max_wait", x.Hold.MaxWait, 5 * time.Second},
		{"proxy.timeouts", x.Timeouts, Timeouts{Connect: time.Second, Response: time.Minute, Idle: time.Minute, Header: 10 * time.Second, Tunnel: time.Hour}},
		{"proxy.debug_headers", x.DebugHeaders, false},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("default of %s is %v, want %v", c.key, c.got, c.want)
		}
	}
}

// TestEveryEnumStartsWithItsDefault keeps Allowed in the order its comment promises.
func TestEveryEnumStartsWithItsDefault(t *testing.T) {
	t.Parallel()
	for _, word := range []chooser{Priority, HTTP, FailbackAuto, Relaxed, CompatNone, ModeFailover, RoundRobin, Rebind, Return, PresenceNotNeeded, IsolationHold, TLS12, CheckingSecond, AnswerAuto, CloseFIN, SilenceDown} {
		if got := word.Allowed()[0]; got != fmt.Sprint(word) {
			t.Errorf("%T lists %q first, want %q", word, got, word)
		}
	}
}

func TestEndpointsShareNothing(t *testing.T) {
	t.Parallel()
	p, err := DecodeProfile("p", []byte(`{"name":"p","hostnames":["p.example"],
		"monitor":{"headers":{"A":"1"},"expect":{"header":{"B":"2"},"status":["200"]}},
		"endpoints":[{"name":"a","target":"192.0.2.1"},{"name":"b","target":"192.0.2.2"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	first := &p.Endpoints[0].Monitor
	first.Headers["A"], first.Expect.Header["B"], first.Expect.Status[0] = Value{Text: "x"}, Value{Text: "x"}, StatusRange{500, 500}
	for _, m := range []Monitor{p.Monitor, p.Endpoints[1].Monitor} {
		if m.Headers["A"].Text != "1" || m.Expect.Header["B"].Text != "2" || m.Expect.Status[0].Min != 200 {
			t.Errorf("changing one endpoint's monitor changed another: %+v", m)
		}
	}
}

// TestHost is the order of the specification: the nearer level wins, a Host header is the same as monitor.host.
func TestHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ shared, own, want string }{
		{"", "", "profile"},
		{"host: origin", "", "origin"},
		{"headers: {host: h.example}", "", "h.example"},
		{"headers: {Host: h.example}", "host: own.example", "own.example"},
		{"host: h.example", "headers: {HOST: own.example}", "own.example"},
		{"headers: {Host: h.example}", "headers: {host: own.example}", "own.example"},
		{"headers: {Host: h.example}", "headers: {X-A: b}", "h.example"},
	} {
		text := fmt.Sprintf("name: p\nhostnames: [p.example]\nmonitor: {%s}\nendpoints: [{name: a, target: 192.0.2.1, monitor: {%s}}]\n", c.shared, c.own)
		p, err := DecodeProfile("p", []byte(text))
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		m := p.Endpoints[0].Monitor
		if _, _, left := hostHeader(m.Headers); m.Host != c.want || left {
			t.Errorf("%+v: host %q, headers %v", c, m.Host, m.Headers)
		}
	}
}

func TestDocumentCannotNameAFile(t *testing.T) {
	t.Parallel()
	_, err := DecodeZone("zones/x", []byte("{name: x.example, file: /etc/shadow}"))
	if err == nil || !strings.Contains(err.Error(), "zones/x:1:25: file: a shared document cannot name a file") {
		t.Errorf("got %v", err)
	}
}

func TestInlineZoneFiles(t *testing.T) {
	t.Parallel()
	const text = "@ 60 IN SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"
	f, err := DecodeFile("f", []byte("zones:\n  - {name: plain.example, nameservers: [ns.plain.example]}\n  - name: x.example\n    file: x.zone\n"))
	if err != nil {
		t.Fatal(err)
	}
	err = f.InlineZoneFiles(func(path string) ([]byte, error) {
		if path != "x.zone" {
			t.Errorf("asked for %q", path)
		}
		return []byte(text), nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if z := f.Zones[1]; z.Records != text || z.File != "" {
		t.Errorf("zone is %+v", z)
	}
	z, err := DecodeZone("stored", f.Documents[1].Source)
	if err != nil || !reflect.DeepEqual(*z, f.Zones[1]) {
		t.Errorf("the stored document says %+v, %v\n%s", z, err, f.Documents[1].Source)
	}
}

func TestInlineZoneFilesReportsAll(t *testing.T) {
	t.Parallel()
	f, err := DecodeFile("f.yaml", []byte("zones:\n"+
		"  - {name: a.example, file: missing}\n"+
		"  - {name: b.example, file: bare}\n"+
		"  - {name: c.example, file: binary}\n"+
		"  - {name: d.example, file: huge}\n"))
	if err != nil {
		t.Fatal(err)
	}
	err = f.InlineZoneFiles(func(path string) ([]byte, error) {
		switch path {
		case "bare":
			return []byte("ns A 192.0.2.1\n"), nil
		case "binary":
			return []byte{0, 1}, nil
		case "huge":
			return make([]byte, maxDocumentBytes+1), nil
		}
		return nil, os.ErrNotExist
	}, nil)
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 4 {
		t.Fatalf("got %v", err)
	}
	for i, want := range []string{"cannot read the zone file", "SOA and NS", "is not text", "more than"} {
		if problems[i].Line != i+2 || !strings.Contains(problems[i].Message, want) {
			t.Errorf("problem %d is %s, want %q", i, problems[i], want)
		}
	}
}

func TestSizeBounds(t *testing.T) {
	t.Parallel()
	big := []byte("name: p # " + strings.Repeat("x", maxDocumentBytes))
	if _, err := DecodeProfile("p", big); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("document of %d bytes: %v", len(big), err)
	}
	var keys strings.Builder
	for i := range maxSiblings + 1 {
		fmt.Fprintf(&keys, "k%d: 1\n", i)
	}
	if _, err := DecodeFile("f", []byte(keys.String())); err == nil || !strings.Contains(err.Error(), "keys in one mapping") {
		t.Errorf("%d keys: %.200v", maxSiblings+1, err)
	}
}

func TestSecretNames(t *testing.T) {
	t.Parallel()
	p := minimalProfile(t, "monitor: {headers: {A: {secret: S2}, B: {env: E}}, expect: {header: {C: {secret: S1}}}}")
	if got := fmt.Sprint(p.SecretNames(), p.EnvNames()); got != "[S1 S2] [E]" {
		t.Errorf("names are %s", got)
	}
	secrets := map[string]SecretSource{"S1": {File: "x"}, "S3": {Env: "E"}}
	got := p.MissingSecrets("profiles/p", secrets)
	if len(got) != 1 || got[0].String() != "profiles/p:1:1: S2: is not a secret of this node; add it to node.secrets" {
		t.Errorf("missing: %v", got)
	}
}

func TestUseData(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"node: {}":                       "/d/api.sock",
		"node: {api: {socket: /s.sock}}": "/s.sock",
		"node: {api: {socket: \"\"}}":    "",
	} {
		f, err := DecodeFile("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if f.Node.UseData("/d"); f.Node.Data != "/d" || f.Node.API.Socket != want {
			t.Errorf("%s: data %s, socket %q, want %q", text, f.Node.Data, f.Node.API.Socket, want)
		}
	}
}

// TestFindingsOfDocuments: NotYet for single documents says the same as for a file.
func TestFindingsOfDocuments(t *testing.T) {
	t.Parallel()
	for _, file := range inputs(t, "good") {
		f, err := DecodeFile(file, contents(t, file))
		if err != nil {
			t.Fatal(err)
		}
		whole := 0
		for _, p := range NotYet(f) {
			if !strings.HasPrefix(p.Message, "not yet: ") || !strings.Contains(p.Message, "; meanwhile ") {
				t.Errorf("%s does not say what to do meanwhile", p)
			}
			if !strings.HasPrefix(p.Path, "node.") {
				whole++
			}
		}
		single := 0
		for i := range f.Profiles {
			single += len(NotYetProfile("p", &f.Profiles[i]))
		}
		for i := range f.Zones {
			single += len(NotYetZone("z", &f.Zones[i]))
		}
		if whole != single {
			t.Errorf("%s: %d findings in the file, %d in its documents", filepath.Base(file), whole, single)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	allowed := []string{"interval", "timeout", "max_wait", "on_failback"}
	for word, want := range map[string]string{
		"intervall": "interval", "INTERVAL": "interval", "itnerval": "interval", "max-wait": "max_wait",
		"maxwait": "max_wait", "failback": "", "x": "", strings.Repeat("interval", 100): "",
	} {
		if got := nearest(word, allowed); got != want {
			t.Errorf("nearest to %.20q is %q, want %q", word, got, want)
		}
	}
}

// FuzzDecodeFile: whatever the text, nothing panics, every problem has a place, and what is accepted comes back the
// same from its documents.
func FuzzDecodeFile(f *testing.F) {
	for _, dir := range []string{"good", "bad"} {
		files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := DecodeFile("f", data)
		if err == nil {
			again(t, file)
			checkPlaces(t, append(NotYet(file), Warnings(file)...))
			return
		}
		var problems Problems
		if file != nil || !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("file %v with error %#v", file, err)
		}
		checkPlaces(t, problems)
	})
}

func checkPlaces(t *testing.T, problems Problems) {
	t.Helper()
	for _, p := range problems {
		if p.Line < 1 || p.Column < 1 || p.Message == "" {
			t.Errorf("problem without a place: %+v", p)
		}
	}
}

// BenchmarkDecodeLarge reads the largest configuration we promise to be comfortable with, a tenth at a time.
func BenchmarkDecodeLarge(b *testing.B) {
	var text strings.Builder
	text.WriteString("profiles:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "  - name: p%d\n    hostnames: [p%d.example]\n    endpoints:\n", i, i)
		for j := range 10 {
			fmt.Fprintf(&text, "      - name: e%d\n        target: 192.0.%d.%d\n        origin: http://192.0.2.1:8080\n", j, i%256, j)
		}
	}
	data := []byte(text.String())
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := DecodeFile("f", data); err != nil {
			b.Fatal(err)
		}
	}
}
