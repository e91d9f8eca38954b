package demo

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// seen is one answer a client got.
type seen struct {
	at   time.Time // when the request was sent
	took time.Duration
	what string // the region or the address; "" when it failed
	err  string
}

// watcher collects what one client sees.
type watcher struct {
	mu   sync.Mutex
	list []seen
}

func (w *watcher) add(s seen) {
	w.mu.Lock()
	w.list = append(w.list, s)
	w.mu.Unlock()
}

// first returns the first answer after t for which ok holds.
func (w *watcher) first(t time.Time, ok func(seen) bool) (seen, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.list {
		if !s.at.Before(t) && ok(s) {
			return s, true
		}
	}
	return seen{}, false
}

// last is the newest answer, the zero value before the first.
func (w *watcher) last() seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.list) == 0 {
		return seen{}
	}
	return w.list[len(w.list)-1]
}

// sum counts the answers since t: all, failed, and the slowest good one.
func (w *watcher) sum(t time.Time) (all, failed int, slowest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.list {
		if s.at.Before(t) {
			continue
		}
		all++
		if s.what == "" {
			failed++
		} else {
			slowest = max(slowest, s.took)
		}
	}
	return all, failed, slowest
}

// every calls f at a steady rate, each call on its own, so that a slow answer does not slow the client down.
func every(ctx context.Context, gap time.Duration, f func(context.Context)) {
	var calls sync.WaitGroup
	defer calls.Wait()
	tick := time.NewTicker(gap)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			calls.Go(func() { f(ctx) })
		}
	}
}

// browse sends requests through the proxy.
func (w *watcher) browse(ctx context.Context, proxy string, gap time.Duration) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	every(ctx, gap, func(ctx context.Context) {
		// A request that was begun is finished even when the demo goes on: none is counted that was not heard.
		req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, "http://"+proxy+"/http/health", nil)
		if err != nil {
			return
		}
		req.Host = publicName
		s := seen{at: time.Now()}
		resp, err := client.Do(req)
		if err != nil {
			s.err = err.Error()
		} else {
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			switch {
			case err != nil:
				s.err = err.Error()
			case resp.StatusCode != http.StatusOK:
				s.err = resp.Status
			default:
				s.what = strings.TrimSpace(string(body))
			}
		}
		s.took = time.Since(s.at)
		w.add(s)
	})
}

// resolve asks the name server, without a cache between.
func (w *watcher) resolve(ctx context.Context, server string, gap time.Duration) {
	every(ctx, gap, func(ctx context.Context) {
		s := seen{at: time.Now()}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		q := new(dns.Msg).SetQuestion(publicName+".", dns.TypeA)
		resp, _, err := new(dns.Client).ExchangeContext(ctx, q, server)
		switch {
		case err != nil:
			s.err = err.Error()
		case len(resp.Answer) == 0:
			s.err = dns.RcodeToString[resp.Rcode]
		default:
			if a, ok := resp.Answer[0].(*dns.A); ok {
				s.what = a.A.String() + " (TTL " + itoa(a.Hdr.Ttl) + ")"
			}
		}
		s.took = time.Since(s.at)
		w.add(s)
	})
}
