//go:build linux

package app_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/api"
)

// offsetVar shifts a node's clock of signatures and rolls; askParentVar is how often it asks for a DS that it waits for.
const (
	offsetVar    = "JURYMAST_APP_TEST_CLOCK_OFFSET"
	askParentVar = "JURYMAST_APP_TEST_ASK_PARENT"
)

func durationOf(name string) time.Duration {
	d, _ := time.ParseDuration(os.Getenv(name))
	return d
}

// signedSite is a node alone with a signed zone, whose parent is asked at an address.
func signedSite(t *testing.T, parent, dnssec string) *site {
	s := newSite(t)
	s.head = fmt.Sprintf("  store: {seal: {file: %q}}\n", filepath.Join(s.dir, "seal.key"))
	text := strings.Replace(s.text(), "    hostmaster:", fmt.Sprintf("    dnssec: {enabled: true, propagation: 0s, parents: [%q]%s}\n    hostmaster:", parent, dnssec), 1)
	s.write(text)
	s.startTenants()
	return s
}

// shifted ends the node as kill -9 does, and starts it again so much later.
func (s *site) shifted(offset time.Duration) {
	s.t.Helper()
	if s.node != nil {
		s.node.kill()
	}
	s.env = []string{offsetVar + "=" + offset.String(), askParentVar + "=500ms"}
	s.startNode()
	s.awaitReady(30 * time.Second)
}

func (s *site) keys() (k api.ZoneKeys) {
	s.get("/api/v1/zones/dr.example/keys", &k)
	return k
}

func (s *site) awaitKeys(what string, is func(k api.ZoneKeys) bool) {
	s.t.Helper()
	var last api.ZoneKeys
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("%s: %+v %+v", what, last, last.Next)
		}
	})
	eventually(s.t, 30*time.Second, what, func() bool { last = s.keys(); return is(last) })
}

func inStage(name string) func(api.ZoneKeys) bool {
	return func(k api.ZoneKeys) bool { return k.Stage == name && k.Nodes[0].Acknowledged }
}

// waits is inStage with the time of its end: that all nodes have acknowledged is written down by then, so that a kill does not
// begin the wait anew.
func waits(name string) func(api.ZoneKeys) bool {
	return func(k api.ZoneKeys) bool { return inStage(name)(k) && k.Next != nil && k.Next.Until != nil }
}

// counted: everybody has acknowledged the first keys, and that is stored: a node that is killed counts from then.
func counted(k api.ZoneKeys) bool { return inStage("begin")(k) && k.Next != nil && k.Next.Until != nil }

// TestZoneKeysOutliveKills: the keys of a zone are made once; a node that is killed in any stage has the same ones in its
// first answer, and private keys are in no answer, log or file.
func TestZoneKeysOutliveKills(t *testing.T) {
	t.Parallel()
	s := signedSite(t, "127.0.0.1:1", "")
	s.shifted(0)
	s.awaitKeys("keys are made", waits("begin"))
	tag := s.keys().Keys[0].Tag
	s.shifted(2 * time.Hour)
	s.awaitKeys("it is steady", inStage("steady"))
	if code, body := s.call(http.MethodPost, "/api/v1/zones/dr.example/keys/roll", `{"note":"a test"}`); code != http.StatusOK {
		t.Fatalf("roll: %d %s", code, body)
	}
	s.awaitKeys("the new key is shown", waits("publish"))
	s.node.kill()
	s.startNode()
	shown := 0
	eventually(t, 20*time.Second, "the first answer", func() bool {
		m, _, err := (&dns.Client{Timeout: 300 * time.Millisecond}).Exchange(new(dns.Msg).SetQuestion("dr.example.", dns.TypeDNSKEY), s.dns)
		if err == nil {
			shown = len(m.Answer)
		}
		return err == nil
	})
	if shown != 2 {
		t.Errorf("the first answer after a kill shows %d keys", shown)
	}
	s.shifted(4 * time.Hour)
	s.awaitKeys("the DS is waited for", func(k api.ZoneKeys) bool {
		return inStage("change")(k) && k.Next != nil && strings.Contains(k.Next.For, "the parent")
	})
	if k := s.keys(); k.Parent.Agree || !strings.Contains(k.Next.For, "the parent") || k.CDS != "auto" {
		t.Errorf("%+v %+v", k.Next, k.Parent)
	}
	if code, body := s.call(http.MethodPost, "/api/v1/zones/dr.example/keys/ds-seen", `{"ttl":60}`); code != http.StatusOK {
		t.Fatalf("ds-seen: %d %s", code, body)
	}
	s.awaitKeys("the old key retires", waits("retire"))
	s.shifted(8 * time.Hour)
	s.awaitKeys("the roll is done", inStage("steady"))
	if k := s.keys(); len(k.Keys) != 1 || k.Keys[0].Tag == tag {
		t.Errorf("%+v", k.Keys)
	}
	if code, _ := s.call(http.MethodPost, "/api/v1/zones/dr.example/keys/export", `{}`); code != http.StatusForbidden {
		t.Errorf("an export over TCP: %d", code)
	}
	for _, path := range []string{"/api/v1/journal?limit=1000", "/api/v1/zones/dr.example/keys", "/api/v1/dns/zones"} {
		if _, body := s.call(http.MethodGet, path, ""); strings.Contains(strings.ToLower(body), "private") && path != "/api/v1/journal?limit=1000" {
			t.Errorf("%s: %s", path, body)
		}
	}
}
