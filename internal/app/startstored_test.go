//go:build linux

package app_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"jurymast/internal/health"
)

const goodZone = "ns1 300 A 127.0.0.1\nold 300 A 192.0.2.7\n"

// zoned is a site whose zone is in a file beside the configuration.
func zoned(t *testing.T) (s *site, write func(text string)) {
	t.Helper()
	s = newSite(t)
	zone := filepath.Join(s.dir, "dr.zone")
	write = func(text string) { must(t, os.WriteFile(zone, []byte(text), 0o600)) }
	write(goodZone)
	s.write(zonedText(s))
	return s, write
}

func zonedText(s *site) string {
	return strings.Replace(s.text(), "records: |\n      ns1 300 A 127.0.0.1\n", "file: dr.zone\n", 1)
}

func (s *site) metrics() string {
	resp, err := web.Get("http://" + s.api + "/metrics")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp.Status
	}
	return string(text)
}

// told reports that the journal has an entry of the configuration with that reason.
func (s *site) told(reason string) int {
	n := 0
	for _, e := range s.journal() {
		if e.Kind == health.EntryConfig && strings.Contains(e.Reason, reason) {
			n++
		}
	}
	return n
}

func (s *site) askName(name string) string { return askFor(s.dns, name+".dr.example") }

// TestStartsWithStoredDocuments: a mistake in the shared part of the file does not keep down a node that has stored
// documents, and costs none of them.
func TestStartsWithStoredDocuments(t *testing.T) {
	t.Parallel()
	s, zone := zoned(t)
	s.startTenants()
	s.startNode()
	s.awaitReady(20 * time.Second)
	never(t, 200*time.Millisecond, "the last-good log gathers for 50 ms", func() bool { return false })
	s.node.kill()

	zone(goodZone + "new 300 A 192.0.2.8\nbad 300 A 1.2.3\nworse 300 MX none\n")
	s.startNode()
	s.awaitReady(20 * time.Second)
	if got := s.askName("old"); got != "192.0.2.7" {
		t.Errorf("the stored record answers %q", got)
	}
	if s.ask() != "127.0.0.11" || s.askName("new") != "NXDOMAIN" {
		t.Errorf("profile %q, record of the refused file %q", s.ask(), s.askName("new"))
	}
	if c := s.nodeStatus().Config; !strings.Contains(c.Error, "dr.zone:4:") || !strings.Contains(c.Error, "dr.zone:5:") {
		t.Errorf("status says %+v", c)
	}
	if !strings.Contains(s.metrics(), "\njurymast_config_refused 1\n") {
		t.Error("the metric does not say that the file is refused")
	}
	eventually(t, 5*time.Second, "the refusal is in the journal", func() bool { return s.told("refused") == 1 })
	if generation := s.nodeStatus().Generation; generation != 1 {
		t.Errorf("generation %d: the refused start has changed documents", generation)
	}

	zone(goodZone + "new 300 A 192.0.2.8\n")
	s.hangup()
	eventually(t, 5*time.Second, "the good file is taken", func() bool { return s.askName("new") == "192.0.2.8" })
	eventually(t, 5*time.Second, "status and journal say so", func() bool { return s.nodeStatus().Config.Error == "" && s.told("taken again") == 1 })
	if text := s.metrics(); !strings.Contains(text, "\njurymast_config_refused 0\n") || !strings.Contains(text, "\njurymast_config_loaded_timestamp_seconds 1") {
		t.Error("the metrics do not say that the file was taken")
	}
}

// TestStartsOnlyWithWhatIsStored: without stored documents, or with a mistake in node, the start ends as ever.
func TestStartsOnlyWithWhatIsStored(t *testing.T) {
	t.Parallel()
	t.Run("nothing stored", func(t *testing.T) {
		t.Parallel()
		s, zone := zoned(t)
		zone(goodZone + "bad 300 A 1.2.3\nworse 300 MX none\n")
		refused(t, s, "dr.zone:3:", "dr.zone:4:")
		if _, err := os.Stat(s.data); err == nil {
			t.Error("the data directory was made")
		}
	})
	for name, change := range map[string]func(string) string{
		"node": func(text string) string { return strings.Replace(text, "location: test", "locaton: test", 1) },
		"not yet": func(text string) string {
			return strings.Replace(text, "proxy: {mode: failover}", "proxy: {mode: balance}", 1)
		},
		"no node":      func(text string) string { return strings.Replace(text, "node:\n", "nodes:\n", 1) },
		"no structure": func(text string) string { return text + "\n]" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := used(t)
			s.write(change(s.text()))
			refused(t, s, "jurymast.yaml:")
		})
	}
	t.Run("stored without documents", func(t *testing.T) {
		t.Parallel()
		s := used(t)
		s.write(strings.Replace(s.text(), "ttl: 5s", "tll: 5s", 1))
		refused(t, s, "tll")
	})
}

// TestStartsWithStoredProfiles: whatever part of the shared half is wrong.
func TestStartsWithStoredProfiles(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.up()
	s.node.stop(10 * time.Second)
	for _, c := range [][3]string{
		{"ttl: 5s", "tll: 5s", "tll"},
		{"{mode: failover}", "{mode: balance}", "not yet"},
		{"priority: 1}", "priority: 1, monitor: {headers: {Authorization: {secret: NONE}}}}", "NONE"},
	} {
		s.write(strings.Replace(s.text(), c[0], c[1], 1))
		s.startNode()
		s.awaitReady(20 * time.Second)
		if e := s.nodeStatus().Config.Error; s.ask() != "127.0.0.11" || !strings.Contains(e, c[2]) {
			t.Errorf("%s: answers %q, status says %q", c[1], s.ask(), e)
		}
		s.node.stop(10 * time.Second)
	}
}

// TestZoneFilesAreWatched: a change of a zone's file, or of one it includes, is a change of the file.
func TestZoneFilesAreWatched(t *testing.T) {
	t.Parallel()
	s, zone := zoned(t)
	sub := filepath.Join(s.dir, "sub")
	must(t, os.Mkdir(sub, 0o750))
	include := func(text string) { must(t, os.WriteFile(filepath.Join(sub, "hosts"), []byte(text), 0o600)) }
	include("inner 300 A 192.0.2.20\n")
	s.startTenants()
	s.startNode()
	s.awaitReady(20 * time.Second)
	zone(goodZone + "$INCLUDE sub/hosts\n")
	eventually(t, 5*time.Second, "the zone file is read again", func() bool { return s.askName("inner") == "192.0.2.20" })
	include("inner 300 A 192.0.2.21\n")
	eventually(t, 5*time.Second, "the included file is read again", func() bool { return s.askName("inner") == "192.0.2.21" })
	include("inner 300 A 192.0.2\n")
	eventually(t, 5*time.Second, "a bad one is refused", func() bool { return strings.Contains(s.nodeStatus().Config.Error, "hosts:1:") })
	include("inner 300 A 192.0.2.22\n")
	eventually(t, 5*time.Second, "and taken when it is good", func() bool { return s.askName("inner") == "192.0.2.22" && s.nodeStatus().Config.Error == "" })
	must(t, os.Remove(filepath.Join(sub, "hosts")))
	eventually(t, 5*time.Second, "a missing one is refused", func() bool { return s.nodeStatus().Config.Error != "" })
	include("inner 300 A 192.0.2.23\n")
	eventually(t, 5*time.Second, "and taken when it is back", func() bool { return s.askName("inner") == "192.0.2.23" })
}

// TestRestartAlarmNamesKeys: who reads that settings differ is told which.
func TestRestartAlarmNamesKeys(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.up()
	s.head = "  on_isolation: stop\n"
	s.cookieText = "nsid: fra1"
	s.write(s.text())
	eventually(t, 5*time.Second, "an alarm names the keys", func() bool {
		return slices.ContainsFunc(s.nodeStatus().Alarms, func(a string) bool {
			return strings.Contains(a, "node.nameserver.nsid, node.on_isolation")
		})
	})
}
