package proxy_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
)

// wayward is an origin that each request tells, in X-Do, what to do wrong:
//
//	fine      a good answer
//	delay D   a good answer after D
//	reset N   RST behind the first N bytes of a good answer
//	close N   the same with FIN
//	junk      bytes that are no HTTP
//	early     a good answer before the body is read
//	storm N   N times 103 first
//	short     a body shorter than its length, or without its last chunk, and the end
//	long      a body longer than its length, or with bytes behind its last chunk
//	glued     two answers
//	endless   a head without end
//	slow      a good answer whose head comes in pieces
//	last      a good answer and the end, without having said so
type wayward struct {
	mu        sync.Mutex
	processed map[string]int // whole requests by X-Id
}

// said is the body of the answer to a request.
func said(id string, size int) string { return "answer to " + id + " " + strings.Repeat("x", size) }

func (w *wayward) serve(p *peer) {
	for w.one(p) {
	}
}

// one serves one request and reports that the connection goes on.
func (w *wayward) one(p *peer) bool {
	head, err := peekHead(p)
	if err != nil {
		return false
	}
	do := strings.Fields(head.values("X-Do")[0])
	id, size := head.values("X-Id")[0], 0
	if s := head.values("X-Size"); len(s) > 0 {
		size, _ = strconv.Atoi(s[0])
	}
	body := said(id, size)
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if len(id)%2 == 0 {
		answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body)
	}
	if do[0] == "early" {
		p.send(answer)
	}
	if m, err := readMessage(p.br, false, false); err != nil {
		return false
	} else if m.values("X-Id")[0] != id {
		p.t.Errorf("peeked at %s, read %s", id, m.values("X-Id"))
	}
	w.mu.Lock()
	w.processed[id]++
	w.mu.Unlock()
	return do[0] == "early" || misdeed(p, do, answer)
}

// peekHead reads the head of the next request and leaves it there.
func peekHead(p *peer) (*message, error) {
	for n := 1; ; n = p.br.Buffered() + 1 {
		if _, err := p.br.Peek(n); err != nil {
			return nil, err
		}
		b, _ := p.br.Peek(p.br.Buffered())
		if i := strings.Index(string(b), "\r\n\r\n"); i >= 0 {
			l := strings.Split(string(b[:i]), "\r\n")
			return &message{first: l[0], fields: l[1:]}, nil
		}
	}
}

func misdeed(p *peer, do []string, answer string) (goesOn bool) {
	n := 0
	if len(do) > 1 {
		n, _ = strconv.Atoi(do[1])
	}
	switch do[0] {
	case "reset", "close":
		p.send(answer[:min(n, len(answer))])
		if do[0] == "reset" {
			p.abort()
		}
		return false
	case "junk":
		p.send("220 mail.example ESMTP\r\n")
		return false
	case "storm":
		p.send(strings.Repeat("HTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n", n), answer)
	case "short":
		p.send(answer[:len(answer)-3])
		return false
	case "long":
		p.send(answer + "beyond") // in one piece: what comes later may meet the next request, whoever is in between
	case "glued":
		p.send(answer + answer)
	case "endless":
		p.send("HTTP/1.1 200 OK\r\n")
		for range 1 << 14 {
			if _, err := io.WriteString(p, "X-Endless: 0123456789\r\n"); err != nil {
				return false
			}
		}
		return false
	case "slow":
		for range 20 {
			n := min(7, len(answer))
			p.send(answer[:n])
			answer = answer[n:]
			runtime.Gosched()
		}
		p.send(answer)
	case "delay":
		tick := time.NewTimer(time.Duration(n) * time.Millisecond)
		<-tick.C
		p.send(answer)
	default:
		p.send(answer)
	}
	return do[0] != "last"
}

// outcomes of a deed that a client may see besides a whole and right answer.
var deeds = []struct {
	do                 string
	whole, broken, own bool
}{
	{"fine", true, false, false},
	{"delay", true, false, false},
	{"reset", true, true, true},
	{"close", true, true, true},
	{"junk", false, false, true},
	{"early", true, false, false},
	{"storm", true, false, true},
	{"short", false, true, false},
	{"long", true, false, false},
	{"glued", true, false, false},
	{"endless", false, false, true},
	{"slow", true, false, false},
	{"last", true, false, false},
}

// Whatever origins do, each client gets the whole answer to its own request, or a proxy's 502, or a connection that is
// broken for everybody to see, and no POST arrives twice.
func TestWaywardOrigins(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := &wayward{processed: map[string]int{}}
	r, _ := inFrontOf(t, w.serve, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Retry.Budget = 100 })
	var wg sync.WaitGroup
	var mu sync.Mutex
	counts := map[string]int{}
	for lane := range 8 {
		wg.Go(func() {
			l := &wanderer{t: t, addr: r.addr, dice: rand.New(rand.NewPCG(seed, uint64(lane))), counts: map[string]int{}}
			for i := range 150 {
				l.try(fmt.Sprintf("%d-%d-%s", lane, i, strings.Repeat("i", l.dice.IntN(2))), w)
			}
			if l.c != nil {
				_ = l.c.Close()
			}
			mu.Lock()
			for k, n := range l.counts {
				counts[k] += n
			}
			mu.Unlock()
		})
	}
	wg.Wait()
	t.Log(counts)
	for _, d := range deeds {
		if d.whole && counts[d.do+" whole"] == 0 || !d.whole && counts[d.do+" broken"]+counts[d.do+" own"] == 0 {
			t.Errorf("%s never ended as it may: the trial proves little", d.do)
		}
	}
}

// wanderer is a client that uses its connection as long as it may.
type wanderer struct {
	t      *testing.T
	addr   string
	dice   *rand.Rand
	c      *peer
	counts map[string]int
}

func (l *wanderer) try(id string, w *wayward) {
	deed := deeds[l.dice.IntN(len(deeds))]
	if l.dice.IntN(3) == 0 {
		deed = deeds[0]
	}
	do, sizes := deed.do, []int{0, 10, 5000, 200_000}
	switch do {
	case "delay":
		do += " " + strconv.Itoa(l.dice.IntN(4))
	case "reset", "close":
		do += " " + strconv.Itoa([]int{0, 1, 20, 70, 500, 1 << 20}[l.dice.IntN(6)])
	case "storm":
		do += " " + strconv.Itoa([]int{1, 16, 17, 2000}[l.dice.IntN(4)])
	}
	method := []string{"GET", "POST", "PUT", "POST"}[l.dice.IntN(4)]
	size := sizes[l.dice.IntN(len(sizes))]
	if deed.do == "long" || deed.do == "glued" {
		size = min(size, 5000)
	}
	text := fmt.Sprintf("%s /%s HTTP/1.1\r\nHost: a.example\r\nX-Id: %s\r\nX-Do: %s\r\nX-Size: %d\r\n", method, id, id, do, size)
	if method != "GET" {
		body := strings.Repeat("b", sizes[l.dice.IntN(len(sizes))])
		if l.dice.IntN(2) == 0 {
			text += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
		} else {
			text += "Transfer-Encoding: chunked\r\n\r\n" + chunked(body)
		}
	} else {
		text += "\r\n"
	}
	how, detail := l.exchange(method, text, said(id, size))
	l.counts[deed.do+" "+how]++
	w.mu.Lock()
	n := w.processed[id]
	w.mu.Unlock()
	stale := method != "GET" && how == "own" && strings.Contains(detail, `"UN"`) // lost with the connection the last deed ended
	if !stale && (how == "whole" && !deed.whole || how == "broken" && !deed.broken || how == "own" && !deed.own || how == "wrong") {
		l.t.Errorf("%s %s, %s: %s %s", method, id, do, how, detail)
	}
	if method == "POST" && n > 1 || how == "whole" && n == 0 && do != "early" {
		l.t.Errorf("%s %s, %s: %s, processed %d times", method, id, do, how, n)
	}
}

// exchange sends and judges what comes: whole, own, broken or wrong.
func (l *wanderer) exchange(method, text, want string) (how, detail string) {
	if l.c == nil {
		l.c = dial(l.t, l.addr)
	}
	c := l.c
	_ = c.SetDeadline(time.Now().Add(patience))
	sent := make(chan struct{})
	go func() { c.send(text); close(sent) }()
	hints, m, err := c.answer(method)
	complete := false
	select {
	case <-sent:
		complete = true
	default:
	}
	if err != nil || m.has("Connection", "close") || !complete {
		_ = c.Close()
		l.c = nil
	}
	<-sent
	switch {
	case err != nil && isTimeout(err):
		return "wrong", "nothing came"
	case err != nil:
		return "broken", fmt.Sprintf("%v %v", err, m)
	case m.has("Content-Type", "application/problem+json") && slices.Contains([]int{502, 504}, m.status()):
		return "own", m.body
	case m.status() == 200 && m.body == want && len(hints) <= 16:
		return "whole", ""
	}
	return "wrong", fmt.Sprintf("%d hints, %v", len(hints), m)
}

func isTimeout(err error) bool { return strings.Contains(err.Error(), "timeout") }

// The end of an idle connection at the very instant of its reuse: no GET fails, no POST arrives twice.
func TestStaleAtTheInstantOfReuse(t *testing.T) {
	trials, lanes := 10_000, 4
	if testing.Short() {
		trials = 1000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	processed := map[string]int{}
	var most atomic.Int64 // ns until the origin ends a connection
	most.Store(int64(100 * time.Microsecond))
	r, s := inFrontOf(t, func(p *peer) {
		dice := rand.New(rand.NewPCG(seed, uint64(p.n)))
		for {
			m := p.request()
			if m == nil {
				return
			}
			mu.Lock()
			processed[m.method()+m.values("X-Id")[0]]++
			mu.Unlock()
			p.send(plainAnswer)
			if dice.IntN(4) > 0 {
				continue
			}
			for end := time.Now().Add(time.Duration(dice.Int64N(most.Load()))); time.Now().Before(end); {
				runtime.Gosched()
			}
			return
		}
	}, func(_ *proxy.Options, p *profile.Profile) { p.Proxy.Retry.Budget = 100 })
	var lost atomic.Int64
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			c := dial(t, r.addr)
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			for i := range trials / lanes {
				method := []string{"GET", "POST"}[i%2]
				id := fmt.Sprintf("%d-%d", lane, i)
				body := map[string]string{"GET": "\r\n", "POST": "Content-Length: 3\r\n\r\nabc"}[method]
				c.send(method + " / HTTP/1.1\r\nHost: a.example\r\nX-Id: " + id + "\r\n" + body)
				_, m, err := c.answer(method)
				mu.Lock()
				n := processed[method+id]
				mu.Unlock()
				switch {
				case err != nil:
					t.Errorf("%s %s: %v", method, id, err)
					return
				case m.status() == 200 && n == 0, method == "POST" && n > 1, m.status() != 200 && (method == "GET" || m.status() != 502):
					t.Errorf("%s %s: processed %d times, answer %v", method, id, n, m)
				case m.status() != 200:
					lost.Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d trials, %d connections, %d GETs sent again, %d POSTs lost", trials, s.accepted(), int(r.metric("jurymast_proxy_requests_total", "reason", "OS")), lost.Load())
}
