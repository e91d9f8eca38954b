// Package question asks one server one DNS question and says what it answered. It never chooses whom to ask, never
// remembers anything and never judges what an answer means: that is the caller's.
//
// Every packet has a socket, a port and an id of its own. Only an answer from the asked address that has the id and
// repeats the question counts; over UDP whatever else arrives is passed over, because guesses of somebody who wants to be
// believed must not end the waiting either.
//
//	UDP --nothing came--> UDP again, as often as Tries says --> ErrTime
//	    --it does not fit--> TCP
//	either --the server does not know EDNS--> all of it again without
package question

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// Size is how many bytes of an answer over UDP are asked for [RFC 9715]. Longer ones are read all the same.
	Size = 1232
	// Patience is that of a Way that has none.
	Patience = 5 * time.Second

	maxStrange = 1000 // packets that are passed over: a flood of guesses is no answer
)

// Errors of Ask; test them with errors.Is.
var (
	ErrTime     = errors.New("no answer in time")
	errStrange  = errors.New("a thousand packets, and none of them the answer")
	errOther    = errors.New("the answer is to another question")
	errUnread   = errors.New("its answer cannot be read")
	errHungUp   = errors.New("it closed the connection")
	errNotAsked = errors.New("a message without exactly one question cannot be asked")
)

// Way is how a question is asked. The zero Way asks once over UDP, and over TCP what does not fit.
type Way struct {
	TCP      bool          // at once
	Patience time.Duration // for every packet that is sent; 0: as the constant says. The context bounds all of them
	Tries    int           // over UDP, while nothing comes; 0: one
	Part     bool          // what fits into UDP is better than nothing when the rest cannot be had over TCP
}

// Reply is what the server said.
type Reply struct {
	*dns.Msg
	Took time.Duration // from the last packet that was sent to its answer; over TCP with the connection's beginning
}

// New is a question with recursion desired and with EDNS; the caller may change it.
func New(name string, typ uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(dns.Fqdn(name), typ).SetEdns0(Size, false)
}

// Ask asks; q stays as it is, and its id is not used. An error says what happened and does not name the server.
func Ask(ctx context.Context, to netip.AddrPort, q *dns.Msg, w Way) (Reply, error) {
	if len(q.Question) != 1 {
		return Reply{}, errNotAsked
	}
	q = q.Copy()
	a, err := exchange(ctx, to, q, w)
	if err == nil && q.IsEdns0() != nil && ignorant(a.Msg) {
		q.Extra = slices.DeleteFunc(q.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
		a, err = exchange(ctx, to, q, w)
	}
	return a, err
}

// ignorant: the server does not know EDNS [RFC 6891 7].
func ignorant(m *dns.Msg) bool {
	return (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) && m.IsEdns0() == nil
}

func exchange(ctx context.Context, to netip.AddrPort, q *dns.Msg, w Way) (a Reply, err error) {
	if w.TCP {
		return once(ctx, "tcp", to, q, w.Patience)
	}
	for range max(w.Tries, 1) {
		if a, err = once(ctx, "udp", to, q, w.Patience); !errors.Is(err, ErrTime) || ctx.Err() != nil {
			break
		}
	}
	if err == nil && a.Truncated {
		whole, err := once(ctx, "tcp", to, q, w.Patience)
		if err == nil || !w.Part {
			return whole, err
		}
	}
	return a, err
}

// once is one packet out and its answer.
func once(ctx context.Context, network string, to netip.AddrPort, q *dns.Msg, patience time.Duration) (Reply, error) {
	if patience <= 0 {
		patience = Patience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q.Id = dns.Id()
	began := time.Now()
	conn, err := new(net.Dialer).DialContext(ctx, network, to.String()) // connected: the system drops packets of others
	if err != nil {
		return Reply{}, Plain(err)
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end) // fails on a closed socket only
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := (&dns.Conn{Conn: conn}).WriteMsg(q); err != nil {
		return Reply{}, Plain(err)
	}
	m, err := answer(conn, q, network == "tcp")
	return Reply{m, time.Since(began)}, err
}

// answer reads until the answer to q is there.
func answer(conn io.Reader, q *dns.Msg, stream bool) (*dns.Msg, error) {
	buf := make([]byte, dns.MaxMsgSize)
	for range maxStrange {
		pkt, err := next(conn, buf, stream)
		if err != nil {
			return nil, Plain(err)
		}
		m := new(dns.Msg)
		bad := m.Unpack(pkt)
		switch {
		case !Answers(m, q) && stream:
			return nil, errOther
		case !Answers(m, q):
		case bad != nil && (stream || !m.Truncated): // a packet may be cut in the middle of a record
			return nil, errUnread
		default:
			return m, nil
		}
	}
	return nil, errStrange
}

// next reads one message; a stream has its length before it [RFC 1035 4.2.2].
func next(conn io.Reader, buf []byte, stream bool) ([]byte, error) {
	if !stream {
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	if _, err := io.ReadFull(conn, buf[:2]); err != nil {
		return nil, err
	}
	pkt := buf[:binary.BigEndian.Uint16(buf)]
	_, err := io.ReadFull(conn, pkt)
	return pkt, err
}

// Answers reports that m is an answer to q: id, kind and question. Some servers leave the question out of a refusal.
func Answers(m, q *dns.Msg) bool {
	if m.Id != q.Id || !m.Response || m.Opcode != q.Opcode {
		return false
	}
	if len(m.Question) == 0 {
		return m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError
	}
	a, b := m.Question[0], q.Question[0]
	return len(m.Question) == 1 && a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}

// Plain says what happened without addresses, which the caller names anyway.
func Plain(err error) error {
	if ne, ok := errors.AsType[net.Error](err); (ok && ne.Timeout()) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return ErrTime
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errHungUp
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		return call.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}
