package flatten

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"jurymast/internal/question"
)

const (
	lookLimit = 12 * time.Second
	avoidFor  = 30 * time.Second // a resolver that was silent is asked last
)

// patience is how long one resolver gets, by round.
var patience = [...]time.Duration{1500 * time.Millisecond, 3 * time.Second}

// Client asks resolvers.
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
	within, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	m, err := question.Ask(within, server, question.New(name, typ), question.Way{Patience: wait})
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
	r := read(m.Msg, name, typ)
	r.resolver = server
	c.note(server, r.outcome.String())
	if r.err != nil {
		r.err = fmt.Errorf("resolver %s: %w", server, r.err)
	}
	return r
}
