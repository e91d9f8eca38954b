//go:build linux

package app_test

import (
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// sample is one request of the load.
type sample struct {
	at   time.Time
	took time.Duration
	what string
}

// load sends requests open-loop: a slow answer does not slow the client down. Stop returns all samples.
func load(s *site, perSecond int) (stop func() []sample) {
	var mu sync.Mutex
	var list []sample
	var calls sync.WaitGroup
	end, ended := make(chan struct{}), make(chan struct{})
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			calls.Go(func() {
				x := sample{at: time.Now()}
				x.what = fetch(c, "http://"+s.web+"/http/health")
				x.took = time.Since(x.at)
				mu.Lock()
				list = append(list, x)
				mu.Unlock()
			})
		}
	}()
	return func() []sample {
		close(end)
		<-ended
		calls.Wait()
		c.CloseIdleConnections()
		return list
	}
}

// TestKillUnderLoad: the primary dies under load and no client notices more than a pause.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.up()
	stop := load(s, 500)
	eventually(t, 5*time.Second, "load runs", func() bool { return s.browse() == "EU20" })
	never(t, time.Second, "served by the standby before the kill", func() bool { return s.active() != "eu20" })
	killed := time.Now()
	s.euTenant.kill()
	s.awaitActive(5*time.Second, "us21")
	decided := s.status().Decision.Since
	never(t, 500*time.Millisecond, "back too soon", func() bool { return s.browse() != "US21" })
	all := stop()
	failed := 0
	var slowest time.Duration
	regions := map[string]int{}
	for _, x := range all {
		regions[x.what]++
		if x.what != "EU20" && x.what != "US21" {
			failed++
		}
		if x.at.Add(x.took).After(killed) {
			slowest = max(slowest, x.took)
		}
	}
	t.Logf("%d requests %v, kill to decision %v, slowest %v", len(all), regions, decided.Sub(killed).Round(time.Millisecond), slowest.Round(time.Millisecond))
	if failed > 0 || regions["US21"] == 0 || regions["EU20"] < 100 {
		t.Errorf("%d requests failed: %v", failed, regions)
	}
	if slowest > time.Second {
		t.Errorf("slowest request took %v", slowest)
	}
	if a := s.ask(); a != "127.0.0.12" {
		t.Errorf("DNS answers %q", a)
	}
}

// TestHungOrigin: a primary that accepts and never answers is found by its probes alone, and comes back.
func TestHungOrigin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.up()
	_, before := s.decision()
	s.euTenant.signal(syscall.SIGSTOP)
	took := s.awaitActive(5*time.Second, "us21")
	t.Logf("decision %v after SIGSTOP", took.Round(time.Millisecond))
	// Two probes, 1 s apart, 300 ms each: the worst case is 2.3 s.
	if took > 2500*time.Millisecond+slack {
		t.Errorf("decision took %v", took)
	}
	if got := s.browse(); got != "US21" {
		t.Errorf("the proxy answers %q", got)
	}
	s.euTenant.signal(syscall.SIGCONT)
	s.awaitActive(10*time.Second, "eu20")
	if _, epoch := s.decision(); epoch != before+2 {
		t.Errorf("epoch %d after two switches, was %d", epoch, before)
	}
	eventually(t, 2*time.Second, "DNS is back at the primary", func() bool { return s.ask() == "127.0.0.11" })
}
