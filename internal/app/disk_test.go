//go:build linux

package app_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jurymast/internal/health"
)

// limitFiles makes every write of a process to a file fail, as a full disk does, or lifts the limit.
func limitFiles(t *testing.T, p *process, on bool) {
	t.Helper()
	var was unix.Rlimit
	must(t, unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &was))
	now := unix.Rlimit{Cur: was.Max, Max: was.Max}
	if on {
		now.Cur = 0
	}
	must(t, unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &now, nil))
}

// failsOverWithoutDisk kills the primary while the store cannot write and demands that nobody is left waiting.
func failsOverWithoutDisk(t *testing.T, s *site) {
	t.Helper()
	stop := load(s, 20)
	killed := time.Now()
	s.euTenant.kill()
	eventually(t, 3*time.Second+slack, "DNS answers the standby", func() bool { return s.ask() == "127.0.0.12" })
	eventually(t, 3*time.Second+slack, "the proxy uses the standby", func() bool { return s.browse() == "US21" })
	t.Logf("DNS and proxy have moved %v after the kill", time.Since(killed).Round(time.Millisecond))
	for _, x := range stop() {
		if x.what != "EU20" && x.what != "US21" {
			t.Errorf("a request got %q", x.what)
		}
	}
	eventually(t, 5*time.Second, "status shows the alarm", func() bool { return len(s.nodeStatus().Alarms) > 0 })
	resp, err := web.Get("http://" + s.api + "/status")
	must(t, err)
	page, err := io.ReadAll(resp.Body)
	must(t, err)
	_ = resp.Body.Close()
	if !strings.Contains(string(page), "Alarm") || resp.StatusCode != http.StatusOK {
		t.Errorf("no alarm on the page:\n%s", page)
	}
	if !s.node.alive() {
		t.Fatal("the node is dead")
	}
}

// decisionIsStored demands that the store has the decision, by looking without the last-good log.
func decisionIsStored(t *testing.T, s *site, active string, epoch uint64) {
	t.Helper()
	eventually(t, 20*time.Second, "the store is back", func() bool { return s.nodeStatus().Store.Reachable })
	eventually(t, 10*time.Second, "the alarm and the decision are in the journal", func() bool {
		alarm, written := false, false
		for _, e := range s.journal() {
			alarm = alarm || (e.Kind == health.EntryAlarm && e.Epoch == epoch)
			written = written || (e.Kind == health.EntryDecision && e.Epoch == epoch)
		}
		return alarm && written && len(s.nodeStatus().Alarms) == 0
	})
	s.node.kill()
	must(t, os.Remove(filepath.Join(s.data, "last-good")))
	s.startNode()
	s.awaitReady(20 * time.Second)
	if a, e := s.decision(); a != active || e != epoch {
		t.Errorf("after a restart without the last-good log: %s under epoch %d, want %s under %d", a, e, active, epoch)
	}
}

// TestDiskThatRefusesWrites: the store dies, the node does not. It fails over, says so, and writes when it can.
func TestDiskThatRefusesWrites(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.failback = "{mode: manual}"
	s.up()
	limitFiles(t, s.node, true)
	failsOverWithoutDisk(t, s)
	_, epoch := s.decision()
	if epoch < 2 {
		t.Errorf("epoch %d", epoch)
	}
	limitFiles(t, s.node, false)
	decisionIsStored(t, s, "us21", epoch)
}
