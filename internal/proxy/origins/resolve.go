package origins

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Resolver finds the addresses of a host name; *net.Resolver does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	resolveEvery  = 30 * time.Second // while a pool wants the name; 90 to 110 % of it
	resolveAgain  = 5 * time.Second  // after a failure
	resolveLimit  = 5 * time.Second  // of one look-up
	resolveQuiet  = time.Second      // how long a dial believes that a name without any answer still has none
	avoidFailed   = 30 * time.Second // how long an address that could not be connected to is tried last
	maxAddresses  = 16               // of one answer that are used
	resolverClass = "ip"             // both families
)

// name is one host name of origins. It has a good answer at hand from the first look-up that succeeds on, since a failed
// one leaves the old answer as it is.
//
//	nameOf --> looking up --ok--> resting 30 s --> looking up ...
//	               '------failed--> resting 5 s --> looking up ...
//	stop ends all of them.
type name struct {
	set  *Pools
	host string                       // as configured
	good atomic.Pointer[[]netip.Addr] // nil: no answer yet

	mu      sync.Mutex
	asking  chan struct{} // closed when the look-up under way ends; nil: none is
	asked   int64         // Pools.now when the last one ended
	err     error         // of it
	failed  map[netip.Addr]int64
	timer   *time.Timer
	stopped bool
}

// nameOf is the name a pool wants; its first look-up begins here, before anybody dials. The caller holds Pools.mu.
func (s *Pools) nameOf(host string) *name {
	n := s.names[host]
	if n == nil {
		n = &name{set: s, host: host, failed: map[netip.Addr]int64{}}
		s.names[host] = n
		n.ask()
	}
	return n
}

// has says whether a connection to a still belongs to the name. Without a name it does.
func (n *name) has(a netip.Addr) bool {
	if n == nil {
		return true
	}
	good := n.good.Load()
	return good == nil || slices.Contains(*good, a)
}

// ask begins a look-up unless one is under way, and returns what is closed at its end; nil: the name is not wanted any
// more.
func (n *name) ask() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return nil
	}
	if n.asking == nil {
		n.asking = make(chan struct{})
		n.set.lookups.Go(n.lookUp)
	}
	return n.asking
}

func (n *name) lookUp() {
	ctx, cancel := context.WithTimeout(n.set.ctx, resolveLimit)
	defer cancel()
	addrs, err := n.set.o.Resolver.LookupNetIP(ctx, resolverClass, absolute(n.host))
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "the answer has no address", Name: n.host, IsNotFound: true}
	}
	if err == nil {
		n.learn(addrs)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if (err != nil) != (n.err != nil) && n.set.ctx.Err() == nil {
		n.tell(err)
	}
	n.asked, n.err = n.set.now(), err
	close(n.asking)
	n.asking = nil
	if n.stopped {
		return
	}
	again := resolveEvery
	if err != nil {
		again = resolveAgain
	}
	n.timer = time.AfterFunc(jitter(again), func() { n.ask() })
}

// absolute keeps search domains away, as probes do: a missing name must not send requests to somebody else's server.
func absolute(host string) string {
	if strings.Contains(host, ".") && !strings.HasSuffix(host, ".") {
		return host + "."
	}
	return host
}

// learn makes addrs the good answer. Connections to addresses that are gone leave the pools with the next sweep or use.
func (n *name) learn(addrs []netip.Addr) {
	addrs = slices.Clone(addrs[:min(len(addrs), maxAddresses)])
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	n.good.Store(&addrs)
}

// tell logs that look-ups begin to fail, or succeed again.
func (n *name) tell(err error) {
	if err == nil {
		n.set.o.Logger.Info("the host name of an origin is found again", "host", n.host)
		return
	}
	n.set.o.Logger.Warn("the host name of an origin cannot be looked up; its last known addresses stay in use",
		"host", n.host, "known", n.good.Load() != nil, "error", err)
}

// stop ends the look-ups.
func (n *name) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
	if n.timer != nil {
		n.timer.Stop()
	}
}

// addresses are those to try, in order. It waits for a look-up only when none has ever succeeded.
func (n *name) addresses(ctx context.Context) ([]netip.Addr, error) {
	good := n.good.Load()
	if good == nil {
		if err := n.wait(ctx); err != nil {
			return nil, err
		}
		if good = n.good.Load(); good == nil {
			n.mu.Lock()
			defer n.mu.Unlock()
			return nil, fmt.Errorf("host name of the origin: %w", n.err)
		}
	}
	return n.order(*good), nil
}

// wait waits for the first answer, or for the failure to get one.
func (n *name) wait(ctx context.Context) error {
	n.mu.Lock()
	quiet := n.err != nil && n.asking == nil && n.set.now()-n.asked < int64(resolveQuiet)
	n.mu.Unlock()
	if quiet {
		return nil
	}
	asking := n.ask()
	if asking == nil {
		return errClosed
	}
	select {
	case <-asking:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the address of %s: %w", n.host, context.Cause(ctx))
	}
}

// order puts addresses that have just failed behind the others. It copies only when there are any.
func (n *name) order(addrs []netip.Addr) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.failed) == 0 || len(addrs) < 2 {
		return addrs
	}
	now := n.set.now()
	bad := func(a netip.Addr) int {
		at, ok := n.failed[a]
		if ok && now-at < int64(avoidFailed) {
			return 1
		}
		delete(n.failed, a)
		return 0
	}
	out := slices.Clone(addrs)
	slices.SortStableFunc(out, func(a, b netip.Addr) int { return bad(a) - bad(b) })
	return out
}

// note remembers how connecting to a ended.
func (n *name) note(a netip.Addr, ok bool) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if ok {
		delete(n.failed, a)
	} else if len(n.failed) < 4*maxAddresses {
		n.failed[a] = n.set.now()
	}
}

// jitter is d times 0.9 to 1.1, so that what began together does not stay together.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + time.Duration(rand.Int64N(int64(d/5)+1)) //nolint:gosec // spreading load is no secret
}
