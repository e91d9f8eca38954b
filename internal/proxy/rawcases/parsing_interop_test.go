//go:build interop && linux

package rawcases_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/rawcases"
)

const quiet = 700 * time.Millisecond

// TestInteropServersReadWhatWeAccept: what the parser accepts, rendered as it is passed on, is one and the same request to
// every server, and the request behind it, too. What servers read differently, the parser refuses.
func TestInteropServersReadWhatWeAccept(t *testing.T) {
	servers := rawcases.Servers(t)
	t.Run("accepted", func(t *testing.T) {
		for _, c := range rawcases.Accepted() {
			forwarded, want, f := forward([]byte(c.Text))
			if f != nil {
				t.Errorf("%s: %v", c.Name(), f)
				continue
			}
			sameToAll(t, servers, c, forwarded, want)
		}
	})
	refused := rawcases.Requests()
	pairs := rawcases.Pairs()
	for _, c := range slices.Concat(refused, pairs) {
		if _, _, f := forward([]byte(c.Text)); f == nil {
			t.Errorf("%s: accepted", c.Name())
		}
	}
	if testing.Short() {
		return
	}
	disagreements(t, "cases", servers, refused)
	disagreements(t, "pairs", servers, pairs)
}

// sameToAll: every server sees what we do, or refuses it.
func sameToAll(t *testing.T, servers []rawcases.Server, c rawcases.Case, raw []byte, want rawcases.Seen) {
	t.Helper()
	raw = append(raw, rawcases.Next...)
	next := rawcases.Seen{Method: "GET", Target: "/next", Host: "next.example"}
	var wait sync.WaitGroup
	for _, s := range servers {
		wait.Go(func() {
			v, err := s.View(t.Context(), raw, 10*time.Second)
			switch {
			case err != nil:
				t.Errorf("%s: %s: %v", c.Name(), s.Name, err)
			case v.Refused && (len(v.Seen) == 0 || len(v.Seen) == 1 && v.Seen[0] == next):
				t.Logf("%s: %s refuses it", c.Name(), s.Name)
			case want.Target == "*" && len(v.Seen) == 1 && v.Seen[0] == next:
				t.Logf("%s: %s answers it for itself", c.Name(), s.Name)
			case len(v.Seen) != 2 || v.Seen[1] != next || !s.Alike(v.Seen[0], want):
				t.Errorf("%s: %s sees %s, want %v", c.Name(), s.Name, v, want)
			}
		})
	}
	wait.Wait()
}

// forward renders a request as the proxy passes it on: the line and the fields as they came, without those of one hop, the body
// framed anew.
func forward(b []byte) (out []byte, want rawcases.Seen, f *http1.Fault) {
	r, body, tail, f := rawcases.Read(b)
	if f != nil {
		return nil, want, f
	}
	want = rawcases.Want(r, b, body)
	out = fmt.Appendf(out, "%s %s HTTP/1.1\r\n", want.Method, want.Target)
	if r.Has(http1.Host) == 0 {
		out = fmt.Appendf(out, "Host: %s\r\n", want.Host)
	}
	for _, field := range r.Fields {
		if !field.Hop && (field.Known != http1.Expect || r.Continue) {
			out = append(out, field.Line.Of(b)...)
		}
	}
	if r.Body != http1.BodyChunked {
		return fmt.Appendf(out, "\r\n%s", body), want, nil
	}
	out = append(out, "Transfer-Encoding: chunked\r\n\r\n"...)
	if len(body) > 0 {
		out = fmt.Appendf(out, "%x\r\n%s\r\n", len(body), body)
	}
	return fmt.Appendf(out, "0\r\n%s\r\n", tail), want, nil
}

// disagreements sends what we refuse to every server as it is, and prints where they do not agree.
func disagreements(t *testing.T, what string, servers []rawcases.Server, cases []rawcases.Case) {
	t.Helper()
	const most = 24 // exchanges at once
	views := make([][]rawcases.View, len(cases))
	room := make(chan struct{}, most)
	var wait sync.WaitGroup
	for i, c := range cases {
		views[i] = make([]rawcases.View, len(servers))
		for j, s := range servers {
			room <- struct{}{}
			wait.Go(func() {
				defer func() { <-room }()
				views[i][j], _ = s.View(t.Context(), []byte(c.Text+rawcases.Next), quiet)
			})
		}
	}
	wait.Wait()
	differ, split, deceived := 0, 0, 0
	for i, c := range cases {
		if slices.ContainsFunc(views[i], func(v rawcases.View) bool {
			return slices.ContainsFunc(v.Seen, func(s rawcases.Seen) bool { return s.Host == "hidden.example" })
		}) {
			deceived++
		}
		taken := len(slices.DeleteFunc(slices.Clone(views[i]), func(v rawcases.View) bool { return !takes(v) }))
		if taken > 0 && taken < len(servers) {
			split++
		}
		if !differing(views[i]) {
			continue
		}
		differ++
		t.Logf("%s (%s)", c.Name(), c.Rule)
		for j, s := range servers {
			t.Logf("    %-10s %s", s.Name, views[i][j])
		}
	}
	t.Logf("%d %s refused; of %d servers some take %d of them and others do not; those that take it disagree on %d; a hidden request reaches one with %d",
		len(cases), what, len(servers), split, differ, deceived)
}

// differing reports two servers that take the first request and do not agree on what there is: at one place they see different
// requests, or one waits for more where the other has gone on. One that closes early does not disagree.
func differing(views []rawcases.View) bool {
	for _, a := range views {
		for _, b := range views {
			if !takes(a) || !takes(b) {
				continue
			}
			for i := range min(len(a.Seen), len(b.Seen)) {
				if a.Seen[i].Length != b.Seen[i].Length || !(rawcases.Server{}).Alike(a.Seen[i], b.Seen[i]) {
					return true
				}
			}
			if len(a.Seen) < len(b.Seen) && a.Waits {
				return true
			}
		}
	}
	return false
}

// takes reports a server that has not refused the first request.
func takes(v rawcases.View) bool {
	return len(v.Seen) > 0 && v.Seen[0].Host != "next.example"
}
