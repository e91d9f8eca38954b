package proxy_test

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/proxy/rawcases"
)

// Every malformed request of the list is refused with its rule's name, the connection ends, and no origin hears of it. One
// whose head is right reaches the origin at most in part.
func TestMalformedRequestsReachNobody(t *testing.T) {
	var whole atomic.Int32
	r, s := inFrontOf(t, func(p *peer) {
		for {
			if _, err := readMessage(p.br, false, false); err != nil {
				return
			}
			whole.Add(1)
			p.send(plainAnswer)
		}
	}, nil)
	before, rules := 0, map[string]int{}
	var want []string // of the log
	for _, row := range rawcases.Requests() {
		t.Run(row.Name(), func(t *testing.T) {
			rule := string(row.Rule)
			rules[rule]++
			c := dial(t, r.addr)
			go c.send(row.Text)
			status, reason := row.Status(), "CM"
			if status != 400 {
				reason = "CL"
			}
			refusedBy(t, c, status, reason)
			want = append(want, fmt.Sprint(status, " ", reason, " ", rule))
			if n := s.accepted(); n != before && !row.Body {
				t.Errorf("%d connections to the origin", n-before)
			}
			before = s.accepted()
		})
	}
	for i, l := range r.lines(len(want)) {
		if got := fmt.Sprint(l["status"], " ", l["reason"], " ", l["rule"]); got != want[i] {
			t.Errorf("line %d of the log says %s, not %s", i, got, want[i])
		}
	}
	for rule, n := range rules {
		if got := r.metric("jurymast_proxy_rejected_total", "rule", rule); got != float64(n) {
			t.Errorf("rejected_total{rule=%q} is %v, want %d", rule, got, n)
		}
	}
	if whole.Load() != 0 {
		t.Errorf("%d requests were whole at the origin", whole.Load())
	}
	if k := r.kinds(); len(k) > 0 {
		t.Errorf("charged: %v", k)
	}
	if a := r.must("GET", "/", nil); a.StatusCode != 200 {
		t.Errorf("afterwards: %v", a.Status)
	}
}

// What has to be taken is taken, and nothing beside it.
func TestRightRequestsPass(t *testing.T) {
	o := &recorder{answer: plainAnswer}
	r, _ := inFrontOf(t, o.serve, func(_ *proxy.Options, p *profile.Profile) {
		p.Hostnames = append(p.Hostnames, "*.example", "192.0.2.1", "localhost")
	})
	for _, row := range rawcases.Accepted() {
		t.Run(row.Name(), func(t *testing.T) {
			o.mu.Lock()
			o.got = nil
			o.mu.Unlock()
			c := dial(t, r.addr)
			c.send(row.Text)
			method, _, _ := strings.Cut(strings.TrimPrefix(row.Text, "\r\n"), " ")
			_, m, err := c.answer(method)
			o.mu.Lock()
			defer o.mu.Unlock()
			switch {
			case err != nil:
				t.Errorf("%v %v", m, err)
			case m.status() == 404 && strings.Contains(m.body, `"PR"`): // nobody's host is right, too
			case m.status() != 200 || len(o.got) != 1 || o.got[0].method() != method:
				t.Errorf("answer %v, the origin got %v", m, o.got)
			}
		})
	}
}

// refusedBy checks an answer of our own behind which the connection ends.
func refusedBy(t *testing.T, c *peer, status int, reason string) {
	t.Helper()
	_, m, err := c.answer("GET")
	if err != nil || m.status() != status || !strings.Contains(m.body, fmt.Sprintf("%q", reason)) || !m.has("Content-Type", "application/problem+json") || !m.has("Connection", "close") {
		t.Errorf("got %v %v, want %d %s and close", m, err, status, reason)
		return
	}
	if end := c.ends(); end != "" {
		t.Errorf("the connection ended with: %s", end)
	}
}

// Answers of the list that are refused: the client gets a 502 and nothing of them, or, when the fault is in the body, an
// answer that is broken off visibly. The origin's connection ends, and the client's carries on unless broken.
func TestMalformedAnswersPassNothing(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	cases := rawcases.Responses()
	for _, text := range []string{ // which are right by themselves
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "HTTP/1.1 101 X\r\n\r\n",
		strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 17) + ok + "Content-Length: 3\r\n\r\nabc",
		ok + "X-A: " + strings.Repeat("x", 120_000) + "\r\n\r\n", ok + strings.Repeat("X-A: x\r\n", 20_000) + "\r\n",
		"\x16\x03\x01\x00\x02\x02\r\n\r\n", "\r\n\r\n",
	} {
		cases = append(cases, rawcases.Case{Class: "not as an answer", Text: text, Rule: "some"})
	}
	for _, b := range []string{"0\r\nContent-Length: 3\r\n\r\n", "0\r\nSet-Cookie: a=b\r\n\r\n", "0\r\n a\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n"} {
		cases = append(cases, rawcases.Case{Class: "not as a body", Text: ok + "Transfer-Encoding: chunked\r\n\r\n" + b, Rule: "some", Body: true})
	}
	var now atomic.Value
	ended := make(chan string, 1)
	r, _ := inFrontOf(t, func(p *peer) {
		for {
			m := p.request()
			if m == nil {
				return
			}
			if strings.Contains(m.first, "/stays") {
				p.send(plainAnswer)
				continue
			}
			p.send(now.Load().(string) + plainAnswer) //nolint:errcheck // only texts are stored
			ended <- p.ends()
			return
		}
	}, nil)
	signals := 0
	var want []string // of the log
	for _, row := range cases {
		if row.Rule == "" {
			continue
		}
		t.Run(row.Name(), func(t *testing.T) {
			now.Store(row.Text)
			c := dial(t, r.addr)
			c.send(plainRequest)
			hints, m, err := c.answer("GET")
			reason := "UJ"
			switch {
			case err == nil && m.status() == 502 && strings.Contains(m.body, `"UJ"`) && len(hints) <= 16:
				want = append(want, "UJ eu")
				if !c.stays() {
					t.Error("the client's connection has ended")
				}
				reason = "OK"
			case err != nil && row.Body && !isTimeout(err):
				reason = "UD"
				if rest, _ := io.ReadAll(c.br); len(rest) > 0 {
					t.Errorf("behind the broken answer: %q", rest)
				}
			default:
				t.Errorf("got %d hints, %v %v", len(hints), m, err)
			}
			if end := <-ended; strings.Contains(end, "timeout") || strings.Contains(end, "bytes") {
				t.Errorf("the origin's connection: %s", end)
			}
			k := r.kinds()[signals:]
			if signals += len(k); len(k) != 1 || k[0] != "eu junk" && (k[0] != "eu broken" || reason != "UD") {
				t.Errorf("signals %s", k)
			}
			want = append(want, reason+" eu")
		})
	}
	for i, l := range r.lines(len(want)) {
		if got := fmt.Sprint(l["reason"], " ", l["endpoint"]); got != want[i] {
			t.Errorf("line %d of the log says %s, not %s", i, got, want[i])
		}
	}
}

// Answers that have to be taken are.
func TestRightAnswersPass(t *testing.T) {
	for _, row := range rawcases.Responses() {
		if row.Rule != "" || row.HEAD || strings.Contains(row.Text[:12], " 1") {
			continue
		}
		t.Run(row.Name(), func(t *testing.T) {
			r, _ := inFrontOf(t, once(row.Text), nil)
			c := dial(t, r.addr)
			c.send(plainRequest)
			if _, m, err := c.answer("GET"); err != nil || fmt.Sprint(m.status()) != row.Text[9:12] {
				t.Errorf("got %v %v", m, err)
			}
		})
	}
}

// Bytes behind an answer are nobody's: they are not passed on, and the connection is not used again.
func TestBytesBehindAnAnswer(t *testing.T) {
	for _, extra := range []string{"x", "\r\n", plainAnswer, "HTTP/1.1 200 OK\r\n"} {
		for _, answer := range []string{plainAnswer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"} {
			t.Run(fmt.Sprintf("%.20q behind %.60q", extra, answer), func(t *testing.T) {
				r, s := inFrontOf(t, func(p *peer) {
					for p.request() != nil {
						p.send(answer + extra)
					}
				}, nil)
				for i := range 3 {
					c := dial(t, r.addr)
					c.send(plainRequest, plainRequest)
					for range 2 {
						if _, m, err := c.answer("GET"); err != nil || m.status() > 204 || len(m.body) > 2 {
							t.Fatalf("got %v %v", m, err)
						}
					}
					if n := s.accepted(); n != 2*i+2 {
						t.Errorf("%d connections to the origin for %d requests", n, 2*i+2)
					}
				}
			})
		}
	}
}
