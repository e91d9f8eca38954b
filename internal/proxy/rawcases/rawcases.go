// Package rawcases are HTTP/1.1 messages as they stand on the wire, right ones and wrong ones, each with the rule of
// package http1 that it breaks. Tests of the parser, of the proxy and of servers beside it read the same list. It is no part
// of the program, and it sends nothing.
//
// The wrong ones are the classes of RFC 9112 and of what has been published about servers that read the same bytes
// differently: request smuggling, desynchronisation, chunks that end twice. Where a case hides a second request in what
// others take for a body, that is the request of Hidden, so that whoever answers it has been deceived.
package rawcases

import (
	"strconv"
	"strings"

	"jurymast/internal/proxy/http1"
)

// Case is a message. A case whose rule is empty has to be accepted.
type Case struct {
	Class string // row of the table: length, coding, chunks, lines, names, target, hop, limits, response; right for what is accepted
	Text  string // with its body
	Rule  http1.Rule
	Body  bool // the fault is in the body: the head by itself is right
	HEAD  bool // of responses: it answers a HEAD
}

// Status is what a client is told: 0 when the case is accepted.
func (c Case) Status() int {
	if c.Rule == "" {
		return 0
	}
	return (&http1.Fault{Rule: c.Rule}).Status()
}

// Name is short and tells cases apart.
func (c Case) Name() string {
	const most = 90
	s := strings.Trim(strconv.Quote(c.Text), `"`)
	if len(s) > most {
		s = s[:most/2] + "..." + s[len(s)-most/2:]
	}
	return c.Class + " " + s
}

// Parts of messages.
const (
	Host   = "a.example"
	Get    = "GET /a HTTP/1.1\r\nHost: " + Host + "\r\n"
	Post   = "POST /a HTTP/1.1\r\nHost: " + Host + "\r\n"
	Hidden = "GET /hidden HTTP/1.1\r\nHost: hidden.example\r\n\r\n"
	empty  = "0\r\n\r\n" // a chunked body without data
	coded  = "Transfer-Encoding: chunked\r\n"
)

// list collects cases of one class.
type list struct {
	class string
	cases []Case
}

func (l *list) add(rule http1.Rule, texts ...string) {
	for _, text := range texts {
		l.cases = append(l.cases, Case{Class: l.class, Text: text, Rule: rule})
	}
}

// lines adds heads of Get with a field line each.
func (l *list) lines(rule http1.Rule, lines ...string) {
	for _, line := range lines {
		l.add(rule, Get+line+"\r\n\r\n")
	}
}

// bodies adds chunked bodies.
func (l *list) bodies(rule http1.Rule, bodies ...string) {
	for _, body := range bodies {
		l.cases = append(l.cases, Case{Class: l.class, Text: Post + coded + "\r\n" + body, Rule: rule, Body: true})
	}
}

// length is a Content-Length line of a body that is given.
func length(body string) string { return "Content-Length: " + strconv.Itoa(len(body)) + "\r\n" }

// Requests are those that clients must not send, and what is refused of them.
func Requests() []Case {
	var all []Case
	for _, l := range []*list{lengths(), codings(), chunks(), endings(), firstLines(), names(), hosts(), targets(), hops(), limits()} {
		all = append(all, l.cases...)
	}
	return all
}
