//go:build interop && linux

package proxy_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/proxy/rawcases"
)

// TestInteropOriginsReadWhatTheProxySends: the raw cases go through the proxy to other people's servers. What is refused
// reaches none of them, and what is taken is one and the same request to each.
func TestInteropOriginsReadWhatTheProxySends(t *testing.T) {
	var wait sync.WaitGroup
	servers := rawcases.Servers(t)
	for turn, origin := range servers {
		r := newRig(t, func(_ *proxy.Options, pr *profile.Profile) {
			pr.Endpoints[0].Origin = "http://" + origin.Addr
			pr.Endpoints = pr.Endpoints[:1]
			pr.Hostnames = append(pr.Hostnames, "next.example", "hidden.example", "localhost", "a-b.example")
			pr.Proxy.Hold.MaxWait = 0
		})
		through := rawcases.Server{Name: origin.Name, Addr: r.addr}
		wait.Go(func() {
			for _, c := range rawcases.Accepted() {
				throughTaken(t, through, c)
			}
			for _, c := range rawcases.Requests() {
				throughRefused(t, through, c)
			}
			for i, c := range rawcases.Pairs() {
				if i%len(servers) == turn { // each gets its share
					throughRefused(t, through, c)
				}
			}
		})
	}
	wait.Wait()
}

func throughTaken(t *testing.T, s rawcases.Server, c rawcases.Case) {
	t.Helper()
	raw := []byte(c.Text)
	r, body, _, f := rawcases.Read(raw)
	if f != nil {
		t.Errorf("%s: %v", c.Name(), f)
		return
	}
	want := rawcases.Want(r, raw, body)
	next := rawcases.Seen{Method: "GET", Target: "/next", Host: "next.example"}
	v, err := s.View(t.Context(), append(raw, rawcases.Next...), 10*time.Second)
	switch {
	case err != nil:
		t.Errorf("%s: %s: %v", c.Name(), s.Name, err)
	case v.Refused && (len(v.Seen) == 0 || len(v.Seen) == 1 && v.Seen[0] == next):
		t.Logf("%s: %s refuses it", c.Name(), s.Name)
	case want.Target == "*" && len(v.Seen) == 1 && v.Seen[0] == next: // answered without passing it on
	case len(v.Seen) == 0 || !s.Alike(v.Seen[0], want):
		t.Errorf("%s: %s sees %s, want %v", c.Name(), s.Name, v, want)
	case len(v.Seen) == 1 && !r.Closes, len(v.Seen) > 2, len(v.Seen) == 2 && v.Seen[1] != next:
		t.Errorf("%s: %s sees %s behind it", c.Name(), s.Name, v)
	}
}

func throughRefused(t *testing.T, s rawcases.Server, c rawcases.Case) {
	t.Helper()
	v, err := s.View(t.Context(), []byte(c.Text+rawcases.Next), 10*time.Second)
	if err != nil || len(v.Seen) > 0 || !v.Refused {
		t.Errorf("%s: %s sees %s, %v, want nothing", c.Name(), s.Name, strings.TrimSpace(v.String()), err)
	}
}
