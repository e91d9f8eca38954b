package trace

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/miekg/dns"
)

const (
	ednsSize = 1232 // bytes we offer to receive [RFC 9715]
	tries    = 2    // of a question over UDP
)

// question is one question to one server.
type question struct {
	to      netip.AddrPort
	tcp     bool
	recurse bool
	hasty   bool // over UDP once only, because there is somebody else to ask
	name    string
	typ     uint16
}

// reply is its answer, or err.
type reply struct {
	*dns.Msg
	took time.Duration
	err  error
}

// ask sends a question and waits for its answer: over UDP twice, then over TCP if it does not fit; without EDNS if the
// server does not know that. One question never takes longer than patience for each packet sent.
func (t *tracer) ask(ctx context.Context, q question) reply {
	if t.asked.Add(1) > maxQuestions {
		return reply{err: errMany}
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return reply{err: errTime}
	}
	m := new(dns.Msg).SetQuestion(q.name, q.typ)
	m.RecursionDesired, m.AuthenticatedData = q.recurse, true // AD asks for AD [RFC 6840 5.7]
	m.SetEdns0(ednsSize, false)
	opt := m.IsEdns0()
	opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	r := t.exchange(ctx, q, m)
	if r.err == nil && (r.Rcode == dns.RcodeFormatError || r.Rcode == dns.RcodeNotImplemented) && r.IsEdns0() == nil {
		m.Extra = nil
		r = t.exchange(ctx, q, m)
	}
	return r
}

func (t *tracer) exchange(ctx context.Context, q question, m *dns.Msg) (r reply) {
	if q.tcp {
		return t.once(ctx, "tcp", q.to, m)
	}
	for range tries {
		r = t.once(ctx, "udp", q.to, m)
		if !errors.Is(r.err, errTime) || ctx.Err() != nil || q.hasty {
			break
		}
	}
	if r.err == nil && r.Truncated {
		if whole := t.once(ctx, "tcp", q.to, m); whole.err == nil {
			return whole
		}
	}
	return r
}

var (
	errTime = errors.New("no answer in time")
	errMany = errors.New("not asked: too many questions")
)

func (t *tracer) once(ctx context.Context, network string, to netip.AddrPort, m *dns.Msg) reply {
	ctx, cancel := context.WithTimeout(ctx, t.o.Patience)
	defer cancel()
	m.Id = dns.Id()
	start := time.Now()
	got, err := transact(ctx, network, to, m)
	return reply{got, time.Since(start), err}
}

// transact is one packet out and one in. Whatever else arrives is passed over.
func transact(ctx context.Context, network string, to netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, to.String()) // connected: the system drops packets of others
	if err != nil {
		return nil, plain(err)
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end) // fails on a closed socket only
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c := dns.Conn{Conn: conn, UDPSize: dns.MaxMsgSize}
	if err := c.WriteMsg(q); err != nil {
		return nil, plain(err)
	}
	for range 100 { // a flood of guesses is no answer
		pkt, err := c.ReadMsgHeader(nil)
		if err != nil {
			if len(pkt) > 0 || errors.Is(err, dns.ErrShortRead) {
				continue
			}
			return nil, plain(err)
		}
		m := new(dns.Msg)
		bad := m.Unpack(pkt)
		if m.Id != q.Id || !m.Response || !repeats(m, q) {
			continue
		}
		if bad != nil && !m.Truncated {
			return nil, errors.New("its answer cannot be read")
		}
		return m, nil
	}
	return nil, errors.New("a hundred packets, and none of them the answer")
}

// repeats reports that m is about q's question. Some servers leave the question out of a refusal.
func repeats(m, q *dns.Msg) bool {
	if len(m.Question) == 0 {
		return m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError
	}
	a, b := m.Question[0], q.Question[0]
	return len(m.Question) == 1 && a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}

// plain says what happened without addresses that the caller names anyway.
func plain(err error) error {
	if ne, ok := errors.AsType[net.Error](err); (ok && ne.Timeout()) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return errTime
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		text := op.Err.Error()
		if i := strings.LastIndex(text, ": "); i >= 0 {
			text = text[i+2:]
		}
		return errors.New(text)
	}
	return err
}

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
