//go:build linux

package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"jurymast/internal/health"
)

// TestTwoNodes agree over one store, vote together, and one goes on when the other dies. They have no key to seal with:
// whoever shares no secrets needs none.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	a := newSite(t)
	a.head = fmt.Sprintf("  store: {endpoints: [%q]}\n", "http://"+startEtcd(t))
	a.up()
	b := a.beside("n2")
	b.write(b.text())
	b.startNode()
	b.awaitReady(20 * time.Second)
	both := []*site{a, b}
	for _, s := range both {
		eventually(t, 5*time.Second, "both votes are in status", func() bool {
			votes := s.status().Endpoints[0].Votes
			return len(votes) == 2 && votes[0].Opinion == health.Up && votes[1].Opinion == health.Up
		})
	}
	leader, other := a, b
	if b.nodeStatus().Leads {
		leader, other = b, a
	}
	if leader.nodeStatus().Leader != leader.name || other.nodeStatus().Leader != leader.name || other.nodeStatus().Leads {
		t.Fatalf("leader is %q for one and %q for the other", leader.nodeStatus().Leader, other.nodeStatus().Leader)
	}

	a.euTenant.kill()
	for _, s := range both {
		s.awaitActive(10*time.Second, "us21")
	}
	_, epoch := a.decision()
	if _, e := b.decision(); e != epoch {
		t.Fatalf("epochs %d and %d", epoch, e)
	}
	for _, s := range both {
		eventually(t, 2*time.Second, s.name+" serves the standby", func() bool { return s.ask() == "127.0.0.12" && s.browse() == "US21" })
	}
	a.restartPrimary()
	for _, s := range both {
		s.awaitActive(10*time.Second, "eu20")
	}
	_, epoch = a.decision()

	leader.node.kill()
	took := eventually(t, 10*time.Second, "the other leads", func() bool { return other.nodeStatus().Leads })
	t.Logf("the other node leads %v after the leader was killed", took.Round(time.Millisecond))
	if took > 5*time.Second+slack {
		t.Errorf("the other node took %v to lead", took)
	}
	eventually(t, 5*time.Second, "the dead node has no vote", func() bool { return len(other.status().Endpoints[0].Votes) == 1 })
	a.euTenant.kill()
	other.awaitActive(10*time.Second, "us21")
	if _, e := other.decision(); e <= epoch {
		t.Errorf("epoch %d after %d", e, epoch)
	}
}

// TestNodeCutOff: a node without the store answers what was agreed, says that it is stale, and never fails over alone.
func TestNodeCutOff(t *testing.T) {
	t.Parallel()
	a := newSite(t)
	address := startEtcd(t)
	a.head = storeText("http://" + address)
	a.up()
	b := a.beside("n2")
	way := openWay(t, address)
	b.head = storeText(way.url())
	b.write(b.text())
	b.startNode()
	b.awaitReady(20 * time.Second)
	eventually(t, 5*time.Second, "two voters", func() bool { return len(a.status().Endpoints[0].Votes) == 2 })

	way.cut()
	eventually(t, 10*time.Second, "it knows that it is cut off", func() bool { return b.status().Stale && !b.ready() })
	if n := b.nodeStatus(); n.Store.Reachable || n.Store.Detail == "" {
		t.Errorf("the store is shown as %+v", n.Store)
	}
	a.euTenant.kill()
	a.awaitActive(10*time.Second, "us21") // one voter is left, and one sees it
	never(t, 2*time.Second, "a node without the store has failed over alone", func() bool { return b.active() != "eu20" || b.ask() != "127.0.0.11" })

	_, agreed := a.decision()
	way.mend()
	b.awaitActive(15*time.Second, "us21")
	b.awaitReady(15 * time.Second)
	eventually(t, 5*time.Second, "two voters again", func() bool { return len(a.status().Endpoints[0].Votes) == 2 })
	// What the node had voted before it was cut off says nothing about now: no flap when it comes back.
	_, one := a.decision()
	if _, two := b.decision(); one != agreed || two != agreed {
		t.Errorf("epochs %d and %d, %d was agreed before the node came back", one, two, agreed)
	}
}

// TestFileIsTheTruth for what it names, and a bad file changes nothing.
func TestFileIsTheTruth(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const second = `  - name: second
    hostnames: [second.dr.example]
    routing: priority
    monitor: {protocol: tcp, interval: 1s, timeout: 300ms}
    endpoints: [{name: only, target: 127.0.0.13, origin: "http://127.0.0.1:1", priority: 1}]
`
	s.extra = second
	s.up()
	generation := s.nodeStatus().Generation

	bad := strings.Replace(s.text(), "ttl: 5s", "tll: 5s", 1)
	s.write(bad)
	eventually(t, 5*time.Second, "the change is refused and shown", func() bool { return strings.Contains(s.nodeStatus().Config.Error, "tll") })
	eventually(t, 5*time.Second, "a line in the log", func() bool { return s.node.said("configuration refused") })
	s.write(strings.Replace(s.text(), "ttl: 5s", "ttl: ages", 1))
	s.hangup()
	eventually(t, 5*time.Second, "the hangup is refused and shown", func() bool { return strings.Contains(s.nodeStatus().Config.Error, "ages") })
	if g := s.nodeStatus().Generation; g != generation {
		t.Errorf("generation %d, was %d: a bad file has changed something", g, generation)
	}
	if a := s.ask(); a != "127.0.0.11" {
		t.Errorf("DNS answers %q", a)
	}

	code, body := s.call(http.MethodPut, "/api/v1/profiles/third", `{"name":"third","hostnames":["third.dr.example"],"routing":"priority",
		"endpoints":[{"name":"only","target":"127.0.0.14","priority":1,"always_serve":true}]}`)
	if code != http.StatusCreated && code != http.StatusOK {
		t.Fatalf("a document beside the file: %d %s", code, body)
	}
	code, body = s.call(http.MethodDelete, "/api/v1/profiles/integration", "")
	if code != http.StatusConflict || !strings.Contains(body, "managed") || !strings.Contains(body, s.file) {
		t.Errorf("deleting what a file manages: %d %s", code, body)
	}
	eventually(t, 5*time.Second, "third is answered", func() bool { return askFor(s.dns, "third.dr.example") == "127.0.0.14" })

	s.extra = ""
	s.write(strings.Replace(s.text(), "127.0.0.11,", "127.0.0.21,", 1))
	eventually(t, 5*time.Second, "the new file is in force", func() bool { return s.ask() == "127.0.0.21" })
	eventually(t, 5*time.Second, "what it names no more is gone", func() bool { return askFor(s.dns, "second.dr.example") == "NXDOMAIN" })
	if a := askFor(s.dns, "third.dr.example"); a != "127.0.0.14" {
		t.Errorf("a document beside the file has not survived: %q", a)
	}
	eventually(t, 5*time.Second, "no error is shown any more", func() bool { return s.nodeStatus().Config.Error == "" })

	s.write(s.nodeText())
	eventually(t, 5*time.Second, "an empty file names nothing", func() bool { return s.ask() == "REFUSED" })
	var list struct{ Profiles []struct{ Name string } }
	s.get("/api/v1/profiles", &list)
	if got := fmt.Sprint(list.Profiles); got != "[{third}]" {
		t.Errorf("profiles %s", got)
	}
}
