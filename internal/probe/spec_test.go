package probe

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"jurymast/internal/profile"
)

func text(s string) profile.Value { return profile.Value{Text: s} }

// vault answers for the secrets a test names and refuses all others.
func vault(known map[string]string) func(profile.Value) (string, error) {
	return func(v profile.Value) (string, error) {
		if s, ok := known[v.Secret]; ok {
			return s, nil
		}
		return "", errors.New("secret " + v.Secret + " is not in node.secrets")
	}
}

func service() (*profile.Profile, *profile.Endpoint) {
	m := profile.Monitor{
		Protocol: profile.HTTP, Path: "/http/health", Method: "GET", Host: "profile",
		Interval: 30 * time.Second, Timeout: 10 * time.Second, TLS: profile.MonitorTLS{Verify: true},
	}
	p := &profile.Profile{
		Name: "integration", Hostnames: []string{"*.dr.example", "integration.dr.example"}, Monitor: m,
		Endpoints: []profile.Endpoint{{
			Name: "eu20", Target: profile.Target{Host: "tenant.eu20.example"}, Origin: "https://origin.eu20.example:9101", Monitor: m,
		}},
	}
	return p, &p.Endpoints[0]
}

// TestD19HostAndSNI walks the rules of Host and SNI.
func TestD19HostAndSNI(t *testing.T) {
	for _, tc := range []struct {
		name      string
		change    func(p *profile.Profile, e *profile.Endpoint)
		host, sni string
		err       string
	}{
		{"default is the public name", func(*profile.Profile, *profile.Endpoint) {}, "integration.dr.example", "integration.dr.example", ""},
		{"target: name of the origin", func(_ *profile.Profile, e *profile.Endpoint) { e.Monitor.Host = "target" }, "origin.eu20.example", "origin.eu20.example", ""},
		{"target: the target when the origin is an address", func(_ *profile.Profile, e *profile.Endpoint) {
			e.Monitor.Host, e.Origin = "target", "http://192.0.2.1:80"
		}, "tenant.eu20.example", "tenant.eu20.example", ""},
		{"target: the address when there is no name", func(_ *profile.Profile, e *profile.Endpoint) {
			e.Monitor.Host, e.Origin, e.Target = "target", "", profile.Target{Addrs: []string{"2001:db8::1"}}
		}, "[2001:db8::1]", "2001:db8::1", ""},
		{"origin keeps its port", func(_ *profile.Profile, e *profile.Endpoint) { e.Monitor.Host = "origin" }, "origin.eu20.example:9101", "origin.eu20.example", ""},
		{"a name", func(_ *profile.Profile, e *profile.Endpoint) { e.Monitor.Host = "other.example" }, "other.example", "other.example", ""},
		{"a bare address", func(_ *profile.Profile, e *profile.Endpoint) { e.Monitor.Host = "2001:db8::2" }, "[2001:db8::2]", "2001:db8::2", ""},
		{"an address with port", func(_ *profile.Profile, e *profile.Endpoint) { e.Monitor.Host = "[2001:db8::2]:81" }, "[2001:db8::2]:81", "2001:db8::2", ""},
		{"origin without one", func(_ *profile.Profile, e *profile.Endpoint) { e.Monitor.Host, e.Origin = "origin", "" }, "", "", "has no origin"},
		{"sni of its own", func(_ *profile.Profile, e *profile.Endpoint) { e.Monitor.TLS.SNI = "sni.example" }, "integration.dr.example", "sni.example", ""},
		{"wildcards only", func(p *profile.Profile, _ *profile.Endpoint) { p.Hostnames = []string{"*.a"} }, "", "", "name one in monitor.host"},
		{"a star", func(_ *profile.Profile, e *profile.Endpoint) { e.Monitor.Host = "*.a" }, "", "", "without a wildcard"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, e := service()
			tc.change(p, e)
			s, err := SpecOf(p, e, Node{Secrets: vault(nil)})
			switch {
			case tc.err != "":
				if err == nil || !strings.Contains(err.Error(), tc.err) || !strings.Contains(err.Error(), "endpoint eu20") {
					t.Errorf("error %v, want %q", err, tc.err)
				}
			case err != nil:
				t.Error(err)
			case s.Host != tc.host || s.ServerName != tc.sni || len(s.Headers) != 0:
				t.Errorf("Host %q, SNI %q, headers %v, want %q and %q", s.Host, s.ServerName, s.Headers, tc.host, tc.sni)
			}
		})
	}
}

func TestWhereAProbeGoes(t *testing.T) {
	for _, tc := range []struct {
		origin   string
		target   profile.Target
		protocol profile.Protocol
		port     int
		want     string
	}{
		{"http://h:9101", profile.Target{Host: "t"}, profile.HTTP, 0, "[h] 9101"},
		{"http://h", profile.Target{Host: "t"}, profile.HTTP, 0, "[h] 80"},
		{"http://h:9101", profile.Target{Host: "t"}, profile.HTTPS, 8443, "[h] 8443"},
		{"", profile.Target{Host: "t"}, profile.HTTPS, 0, "[t] 443"},
		{"", profile.Target{Addrs: []string{"192.0.2.1", "2001:db8::1"}}, profile.HTTP, 0, "[192.0.2.1 2001:db8::1] 80"},
		{"http://[::1]:81", profile.Target{}, profile.TCP, 0, "[::1] 81"},
		{"https://h", profile.Target{}, profile.TCP, 0, "[h] 443"},
		{"https://h:8443", profile.Target{}, profile.DNS, 0, "[h] 53"}, // the web server's port is not the name server's
		{"", profile.Target{Profile: "child"}, profile.HTTP, 0, "never probed"},
		{"", profile.Target{}, profile.HTTP, 0, "says where to probe"},
		{"", profile.Target{Host: "t"}, "carrier pigeon", 0, "allowed: http, https, tcp, dns, exec"},
	} {
		p, e := service()
		e.Origin, e.Target, e.Monitor.Protocol, e.Monitor.Port = tc.origin, tc.target, tc.protocol, tc.port
		s, err := SpecOf(p, e, Node{Secrets: vault(nil)})
		got := fmt.Sprint(s.Targets, " ", s.Port)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasSuffix(got, tc.want) && (err == nil || !strings.Contains(got, tc.want)) {
			t.Errorf("origin %q target %+v %s: %s, want %s", tc.origin, tc.target, tc.protocol, got, tc.want)
		}
	}
}

func TestSpecRefuses(t *testing.T) {
	for _, tc := range []struct {
		change func(m *profile.Monitor)
		want   string
	}{
		{func(m *profile.Monitor) { m.Path = "health" }, "must start with /"},
		{func(m *profile.Monitor) { m.Headers = map[string]profile.Value{"Host": text("x")} }, "writes this header itself"},
		{func(m *profile.Monitor) { m.Method = "GE T" }, "no method"},
		{func(m *profile.Monitor) { m.Timeout = 0 }, "above 0"},
		{func(m *profile.Monitor) { m.Expect.BodyRegex = "(" }, "body_regex"},
		{func(m *profile.Monitor) { m.Headers = map[string]profile.Value{"Connection": text("x")} }, "writes this header itself"},
		{func(m *profile.Monitor) { m.Headers = map[string]profile.Value{"A": text("x"), "a": text("y")} }, "given twice"},
		{func(m *profile.Monitor) { m.Headers = map[string]profile.Value{"A b": text("x")} }, "no header name"},
		{func(m *profile.Monitor) { m.Headers = map[string]profile.Value{"A": {Secret: "NL"}} }, "line break"},
		{func(m *profile.Monitor) { m.Headers = map[string]profile.Value{"A": {Secret: "GONE"}} }, "monitor.headers.A: secret GONE"},
	} {
		p, e := service()
		tc.change(&e.Monitor)
		_, err := SpecOf(p, e, Node{Secrets: vault(map[string]string{"NL": "swordfish\n"})})
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("error %v, want %q", err, tc.want)
		}
	}
}

// TestSpecOfADocument goes from the operator's text to the probe: both levels of Host, headers and defaults.
func TestSpecOfADocument(t *testing.T) {
	f, err := profile.DecodeFile("jurymast.yaml", []byte(`
node: {secrets: {EU_KEY: {env: EU_KEY}}}
profiles:
  - name: p
    hostnames: [www.dr.example]
    monitor: {protocol: https, path: "/h?q=ä", headers: {Host: shared.example, X-Probe: "1"}, expect: {status: ["200-299", "401"]}}
    endpoints:
      - {name: a, target: a.example, priority: 1, monitor: {headers: {Authorization: {secret: EU_KEY}}}}
      - {name: b, target: b.example, priority: 2, monitor: {host: target, timeout: 3s, tls: {verify: false}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range f.Profiles[0].Endpoints {
		c, err := CheckOf(&f.Profiles[0], &f.Profiles[0].Endpoints[i], "", Node{Secrets: vault(map[string]string{"EU_KEY": "Bearer abc"})})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(c.Profile, " ", c.Endpoint, " ", c.Interval, " ", c.Spec))
	}
	want := []string{
		"p a 30s https a.example port 443, timeout 10s, GET /h?q=%C3%A4, Host shared.example, SNI shared.example, verify true, " +
			"Authorization: ***, X-Probe: 1, expect 200-299, 401",
		"p b 30s https b.example port 443, timeout 3s, GET /h?q=%C3%A4, Host b.example, SNI b.example, verify false, " +
			"X-Probe: 1, expect 200-299, 401",
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}

// recipeNode has what the recipes name.
func recipeNode(t *testing.T, f *profile.File) Node {
	t.Helper()
	identity := pemOf(t, newAuthority(t).issue(t, "probe", 0, time.Hour))
	return Node{
		Location: "eu-central",
		Secrets: func(v profile.Value) (string, error) {
			if v.Secret == "HOUSE_CA" || v.Secret == "PROBE_IDENTITY" {
				return identity, nil
			}
			return "x", nil
		},
		Programs: func(name string) ([]string, bool) { argv, ok := f.Node.Exec[name]; return argv, ok },
	}
}

// TestRecipesLoad keeps docs/probes.md honest: every configuration in it makes probes.
func TestRecipesLoad(t *testing.T) {
	text, err := os.ReadFile("../../docs/probes.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) < 4 {
		t.Errorf("only %d configurations found", len(blocks))
	}
	for _, block := range blocks {
		f, err := profile.DecodeFile("docs/probes.md", block[1])
		if err != nil {
			t.Errorf("%v in\n%s", err, block[1])
			continue
		}
		node := recipeNode(t, f)
		for i := range f.Profiles {
			for j := range f.Profiles[i].Endpoints {
				checks, err := ChecksOf(&f.Profiles[i], &f.Profiles[i].Endpoints[j], node)
				if err != nil || len(checks) == 0 {
					t.Errorf("%d checks, %v in\n%s", len(checks), err, block[1])
				}
			}
		}
	}
}

func TestKeyAndMasking(t *testing.T) {
	p, e := service()
	e.Monitor.Headers = map[string]profile.Value{"Authorization": {Secret: "K"}, "X-B": text("b"), "X-A": text("a"), "Cookie": text("inline=1")}
	one, err := SpecOf(p, e, Node{Secrets: vault(map[string]string{"K": "Basic dXNlcjpodW50ZXIy"})})
	if err != nil {
		t.Fatal(err)
	}
	same, _ := SpecOf(p, e, Node{Secrets: vault(map[string]string{"K": "Basic dXNlcjpodW50ZXIy"})})
	other, _ := SpecOf(p, e, Node{Secrets: vault(map[string]string{"K": "Basic other"})})
	if one.Key() != same.Key() || one.Key() == other.Key() {
		t.Error("the key must be equal for equal settings and differ for another secret")
	}
	for _, shown := range []string{one.String(), fmt.Sprintf("%v %+v %#v", one, one, one), fmt.Sprint(one.Headers), fmt.Sprintf("%#v", one.Headers)} {
		for _, secret := range []string{"dXNlcjpodW50ZXIy", "inline=1"} {
			if strings.Contains(shown, secret) {
				t.Errorf("%q shows %q", shown, secret)
			}
		}
	}
	m := one.masker()
	for in, want := range map[string]string{
		"you sent Basic dXNlcjpodW50ZXIy!": "you sent ***!",
		"user:hunter2 is wrong":            "*** is wrong",
		"password hunter2\r\nnext":         "password *** next",
		"cut off: dXNlcjpod":               "cut off: ***",
		"nothing here":                     "nothing here",
		strings.Repeat("x", 300):           strings.Repeat("x", lineLimit) + " ...",
	} {
		if got := m.line(in); got != want {
			t.Errorf("line(%q) = %q, want %q", in, got, want)
		}
	}
}
