//go:build linux

package app_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// residentMiB is how much memory a process holds.
func residentMiB(t *testing.T, p *process) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kib, err := strconv.Atoi(f[1])
			must(t, err)
			return kib >> 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// TestSmallNode: a node like the quickstart's starts fast and is small.
func TestSmallNode(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	took := s.up()
	never(t, 2*time.Second, "not ready any more", func() bool { return !s.ready() })
	mib := residentMiB(t, s.node)
	t.Logf("ready %v after the start, %d MiB resident", took.Round(time.Millisecond), mib)
	if took > 10*time.Second {
		t.Errorf("ready after %v; the goal is 3 s", took)
	}
	if mib >= 80 && slack == 0 {
		t.Errorf("%d MiB resident; the limit is 80", mib)
	}
}

// TestThousandProfiles in one file.
func TestThousandProfiles(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var more strings.Builder
	count := 999
	if slack > 0 {
		count = 299
	}
	for i := range count {
		fmt.Fprintf(&more, `  - name: p%d
    hostnames: [p%d.dr.example]
    routing: priority
    monitor: {protocol: http, path: /http/health, interval: 30s}
    endpoints:
      - {name: eu20, target: 127.0.0.11, origin: "http://%s", priority: 1}
      - {name: us21, target: 127.0.0.12, origin: "http://%s", priority: 2}
    proxy: {mode: failover}
`, i, i, s.eu20, s.us21)
	}
	s.extra = more.String()
	last := fmt.Sprintf("p%d.dr.example", count-1)
	took := s.up()
	mib := residentMiB(t, s.node)
	t.Logf("%d profiles with 2 endpoints each: ready %v after the start, %d MiB resident", count+1, took.Round(time.Millisecond), mib)
	if took > 20*time.Second {
		t.Errorf("ready after %v; the goal is 5 s", took)
	}
	if a := askFor(s.dns, last); a != "127.0.0.11" {
		t.Errorf("DNS answers %q", a)
	}
	s.euTenant.kill()
	s.awaitActive(5*time.Second, "us21")

	s.node.kill()
	began := time.Now()
	s.startNode()
	eventually(t, 10*time.Second, "DNS answers", func() bool { return askFor(s.dns, last) != "" })
	answered := time.Since(began)
	s.awaitReady(20 * time.Second)
	t.Logf("after kill -9: first answer after %v, ready after %v", answered.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}
