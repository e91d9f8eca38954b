package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestParseCredential(t *testing.T) {
	good := map[string]Credential{
		"u:p":                            {"u", "p"},
		"sb-1!b2|it-rt-dr!b3:x$y=:z":     {"sb-1!b2|it-rt-dr!b3", "x$y=:z"},
		"someone@dr.example:pass word: ": {"someone@dr.example", "pass word: "},
	}
	for text, want := range good {
		if c, err := ParseCredential(text); err != nil || c != want {
			t.Errorf("%q: %#v, %v", text, c, err)
		}
	}
	for text, want := range map[string]string{
		"": "it is empty", "secretword": "no colon in \"secr...\"", ":p": "nothing before", "u:": "nothing after the colon for user \"u\"", "u:p\n": "control character",
	} {
		if _, err := ParseCredential(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secretword") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", sender, sender, sender); strings.Contains(text, sender.Password) {
		t.Errorf("shows the password: %s", text)
	}
}

func TestOptions(t *testing.T) {
	_, err := NewTenant(TenantOptions{
		Listen: "nowhere", Control: "9", Quota: -1, DeployTime: 2 * time.Hour, CertFile: "x", Hosts: []string{"http://a/"}, WWWAuthenticate: "a\r\nb",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"listen:", "control:", "quota:", "deploy-time:", "tls:", "hosts:", "www-authenticate:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s in %v", want, err)
		}
	}
	var o TenantOptions
	if err := o.AddHosts("a.example, *.b.example"); err != nil || len(o.Hosts) != 2 {
		t.Errorf("%v %v", o.Hosts, err)
	}
	for _, bad := range []string{"", "a,,b", "a:80", "https://a", "a.*.b"} {
		if err := new(TenantOptions).AddHosts(bad); err == nil {
			t.Errorf("hosts %q taken", bad)
		}
	}
	if err := o.AddAuth("x"); err == nil || !strings.HasPrefix(err.Error(), "auth: ") {
		t.Errorf("AddAuth: %v", err)
	}
	if o.AddAuth("a:b") != nil || o.AddRoleLess("c:d") != nil || o.AddAPIAuth("e:f") != nil || len(o.Auth)+len(o.RoleLess)+len(o.APIAuth) != 3 {
		t.Errorf("%v %v %v", o.Auth, o.RoleLess, o.APIAuth)
	}
}

func TestMapped(t *testing.T) {
	o := TenantOptions{Hosts: []string{"Integration.dr.example", "*.wild.example"}}
	for host, want := range map[string]bool{
		"integration.dr.example": true, "INTEGRATION.dr.example:8443": true, "integration.dr.example.": true, "dr.example": false,
		"a.wild.example": true, "wild.example": false, ".wild.example": false, "127.0.0.1:80": false, "": false,
	} {
		if got := o.mapped(&http.Request{Host: host}); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

func TestLife(t *testing.T) {
	first := startTenant(t, TenantOptions{})
	second := newTenant(t, TenantOptions{Listen: first.Addr()})
	if err := second.Start(t.Context()); err == nil || !strings.Contains(err.Error(), first.Addr()) {
		t.Errorf("port taken twice: %v", err)
	}
	third := newTenant(t, TenantOptions{Control: first.Addr()})
	if err := third.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "control") {
		t.Errorf("control port taken: %v", err)
	}
	if err := first.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	for range 2 {
		if err := first.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := tryDial(first.Addr()); err == nil {
		t.Error("listens after Close")
	}
	ctx, cancel := context.WithCancel(t.Context())
	fourth := newTenant(t, TenantOptions{Listen: first.Addr()})
	if err := fourth.Start(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-fourth.Done():
	case <-time.After(guard):
		t.Error("the end of the context does not stop it")
	}
	if err := newTenant(t, TenantOptions{}).Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseWhileRefusing(t *testing.T) {
	for _, text := range []string{`{"kind":"refuse"}`, `{"kind":"refuse","share":0.5}`, `{"kind":"refuse","for":"1h"}`} {
		tenant := startTenant(t, TenantOptions{})
		order(t, tenant, text)
		if err := tenant.Close(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestPortTakenMeanwhile: somebody else holds the port when the fault is mended.
func TestPortTakenMeanwhile(t *testing.T) {
	tenant := startTenant(t, TenantOptions{})
	order(t, tenant, `{"kind":"refuse"}`)
	squatter, err := openGate(t.Context(), tenant.Addr(), tenant.log)
	if err != nil {
		t.Fatal(err)
	}
	order(t, tenant, `{"kind":"none"}`)
	_ = squatter.Close()
	for deadline := time.Now().Add(guard); ; {
		if status, err := once(tenant.Addr()); err == nil && status == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the port is not taken back")
		}
	}
}

func TestControl(t *testing.T) {
	tenant := startTenant(t, TenantOptions{})
	if status, body := getControl(t, tenant, "/http/health"); status != http.StatusNotFound {
		t.Errorf("%d %s", status, body)
	}
	if status, body := getControl(t, tenant, "/lab/"); status != http.StatusOK || !strings.Contains(string(body), "POST   /lab/fault") {
		t.Errorf("%d %s", status, body)
	}
	for _, kind := range []string{"hang", "reset", "overload", "unmap"} { // /lab/* on the tenant's own listener stays too
		order(t, tenant, `{"kind":"`+kind+`"}`)
		if text := raw(t, tenant.Addr(), "GET /lab/fault HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.Contains(text, `"kind":"`+kind+`"`) {
			t.Errorf("%s: %s", kind, text)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	tenant := newTenant(t, TenantOptions{})
	r := request(t, http.MethodPost, "/http/echo", "")
	r.Body = io.NopCloser(io.LimitReader(zeros{}, maxBody+1))
	if w := call(tenant, r); w.Code != http.StatusRequestEntityTooLarge || tenant.Stats().Executed != 0 {
		t.Errorf("%d", w.Code)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestConcurrent lets clients, faults and statistics meet; it is for the race detector.
func TestConcurrent(t *testing.T) {
	tenant := startTenant(t, TenantOptions{Auth: []Credential{sender}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				_, _ = once(tenant.Addr()) // faults are meant to break some
			}
		})
	}
	for _, kind := range []string{"error", "slow", "overload", "refuse", "reset", "none", "undeploy", "none"} {
		order(t, tenant, `{"kind":"`+kind+`","share":0.5,"for":"1m"}`)
		getControl(t, tenant, "/lab/stats")
	}
	wg.Wait()
	order(t, tenant, `{"kind":"none"}`)
	if status, err := once(tenant.Addr()); status != http.StatusUnauthorized {
		t.Errorf("%d %v", status, err)
	}
}

// BenchmarkKeepAlive: requests over one connection per worker.
func BenchmarkKeepAlive(b *testing.B) {
	tenant, err := NewTenant(TenantOptions{Auth: []Credential{sender}})
	if err != nil {
		b.Fatal(err)
	}
	if err := tenant.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer tenant.Close() //nolint:errcheck // its end is not measured
	ask := "GET /http/health HTTP/1.1\r\nHost: h\r\n" + authLine(sender) + "\r\n"
	b.RunParallel(func(pb *testing.PB) {
		c, err := tryDial(tenant.Addr())
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Time{})
		in := bufio.NewReader(c)
		for pb.Next() {
			if _, err := io.WriteString(c, ask); err != nil {
				b.Error(err)
				return
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Errorf("status %d", resp.StatusCode)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
