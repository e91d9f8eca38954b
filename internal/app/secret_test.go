//go:build linux

package app_test

import (
	"encoding/base64"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func basic(credential string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(credential))
}

// TestSecretsStaySecret: header values from the environment and from a file reach the tenants and nobody else, and a
// new value is used after a reload.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	credentials := []string{"probe:in-the-environment", "probe:in-a-file", "probe:rotated"}
	path := filepath.Join(s.dir, "us21.secret")
	must(t, os.WriteFile(path, []byte(basic(credentials[1])+"\n"), 0o600))
	s.env = []string{"EU20_PROBE=" + basic(credentials[0])}
	s.head = "  secrets: {EU20_PROBE: {env: EU20_PROBE}, US21_PROBE: {file: " + path + "}}\n"
	s.euMore = ", monitor: {headers: {Authorization: {secret: EU20_PROBE}}}"
	s.usMore = ", monitor: {headers: {Authorization: {secret: US21_PROBE}}}"
	start(t, "eu20", "tenant", nil, s.eu20, "EU20", credentials[0])
	us := start(t, "us21", "tenant", nil, s.us21, "US21", credentials[1])
	s.write(s.text())
	s.startNode()
	s.awaitReady(20 * time.Second)
	for i := range 2 {
		eventually(t, 5*time.Second, "the tenant accepts the probes", func() bool { return s.status().Endpoints[i].Real == "up" })
	}

	us.kill()
	start(t, "us21 rotated", "tenant", nil, s.us21, "US21", credentials[2])
	eventually(t, 10*time.Second, "the tenant refuses the old secret", func() bool {
		e := s.status().Endpoints[1]
		return e.Real == "down" && strings.Contains(e.Reason, "401")
	})
	must(t, os.WriteFile(path, []byte(basic(credentials[2])), 0o600))
	s.hangup()
	eventually(t, 10*time.Second, "the tenant accepts the new secret", func() bool { return s.status().Endpoints[1].Real == "up" })

	seen := map[string]string{"log": s.node.out.String()}
	for _, page := range []string{
		"/status", "/readyz", "/metrics", "/api/v1/node", "/api/v1/status", "/api/v1/profiles", "/api/v1/profiles/integration",
		"/api/v1/profiles/integration/status", "/api/v1/zones", "/api/v1/journal?limit=1000", "/api/v1/audit", "/api/v1/explain?name=" + host,
	} {
		resp, err := web.Get("http://" + s.api + page)
		must(t, err)
		text, err := io.ReadAll(resp.Body)
		must(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", page, resp.Status)
		}
		seen[page] = string(text)
	}
	code, text := s.call(http.MethodPost, "/api/v1/profiles/integration/endpoints/us21/probe", "{}")
	if code != http.StatusOK || !strings.Contains(text, `"ok":true`) {
		t.Errorf("one probe: %d %s", code, text)
	}
	seen["probe"] = text
	must(t, filepath.WalkDir(s.data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		seen[path] = string(text)
		return err
	}))
	for where, text := range seen {
		for _, c := range credentials {
			_, password, _ := strings.Cut(c, ":")
			if strings.Contains(text, password) || strings.Contains(text, strings.TrimPrefix(basic(c), "Basic ")) {
				t.Errorf("%s shows the secret %q", where, c)
			}
		}
	}
	if len(seen) < 18 {
		t.Errorf("only %d places were looked at", len(seen))
	}
}
