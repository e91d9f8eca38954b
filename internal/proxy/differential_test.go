package proxy_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder is an origin that answers with what is set and keeps what it got.
type recorder struct {
	mu     sync.Mutex
	answer string
	got    []*message
}

func (o *recorder) serve(p *peer) {
	for {
		m := p.request()
		if m == nil {
			return
		}
		o.mu.Lock()
		text := o.answer
		o.got = append(o.got, m)
		o.mu.Unlock()
		p.send(text)
		if endsConnection(m, text) {
			return
		}
	}
}

// endsConnection says what RFC 9112 9.3 and 6.3 say of this exchange.
func endsConnection(m *message, answer string) bool {
	if strings.HasPrefix(answer, "HTTP/1.1 1") { // what stands behind 1xx is the plain answer
		return false
	}
	head, _, _ := strings.Cut(answer, "\r\n\r\n")
	low := strings.ToLower(head)
	none := m.method() == "HEAD" || strings.Contains(head[:12], " 204") || strings.Contains(head[:12], " 304")
	framed := none || strings.Contains(low, "\r\ncontent-length:") || strings.Contains(low, "\r\ntransfer-encoding:")
	old := strings.HasPrefix(answer, "HTTP/1.0") && !strings.Contains(low, "keep-alive")
	return !framed || old || strings.Contains(low, "\r\nconnection: close")
}

// exchange sends one pair to an address: what the origin got, and what the client got, 1xx first.
func (o *recorder) exchange(t *testing.T, addr string, p pair) (got *message, answers []*message) {
	t.Helper()
	o.mu.Lock()
	o.answer, o.got = p.answer, nil
	o.mu.Unlock()
	c := dial(t, addr)
	defer func() { _ = c.Close() }()
	go c.send(p.request)
	request := strings.TrimPrefix(p.request, "\r\n")
	hints, m, err := c.answer(request[:strings.Index(request, " ")])
	if err != nil {
		t.Fatalf("at %s: %v; read %v", addr, err, m)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.got) != 1 {
		t.Fatalf("at %s: the origin got %d requests; answer %v", addr, len(o.got), m)
	}
	return o.got[0], append(hints, m)
}

// Direct and through the proxy, an origin sees the same request and a client the same answer: every byte of the first
// line and of all fields in their order, the framing, the body, and the trailers; save what belongs to one connection.
func TestDifferentialTransparency(t *testing.T) {
	o := &recorder{}
	r, s := inFrontOf(t, o.serve, nil)
	pairs := corpus()
	if len(pairs) < 200 {
		t.Fatalf("only %d pairs", len(pairs))
	}
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			request, answers := o.exchange(t, s.addr(), p)
			throughRequest, throughAnswers := o.exchange(t, r.addr, p)
			same(t, "the origin sees", throughRequest, request)
			if len(answers) != len(throughAnswers) {
				t.Fatalf("%d answers through the proxy, %d direct: %v", len(throughAnswers), len(answers), throughAnswers)
			}
			for i := range answers {
				same(t, fmt.Sprintf("the client sees as answer %d", i), throughAnswers[i], answers[i])
			}
		})
	}
}

func same(t *testing.T, what string, got, want *message) {
	t.Helper()
	g, w := got.endToEnd(), want.endToEnd()
	if g.first != w.first || !slices.Equal(g.fields, w.fields) || g.framing != w.framing || g.body != w.body || !slices.Equal(g.trailers, w.trailers) {
		t.Errorf("%s\n     %.1500v\nnot  %.1500v", what, g, w)
	}
}

// What belongs to one connection does not cross the proxy, and what the proxy adds is the X-Forwarded family alone.
func TestFieldsOfOneConnection(t *testing.T) {
	o := &recorder{}
	r, _ := inFrontOf(t, o.serve, nil)
	got, answers := o.exchange(t, r.addr, pair{
		request: "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, X-Hop,x-other\r\nx-hop: 1\r\nX-Other: 1\r\nX-Hop: 2\r\nKeep-Alive: 5\r\nTE: trailers, gzip\r\n" +
			"Proxy-Authorization: x\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\nX-Forwarded-For: 192.0.2.1\r\nx-forwarded-proto: https\r\nX-Stays: 1\r\n\r\n",
		answer: "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: x\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nContent-Length: 0\r\nX-Stays: 1\r\n\r\n",
	})
	for _, name := range []string{"X-Hop", "X-Other", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Upgrade"} {
		if v := got.values(name); len(v) > 0 {
			t.Errorf("the origin sees %s: %q", name, v)
		}
	}
	if te := got.values("TE"); len(te) > 1 || len(te) == 1 && te[0] != "trailers" {
		t.Errorf("the origin sees TE: %q", te)
	}
	for name, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "a.example", "X-Forwarded-Port": r.addr[strings.LastIndex(r.addr, ":")+1:], "X-Stays": "1"} {
		if v := got.values(name); len(v) != 1 || v[0] != want {
			t.Errorf("the origin sees %s: %q, want %q", name, v, want)
		}
	}
	m := answers[len(answers)-1]
	for _, name := range []string{"X-Hop", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Upgrade"} {
		if v := m.values(name); len(v) > 0 {
			t.Errorf("the client sees %s: %q", name, v)
		}
	}
}
