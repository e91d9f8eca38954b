package flatten

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	ednsSize  = 1232 // bytes we offer to receive [RFC 9715]
	lookLimit = 12 * time.Second
	avoidFor  = 30 * time.Second // a resolver that was silent is asked last
)

// patience is how long one resolver gets, by round.
var patience = [...]time.Duration{1500 * time.Millisecond, 3 * time.Second}

// Client asks resolvers. Every question has a socket, a port and an id of its own, and only an answer from the asked
// address that repeats the question counts.
type Client struct {
	servers func() []netip.AddrPort
	note    func(server netip.AddrPort, result string)

	mu     sync.Mutex
	silent map[netip.AddrPort]time.Time
}

// NewClient asks the given resolvers, in their order as long as they answer. servers is called for every look.
func NewClient(servers func() []netip.AddrPort) *Client {
	return &Client{servers: servers, note: func(netip.AddrPort, string) {}, silent: map[netip.AddrPort]time.Time{}}
}

// Look asks for one type of one name until a resolver says something. first is asked first and last is asked last;
// either may be zero.
func (c *Client) Look(ctx context.Context, name string, typ uint16, first, last netip.AddrPort) Reply {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	list := c.order(first, last)
	if len(list) == 0 {
		return Reply{silent: true, err: errors.New("there is no resolver; name some in node.nameserver.resolvers")}
	}
	out := Reply{silent: true}
	var trouble []string
	for _, wait := range patience {
		asked := list
		list = nil // the second round is for those that were silent
		for _, server := range asked {
			r := c.ask(ctx, server, name, typ, wait)
			if r.outcome != failed {
				return r
			}
			if out.silent = out.silent && r.silent; r.silent {
				list = append(list, server)
			}
			if text := r.err.Error(); !slices.Contains(trouble, text) {
				trouble = append(trouble, text)
			}
			if ctx.Err() != nil {
				break
			}
		}
	}
	out.err = errors.New(strings.Join(trouble, "; "))
	return out
}

// order is the resolvers, the best first.
func (c *Client) order(first, last netip.AddrPort) []netip.AddrPort {
	list := slices.Clone(c.servers())
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	rank := func(a netip.AddrPort) int {
		n := 0
		if a == first {
			n = -1
		}
		if now.Sub(c.silent[a]) < avoidFor {
			n += 2
		}
		if a == last {
			n += 4
		}
		return n
	}
	slices.SortStableFunc(list, func(a, b netip.AddrPort) int { return rank(a) - rank(b) })
	return list
}

func (c *Client) ask(ctx context.Context, server netip.AddrPort, name string, typ uint16, wait time.Duration) Reply {
	m, err := exchange(ctx, server, name, typ, wait)
	c.mu.Lock()
	if err != nil {
		c.silent[server] = time.Now()
	} else {
		delete(c.silent, server)
	}
	c.mu.Unlock()
	if err != nil {
		c.note(server, "silence")
		return Reply{silent: true, err: fmt.Errorf("resolver %s: %w", server, err)}
	}
	r := read(m, name, typ)
	r.resolver = server
	c.note(server, r.outcome.String())
	if r.err != nil {
		r.err = fmt.Errorf("resolver %s: %w", server, r.err)
	}
	return r
}

// exchange is one question: over UDP, without EDNS if the resolver does not know it, over TCP if it does not fit.
func exchange(ctx context.Context, server netip.AddrPort, name string, typ uint16, wait time.Duration) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), typ)
	q.SetEdns0(ednsSize, false)
	m, err := once(ctx, "udp", server, q)
	if err == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) && m.IsEdns0() == nil {
		q = new(dns.Msg).SetQuestion(dns.Fqdn(name), typ)
		m, err = once(ctx, "udp", server, q)
	}
	if err == nil && m.Truncated {
		q.Id = dns.Id()
		m, err = once(ctx, "tcp", server, q)
	}
	return m, err
}

// once sends q and waits for its answer. Whatever else arrives is passed over: guesses of somebody who wants to be
// believed must not end the waiting either.
func once(ctx context.Context, network string, server netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String()) // connected: the system drops packets of others
	if err != nil {
		return nil, plain(err)
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end) // fails on a closed socket only
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c := dns.Conn{Conn: conn, UDPSize: ednsSize}
	if err := c.WriteMsg(q); err != nil {
		return nil, plain(err)
	}
	for range 1000 { // a flood of guesses is no answer
		pkt, err := c.ReadMsgHeader(nil)
		if err != nil {
			if len(pkt) > 0 || errors.Is(err, dns.ErrShortRead) {
				continue
			}
			return nil, plain(err)
		}
		m := new(dns.Msg)
		bad := m.Unpack(pkt)
		if m.Id != q.Id || !m.Response || m.Opcode != dns.OpcodeQuery || !repeats(m, q) {
			if network == "tcp" {
				return nil, errors.New("the answer is to another question")
			}
			continue
		}
		if bad != nil && !m.Truncated {
			return nil, errors.New("its answer cannot be read")
		}
		return m, nil
	}
	return nil, errors.New("a thousand packets, and none of them the answer")
}

// repeats reports that m is about q's question. Some resolvers leave the question out of a refusal.
func repeats(m, q *dns.Msg) bool {
	if len(m.Question) == 0 {
		return m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError
	}
	a, b := m.Question[0], q.Question[0]
	return len(m.Question) == 1 && a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}

// plain says what happened without addresses that the caller names anyway.
func plain(err error) error {
	if ne, ok := errors.AsType[net.Error](err); (ok && ne.Timeout()) || errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}
