package probe

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"jurymast/internal/profile"
)

func TestChecksOf(t *testing.T) {
	part := func(name string, change func(m *profile.Monitor)) func(m *profile.Monitor) {
		return func(m *profile.Monitor) {
			own := *m
			own.Checks = nil
			change(&own)
			m.Checks = append(m.Checks, profile.Check{Name: name, Monitor: own})
		}
	}
	web := part("web", func(m *profile.Monitor) { m.Interval = 10 * time.Second })
	db := part("db", func(m *profile.Monitor) { m.Protocol, m.Port, m.Path, m.Interval = profile.TCP, 5432, "", time.Minute })
	for _, tc := range []struct {
		name   string
		change func(e *profile.Endpoint)
		want   string
	}{
		{"one", func(*profile.Endpoint) {}, "[/30s]"},
		{"several, each with its interval", func(e *profile.Endpoint) { web(&e.Monitor); db(&e.Monitor) }, "[web/10s db/1m0s]"},
		{"always served", func(e *profile.Endpoint) { e.AlwaysServe = true }, "[]"},
		{"nested", func(e *profile.Endpoint) { e.Origin, e.Target = "", profile.Target{Profile: "child"} }, "[]"},
		{"assumed", func(e *profile.Endpoint) { e.Monitor.Assume = profile.AssumeUp }, "[]"},
		{"calculated", func(e *profile.Endpoint) { e.Monitor.Calculated = &profile.Calculated{} }, "[]"},
		{"external", func(e *profile.Endpoint) { e.Monitor.External = &profile.External{} }, "[]"},
		{"seen from here", func(e *profile.Endpoint) { e.Monitor.Vantage = []string{"us", "eu"} }, "[/30s]"},
		{"not seen from here", func(e *profile.Endpoint) { e.Monitor.Vantage = []string{"us"} }, "[]"},
		{"one of two seen from here", func(e *profile.Endpoint) {
			web(&e.Monitor)
			part("far", func(m *profile.Monitor) { m.Vantage = []string{"us"} })(&e.Monitor)
		}, "[web/10s]"},
		{"a mistake in one", func(e *profile.Endpoint) {
			web(&e.Monitor)
			part("bad", func(m *profile.Monitor) { m.Path = "x" })(&e.Monitor)
		}, `profile integration, endpoint eu20, check bad: monitor.path "x" must start with /`},
	} {
		p, e := service()
		tc.change(e)
		checks, err := ChecksOf(p, e, Node{Location: "eu"})
		words := []string{}
		for _, c := range checks {
			if c.Profile != p.Name || c.Endpoint != e.Name || c.Key() != c.Spec.Key() {
				t.Errorf("%s: %+v", tc.name, c)
			}
			words = append(words, c.Name+"/"+c.Interval.String())
		}
		got := fmt.Sprint(words)
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}

	// On demand one probe can be named, also one that other locations make.
	p, e := service()
	e.Monitor.Vantage = []string{"us"}
	if c, err := CheckOf(p, e, "", Node{}); err != nil || c.Name != "" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := CheckOf(p, e, "db", Node{}); err == nil || !strings.Contains(err.Error(), `there is no "db"`) {
		t.Error(err)
	}
	web(&e.Monitor)
	db(&e.Monitor)
	if c, err := CheckOf(p, e, "db", Node{}); err != nil || c.Name != "db" || c.Spec.Protocol != profile.TCP {
		t.Errorf("%+v, %v", c, err)
	}
	for _, name := range []string{"", "cache"} {
		if _, err := CheckOf(p, e, name, Node{}); err == nil || !strings.HasSuffix(err.Error(), "web, db") {
			t.Errorf("check %q: %v", name, err)
		}
	}
}

func TestSpecRefusesTheNewKeys(t *testing.T) {
	as := func(protocol profile.Protocol, change func(m *profile.Monitor)) func(m *profile.Monitor) {
		return func(m *profile.Monitor) { m.Protocol = protocol; change(m) }
	}
	for _, tc := range []struct {
		change func(m *profile.Monitor)
		want   string
	}{
		{func(m *profile.Monitor) { m.MaxLatency = -1 }, "must not be negative"},
		{func(m *profile.Monitor) { m.Expect.JSON = profile.ExpectJSON{Path: "a..b"} }, `"a..b" is no path`},
		{func(m *profile.Monitor) { m.Expect.JSON = profile.ExpectJSON{Path: "a[x]"} }, "is no path"},
		{func(m *profile.Monitor) { m.Expect.JSON = profile.ExpectJSON{Path: "a[1"} }, "is no path"},
		{func(m *profile.Monitor) { m.Expect.JSON = profile.ExpectJSON{Path: "a.[0]"} }, "is no path"},
		{func(m *profile.Monitor) { m.Expect.JSON = profile.ExpectJSON{Equals: "x"} }, "without a path"},
		{as(profile.TCP, func(m *profile.Monitor) { m.Send = `\q` }), "monitor.send"},
		{as(profile.TCP, func(m *profile.Monitor) { m.Expect.Text = `\x1` }), "monitor.expect.text"},
		{as(profile.DNS, func(m *profile.Monitor) { m.Query.Type = "AX" }), `monitor.query.type "AX"`},
		{as(profile.DNS, func(m *profile.Monitor) { m.Query.Rcode = "FINE" }), `monitor.query.rcode "FINE"`},
		{as(profile.DNS, func(m *profile.Monitor) { m.Query.Transport = "quic" }), "allowed: udp, tcp"},
		{as(profile.DNS, func(m *profile.Monitor) { m.Query.Name = "a..b" }), "monitor.query.name"},
		{as(profile.DNS, func(m *profile.Monitor) { m.Query.Answers = []string{"one.two"} }), `"one.two" is no data of type A`},
		{as(profile.Exec, func(m *profile.Monitor) { m.Exec = "gone" }), `monitor.exec "gone" is not in this node's node.exec`},
		{as(profile.Exec, func(m *profile.Monitor) { m.Exec = "option" }), "would be read as an option"},
		{as(profile.HTTPS, func(m *profile.Monitor) { m.TLS.MinVersion = "1.1" }), "allowed: 1.2, 1.3"},
		{as(profile.HTTPS, func(m *profile.Monitor) { m.TLS.CA = text("nonsense") }), "no certificate in PEM form"},
		{as(profile.HTTPS, func(m *profile.Monitor) { m.TLS.ClientCert = profile.Value{Secret: "BROKEN"} }), "monitor.tls.client_cert is no PEM text"},
		{as(profile.HTTPS, func(m *profile.Monitor) { m.TLS.CA = profile.Value{Secret: "GONE"} }), "monitor.tls.ca: secret GONE"},
	} {
		p, e := service()
		tc.change(&e.Monitor)
		if e.Monitor.Exec == "option" {
			e.Name = "--delete-all"
		}
		_, err := SpecOf(p, e, Node{
			Secrets:  vault(map[string]string{"BROKEN": "swordfish"}),
			Programs: func(name string) ([]string, bool) { return []string{"/bin/check", "{endpoint}"}, name == "option" },
		})
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("error %v, want %q", err, tc.want)
		}
	}
}

// TestKeyKnowsEverything: whatever changes the probe changes the key, or a shared probe would answer for another.
func TestKeyKnowsEverything(t *testing.T) {
	base := func() Spec {
		return Spec{
			Protocol: profile.HTTPS, Targets: []string{"a"}, Port: 443, Timeout: time.Second, Method: "GET", Path: "/",
			Host: "h", Headers: []Header{{Name: "X", value: "y"}}, ServerName: "h", Verify: true, identity: &identity{},
			Question: &Question{Name: "a.", Type: 1}, Program: []string{"/bin/true"},
		}
	}
	changes := map[string]func(s *Spec){
		"protocol":    func(s *Spec) { s.Protocol = profile.HTTP },
		"targets":     func(s *Spec) { s.Targets = []string{"b"} },
		"more":        func(s *Spec) { s.Targets = []string{"a", "b"} },
		"port":        func(s *Spec) { s.Port = 1 },
		"timeout":     func(s *Spec) { s.Timeout++ },
		"connect":     func(s *Spec) { s.Parts.Connect = 1 },
		"status part": func(s *Spec) { s.Parts.Status = 1 },
		"body part":   func(s *Spec) { s.Parts.Body = 1 },
		"latency":     func(s *Spec) { s.MaxLatency = 1 },
		"limit":       func(s *Spec) { s.BodyLimit = 1 },
		"invert":      func(s *Spec) { s.Invert = true },
		"method":      func(s *Spec) { s.Method = "HEAD" },
		"path":        func(s *Spec) { s.Path = "/x" },
		"host":        func(s *Spec) { s.Host = "i" },
		"header":      func(s *Spec) { s.Headers = []Header{{Name: "X", value: "z"}} },
		"masked":      func(s *Spec) { s.Headers = []Header{{Name: "X", value: "y", Secret: true}} },
		"status":      func(s *Spec) { s.Expect.Status = []profile.StatusRange{{Min: 1, Max: 2}} },
		"body":        func(s *Spec) { s.Expect.Body = "b" },
		"regex":       func(s *Spec) { s.Expect.BodyRegex = regexp.MustCompile("b") },
		"expected":    func(s *Spec) { s.Expect.Headers = []Header{{Name: "X", value: "z"}} },
		"json":        func(s *Spec) { s.Expect.JSON = &JSONRule{path: "a", equals: "b"} },
		"json value":  func(s *Spec) { s.Expect.JSON = &JSONRule{path: "a", equals: "c"} },
		"complete":    func(s *Spec) { s.Expect.Complete = true },
		"text":        func(s *Spec) { s.Expect.Text = "b" },
		"send":        func(s *Spec) { s.Send = "b" },
		"reset":       func(s *Spec) { s.Reset = true },
		"sni":         func(s *Spec) { s.ServerName = "i" },
		"verify":      func(s *Spec) { s.Verify = false },
		"version":     func(s *Spec) { s.MinVersion = tls.VersionTLS13 },
		"warn":        func(s *Spec) { s.ExpiryWarn = 1 },
		"identity":    func(s *Spec) { s.identity = &identity{sum: [32]byte{1}} },
		"no identity": func(s *Spec) { s.identity = nil },
		"name":        func(s *Spec) { s.Question.Name = "b." },
		"type":        func(s *Spec) { s.Question.Type = 2 },
		"transport":   func(s *Spec) { s.Question.TCP = true },
		"rcode":       func(s *Spec) { s.Question.Rcode = 3 },
		"answers":     func(s *Spec) { s.Question.Answers = []string{"x"} },
		"program":     func(s *Spec) { s.Program = []string{"/bin/true", "x"} },
	}
	seen := map[Key]string{base().Key(): "nothing"}
	for name, change := range changes {
		s := base()
		change(&s)
		if other, taken := seen[s.Key()]; taken {
			t.Errorf("the key is the same after a change of %s and of %s", name, other)
		}
		seen[s.Key()] = name
	}
	if a, b := base(), base(); a.Key() != b.Key() {
		t.Error("equal specs have different keys")
	}
	s := base()
	s.BodyLimit = BodyLimit
	if s.Key() != base().Key() {
		t.Error("the usual limit written out makes another key")
	}
}

func pemOf(t *testing.T, pair tls.Certificate) string {
	t.Helper()
	var b bytes.Buffer
	for _, der := range pair.Certificate {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	if pair.PrivateKey != nil {
		der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		_ = pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	return b.String()
}

func TestTLSIdentity(t *testing.T) {
	a, clients := newAuthority(t), newAuthority(t)
	day := 24 * time.Hour
	cert := a.issue(t, "integration.dr.example", -day, 5*day)
	secrets := map[string]string{
		"CA":   pemOf(t, tls.Certificate{Certificate: [][]byte{a.cert.Raw}}),
		"MINE": pemOf(t, clients.issue(t, "probe", -day, day)),
	}
	for _, tc := range []struct {
		name   string
		server func(c *tls.Config)
		change func(m *profile.Monitor)
		class  Class
		reason string // part
		remark bool
	}{
		{"own roots", nil, nil, "", "status 200", false},
		{"no roots", nil, func(m *profile.Monitor) { m.TLS.CA = profile.Value{} }, ClassTLS, "unknown authority", false},
		{"ends soon", nil, func(m *profile.Monitor) { m.TLS.ExpiryWarn = 14 * day }, "", "status 200", true},
		{"ends late enough", nil, func(m *profile.Monitor) { m.TLS.ExpiryWarn = day }, "", "status 200", false},
		{"server too old", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, func(m *profile.Monitor) { m.TLS.MinVersion = profile.TLS13 }, ClassTLS, "tls handshake: ", false},
		{"old enough", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, func(m *profile.Monitor) { m.TLS.MinVersion = profile.TLS12 }, "", "status 200", false},
		{"client certificate", func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, clients.pool }, func(m *profile.Monitor) { m.TLS.ClientCert = profile.Value{Secret: "MINE"} }, "", "status 200", false},
		{"no client certificate", func(c *tls.Config) {
			c.ClientAuth, c.ClientCAs, c.MaxVersion = tls.RequireAndVerifyClientCert, clients.pool, tls.VersionTLS12
		}, nil, ClassTLS, "tls handshake: ", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
			if tc.server != nil {
				tc.server(config)
			}
			at := serveOn(t, tls.NewListener(listen(t), config), answer(ok200))
			p, e := service()
			e.Origin, e.Target = "", profile.Target{Addrs: []string{"127.0.0.1"}}
			e.Monitor.Protocol, e.Monitor.Port, e.Monitor.TLS.CA = profile.HTTPS, int(at.Port()), profile.Value{Secret: "CA"}
			if tc.change != nil {
				tc.change(&e.Monitor)
			}
			s, err := SpecOf(p, e, Node{Secrets: vault(secrets)})
			if err != nil {
				t.Fatal(err)
			}
			got := Run(t.Context(), s)
			if got.Class != tc.class || !strings.Contains(got.Obs.Reason, tc.reason) {
				t.Errorf("%s %q, want %s %q", got.Class, got.Obs.Reason, tc.class, tc.reason)
			}
			remarked := slices.ContainsFunc(got.Log, func(p Phase) bool {
				return p.Name == PhaseRemark && strings.HasPrefix(p.Detail, "the certificate ends in ")
			})
			if remarked != tc.remark {
				t.Errorf("remarked %t: %+v", remarked, got.Log)
			}
			if end := got.CertNotAfter; tc.class == "" && (time.Until(end) < 4*day || time.Until(end) > 6*day) {
				t.Errorf("the certificate ends at %s", end)
			}
			if shown := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(shown, "PRIVATE") || strings.Contains(shown, "BEGIN") {
				t.Error("a key is shown")
			}
		})
	}
}
