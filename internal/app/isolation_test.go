//go:build linux

package app_test

import (
	"strings"
	"testing"
	"time"
)

// TestIsolatedNodeStops: with on_isolation: stop a node that has lost the store neither answers nor sends, says so
// everywhere, and goes on by itself when the store is back. After a restart its last good state is no reason to answer.
func TestIsolatedNodeStops(t *testing.T) {
	t.Parallel()
	a := newSite(t)
	address := startEtcd(t)
	a.head = storeText("http://" + address)
	a.up()
	b := a.beside("n2")
	way := openWay(t, address)
	b.head = storeText(way.url()) + "  on_isolation: stop\n"
	b.write(b.text())
	b.startNode()
	b.awaitReady(20 * time.Second)
	if b.ask() != "127.0.0.11" || b.browse() != "EU20" {
		t.Fatalf("before: DNS %s, proxy %s", b.ask(), b.browse())
	}

	way.cut()
	b.stops(t, "isolated")
	if a.ask() != "127.0.0.11" || a.browse() != "EU20" {
		t.Errorf("the other node: DNS %s, proxy %s", a.ask(), a.browse())
	}
	way.mend()
	b.awaitReady(15 * time.Second)
	eventually(t, 5*time.Second, "it answers again", func() bool { return b.ask() == "127.0.0.11" && b.browse() == "EU20" })

	way.cut()
	b.node.kill()
	b.startNode()
	b.stops(t, "unconfirmed")
	way.mend()
	b.awaitReady(15 * time.Second)
	eventually(t, 5*time.Second, "it answers after the restart", func() bool { return b.ask() == "127.0.0.11" && b.browse() == "EU20" })
}

// stops waits until the node answers nothing, and looks at everything that says why.
func (s *site) stops(t *testing.T, halt string) {
	t.Helper()
	eventually(t, 10*time.Second, s.name+" is "+halt, func() bool { return s.status().Halt == halt })
	if got := s.status().Serving; got != "halted" {
		t.Errorf("status serves %q", got)
	}
	if got := s.ask(); got != "SERVFAIL" {
		t.Errorf("DNS answers %q", got)
	}
	if got := s.browse(); !strings.HasPrefix(got, "503") || !strings.Contains(got, `"reason":"DF"`) {
		t.Errorf("the proxy answers %q", got)
	}
	if s.ready() {
		t.Error("the node calls itself ready")
	}
	_, text := s.call("GET", "/metrics", "")
	if want := `jurymast_serving{profile="integration",state="halted"} 1`; !strings.Contains(text, want) {
		t.Errorf("metrics lack %s", want)
	}
	_, text = s.call("GET", "/api/v1/explain?name="+host+"&type=A", "")
	if !strings.Contains(text, `"serving":"halted"`) || !strings.Contains(text, "SERVFAIL") {
		t.Errorf("explain says %s", text)
	}
}
