package trace

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/miekg/dns"

	"jurymast/internal/question"
)

const tries = 2 // of a question over UDP

// query is one question to one server.
type query struct {
	to      netip.AddrPort
	tcp     bool
	recurse bool
	hasty   bool // over UDP once only, because there is somebody else to ask
	name    string
	typ     uint16
}

// reply is its answer, or err.
type reply struct {
	question.Reply
	err error
}

// ask sends a question and waits for its answer, for no longer than patience for each packet sent.
func (t *tracer) ask(ctx context.Context, q query) reply {
	if t.asked.Add(1) > maxQuestions {
		return reply{err: errMany}
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return reply{err: question.ErrTime}
	}
	m := question.New(q.name, q.typ)
	m.RecursionDesired, m.AuthenticatedData = q.recurse, true // AD asks for AD [RFC 6840 5.7]
	opt := m.IsEdns0()
	opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	way := question.Way{TCP: q.tcp, Patience: t.o.Patience, Tries: tries, Part: true}
	if q.hasty {
		way.Tries = 1
	}
	a, err := question.Ask(ctx, q.to, m, way)
	return reply{a, err}
}

var errMany = errors.New("not asked: too many questions")

func rcode(m *dns.Msg) string {
	code := m.Rcode
	if opt := m.IsEdns0(); opt != nil && opt.ExtendedRcode() > 15 {
		code = opt.ExtendedRcode()
	}
	if s, ok := dns.RcodeToString[code]; ok {
		return s
	}
	return fmt.Sprintf("RCODE%d", code)
}

// nsid is which server has answered [RFC 5001]: text where it is printable, else hexadecimal digits.
func nsid(m *dns.Msg) string {
	for _, o := range options(m) {
		n, ok := o.(*dns.EDNS0_NSID)
		if !ok {
			continue
		}
		raw, err := hex.DecodeString(n.Nsid)
		if err != nil || strings.IndexFunc(string(raw), func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			return n.Nsid
		}
		return string(raw)
	}
	return ""
}

// extended are the errors beside the answer [RFC 8914]; stale tells that the answer outlived its TTL.
func extended(m *dns.Msg) (list []string, stale bool) {
	for _, o := range options(m) {
		if e, ok := o.(*dns.EDNS0_EDE); ok {
			stale = stale || e.InfoCode == dns.ExtendedErrorCodeStaleAnswer || e.InfoCode == dns.ExtendedErrorCodeStaleNXDOMAINAnswer
			if len(list) < maxErrors {
				list = append(list, strings.TrimSuffix(fmt.Sprintf("%d %s: %s", e.InfoCode, dns.ExtendedErrorCodeToString[e.InfoCode], harmless(e.ExtraText)), ": "))
			}
		}
	}
	return list, stale
}

// Of what a server writes into one answer.
const (
	maxErrors    = 8
	maxErrorText = 250 // characters
)

// harmless is text of a stranger without what drives terminals or turns text around, and cut.
func harmless(text string) string {
	runes := []rune(strings.ToValidUTF8(text, "?"))
	if len(runes) > maxErrorText {
		runes = append(runes[:maxErrorText:maxErrorText], '.', '.', '.')
	}
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = '?'
		}
	}
	return string(runes)
}

func options(m *dns.Msg) []dns.EDNS0 {
	if opt := m.IsEdns0(); opt != nil {
		return opt.Option
	}
	return nil
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}
