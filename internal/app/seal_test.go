//go:build linux

package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jurymast/internal/cluster/seal"
)

func unmarshal(text []byte, into any) error { return json.Unmarshal(text, into) }

// sealed is a site alone with a key file of its own.
func sealed(t *testing.T) (s *site, key string) {
	t.Helper()
	s = newSite(t)
	key = filepath.Join(s.dir, "seal.key")
	s.head = fmt.Sprintf("  store: {seal: {file: %q}}\n", key)
	return s, key
}

// TestSealOfOneNode: the key is made once; with another key the node serves, says what is wrong, and harms nothing.
func TestSealOfOneNode(t *testing.T) {
	t.Parallel()
	s, key := sealed(t)
	s.up()
	eventually(t, 5*time.Second, "a secret is sealed", func() bool { return s.cookies().Source == "store" })
	if info, err := os.Stat(key); err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	before := s.cookies()
	s.node.stop(20 * time.Second)
	s.startNode()
	s.awaitReady(20 * time.Second)
	eventually(t, 5*time.Second, "the secret has survived", func() bool { c := s.cookies(); return c.Source == "store" && c.Current == before.Current })

	right, err := os.ReadFile(key)
	must(t, err)
	s.node.stop(20 * time.Second)
	must(t, seal.Write(key, seal.NewRing(seal.NewKey())))
	s.startNode()
	s.awaitReady(20 * time.Second)
	eventually(t, 5*time.Second, "an alarm", func() bool {
		text := strings.Join(s.nodeStatus().Alarms, "\n")
		return strings.Contains(text, "sealed/dns-cookies") && strings.Contains(text, "jurymast seal forget dns-cookies")
	})
	if c := s.cookies(); c.Source != "own" || c.Trouble == "" {
		t.Errorf("with another key: %+v", c)
	}
	must(t, os.WriteFile(key, right, 0o600))
	s.hangup()
	eventually(t, 5*time.Second, "well again without a restart", func() bool {
		c := s.cookies()
		return c.Source == "store" && c.Current == before.Current && c.Trouble == "" && len(s.nodeStatus().Alarms) == 0
	})

	must(t, os.Chmod(key, 0o644))
	s.hangup()
	eventually(t, 5*time.Second, "a key for everybody is refused", func() bool { return strings.Contains(s.nodeStatus().Config.Error, "chmod 600") })
	if c := s.cookies(); c.Source != "store" {
		t.Errorf("a refused reload has changed something: %+v", c)
	}
}

// TestSealRotate: everything is sealed anew, the old key goes, and kill -9 at any moment loses nothing.
func TestSealRotate(t *testing.T) {
	t.Parallel()
	s, key := sealed(t)
	s.up()
	eventually(t, 5*time.Second, "a secret is sealed", func() bool { return s.cookies().Source == "store" })
	cookies, first := s.cookies(), s.sealing()
	if code, body := s.post("/api/v1/seal/rotate"); code != http.StatusOK {
		t.Fatalf("rotate: %d %s", code, body)
	}
	now := s.sealing()
	if now.Key == first.Key || now.Previous != first.Key || fmt.Sprint(now.Keys) != fmt.Sprint([]string{now.Key}) || now.Records[0].Key != now.Key {
		t.Fatalf("after: %+v, before: %+v", now, first)
	}
	for i := range 6 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			req, _ := http.NewRequest(http.MethodPost, "http://"+s.api+"/api/v1/seal/rotate", strings.NewReader("{}"))
			req.Header.Set("Content-Type", "application/json")
			if resp, err := web.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}()
		time.Sleep(time.Duration(i*i) * 3 * time.Millisecond)
		s.node.kill()
		<-done
		s.startNode()
		s.awaitReady(20 * time.Second)
		eventually(t, 10*time.Second, "the secret is there", func() bool { c := s.cookies(); return c.Source == "store" && c.Current == cookies.Current })
		if why := s.cookies().Trouble; why != "" {
			t.Fatalf("killed after %v: %s", time.Duration(i*i)*3*time.Millisecond, why)
		}
	}
	if code, body := s.post("/api/v1/seal/rotate"); code != http.StatusOK {
		t.Fatalf("rotate in the end: %d %s", code, body)
	}
	ring, err := seal.Read(key)
	must(t, err)
	if got := s.sealing(); len(ring.IDs()) != 1 || ring.IDs()[0] != got.Key || got.Records[0].Key != got.Key {
		t.Errorf("file %v, store %+v", ring.IDs(), got)
	}
}

// TestSealOfSeveralNodes: the file is the operator's. Without it a node does not start and says how to make it; a new key
// is used when all nodes have it, and not before.
func TestSealOfSeveralNodes(t *testing.T) {
	t.Parallel()
	a := newSite(t)
	address := startEtcd(t)
	keys := []string{filepath.Join(a.dir, "a.key"), filepath.Join(a.dir, "b.key")}
	old, next := seal.NewKey(), seal.NewKey()
	text := func(key string) string {
		return fmt.Sprintf("  store: {endpoints: [%q], seal: {file: %q}}\n", "http://"+address, key)
	}
	a.head = text(keys[0])
	a.startTenants()
	a.write(a.text())
	a.startNode()
	if err := a.node.ended(20 * time.Second); err == nil || !a.node.said("openssl rand -hex 32") || !a.node.said(keys[0]) {
		t.Fatalf("without a key file: %v", err)
	}
	must(t, seal.Write(keys[0], seal.NewRing(old)))
	must(t, seal.Write(keys[1], seal.NewRing(old)))
	a.startNode()
	a.awaitReady(20 * time.Second)
	b := a.beside("n2")
	b.head = text(keys[1])
	b.write(b.text())
	b.startNode()
	b.awaitReady(20 * time.Second)
	refuses := func(s *site, says string) {
		t.Helper()
		if code, body := s.post("/api/v1/seal/rotate"); code != http.StatusConflict || !strings.Contains(body, says) {
			t.Fatalf("rotate: %d %s, want %q", code, body, says)
		}
	}
	eventually(t, 10*time.Second, "both use the shared secret", func() bool { return a.cookies().Source == "store" && b.cookies().Source == "store" })
	cookies := a.cookies()
	refuses(a, "no key to rotate to")
	must(t, seal.Write(keys[0], seal.NewRing(old, next)))
	refuses(a, "on n2")
	must(t, seal.Write(keys[1], seal.NewRing(next, old)))
	b.hangup()
	eventually(t, 5*time.Second, "n2 has the key", func() bool { return len(a.sealing().Nodes) == 2 && len(a.sealing().Nodes[1].Keys) == 2 })
	if code, body := b.post("/api/v1/seal/rotate"); code != http.StatusOK {
		t.Fatalf("rotate: %d %s", code, body)
	}
	refuses(a, "no key to rotate to") // and surely not back to the old one, which is in the file still
	for i, s := range []*site{a, b} {
		must(t, seal.Write(keys[i], seal.NewRing(next)))
		s.hangup()
		eventually(t, 5*time.Second, s.name+" has the new key alone", func() bool { return len(s.sealing().Keys) == 1 })
		if c := s.cookies(); c.Source != "store" || c.Current != cookies.Current || c.Trouble != "" {
			t.Errorf("%s without the old key: %+v", s.name, c)
		}
	}
	a.rollCookies()
	a.awaitStage(5*time.Second, "retiring", "")
	eventually(t, 5*time.Second, "n2 follows", func() bool { return b.cookies().Stage == "retiring" && b.cookies().Trouble == "" })
}

// TestSealKeyInsideTheData is refused.
func TestSealKeyInsideTheData(t *testing.T) {
	t.Parallel()
	s, _ := sealed(t)
	s.head = fmt.Sprintf("  store: {seal: {file: %q}}\n", filepath.Join(s.data, "seal.key"))
	s.write(s.nodeText())
	s.startNode()
	if err := s.node.ended(20 * time.Second); err == nil || !s.node.said("so a copy of the data would open everything") {
		t.Fatalf("%v", err)
	}
}
