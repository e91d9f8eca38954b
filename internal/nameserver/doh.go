package nameserver

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/wire"
)

// What DNS over HTTPS is made of [RFC 8484].
const (
	dohPath = "/dns-query"
	dohType = "application/dns-message"
	dohName = "dns" // of the parameter of GET

	dohMethods = "GET, POST"
)

// asking is what one question needs that comes without a connection of its own: streams of HTTP/2 and QUIC are answered
// with what is free.
type asking struct {
	a        *responder
	question bytes.Buffer
	out      []byte
}

// askers are free askings of one transport.
type askers struct {
	s     *Server
	via   tap.Transport
	pool  sync.Pool
	once  sync.Once
	count *counts
}

func newAskers(s *Server, via tap.Transport) *askers {
	q := &askers{s: s, via: via}
	q.pool.New = func() any {
		q.once.Do(func() { q.count = s.m.take() })
		a := s.responder(q.count)
		a.via = via
		return &asking{a: a, out: make([]byte, 0, udpSize+wireSlack)}
	}
	return q
}

func (q *askers) take() *asking {
	g, _ := q.pool.Get().(*asking)
	g.question.Reset()
	return g
}

func (q *askers) give(g *asking) {
	if cap(g.out) > keepBuffer {
		g.out = make([]byte, 0, udpSize+wireSlack)
	}
	if g.question.Cap() > keepBuffer {
		g.question = bytes.Buffer{}
	}
	q.pool.Put(g)
}

// answer answers what is in question, into the asking's own buffer; nil: it is no question.
func (q *askers) answer(g *asking, from netip.Addr) []byte {
	return q.reply(g, g.question.Bytes(), from)
}

// reply is answer for a question that is elsewhere.
func (q *askers) reply(g *asking, question []byte, from netip.Addr) []byte {
	g.a.c.received(q.via, from).Add(1)
	g.a.q.Seen, g.a.port = 0, 0 // the quick way does not look; ports are not kept
	g.a.refresh()
	g.a.received()
	reply := q.s.answer(g.a, question, g.out[:0], true, from)
	if reply == nil || len(reply) > streamSize {
		return nil
	}
	g.out = reply
	return reply
}

// dohRequest is what matters of a request; HTTP/1.1 and HTTP/2 are the same from here on.
type dohRequest struct {
	method string
	target string // path and query
	media  string // content type
}

// read brings the question of GET into the asking, and tells whether that of POST is to be read from the body.
func (r *dohRequest) read(g *asking) (body bool, status int) {
	path, query, _ := strings.Cut(r.target, "?")
	if path != dohPath {
		return false, http.StatusNotFound
	}
	switch r.method {
	case http.MethodGet:
		return false, fromQuery(query, &g.question)
	case http.MethodPost:
		media, _, _ := strings.Cut(r.media, ";")
		if !strings.EqualFold(strings.TrimSpace(media), dohType) {
			return false, http.StatusUnsupportedMediaType
		}
		return true, 0
	}
	return false, http.StatusMethodNotAllowed
}

// fromQuery decodes the message in a query: base64url without padding [RFC 8484 4.1].
func fromQuery(query string, b *bytes.Buffer) (status int) {
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		if name != dohName {
			continue
		}
		n := base64.RawURLEncoding.DecodedLen(len(value))
		if n > streamSize {
			return http.StatusRequestEntityTooLarge
		}
		if n < wire.HeaderLen || strings.ContainsAny(value, "\r\n") {
			return http.StatusBadRequest
		}
		b.Grow(n)
		room := b.AvailableBuffer()[:n]
		if _, err := base64.RawURLEncoding.Decode(room, []byte(value)); err != nil {
			return http.StatusBadRequest
		}
		_, _ = b.Write(room) // never fails
		return 0
	}
	return http.StatusBadRequest
}

// dohReason is the text of an error, for people.
func dohReason(status int) string {
	switch status {
	case http.StatusNotFound:
		return "DNS over HTTPS is at " + dohPath + "\n"
	case http.StatusMethodNotAllowed:
		return "use GET or POST\n"
	case http.StatusUnsupportedMediaType:
		return "send " + dohType + "\n"
	case http.StatusRequestEntityTooLarge:
		return "a DNS message has at most 65535 bytes\n"
	}
	return "send a DNS question: GET " + dohPath + "?dns=, base64url without padding, or POST\n"
}
