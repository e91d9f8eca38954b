package api

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jurymast/internal/health"
)

func TestState(t *testing.T) {
	r := newRig(t)
	r.publish(viewOf(decoded(t, integration), activeAt("eu20", 3), nil, health.Online, health.Online))
	s := into[ProfileStatus](t, r.do(r.web, "GET", "/api/v1/profiles/integration/status", ""))
	if s.MonitorStatus != "Online" || s.Decision.Epoch != 3 || s.Endpoints[0].Real != "up" || s.Endpoints[0].Votes[0].Successes != 12 {
		t.Errorf("status: %+v", s)
	}
	if n := into[NodeStatus](t, r.do(r.unix, "GET", "/api/v1/node", "")); n.Name != "n1" || !n.Leads {
		t.Errorf("node: %+v", n)
	}
	if l := into[StatusList](t, r.do(r.web, "GET", "/api/v1/status", "")); len(l.Profiles) != 1 {
		t.Errorf("statuses: %+v", l)
	}
	if l := into[NodeList](t, r.do(r.web, "GET", "/api/v1/nodes", "")); len(l.Nodes) != 1 {
		t.Errorf("nodes: %+v", l)
	}
	r.problem(r.do(r.web, "GET", "/api/v1/profiles/other/status", ""), 404, CodeNotFound)
	r.problem(r.do(r.web, "GET", "/api/v1/nothing", ""), 404, CodeNotFound)
	got := r.do(r.web, "POST", "/api/v1/node", "{}")
	r.problem(got, 405, CodeRequest)
	if !strings.Contains(got.header.Get("Allow"), "GET") {
		t.Errorf("Allow: %q", got.header.Get("Allow"))
	}
	r.problem(r.do(r.web, "GET", "/api/v1/journal?limit=0", ""), 422, CodeInvalid)
	r.problem(r.do(r.web, "GET", "/api/v1/journal?limt=5", ""), 422, CodeInvalid)
}

func TestPlain(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]string{"/healthz": "live", "/readyz": `"ready":true`, "/metrics": "jurymast_up", "/status": "<!doctype html>"} {
		if got := r.do(r.web, "GET", path, ""); got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := r.do(r.web, "GET", "/", ""); got.status != 302 || got.header.Get("Location") != "/status" {
		t.Errorf("/: %d %v", got.status, got.header)
	}
	o := into[Overview](t, r.do(r.web, "GET", "/status", "", "Accept: application/json"))
	if o.Node.Name != "n1" || o.Profiles == nil {
		t.Errorf("overview: %+v", o)
	}
}

func TestReadyzNamesWhatIsAwaited(t *testing.T) {
	s := New(Options{Listen: "127.0.0.1:0", Node: node, Ready: func() (bool, []string) { return false, []string{"profile x: no verdict"} }})
	r := &rig{t: t, server: s, web: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Serve()
	r.url = "http://" + s.Addrs()[0].String()
	got := r.do(r.web, "GET", "/readyz", "")
	var ready Readiness
	if err := json.Unmarshal([]byte(got.body), &ready); err != nil || got.status != 503 || ready.Ready || ready.WaitingFor[0] != "profile x: no verdict" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	r := newRig(t)
	r.publish(viewOf(decoded(t, integration), activeAt("eu20", 3), nil, health.Online, health.Online))
	port := r.url[strings.LastIndexByte(r.url, ':'):]
	const orders = "/api/v1/profiles/integration/orders"
	for _, c := range []struct {
		name, method, path string
		headers            []string
		want               int
	}{
		{"localhost", "GET", "/api/v1/node", []string{"Host: localhost" + port}, 200},
		{"forwarded port", "GET", "/api/v1/node", []string{"Host: localhost:1234"}, 200},
		{"IPv6 loopback", "GET", "/api/v1/node", []string{"Host: [::1]" + port}, 200},
		{"rebound name", "GET", "/api/v1/node", []string{"Host: evil.example" + port}, 403},
		{"rebound name on the page", "GET", "/status", []string{"Host: evil.example"}, 403},
		{"rebound name on metrics", "GET", "/metrics", []string{"Host: evil.example"}, 403},
		{"name that begins right", "GET", "/api/v1/node", []string{"Host: localhost.evil.example"}, 403},
		{"foreign address", "GET", "/api/v1/node", []string{"Host: 192.0.2.1" + port}, 403},
		{"own origin", "GET", "/api/v1/node", []string{"Origin: " + r.url}, 200},
		{"foreign origin", "GET", "/api/v1/node", []string{"Origin: https://evil.example"}, 403},
		{"no origin", "GET", "/api/v1/node", []string{"Origin: null"}, 403},
		{"other port", "POST", orders, []string{"Origin: http://127.0.0.1:1"}, 403},
		{"form", "POST", orders, []string{"Content-Type: application/x-www-form-urlencoded"}, 415},
		{"plain text", "POST", orders, []string{"Content-Type: text/plain"}, 415},
		{"yaml order", "POST", orders, []string{"Content-Type: application/yaml"}, 415},
		{"no type", "POST", "/api/v1/apply", []string{"Content-Type: "}, 415},
		{"order", "POST", orders, []string{"Content-Type: application/json; charset=utf-8"}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := r.do(r.web, c.method, c.path, `{"act":"hold"}`, c.headers...)
			if got.status != c.want {
				t.Errorf("%d, want %d: %s", got.status, c.want, got.body)
			}
			if got.header.Get("Access-Control-Allow-Origin") != "" {
				t.Error("a CORS header")
			}
		})
	}
}

func TestBodyIsBounded(t *testing.T) {
	r := newRig(t)
	big := `{"act":"hold","note":"` + strings.Repeat("x", maxBody) + `"}`
	r.problem(r.do(r.web, "POST", "/api/v1/profiles/integration/orders", big), 413, CodeRequest)
}

func TestInternalErrorsStayInside(t *testing.T) {
	r := newRig(t)
	p := r.problem(r.do(r.web, "GET", "/api/v1/explain?name=bad", ""), 500, CodeInternal)
	if strings.Contains(p.Detail, "secret") {
		t.Errorf("leaks: %s", p.Detail)
	}
	r.docs.fail = errors.Join(ErrUnavailable, errors.New("etcdserver: no leader"))
	got := r.do(r.web, "DELETE", "/api/v1/profiles/x", "")
	p = r.problem(got, 503, CodeUnavailable)
	if got.header.Get("Retry-After") == "" || strings.Contains(p.Detail, "etcd") {
		t.Errorf("%v %s", got.header, p.Detail)
	}
}

func TestAPanicStaysInItsRequest(t *testing.T) {
	r := newRig(t)
	if p := r.problem(r.do(r.web, "GET", "/api/v1/explain?name=panic", ""), 500, CodeInternal); strings.Contains(p.Detail, "a bug") {
		t.Errorf("it tells what is the log's: %s", p.Detail)
	}
	if got := r.do(r.web, "GET", "/healthz", ""); got.status != 200 {
		t.Errorf("%d", got.status)
	}
}

func TestWhoActs(t *testing.T) {
	r := newRig(t)
	put := func(c *http.Client, headers ...string) string {
		t.Helper()
		if got := r.do(c, "PUT", "/api/v1/profiles/integration", integration, headers...); got.status >= 300 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return r.docs.by
	}
	if by := put(r.web); by != "local" {
		t.Errorf("tcp: %q", by)
	}
	if by := put(r.web, "X-Jurymast-By: ali\u202ece"+strings.Repeat("x", 100)); by != "local (alice"+strings.Repeat("x", 59)+")" {
		t.Errorf("tcp with header: %q", by)
	}
	if by := put(r.unix); !strings.HasPrefix(by, "uid ") {
		t.Errorf("socket: %q", by)
	}
}

func TestSocketFile(t *testing.T) {
	r := newRig(t)
	info, err := os.Lstat(r.socket)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != fs.ModeSocket {
		t.Fatalf("%v %v", info.Mode(), err)
	}
	second := New(Options{Socket: r.socket})
	if err := second.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("second node on the same socket: %v", err)
	}
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	_ = l.Close()
	third := New(Options{Socket: stale})
	if err := third.Listen(t.Context()); err != nil {
		t.Errorf("stale socket: %v", err)
	}
	if err := third.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays behind: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file: "something else than a socket",
		filepath.Join(dir, strings.Repeat("x", 108)): "at most 107",
		filepath.Join(dir, "missing", "api.sock"):    "does not exist; create it",
		"@abstract": "no file mode",
	} {
		if err := New(Options{Socket: path}).Listen(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestOnlyLoopback(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:9460", "example.org:9460"} {
		if err := New(Options{Listen: address}).Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "until tokens exist") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := New(Options{Listen: "9460"}).Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "host:port") {
		t.Errorf("no port: %v", err)
	}
}

func TestOpenAPI(t *testing.T) {
	r := newRig(t)
	var spec struct {
		OpenAPI string                               `json:"openapi"`
		Paths   map[string]map[string]map[string]any `json:"paths"`
	}
	got := r.do(r.web, "GET", "/api/openapi.json", "")
	if err := json.Unmarshal([]byte(got.body), &spec); err != nil || !strings.HasPrefix(spec.OpenAPI, "3.1") {
		t.Fatalf("%v %.200s", err, got.body)
	}
	for _, want := range []string{
		"GET /node", "GET /nodes", "GET /status", "GET /profiles", "GET /profiles/{name}", "PUT /profiles/{name}", "DELETE /profiles/{name}",
		"GET /profiles/{name}/status", "GET /profiles/{name}/orders", "POST /profiles/{name}/orders", "DELETE /profiles/{name}/orders/{id}",
		"POST /profiles/{name}/endpoints/{endpoint}/probe", "GET /zones", "GET /zones/{name}", "PUT /zones/{name}", "DELETE /zones/{name}",
		"POST /apply", "GET /explain", "GET /journal", "GET /audit", "GET /events",
	} {
		method, path, _ := strings.Cut(want, " ")
		if spec.Paths["/api/v1"+path][strings.ToLower(method)] == nil {
			t.Errorf("%s is not described", want)
		}
	}
	if !strings.Contains(got.body, `"#/components/schemas/Problem"`) || strings.Contains(got.body, "ErrorModel") {
		t.Error("errors are not described as Problem")
	}
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for path := range spec.Paths {
		// The last word of a route is in the text, be it in a table or in an example.
		words := strings.Split(strings.TrimSuffix(strings.TrimSuffix(path, "/{id}"), "/{name}"), "/")
		if last := words[len(words)-1]; !strings.Contains(string(page), "/"+last) {
			t.Errorf("docs/api.md does not know %s", path)
		}
	}
	if got := r.do(r.web, "GET", "/api/openapi.yaml", ""); got.status != 200 || !strings.Contains(got.body, "openapi: 3.1") {
		t.Errorf("%d %.100s", got.status, got.body)
	}
}
