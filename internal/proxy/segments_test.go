package proxy_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// pieces sends a text in pieces of random size, most of them small.
func (p *peer) pieces(dice *rand.Rand, text string) {
	for len(text) > 0 {
		n := min(len(text), 1+dice.IntN([]int{3, 40, 700, 9000, 40_000}[dice.IntN(5)]))
		p.send(text[:n])
		text = text[n:]
	}
}

// queue is an origin that answers one request after the other with what comes next, in pieces.
type queue struct {
	mu      sync.Mutex
	dice    *rand.Rand
	answers []string
	got     []*message
}

func (q *queue) serve(p *peer) {
	_ = p.SetDeadline(time.Now().Add(time.Minute))
	for {
		m := p.request()
		if m == nil {
			return
		}
		q.mu.Lock()
		if len(q.got) == len(q.answers) {
			p.t.Errorf("a request too many: %v", m)
			q.mu.Unlock()
			return
		}
		text := q.answers[len(q.got)]
		q.got = append(q.got, m)
		q.mu.Unlock()
		p.pieces(q.dice, text)
		if endsConnection(m, text) {
			return
		}
	}
}

// The whole corpus on one connection, written ahead and in pieces of any size: how bytes arrive, and what stands behind
// them, makes no difference to anybody.
func TestDifferentialPipelined(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	var pairs []pair
	for _, p := range corpus() {
		low := strings.ToLower(p.request)
		unframed := strings.HasPrefix(p.answer, "HTTP/1.") && endsConnection(&message{first: p.request}, p.answer) && !strings.Contains(strings.ToLower(p.answer), "\r\ncontent-length:")
		if !strings.Contains(low, "connection: close") && !strings.Contains(low, "http/1.0") && !unframed {
			pairs = append(pairs, p)
		}
	}
	dice.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	q := &queue{dice: rand.New(rand.NewPCG(seed, 2))}
	var all strings.Builder
	for _, p := range pairs {
		q.answers = append(q.answers, p.answer)
		all.WriteString(p.request)
	}
	r, _ := inFrontOf(t, q.serve, nil)
	c := dial(t, r.addr)
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	go c.pieces(dice, all.String())
	direct := &recorder{}
	s := startScripted(t, direct.serve)
	for i, p := range pairs {
		request, answers := direct.exchange(t, s.addr(), p)
		hints, m, err := c.answer(request.method())
		if err != nil {
			t.Fatalf("%d of %d, %s: %v; read %v", i, len(pairs), p.name, err, m)
		}
		q.mu.Lock()
		if len(q.got) <= i {
			t.Fatalf("%s: answered %v without the origin", p.name, m)
		}
		same(t, p.name+": the origin sees", q.got[i], request)
		q.mu.Unlock()
		for j, a := range append(hints, m) {
			if j < len(answers) {
				same(t, fmt.Sprintf("%s: the client sees as answer %d of %d", p.name, j, len(answers)), a, answers[j])
			}
		}
		if t.Failed() {
			return
		}
	}
}

// Large bodies both ways on the same connections are the same bytes behind the proxy.
func TestLargeBodies(t *testing.T) {
	const size = 16 << 20
	sum := func(r io.Reader, n int64) string {
		h := sha256.New()
		n, err := io.CopyN(h, r, n)
		return fmt.Sprintf("%d %v %x", n, err, h.Sum(nil))
	}
	random := func(seed uint64) io.Reader {
		var s [32]byte
		s[0] = byte(seed)
		return io.LimitReader(rand.NewChaCha8(s), size)
	}
	heard := make(chan string, 1)
	r, _ := inFrontOf(t, func(p *peer) {
		_ = p.SetDeadline(time.Now().Add(time.Minute))
		for i := uint64(0); ; i++ {
			if _, err := readLines(p.br); err != nil {
				return
			}
			heard <- sum(p.br, size)
			p.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
			_, _ = io.Copy(p, random(100+i))
		}
	}, nil)
	c := dial(t, r.addr)
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	for i := range uint64(3) {
		go func() {
			c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n", size))
			_, _ = io.Copy(c, random(i))
		}()
		if got, want := <-heard, sum(random(i), size); got != want {
			t.Errorf("the origin heard %s, not %s", got, want)
		}
		if l, err := readLines(c.br); err != nil || l[0] != "HTTP/1.1 200 OK" {
			t.Fatal(l, err)
		}
		if got, want := sum(c.br, size), sum(random(100+i), size); got != want {
			t.Errorf("the client heard %s, not %s", got, want)
		}
	}
}

// A client that reads slowly gets all of it, and slows its origin down instead of filling memory.
func TestBackPressure(t *testing.T) {
	const size = 64 << 20
	var mu sync.Mutex
	sent := 0
	blocked := make(chan struct{})
	r, _ := inFrontOf(t, func(p *peer) {
		_ = p.SetDeadline(time.Now().Add(time.Minute))
		if p.request() == nil {
			return
		}
		p.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
		block := make([]byte, 1<<20)
		for range size / len(block) {
			_ = p.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := p.Write(block)
			mu.Lock()
			sent += n
			mu.Unlock()
			if err != nil {
				break
			}
		}
		close(blocked)
		_ = p.ends()
	}, nil)
	c := dial(t, r.addr)
	c.send(plainRequest)
	if _, err := readLines(c.br); err != nil {
		t.Fatal(err)
	}
	<-blocked
	mu.Lock()
	defer mu.Unlock()
	if sent > size/2 {
		t.Errorf("%d bytes were taken for a client that reads nothing", sent)
	}
	c.abort()
}
