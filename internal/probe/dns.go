package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
	"jurymast/internal/question"
)

// udpSize is the answer size a dns probe offers over UDP, in bytes (RFC 9715).
const udpSize = 1232

// Question is what a dns probe asks and expects.
type Question struct {
	Name    string // absolute
	Type    uint16
	TCP     bool     // ask over tcp at once
	Rcode   int      // expected
	Answers []string // record data that must be among the answers, normalised
}

func (q *Question) String() string {
	transport := "udp"
	if q.TCP {
		transport = "tcp"
	}
	text := fmt.Sprintf("ask %s %s over %s, expect %s", q.Name, typeName(q.Type), transport, rcodeName(q.Rcode))
	if len(q.Answers) > 0 {
		text += " with " + strings.Join(q.Answers, ", ")
	}
	return text
}

// ask fills in the question.
func (s *Spec) ask(p *profile.Profile, m *profile.Monitor) error {
	q := &Question{TCP: m.Query.Transport == "tcp"}
	if m.Query.Transport != "" && m.Query.Transport != "udp" && !q.TCP {
		return fmt.Errorf("monitor.query.transport %q; allowed: udp, tcp", m.Query.Transport)
	}
	name := m.Query.Name
	if name == "" {
		name = p.PublicName()
	}
	if _, ok := dns.IsDomainName(name); !ok || name == "" {
		return fmt.Errorf("monitor.query.name %q is no name to ask; the profile has no host name without a wildcard either, "+
			"or the name is malformed", name)
	}
	q.Name = dns.Fqdn(name)
	var ok bool
	if q.Type, ok = dns.StringToType[strings.ToUpper(orElse(m.Query.Type, "A"))]; !ok {
		return fmt.Errorf("monitor.query.type %q is no record type; write one like A, AAAA or SOA", m.Query.Type)
	}
	if q.Rcode, ok = dns.StringToRcode[strings.ToUpper(orElse(m.Query.Rcode, "NOERROR"))]; !ok {
		return fmt.Errorf("monitor.query.rcode %q is no response code; write one like NOERROR or NXDOMAIN", m.Query.Rcode)
	}
	for _, text := range m.Query.Answers {
		rr, err := dns.NewRR(". 0 IN " + typeName(q.Type) + " " + text)
		if err != nil || rr == nil {
			return fmt.Errorf("monitor.query.answers: %q is no data of type %s in zone-file form", text, typeName(q.Type))
		}
		q.Answers = append(q.Answers, dataOf(rr))
	}
	s.Question = q
	return nil
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func typeName(t uint16) string { return dns.Type(t).String() }

func rcodeName(rcode int) string {
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return "rcode " + strconv.Itoa(rcode)
}

// dataOf is the data of a record as text. Names in it compare without case; texts do not.
func dataOf(rr dns.RR) string {
	text := strings.TrimPrefix(rr.String(), rr.Header().String())
	if t := rr.Header().Rrtype; t == dns.TypeTXT || t == dns.TypeCAA || t == dns.TypeSPF {
		return text
	}
	return strings.ToLower(text)
}

// dns asks the question: over udp each address gets an even share of what is left of the timeout, a truncated answer
// is asked for again over tcp.
func (r *run) dns(ctx context.Context) *failure {
	addrs, f := r.resolve(ctx)
	if f != nil {
		r.phase(PhaseResolve, f.reason)
		return f
	}
	q := r.spec.Question
	if q.TCP {
		reply, f := r.askTCP(ctx, addrs)
		if f != nil {
			return f
		}
		return r.judgeReply(reply)
	}
	var last *failure
	for i, a := range addrs {
		reply, f := r.askUDP(ctx, a, time.Until(r.until)/time.Duration(len(addrs)-i))
		switch {
		case f != nil && (f.class == ClassCancelled || f.class == ClassLocal):
			return f
		case f != nil:
			last = f
			continue
		case reply.Truncated:
			if reply, f = r.askTCP(ctx, []netip.Addr{a}); f != nil {
				return f
			}
		}
		return r.judgeReply(reply)
	}
	if last == nil {
		return failed(ClassResolve, "resolve %s: no address", strings.Join(r.spec.Targets, " "))
	}
	return last
}

func (q *Question) message() *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(q.Name, q.Type)
	m.SetEdns0(udpSize, false)
	return m
}

// askUDP sends one datagram and waits for the answer to it. Datagrams that answer something else are passed over.
func (r *run) askUDP(ctx context.Context, a netip.Addr, share time.Duration) (*dns.Msg, *failure) {
	r.addr = a.String()
	place := net.JoinHostPort(r.addr, strconv.Itoa(r.spec.Port))
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", place)
	if err != nil {
		f := r.refused(ctx, err, place)
		r.phase(PhaseConnect, f.reason)
		return nil, f
	}
	defer conn.Close()
	defer r.guard(ctx, conn, earlier(time.Now().Add(share), r.until))()
	query := r.spec.Question.message()
	c := &dns.Conn{Conn: conn, UDPSize: udpSize}
	if err := c.WriteMsg(query); err != nil {
		f := r.refused(ctx, err, place)
		r.phase(PhaseRequest, f.reason)
		return nil, f
	}
	r.phase(PhaseRequest, typeName(r.spec.Question.Type)+" "+r.spec.Question.Name+" to "+place+" over udp")
	strangers := 0
	for {
		reply, err := c.ReadMsg()
		if reply != nil && question.Answers(reply, query) && (err == nil || reply.Truncated) { // cut answers may end in a record
			r.phase(PhaseFirstByte, place)
			return reply, nil
		}
		if err == nil || reply != nil || errors.Is(err, dns.ErrShortRead) { // not for this question: maybe forged
			strangers++
			continue
		}
		f := r.refused(ctx, err, place)
		if f.class == ClassTimeout {
			f = failed(ClassTimeout, "timeout after %s waiting for an answer from %s", r.after(), place)
		}
		if strangers > 0 {
			f.reason += fmt.Sprintf(" (%d datagrams answered something else)", strangers)
		}
		r.phase(PhaseFirstByte, f.reason)
		return nil, f
	}
}

// refused says why a datagram could not be sent or answered.
func (r *run) refused(ctx context.Context, err error, place string) *failure {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return failed(ClassCancelled, "cancelled")
	case local(err):
		return failed(ClassLocal, "connect %s: %s", place, cause(err))
	case timedOut(err):
		return failed(ClassTimeout, "timeout after %s asking %s", r.after(), place)
	default:
		return failed(ClassConnect, "connect %s: %s", place, cause(err))
	}
}

func (r *run) askTCP(ctx context.Context, addrs []netip.Addr) (*dns.Msg, *failure) {
	conn, f := r.connect(ctx, addrs)
	if f != nil {
		r.phase(PhaseConnect, f.reason)
		return nil, f
	}
	defer conn.Close()
	defer r.guard(ctx, conn, r.until)()
	query := r.spec.Question.message()
	c := &dns.Conn{Conn: conn}
	if err := c.WriteMsg(query); err != nil {
		f := r.broke(ctx, err, ClassProtocol, "send the question", "sending the question")
		r.phase(PhaseRequest, f.reason)
		return nil, f
	}
	r.phase(PhaseRequest, typeName(r.spec.Question.Type)+" "+r.spec.Question.Name+" over tcp")
	reply, err := c.ReadMsg()
	switch {
	case err != nil:
		f = r.broke(ctx, err, ClassProtocol, "no DNS answer", "waiting for an answer")
	case !question.Answers(reply, query):
		f = failed(ClassProtocol, "the answer belongs to another question")
	default:
		r.phase(PhaseFirstByte, conn.RemoteAddr().String())
		return reply, nil
	}
	r.phase(PhaseFirstByte, f.reason)
	return nil, f
}

// judgeReply applies the rules: response code, then answers.
func (r *run) judgeReply(reply *dns.Msg) *failure {
	q := r.spec.Question
	r.phase(PhaseStatus, fmt.Sprintf("%s, %d answers", rcodeName(reply.Rcode), len(reply.Answer)))
	if reply.Rcode != q.Rcode {
		f := failed(ClassStatus, "%s, expected %s", rcodeName(reply.Rcode), rcodeName(q.Rcode))
		r.phase(PhaseRule, "failed: "+f.reason)
		return f
	}
	got := make([]string, len(reply.Answer))
	for i, rr := range reply.Answer {
		got[i] = dataOf(rr)
	}
	for _, want := range q.Answers {
		if !slices.Contains(got, want) {
			f := failed(ClassBody, "%s, but no answer is %s (answers: %s)", rcodeName(reply.Rcode), want, clip(orElse(strings.Join(got, ", "), "none")))
			r.phase(PhaseRule, "failed: "+f.reason)
			return f
		}
	}
	r.seen = rcodeName(reply.Rcode)
	if len(got) > 0 {
		r.seen += " " + clip(strings.Join(got, ", "))
	}
	r.phase(PhaseRule, r.seen)
	return nil
}
