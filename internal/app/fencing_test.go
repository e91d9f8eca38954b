//go:build linux

package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/store/lastgood"
)

// arrivals are the requests that two origins got, in the order in which they came.
type arrivals struct {
	mu   sync.Mutex
	list []arrival
	seen map[string]int // by request id
}

type arrival struct {
	at     time.Time
	to, by string // endpoint, node
}

// origins serves both endpoints of a site in this process, at their addresses.
func (s *site) origins() *arrivals {
	s.t.Helper()
	r := &arrivals{seen: map[string]int{}}
	for name, addr := range map[string]string{"eu20": s.eu20, "us21": s.us21} {
		l, err := net.Listen("tcp", addr)
		must(s.t, err)
		srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if id := q.Header.Get("X-Request"); id != "" {
				r.mu.Lock()
				r.list = append(r.list, arrival{at: time.Now(), to: name, by: q.Header.Get("X-By")})
				r.seen[id]++
				r.mu.Unlock()
			}
			_, _ = io.Copy(io.Discard, q.Body)
			_, _ = io.WriteString(w, "hello from "+strings.ToUpper(name))
		})}
		go func() { _ = srv.Serve(l) }()
		s.t.Cleanup(func() { _ = srv.Close() })
	}
	return r
}

// load sends GETs and POSTs through a node until stop, and counts the answers by status.
func (r *arrivals) load(t *testing.T, s *site) (stop func() map[int]int) {
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	got := map[int]int{}
	var wg sync.WaitGroup
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	for worker := range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				method, body := http.MethodGet, io.Reader(http.NoBody)
				if worker%2 == 0 {
					method, body = http.MethodPost, bytes.NewReader([]byte("x"))
				}
				req, err := http.NewRequest(method, "http://"+s.web+"/work", body)
				must(t, err)
				req.Host = host
				req.Header.Set("X-Request", s.name+"-"+time.Now().String()+method)
				req.Header.Set("X-By", s.name)
				code := 0
				if resp, err := c.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					code = resp.StatusCode
				}
				mu.Lock()
				got[code]++
				mu.Unlock()
				select {
				case <-ctx.Done():
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
	stop = sync.OnceValue(func() map[int]int {
		cancel()
		wg.Wait()
		c.CloseIdleConnections()
		return got
	})
	t.Cleanup(func() { stop() })
	return stop
}

// late is how much later than it was sent a request may be noticed here: many tests share the machine.
const late = 200 * time.Millisecond

// turns is how often the endpoint changed that requests came to. While two get requests at the same time, it grows with
// every few of them. What comes to the one before within a moment was noticed late.
func (r *arrivals) turns(t *testing.T) (n int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, times := range r.seen {
		if times > 1 && strings.HasSuffix(id, http.MethodPost) {
			t.Errorf("a POST arrived %d times", times)
		}
	}
	var now, before string
	var since time.Time
	for _, a := range r.list {
		if a.to == now || a.to == before && a.at.Sub(since) < late {
			continue
		}
		if now != "" {
			n++
		}
		before, now, since = now, a.to, a.at
	}
	return n
}

// flowing waits until requests of a node have come to an endpoint for longer than late.
func (r *arrivals) flowing(t *testing.T, node, endpoint string) {
	t.Helper()
	var first time.Time
	eventually(t, 20*time.Second, "requests of "+node+" come to "+endpoint, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, a := range slices.Backward(r.list) {
			if a.by == node {
				if a.to != endpoint {
					first = time.Time{}
					return false
				}
				if first.IsZero() {
					first = a.at
				}
				return a.at.Sub(first) > late+late/2
			}
		}
		return false
	})
}

// strictly makes a site's profile fenced.
func (s *site) strictly() *site {
	s.failback = "{mode: manual}\n    fencing: strict"
	s.proxy = "{mode: failover, hold: {max_wait: 15s}}"
	return s
}

// switchTo drains the other endpoint and returns how long it took until this one was active, as the journal tells.
func (s *site) switchTo(endpoint, from string) time.Duration {
	s.t.Helper()
	began := time.Now()
	s.order("drain", from)
	s.awaitFenced(20*time.Second, endpoint)
	took := time.Since(began)
	s.order("undrain", from)
	return took
}

func (s *site) awaitFenced(within time.Duration, endpoint string) time.Duration {
	s.t.Helper()
	return eventually(s.t, within, s.name+" has "+endpoint+" active, and not only prepared", func() bool {
		d := s.status().Decision
		return d != nil && d.Active == endpoint && d.Phase == "" && s.status().Halt == ""
	})
}

// fenced are the journal's entries about carried out switches, newest last.
func (s *site) fenced() (out []health.Entry) {
	for _, e := range s.journal() {
		if e.Kind == health.EntryFence {
			out = append(out, e)
		}
	}
	return out
}

// TestStrictFencing: two nodes under load never send to two endpoints at once, in a planned switch, when a node is killed,
// and when one is cut off while it has clients.
func TestStrictFencing(t *testing.T) {
	t.Parallel()
	address := startEtcd(t)
	a := newSite(t).strictly()
	a.head = storeText("http://" + address)
	r := a.origins()
	a.write(a.text())
	a.startNode()
	a.awaitReady(20 * time.Second)
	b := a.beside("n2")
	way := openWay(t, address)
	b.head = storeText(way.url())
	b.write(b.text())
	b.startNode()
	b.awaitReady(20 * time.Second)
	a.awaitFenced(5*time.Second, "eu20")

	stopA, stopB := r.load(t, a), r.load(t, b)
	for range 3 {
		t.Logf("a planned switch took %v", a.switchTo("us21", "eu20").Round(time.Millisecond))
		r.flowing(t, "n1", "us21")
		r.flowing(t, "n2", "us21")
		a.switchTo("eu20", "us21")
		r.flowing(t, "n1", "eu20")
		r.flowing(t, "n2", "eu20")
	}
	for name, stop := range map[string]func() map[int]int{"n1": stopA, "n2": stopB} {
		if got := stop(); len(got) != 1 || got[http.StatusOK] == 0 {
			t.Errorf("answers of %s during planned switches: %v", name, got)
		}
	}
	if n := r.turns(t); n != 6 {
		t.Errorf("requests moved %d times in 6 switches", n)
	}

	r.load(t, a)
	stopB = r.load(t, b)
	r.flowing(t, "n2", "eu20")
	way.cut() // its clients go on
	a.order("drain", "eu20")
	took := a.awaitFenced(20*time.Second, "us21")
	t.Logf("a switch with a node cut off took %v", took.Round(time.Millisecond))
	if took < time.Second {
		t.Errorf("the switch did not wait for the lease of the node that was cut off: %v", took)
	}
	b.stops(t, "isolated")
	if got := stopB(); got[http.StatusServiceUnavailable] == 0 {
		t.Errorf("answers of the node that was cut off: %v", got)
	}
	r.flowing(t, "n1", "us21")
	if n := r.turns(t); n != 7 {
		t.Errorf("requests moved %d times in 7 switches, one of them with a node cut off", n)
	}
	way.mend()
	b.awaitReady(15 * time.Second)
	b.awaitFenced(10*time.Second, "us21")
	a.order("undrain", "eu20")

	r.load(t, b)
	r.flowing(t, "n2", "us21")
	b.node.kill()
	a.order("drain", "us21")
	took = a.awaitFenced(20*time.Second, "eu20")
	t.Logf("a switch with a node just killed took %v", took.Round(time.Millisecond))
	r.flowing(t, "n1", "eu20")
	if n := r.turns(t); n != 8 {
		t.Errorf("requests moved %d times in 8 switches, one of them with a node killed", n)
	}
	for _, e := range a.fenced() {
		t.Logf("journal: epoch %d to %s: %s, %s", e.Epoch, e.To, e.Reason, e.Note)
	}
}

// TestStrictAfterRestart: whatever the last good state says, a fenced profile waits for the store.
func TestStrictAfterRestart(t *testing.T) {
	t.Parallel()
	address := startEtcd(t)
	a := newSite(t).strictly()
	way := openWay(t, address)
	a.head = storeText(way.url())
	r := a.origins()
	a.write(a.text())
	a.startNode()
	a.awaitReady(20 * time.Second)
	a.awaitFenced(5*time.Second, "eu20")
	if got := a.browse(); got != "EU20" {
		t.Fatalf("the proxy answers %q", got)
	}

	eventually(t, 5*time.Second, "the state is kept", func() bool {
		b, err := os.ReadFile(filepath.Join(a.data, "last-good"))
		return err == nil && bytes.Contains(b, []byte("state/integration"))
	})
	way.cut()
	a.node.kill()
	log, last, err := lastgood.Open(filepath.Join(a.data, "last-good"), slog.New(slog.DiscardHandler))
	must(t, err)
	if last["state/integration"] == nil {
		t.Fatalf("the last good state has %d records, none of the profile", len(last))
	}
	forged, err := json.Marshal(map[string]any{
		"ready": true, "decision": health.Decision{Active: "us21", Epoch: 1000, Reason: "forged"},
		"verdicts": map[string]health.Verdict{"eu20": {Status: health.Online}, "us21": {Status: health.Online}},
	})
	must(t, err)
	log.Put("state/integration", forged)
	must(t, log.Close(time.Second))

	a.startNode()
	eventually(t, 10*time.Second, "the node is there", func() bool { return a.status().Halt == "unconfirmed" })
	stop := r.load(t, a)
	never(t, 2*time.Second, "it answers by a forged state", func() bool { return a.ask() != "SERVFAIL" || a.status().Halt != "unconfirmed" })
	r.mu.Lock()
	sent := len(r.list)
	r.mu.Unlock()
	if sent > 0 {
		t.Errorf("%d requests were sent by a forged state", sent)
	}
	way.mend()
	a.awaitReady(20 * time.Second)
	a.awaitFenced(5*time.Second, "eu20")
	eventually(t, 5*time.Second, "it answers as the store says", func() bool { return a.ask() == "127.0.0.11" && a.browse() == "EU20" })
	if got := stop(); len(got) != 1 || got[http.StatusOK] == 0 {
		t.Errorf("held requests were answered %v", got)
	}
}

// TestStrictAlone: a node with a store of its own acknowledges itself.
func TestStrictAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t).strictly()
	s.up()
	s.awaitFenced(5*time.Second, "eu20")
	t.Logf("a planned switch took %v", s.switchTo("us21", "eu20").Round(time.Millisecond))
	eventually(t, 5*time.Second, "it serves the standby", func() bool { return s.ask() == "127.0.0.12" && s.browse() == "US21" })
	s.node.kill()
	s.startNode()
	s.awaitReady(20 * time.Second)
	s.awaitFenced(5*time.Second, "us21")
	s.usTenant.kill()
	s.awaitFenced(20*time.Second, "eu20")
	eventually(t, 5*time.Second, "it serves the primary", func() bool { return s.ask() == "127.0.0.11" && s.browse() == "EU20" })
}
