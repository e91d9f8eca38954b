package proxy_test

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Who wants another request on a connection, and who gets it.
func TestConnectionIsKept(t *testing.T) {
	const length, chunks, until = "Content-Length: 2\r\n\r\nok", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "\r\nok"
	for _, row := range []struct {
		name, request, answer string
		kept, reused          bool // the client's connection, the origin's
	}{
		{"HTTP/1.1", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1 200 OK\r\n" + length, true, true},
		{"HTTP/1.1, chunks", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1 200 OK\r\n" + chunks, true, true},
		{"the client closes", "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n" + length, false, true},
		{"the client closes, in capitals and a list", "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: x, CLOSE\r\n\r\n", "HTTP/1.1 200 OK\r\n" + length, false, true},
		{"the origin closes", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n" + length, true, false},
		{"the origin is old", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.0 200 OK\r\n" + length, true, false},
		{"the origin is old and keeps", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + length, true, true},
		{"the client is old", "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n", "HTTP/1.1 200 OK\r\n" + length, false, true},
		{"the client is old and asks", "GET / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 OK\r\n" + length, true, true},
		{"the client is old and gets chunks", "GET / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 OK\r\n" + chunks, false, true},
		{"the client is old and the end is the end", "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n", "HTTP/1.1 200 OK\r\n" + until, false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, s := inFrontOf(t, func(p *peer) {
				for p.request() != nil {
					p.send(row.answer)
					if !row.reused {
						return
					}
				}
			}, nil)
			c := dial(t, r.addr)
			c.send(row.request)
			old := strings.Contains(row.request, "HTTP/1.0")
			m := c.must("GET")
			if m.body != "ok" || m.status() != 200 {
				t.Errorf("got %v", m)
			}
			if old && m.framing == framedChunked {
				t.Errorf("chunks for an HTTP/1.0 client: %v", m)
			}
			if closes := m.has("Connection", "close") || m.framing == framedClose; closes == row.kept && !old {
				t.Errorf("the answer says it is the last: %t; %v", closes, m)
			}
			if keeps := m.has("Connection", "keep-alive"); old && row.kept != keeps {
				t.Errorf("the answer to an old client says keep-alive: %t; %v", keeps, m)
			}
			if row.kept {
				if !c.stays() {
					t.Error("the connection has ended")
				}
			} else if end := c.ends(); end != "" {
				t.Errorf("the connection ended with %s", end)
			}
			r.logged(map[bool]int{true: 1, false: 0}[row.kept]) // the proxy knows, too, that it is over
			r.must("GET", "/", nil)
			if want := map[bool]int{true: 1, false: 2}[row.reused]; s.accepted() != want && (row.reused || s.accepted() < want) {
				t.Errorf("%d connections to the origin", s.accepted())
			}
		})
	}
}

// An HTTP/1.0 client gets neither chunks nor 1xx, nor trailers in the place of a body.
func TestOldClientGetsNothingNew(t *testing.T) {
	r, _ := inFrontOf(t, saying("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"), nil)
	got := raw(t, r.addr, "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
	if head, body, _ := strings.Cut(got, "\r\n\r\n"); body != "ok" || !strings.Contains(head[:20], " 200 OK") || strings.Contains(head, "Transfer-Encoding") {
		t.Errorf("got %q", got)
	}
}

// Requests written at once are answered in their order, one at a time at the origin.
func TestPipelining(t *testing.T) {
	const n = 50
	var now, most atomic.Int32
	r, _ := inFrontOf(t, func(p *peer) {
		for {
			m := p.request()
			if m == nil {
				return
			}
			most.Store(max(most.Load(), now.Add(1)))
			target, answer := strings.Fields(m.first)[1], "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
			if strings.HasSuffix(target, "3") {
				answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
			}
			now.Add(-1)
			p.send(fmt.Sprintf(answer, len(target+m.body), target+m.body))
		}
	}, nil)
	var text strings.Builder
	var want []string
	for i := range n {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&text, "GET /%d HTTP/1.1\r\nHost: a.example\r\n\r\n", i)
			want = append(want, fmt.Sprintf("/%d", i))
		case 1:
			fmt.Fprintf(&text, "POST /%d HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc", i)
			want = append(want, fmt.Sprintf("/%dabc", i))
		case 2:
			fmt.Fprintf(&text, "PUT /%d HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n", i)
			want = append(want, fmt.Sprintf("/%dxyz", i))
		case 3:
			fmt.Fprintf(&text, "\r\nDELETE /%d HTTP/1.1\r\nHost: a.example\r\n\r\n", i)
			want = append(want, fmt.Sprintf("/%d", i))
		}
	}
	c := dial(t, r.addr)
	go c.send(text.String())
	for i, w := range want {
		if m := c.must("GET"); m.status() != 200 || m.body != w {
			t.Fatalf("answer %d is %v, want %s", i, m, w)
		}
	}
	if most.Load() != 1 {
		t.Errorf("%d requests of one client at once", most.Load())
	}
}

// Behind a request that ends the connection nothing is read, and behind one that is refused neither.
func TestNothingIsReadBehindTheLast(t *testing.T) {
	for name, row := range map[string]struct {
		last  string
		total int
	}{
		"close":     {"GET /last HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n", 1},
		"HTTP/1.0":  {"GET /last HTTP/1.0\r\nHost: a.example\r\n\r\n", 1},
		"malformed": {"GET /last HTTP/1.1\r\nHost: a.example\r\nA : b\r\n\r\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			c := dial(t, r.addr)
			c.send(row.last + "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n")
			c.must("GET")
			if end := c.ends(); end != "" && !strings.Contains(end, "reset") {
				t.Errorf("behind the last answer: %s", end)
			}
			if n := r.origins[0].Total(); n != row.total {
				t.Errorf("%d requests at the origin", n)
			}
		})
	}
}

// A stream of pipelined requests is not read ahead without bound while the first one waits.
func TestPipelineIsBounded(t *testing.T) {
	release := make(chan struct{})
	r, _ := inFrontOf(t, func(p *peer) {
		for p.request() != nil {
			<-release
			p.send(plainAnswer)
		}
	}, nil)
	c := dial(t, r.addr)
	block := strings.Repeat("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", 1800) // about 64 KiB
	_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	sent := 0
	for range 1024 {
		n, err := io.WriteString(c, block)
		sent += n
		if err != nil {
			break
		}
	}
	if most := 32 << 20; sent > most { // the kernel's buffers are the most of it
		t.Errorf("%d bytes were taken", sent)
	}
	close(release)
	for range 10 {
		if m := c.must("GET"); m.status() != 200 {
			t.Fatal(m)
		}
	}
	c.abort()
}

// Expect: 100-continue is between client and origin: the body is not asked for before the origin does.
func TestContinueIsTheOrigins(t *testing.T) {
	asked := make(chan struct{})
	release := make(chan struct{})
	r, _ := inFrontOf(t, func(p *peer) {
		for {
			first, err := readLines(p.br)
			if err != nil {
				return
			}
			if !strings.Contains(strings.ToLower(strings.Join(first, "\n")), "expect: 100-continue") {
				p.send("HTTP/1.1 400 No Expect\r\nContent-Length: 0\r\n\r\n")
				return
			}
			asked <- struct{}{}
			<-release
			if strings.Contains(first[0], "/no") {
				p.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
				return
			}
			p.send("HTTP/1.1 100 Go on\r\nX-Hint: 1\r\n\r\n")
			b := make([]byte, 4)
			if _, err := io.ReadFull(p.br, b); err != nil {
				return
			}
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + string(b))
		}
	}, nil)
	const post = " HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"

	c := dial(t, r.addr)
	c.send("POST /yes" + post)
	<-asked
	if b := c.br.Buffered(); b > 0 {
		t.Errorf("%d bytes before the origin said anything", b)
	}
	release <- struct{}{}
	hint, err := readMessage(c.br, true, true)
	if err != nil || hint.status() != 100 {
		t.Fatal(hint, err)
	}
	c.send("body")
	if m := c.must("POST"); m.body != "body" {
		t.Errorf("got %v", m)
	}

	// A final status instead: no body is asked for, and the connection, on which one may come, is not used again.
	c.send("POST /no" + post)
	<-asked
	release <- struct{}{}
	if m := c.must("POST"); m.status() != 403 || !m.has("Connection", "close") {
		t.Errorf("got %v", m)
	}
	if end := c.ends(); end != "" {
		t.Errorf("the connection ended with %s", end)
	}

	// A client that does not wait.
	c = dial(t, r.addr)
	c.send("POST /yes"+post, "body")
	<-asked
	release <- struct{}{}
	hints, m, err := c.answer("POST")
	if err != nil || len(hints) != 1 || m.body != "body" {
		t.Errorf("got %v %v %v", hints, m, err)
	}
	if k := r.kinds(); len(k) > 0 {
		t.Errorf("charged: %v", k)
	}
}
