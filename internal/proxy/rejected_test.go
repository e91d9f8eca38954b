package proxy_test

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
)

// refused is a request that must not be forwarded: the rule it breaks, its bytes, and a status other than 400.
type refused struct {
	rule, text string
	status     int
}

const goodLine = "GET /a HTTP/1.1\r\nHost: a.example\r\n"

func refusedRequests() []refused {
	long := strings.Repeat("a", 20<<10)
	head := func(rule string, fields ...string) (out []refused) {
		for _, f := range fields {
			out = append(out, refused{rule: rule, text: goodLine + f + "\r\n\r\n"})
		}
		return out
	}
	whole := func(rule string, status int, texts ...string) (out []refused) {
		for _, s := range texts {
			out = append(out, refused{rule, s, status})
		}
		return out
	}
	var out []refused
	for _, rows := range [][]refused{
		head("length-and-coding", "Content-Length: 3\r\nTransfer-Encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 0"),
		head("length-repeated", "Content-Length: 3\r\nContent-Length: 3", "Content-Length: 3\r\ncontent-length: 4"),
		head("length-form", "Content-Length: 3, 3", "Content-Length: +3", "Content-Length: -3", "Content-Length: 0x3", "Content-Length: 1 2", "Content-Length:",
			"Content-Length: 9223372036854775808", "Content-Length: 18446744073709551617", "Content-Length: 3;", "Content-Length: \"3\"", "Content-Length: 3.0"),
		head("coding-form", "Transfer-Encoding: chunked,", "Transfer-Encoding: chunked\t", "Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked",
			"Transfer-Encoding: \"chunked\"", "Transfer-Encoding: xchunked", "Transfer-Encoding:", "Transfer-Encoding: chunked;x", "Transfer-Encoding: chunked, chunked"),
		head("control-character", "Transfer-Encoding: \vchunked", "A: b\x00c", "A: b\x7fc", "A: \x01", "A: b\bc"),
		head("coding-repeated", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\ntransfer-encoding: identity"),
		head("bare-lf", "A: b\nC: d", "A: b\n"),
		head("bare-cr", "A: b\rc", "A: b\r"),
		head("obs-fold", "A: b\r\n c", "A: b\r\n\tc", "A: b\r\n "),
		head("blank-before-colon", "A : b", "Transfer-Encoding : chunked", "A\t: b"),
		head("empty-field-name", ": b"),
		head("field-name", "A(: b", "A b: c", "\x00A: c", "\xc4: c", "A\"b: c", "A/b: c"),
		head("no-colon", "Abc", "A"),
		head("field-name-like", "Content_Length: 3", "X_Forwarded-For: 192.0.2.1", "x_forwarded_proto: https", "Client_Cert: x", "Transfer_Encoding: chunked"),
		head("host-repeated", "Host: a.example", "host: b.example"),
		head("connection-names-protected", "Connection: close, Host", "Connection: content-length", "Connection: X-Forwarded-For", "Connection: Cookie", "Connection: x\r\nConnection: authorization"),
		head("upgrade-repeated", "Upgrade: websocket\r\nUpgrade: h2c"),
		whole("coding-http10", 0, "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		whole("bare-lf", 0, "GET / HTTP/1.1\nHost: a.example\r\n\r\n", "\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", goodLine+"\n"),
		whole("bare-cr", 0, "GET /\r HTTP/1.1\r\nHost: a.example\r\n\r\n"),
		whole("obs-fold", 0, "GET / HTTP/1.1\r\n Host: a.example\r\n\r\n"),
		whole("empty-lines", 0, "\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
		whole("request-line", 0, "GET  / HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET\t/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET /\r\n\r\n", "GET\r\n\r\n", "GE(T / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
		whole("version", 0, "GET /  HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET / HTTP/1.1 \r\nHost: a.example\r\n\r\n", "GET / HTTP/1.2\r\nHost: a.example\r\n\r\n", "GET / HTTP/2.0\r\nHost: a.example\r\n\r\n",
			"GET / HTTP/0.9\r\nHost: a.example\r\n\r\n", "GET / http/1.1\r\nHost: a.example\r\n\r\n", "GET / HTTP/1.10\r\nHost: a.example\r\n\r\n", "GET / HTTP/01.1\r\nHost: a.example\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		whole("method", 0, " GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "(GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
		whole("host-missing", 0, "GET / HTTP/1.1\r\n\r\n", "GET http://a.example/ HTTP/1.1\r\n\r\n"),
		hosts("host-form", "", "u@a.example", "a.example/b", "a.example:b", "a.example:70000", "a.example b", "a.example, b", "[::1", "a.example\x80", "a.example:-1", "a.example?x", "a.example#"),
		whole("host-of-target", 0, "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET http://u@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET http:///x HTTP/1.1\r\nHost: a.example\r\n\r\n"),
		whole("target-form", 0, "GET ftp://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET a HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET * HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET ?x HTTP/1.1\r\nHost: a.example\r\n\r\n"),
		whole("target-fragment", 0, "GET /a#b HTTP/1.1\r\nHost: a.example\r\n\r\n"),
		whole("target-character", 0, "GET /\xc3\xa4 HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET /\x01 HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET /\x7f HTTP/1.1\r\nHost: a.example\r\n\r\n"),
		whole("expectation", 417, goodLine+"Expect: 200-ok\r\n\r\n", goodLine+"Expect: 100-continue, x\r\n\r\n"),
		whole("line-too-long", 414, "GET /"+long+" HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET /"+long),
		whole("head-too-long", 431, goodLine+strings.Repeat("A: "+long+"\r\n", 5)),
		whole("too-many-fields", 431, goodLine+strings.Repeat("A: b\r\n", 257)+"\r\n"),
	} {
		out = append(out, rows...)
	}
	return out
}

func hosts(rule string, names ...string) (out []refused) {
	for _, n := range names {
		out = append(out, refused{rule: rule, text: "GET / HTTP/1.1\r\nHost: " + n + "\r\n\r\n"})
	}
	return out
}

// Every malformed head is refused with its rule's name, the connection ends, and no origin hears of it.
func TestMalformedRequestsReachNobody(t *testing.T) {
	r := newRig(t, nil)
	seen := 0
	for _, row := range refusedRequests() {
		t.Run(fmt.Sprintf("%s %.60q", row.rule, row.text), func(t *testing.T) {
			before := r.metric("jurymast_proxy_rejected_total", "rule", row.rule)
			c := dial(t, r.addr)
			go c.send(row.text)
			want, reason := 400, "CM"
			if row.status != 0 {
				want = row.status
				reason = map[bool]string{true: "CL", false: "CM"}[want == 414 || want == 431]
			}
			refusedBy(t, c, want, reason)
			if n := r.metric("jurymast_proxy_rejected_total", "rule", row.rule) - before; n != 1 {
				t.Errorf("rejected_total{rule=%q} grew by %v", row.rule, n)
			}
			seen++
			l := r.lines(seen)
			if len(l) != seen || l[seen-1]["reason"] != reason || l[seen-1]["status"] != float64(want) || l[seen-1]["rule"] != row.rule {
				t.Errorf("log %v", l[len(l)-1])
			}
			seen = len(l)
		})
	}
	for _, o := range r.origins {
		if n := o.Total(); n != 0 {
			t.Errorf("%s got %d requests", o.Name, n)
		}
	}
	if a := r.must("GET", "/", nil); a.StatusCode != 200 {
		t.Errorf("afterwards: %v", a.Status)
	}
	if k := r.kinds(); len(k) > 0 {
		t.Errorf("charged: %v", k)
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

// Bodies in malformed chunks never make a whole request at the origin.
func TestMalformedChunksMakeNoRequest(t *testing.T) {
	var whole, all atomic.Int32
	r, _ := inFrontOf(t, func(p *peer) {
		for {
			m, err := readMessage(p.br, false, false)
			if m.first != "" {
				all.Add(1)
			}
			if err != nil {
				return
			}
			if !strings.HasPrefix(m.first, "GET /") {
				whole.Add(1)
			}
			p.send(plainAnswer)
		}
	}, nil)
	for rule, bodies := range malformedChunks() {
		for _, b := range bodies {
			for _, method := range []string{"POST", "PUT"} {
				t.Run(fmt.Sprintf("%s %s %.40q", method, rule, b), func(t *testing.T) {
					before := r.metric("jurymast_proxy_rejected_total", "rule", rule)
					c := dial(t, r.addr)
					c.send(method+" / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nfirst\r\n", b, "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n")
					refusedBy(t, c, 400, "CM")
					if n := r.metric("jurymast_proxy_rejected_total", "rule", rule) - before; n != 1 {
						t.Errorf("rejected_total{rule=%q} grew by %v", rule, n)
					}
				})
			}
		}
	}
	if a := r.must("GET", "/", nil); a.StatusCode != 200 {
		t.Errorf("afterwards: %v", a.Status)
	}
	if whole.Load() != 0 {
		t.Errorf("%d of %d requests were whole at the origin", whole.Load(), all.Load())
	}
	if k := r.kinds(); len(k) > 0 {
		t.Errorf("charged: %v", k)
	}
}

// malformedChunks by the rule they break; they stand behind a good chunk.
func malformedChunks() map[string][]string {
	return map[string][]string{
		"bare-lf":         {"3\nabc\r\n0\r\n\r\n", "3;a\nb\r\nabc\r\n0\r\n\r\n", "0\r\nA: b\n\r\n"},
		"bare-cr":         {"3;a\rb\r\nabc\r\n0\r\n\r\n"},
		"chunk-extension": {"3;a\x00\r\nabc\r\n0\r\n\r\n", "3 \r\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n", "3;" + strings.Repeat("x", 300) + "\r\nabc\r\n0\r\n\r\n"},
		"chunk-size":      {" 3\r\nabc\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n", "-3\r\nabc\r\n0\r\n\r\n", "\r\nabc\r\n0\r\n\r\n", "1000000000000000\r\n", "fffffffffffffffff\r\n", "g\r\n"},
		"chunk-end":       {"3\r\nabcd\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "3\r\nabc0\r\n\r\n"},
		"trailer":         {"0\r\nContent-Length: 3\r\n\r\n", "0\r\nHost: a\r\n\r\n", "0\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\nAuthorization: x\r\n\r\n", "0\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"},
		"obs-fold":        {"0\r\n a\r\n\r\n", "0\r\nA: b\r\n c\r\n\r\n"},
	}
}

// Answers that break a rule before their body: the client gets 502, nothing of them, and the origin's connection ends.
func TestMalformedAnswersPassNothing(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	storm := strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 17)
	for rule, texts := range map[string][]string{
		"length-and-coding": {ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n"},
		"length-repeated":   {ok + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nbad", ok + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nbad"},
		"length-form":       {ok + "Content-Length: 3, 3\r\n\r\nbad", ok + "Content-Length: +3\r\n\r\nbad", ok + "Content-Length: 0x3\r\n\r\nbad", ok + "Content-Length:\r\n\r\nbad", ok + "Content-Length: 99999999999999999999\r\n\r\nbad"},
		"coding":            {ok + "Transfer-Encoding: gzip, chunked\r\n\r\nbad", ok + "Transfer-Encoding: identity\r\n\r\nbad", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\nbad", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n"},
		"lines":             {"HTTP/1.1 200 OK\nX: bad\r\n\r\n", ok + "X: bad\n\r\n", ok + "X: bad\rbad\r\n\r\n", ok + "X: b\r\n ad\r\n\r\n", ok + "X: \x00bad\r\n\r\n", ok + "X : bad\r\n\r\n", ok + ": bad\r\n\r\n", ok + "bad\r\n\r\n", ok + "b(d: x\r\n\r\n"},
		"status":            {"HTTP/1.1 20 bad\r\n\r\n", "HTTP/1.1 2000 bad\r\n\r\n", "HTTP/1.1  200 bad\r\n\r\n", "HTTP/1.1 099 bad\r\n\r\n", "HTTP/1.1 abc bad\r\n\r\n", "HTTP/2.0 200 bad\r\n\r\n", "HTTP/1.2 200 bad\r\n\r\n", "ICY 200 bad\r\n\r\n", "bad\r\n\r\n", "HTTP/1.1 200 b\x00ad\r\n\r\n", "\r\nHTTP/1.1 200 bad\r\n\r\n", "\x16\x03\x01\x00\x02\x02bad\r\n\r\n"},
		"two status lines":  {ok + ok + "Content-Length: 3\r\n\r\nbad"},
		"body impossible":   {"HTTP/1.1 204 bad\r\nContent-Length: 3\r\n\r\nbad", "HTTP/1.1 204 bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n", "HTTP/1.1 103 bad\r\nContent-Length: 3\r\n\r\nbad" + plainAnswer},
		"not asked for":     {"HTTP/1.1 101 bad\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "HTTP/1.1 101 bad\r\n\r\n"},
		"endless":           {storm + ok + "Content-Length: 3\r\n\r\nbad", ok + "X-A: " + strings.Repeat("bad", 40_000) + "\r\n\r\n", ok + strings.Repeat("X-A: bad\r\n", 20_000) + "\r\n"},
	} {
		for _, text := range texts {
			t.Run(fmt.Sprintf("%s %.70q", rule, text), func(t *testing.T) {
				ended := make(chan string, 1)
				r, _ := inFrontOf(t, func(p *peer) {
					if p.request() != nil {
						p.send(text)
						ended <- p.ends()
					}
				}, nil)
				c := dial(t, r.addr)
				c.send(plainRequest)
				hints, m, err := c.answer("GET")
				if err != nil || m.status() != 502 || !strings.Contains(m.body, `"UJ"`) {
					t.Errorf("got %v %v", m, err)
				}
				if all := fmt.Sprint(hints, m); strings.Contains(all, "bad") {
					t.Errorf("a part of it was passed on: %v", all)
				}
				if end := <-ended; end != "" && !strings.Contains(end, "reset") && !strings.Contains(end, "EOF") {
					t.Errorf("the origin's connection: %s", end)
				}
				if k := strings.Join(r.kinds(), " "); k != "eu junk" {
					t.Errorf("signals %s", k)
				}
				if l := r.lines(1)[0]; l["reason"] != "UJ" || l["endpoint"] != "eu" {
					t.Errorf("log %v", l)
				}
				if !c.stays() {
					t.Error("the client's connection has ended")
				}
			})
		}
	}
}

// An answer that turns out to be malformed in its body is broken off visibly; nothing follows it on either connection.
func TestMalformedBodyOfAnAnswerIsBroken(t *testing.T) {
	for rule, bodies := range malformedChunks() {
		for _, b := range bodies {
			t.Run(fmt.Sprintf("%s %.40q", rule, b), func(t *testing.T) {
				r, s := inFrontOf(t, func(p *peer) {
					if m := p.request(); m != nil && strings.Contains(m.first, "/after") {
						p.send(plainAnswer)
					} else if m != nil {
						p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"+b, plainAnswer)
						_ = p.ends()
					}
				}, nil)
				c := dial(t, r.addr)
				c.send(plainRequest)
				if _, m, err := c.answer("GET"); err == nil && m.status() != 502 {
					t.Errorf("looks whole: %v", m)
				} else if err == nil && strings.Contains(m.body, "first") {
					t.Errorf("passed on a part: %v", m)
				} else if rest, _ := io.ReadAll(c.br); err != nil && len(rest) > 0 {
					t.Errorf("behind the broken answer: %q", rest)
				}
				r.must("GET", "/after", nil)
				if s.accepted() != 2 {
					t.Errorf("%d connections to the origin: the broken one was used again", s.accepted())
				}
			})
		}
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
