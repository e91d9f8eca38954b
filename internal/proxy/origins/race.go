package origins

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// stagger is how long an address has before the next one is tried beside it (RFC 8305, section 5).
const stagger = 250 * time.Millisecond

// tried is how connecting to one address ended.
type tried struct {
	c    *net.TCPConn
	addr netip.Addr
	err  error
}

// race tries the addresses in order: the next one when one has failed, or has not answered for a while. The first
// connection wins. All of them get their turn within timeout.
func (p *Pool) race(ctx context.Context, addrs []netip.Addr, timeout time.Duration) (*net.TCPConn, netip.Addr, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the losers
	results := make(chan tried)
	next, open := 0, 0
	start := func() {
		if next < len(addrs) {
			go p.try(ctx, addrs[next], results)
			next, open = next+1, open+1
		}
	}
	tick := time.NewTicker(min(stagger, timeout/time.Duration(len(addrs)+1)))
	defer tick.Stop()
	var errs []error
	for start(); open > 0; {
		select {
		case r := <-results:
			open--
			if r.err == nil {
				p.name.note(r.addr, true)
				p.overtaken(addrs[:next], r.addr)
				return r.c, r.addr, nil
			}
			if ctx.Err() == nil {
				p.name.note(r.addr, false)
			}
			errs = append(errs, r.err)
			start()
		case <-tick.C:
			start()
		case <-ctx.Done():
			p.overtaken(addrs[:next], netip.Addr{})
			return nil, netip.Addr{}, &DialError{Phase: Timeout, Err: errors.Join(append(errs, context.Cause(ctx))...)}
		}
	}
	return nil, netip.Addr{}, worst(errs)
}

// try connects to one address. When nobody waits for the result any more the connection is closed.
func (p *Pool) try(ctx context.Context, addr netip.Addr, results chan<- tried) {
	c, err := dialOne(ctx, netip.AddrPortFrom(addr, p.port))
	select {
	case results <- tried{c, addr, err}:
	case <-ctx.Done():
		if err == nil {
			discard(c)
		}
	}
}

// overtaken notes the addresses that had not answered when a later one did: the next dial tries them last.
func (p *Pool) overtaken(begun []netip.Addr, winner netip.Addr) {
	for _, a := range begun {
		if a == winner {
			return // those after it had less time
		}
		p.name.note(a, false)
	}
}

// worst joins the errors of all addresses. "Refused" is said only when all of them refused.
func worst(errs []error) error {
	for i, err := range errs {
		if phase(err) != Refused {
			errs[0], errs[i] = errs[i], errs[0]
			return &DialError{Phase: phase(err), Err: errors.Join(errs...)}
		}
	}
	return errors.Join(errs...)
}
