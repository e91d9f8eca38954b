package lab

import (
	"net/http"
	"regexp"
	"testing"
	"time"
)

func TestOnlyExecutedMessagesCount(t *testing.T) {
	tenant := newTenant(t, TenantOptions{Auth: []Credential{sender}, RoleLess: []Credential{visitor}, CSRF: true, Hosts: []string{"h"}, Quota: 10})
	asks := []struct {
		name, method, path string
		edit               []func(*http.Request)
		fault              string
		status             int
		executed           uint64
	}{
		{"unmapped", "GET", "http://x/http/ping", []func(*http.Request){basic(sender)}, "none", 404, 0},
		{"no credentials", "GET", "http://h/http/ping", nil, "none", 401, 0},
		{"bad credentials", "GET", "http://h/http/ping", []func(*http.Request){basic(Credential{"a", "b"})}, "none", 401, 0},
		{"no role", "GET", "http://h/http/ping", []func(*http.Request){basic(visitor)}, "none", 403, 0},
		{"nothing there", "GET", "http://h/http/no", []func(*http.Request){basic(sender)}, "none", 404, 0},
		{"HEAD", "HEAD", "http://h/http/ping", []func(*http.Request){basic(sender)}, "none", 405, 0},
		{"TRACE", "TRACE", "http://h/http/ping", []func(*http.Request){basic(sender)}, "none", 405, 0},
		{"no token", "POST", "http://h/http/health", []func(*http.Request){basic(sender)}, "none", 403, 0},
		{"fetch", "GET", "http://h/http/health", []func(*http.Request){basic(sender), head(headerCSRF, "fetch")}, "none", 200, 0},
		{"overload", "GET", "http://h/http/ping", []func(*http.Request){basic(sender)}, "overload", 503, 0},
		{"undeploy", "GET", "http://h/http/ping", []func(*http.Request){basic(sender)}, "undeploy", 404, 0},
		{"API", "GET", "http://h/api/v1/ServiceEndpoints", nil, "none", 200, 0},
		{"success", "GET", "http://h/http/ping", []func(*http.Request){basic(sender)}, "none", 200, 1},
		{"failure runs too", "GET", "http://h/http/ping", []func(*http.Request){basic(sender)}, "error", 500, 2},
	}
	for i, a := range asks {
		set(t, tenant, `{"kind":"`+a.fault+`"}`)
		w := call(tenant, request(t, a.method, a.path, "", a.edit...))
		s := tenant.Stats()
		if w.Code != a.status || s.Executed != a.executed || s.Requests != uint64(i)+1 {
			t.Errorf("%s: %d, executed %d of %d requests; want %d, %d", a.name, w.Code, s.Executed, s.Requests, a.status, a.executed)
		}
	}
	s := decode[map[string]any](t, call(tenant, request(t, http.MethodGet, "/lab/stats", "")).Body.Bytes())
	for key, want := range map[string]any{"requests": 14.0, "executed": 2.0, "perMinute": 2.0, "perDay": 2.0, "forecastPerDay": 2880.0, "quota": 10.0, "quotaLeft": 8.0, "region": "EU20"} {
		if s[key] != want {
			t.Errorf("%s: %v, want %v", key, s[key], want)
		}
	}
}

func TestWindowsAndQuota(t *testing.T) {
	now := time.Date(2026, 7, 31, 23, 0, 0, 0, time.UTC)
	a := newAccount(3, func() time.Time { return now })
	check := func(at string, minute, dayCount uint64, left int) {
		t.Helper()
		s := a.stats("x")
		if s.PerMinute != minute || s.PerDay != dayCount || *s.QuotaLeft != left {
			t.Errorf("%s: %d a minute, %d a day, %d left; want %d, %d, %d", at, s.PerMinute, s.PerDay, *s.QuotaLeft, minute, dayCount, left)
		}
	}
	for range 4 {
		a.begin("x")
		now = now.Add(10 * time.Second)
	}
	check("at once", 4, 4, 0)
	if a.licensed() {
		t.Error("licensed beyond the quota")
	}
	now = now.Add(30 * time.Second)
	check("a minute on", 2, 4, 0)
	now = now.Add(-time.Hour)
	check("clock set back", 2, 4, 0)
	now = now.Add(2 * time.Hour)
	check("next month", 0, 4, 3)
	now = now.Add(24 * time.Hour)
	check("next day", 0, 0, 3)
	if s := newAccount(0, time.Now).stats("x"); s.QuotaLeft != nil {
		t.Error("quota left without a quota")
	}
}

func TestIDs(t *testing.T) {
	at := time.Unix(0x6a72bd45, 0)
	if id := newMessageID(at); !regexp.MustCompile(`^AGpyvU[A-Za-z0-9_-]{22}$`).MatchString(id) {
		t.Errorf("message id %s", id)
	}
	if u := newUUID(); !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(u) {
		t.Errorf("uuid %s", u)
	}
}
