//go:build linux

package app_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestLostSealKeyIsNotReplaced: a key made in its place would hide that what it sealed cannot be opened any more.
func TestLostSealKeyIsNotReplaced(t *testing.T) {
	t.Parallel()
	s := signedSite(t, "127.0.0.1:1", "")
	s.startNode()
	s.awaitReady(20 * time.Second)
	s.awaitKeys("keys are made", inStage("begin"))
	tag := s.keys().Keys[0].Tag
	s.node.stop(20 * time.Second)
	key := filepath.Join(s.dir, "seal.key")
	must(t, os.Rename(key, key+".away"))
	s.startNode()
	eventually(t, 20*time.Second, "its API answers", func() bool { return s.nodeStatus().Name != "" })
	eventually(t, 20*time.Second, "it is not ready, and says why", func() bool {
		code, body := s.call(http.MethodGet, "/readyz", "")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "the seal key is lost") && strings.Contains(body, "seal forget")
	})
	if _, err := os.Stat(key); err == nil {
		t.Error("another key was made")
	}
	if text := strings.Join(s.nodeStatus().Alarms, "\n"); !strings.Contains(text, "the seal key is lost") {
		t.Errorf("alarms: %s", text)
	}
	q := new(dns.Msg).SetQuestion("ns1.dr.example.", dns.TypeA)
	q.SetEdns0(1232, true)
	m, _, err := (&dns.Client{Timeout: 2 * time.Second}).Exchange(q, s.dns)
	if err != nil || m.Rcode != dns.RcodeServerFailure || !strings.Contains(m.String(), "EDE: 14") {
		t.Errorf("a question with DO: %v %v", m, err)
	}
	must(t, os.Rename(key+".away", key))
	s.hangup()
	s.awaitReady(20 * time.Second)
	s.awaitKeys("the same keys are back", inStage("begin"))
	if got := s.keys().Keys[0].Tag; got != tag {
		t.Errorf("key %d, before %d", got, tag)
	}
}
