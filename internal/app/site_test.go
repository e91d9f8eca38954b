//go:build linux

package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/api"
	"jurymast/internal/health"
)

const host = "integration.dr.example"

// hosts counts the loopback addresses handed out.
var hosts atomic.Uint32

// loopback is an address of 127/8 that nobody else uses: ports on it can be fixed, and a restart finds them free.
func loopback() string {
	n, pid := hosts.Add(1), os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 64+pid>>8&63, pid&255, n)
}

// site is one node with two tenants.
type site struct {
	t                  *testing.T
	dir, file, data    string
	name               string
	dns, web, api      string // host:port
	eu20, us21         string
	env                []string
	head, extra        string // more lines under node, more text at the end
	failback           string
	monitor            string
	proxy              string
	euMore, usMore     string // more keys of the endpoints
	listeners          string // more keys of node.proxy
	cookieText         string // more keys of node.nameserver
	node               *process
	euTenant, usTenant *process
}

// newSite lays out a site; nothing runs yet.
func newSite(t *testing.T) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	ip, dir := loopback(), t.TempDir()
	s := &site{
		t: t, dir: dir, file: filepath.Join(dir, "jurymast.yaml"), data: filepath.Join(dir, "data"), name: "n1",
		dns: ip + ":5300", web: ip + ":8080", api: ip + ":9460", eu20: ip + ":9101", us21: ip + ":9102",
		failback: "{mode: auto}",
		monitor:  "{protocol: http, path: /http/health, interval: 1s, timeout: 300ms, tolerated_failures: 1, recovery_successes: 2}",
		proxy:    "{mode: failover}",
	}
	return s
}

// beside is another node for the same tenants, with everything else of its own.
func (s *site) beside(name string) *site {
	o := newSite(s.t)
	o.name, o.eu20, o.us21, o.head, o.failback, o.monitor, o.proxy = name, s.eu20, s.us21, s.head, s.failback, s.monitor, s.proxy
	return o
}

func (s *site) nodeText() string {
	ns := fmt.Sprintf("listen: [%q]", s.dns)
	if s.cookieText != "" {
		ns += ", " + s.cookieText
	}
	return fmt.Sprintf(`node:
  name: %s
  location: test
  data: %s
  nameserver: {%s}
  proxy: {http: [%q]%s}
  api: {listen: %q}
%s`, s.name, s.data, ns, s.web, s.listeners, s.api, s.head)
}

func (s *site) text() string {
	return s.nodeText() + fmt.Sprintf(`zones:
  - name: dr.example
    nameservers: [ns1.dr.example]
    hostmaster: ops.dr.example
    records: |
      ns1 300 A 127.0.0.1
profiles:
  - name: integration
    hostnames: [%s]
    routing: priority
    ttl: 5s
    failback: %s
    monitor: %s
    endpoints:
      - {name: eu20, target: 127.0.0.11, origin: "http://%s", priority: 1%s}
      - {name: us21, target: 127.0.0.12, origin: "http://%s", priority: 2%s}
    proxy: %s
%s`, host, s.failback, s.monitor, s.eu20, s.euMore, s.us21, s.usMore, s.proxy, s.extra)
}

func (s *site) write(text string) { must(s.t, os.WriteFile(s.file, []byte(text), 0o600)) }

// startTenants starts both tenants.
func (s *site) startTenants(auth ...string) {
	s.euTenant = start(s.t, "eu20", "tenant", nil, append([]string{s.eu20, "EU20"}, auth...)...)
	s.usTenant = start(s.t, "us21", "tenant", nil, append([]string{s.us21, "US21"}, auth...)...)
	for _, addr := range []string{s.eu20, s.us21} {
		eventually(s.t, 10*time.Second, "tenant listens", func() bool { return accepts(addr) })
	}
}

func (s *site) restartPrimary() {
	s.euTenant = start(s.t, "eu20 again", "tenant", nil, s.eu20, "EU20")
}

func accepts(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// startNode starts the node on the file as it is.
func (s *site) startNode() {
	s.node = start(s.t, s.name, "node", s.env, s.file)
}

// up writes the file, starts everything and waits until the node is ready.
func (s *site) up() time.Duration {
	s.t.Helper()
	s.startTenants()
	s.write(s.text())
	s.startNode()
	return s.awaitReady(20 * time.Second)
}

func (s *site) awaitReady(within time.Duration) time.Duration {
	s.t.Helper()
	return eventually(s.t, within, s.name+" is ready", func() bool {
		if !s.node.alive() {
			s.t.Fatalf("%s ended: %v", s.name, s.node.err)
		}
		return s.ready()
	})
}

var web = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

func (s *site) ready() bool {
	resp, err := web.Get("http://" + s.api + "/readyz")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// get decodes a JSON page of the node and reports whether it was there.
func (s *site) get(path string, into any) bool {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.api+path, nil)
	must(s.t, err)
	req.Header.Set("Accept", "application/json")
	resp, err := web.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(into) == nil
}

// call sends JSON and returns status and body.
func (s *site) call(method, path, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.api+path, strings.NewReader(body))
	must(s.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := web.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(s.t, err)
	return resp.StatusCode, string(text)
}

func (s *site) status() (p api.ProfileStatus) {
	s.get("/api/v1/profiles/integration/status", &p)
	return p
}

func (s *site) nodeStatus() (n api.NodeStatus) {
	s.get("/api/v1/node", &n)
	return n
}

// decision is the active endpoint and its epoch; "" before the first.
func (s *site) decision() (string, uint64) {
	d := s.status().Decision
	if d == nil {
		return "", 0
	}
	return d.Active, d.Epoch
}

func (s *site) active() string {
	a, _ := s.decision()
	return a
}

func (s *site) awaitActive(within time.Duration, endpoint string) time.Duration {
	s.t.Helper()
	return eventually(s.t, within, s.name+" has "+endpoint+" active", func() bool { return s.active() == endpoint })
}

func (s *site) journal() []health.Entry {
	var list api.EntryList
	s.get("/api/v1/journal?limit=1000", &list)
	return list.Entries
}

// ask is what DNS answers: an address, or the rcode; "" when it does not answer.
func (s *site) ask() string { return askFor(s.dns, host) }

func askFor(server, name string) string {
	q := new(dns.Msg).SetQuestion(name+".", dns.TypeA)
	c := dns.Client{Timeout: 300 * time.Millisecond}
	resp, _, err := c.Exchange(q, server)
	switch {
	case err != nil:
		return ""
	case len(resp.Answer) == 0:
		return dns.RcodeToString[resp.Rcode]
	}
	if a, ok := resp.Answer[0].(*dns.A); ok {
		return a.A.String()
	}
	return resp.Answer[0].String()
}

// browse is the region that answers through the proxy, or what went wrong.
func (s *site) browse() string { return fetch(web, "http://"+s.web+"/http/health") }

func fetch(c *http.Client, url string) string {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	req.Host = host
	return roundTrip(c, req)
}

func roundTrip(c *http.Client, req *http.Request) string {
	resp, err := c.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err.Error()
	case resp.StatusCode != http.StatusOK:
		return resp.Status + " " + string(bytes.TrimSpace(body))
	}
	return strings.TrimPrefix(string(bytes.TrimSpace(body)), "hello from ")
}

// order places an order through the API.
func (s *site) order(act, endpoint string) {
	s.t.Helper()
	code, body := s.call(http.MethodPost, "/api/v1/profiles/integration/orders", fmt.Sprintf(`{"act":%q,"endpoint":%q,"note":"by a test"}`, act, endpoint))
	if code != http.StatusOK {
		s.t.Fatalf("order %s %s: %d %s", act, endpoint, code, body)
	}
}

func (s *site) hangup() { s.node.signal(syscall.SIGHUP) }
