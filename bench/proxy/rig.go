package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"jurymast/bench/side"
)

// rig is client and origin in one thread that never sleeps: a proxy pays for its own work and not for waking another core,
// and both sides together cost less than any proxy, so that the proxy is what limits. It allocates nothing in the long run.
//
//	open --> (warm) --> count --> (drain) --> closed
type rig struct {
	ep        int
	listeners []int // origins, then their standbys
	ports     []int
	slots     []slot // by descriptor
	buf       []byte
	small     [][]byte // answers by host
	large     [][]byte
	events    []unix.EpollEvent

	plan     plan
	target   unix.RawSockaddrInet4
	requests [][]byte // by host
	clients  []*client
	began    time.Time
	interval time.Duration // of one connection at a fixed rate
	turn     int           // whose turn it is
	turnDue  []time.Duration
	underWay int
	counting bool
	stopping bool
	answers  int
	latency  side.Histogram
	served   int // by the origins, ever
	accepted int // by the origins, ever
}

// slot is whose a descriptor is.
type slot struct {
	client   *client
	origin   *served
	listener int // number + 1
}

// plan is one load.
type plan struct {
	verb        verb
	connections int
	rate        float64       // per second, over all connections; 0: each as fast as it is answered
	once        bool          // one request each
	direct      bool          // to the origins, without a proxy
	warm        time.Duration // before anything is counted
	length      time.Duration // what is counted
	count, stop func() error  // called when counting begins and ends
}

// load is what came out.
type load struct {
	answers  int
	wall     time.Duration
	latency  side.Histogram
	accepted int // connections the origins accepted meanwhile, warm-up included
}

func newRig() (*rig, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	r := &rig{ep: ep, buf: make([]byte, 256<<10), events: make([]unix.EpollEvent, 512)}
	for i := range hosts {
		r.small, r.large = append(r.small, answer(i, small)), append(r.large, answer(i, large))
	}
	for i := range 2 * origins {
		fd, port, err := listen()
		if err != nil {
			return nil, err
		}
		r.listeners, r.ports = append(r.listeners, fd), append(r.ports, port)
		r.set(fd, slot{listener: i + 1})
		if err := watch(ep, fd); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *rig) set(fd int, s slot) {
	for fd >= len(r.slots) {
		r.slots = append(r.slots, slot{})
	}
	r.slots[fd] = s
}

func (r *rig) now() time.Duration { return time.Since(r.began) }

// run loads one port as planned, on a thread of its own. It fails at the first answer, request or connection that is not right.
func (r *rig) run(ctx context.Context, port int, p plan) (*load, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer r.closeClients()
	r.plan, r.target, r.began = p, loopback(port), time.Now()
	r.stopping, r.counting, r.underWay, r.answers, r.latency = false, false, 0, 0, side.Histogram{}
	accepted := r.accepted
	if err := r.openAll(); err != nil {
		return nil, err
	}
	l := &load{}
	if !p.once {
		if err := r.turns(ctx, p.warm); err != nil {
			return nil, fmt.Errorf("warm-up: %w", err)
		}
		if err := p.count(); err != nil {
			return nil, err
		}
		r.counting = true
		at := r.now()
		if err := r.turns(ctx, p.length); err != nil {
			return nil, err
		}
		r.counting = false
		l.wall = r.now() - at
		if err := p.stop(); err != nil {
			return nil, err
		}
	}
	r.stopping = true
	if err := r.drain(ctx); err != nil {
		return nil, err
	}
	if p.once { // while the connections are still open
		if err := p.stop(); err != nil {
			return nil, err
		}
	}
	l.answers, l.latency, l.accepted = r.answers, r.latency, r.accepted-accepted
	return l, nil
}

// openAll makes the connections, a few at a time so that no queue runs over, and begins.
func (r *rig) openAll() error {
	r.clients, r.requests = r.clients[:0], r.requests[:0]
	for i := range hosts {
		r.requests = append(r.requests, r.plan.verb.request(i, r.plan.direct))
	}
	for i := range r.plan.connections {
		c := &client{host: i % hosts, request: r.requests[i%hosts], to: r.target}
		if r.plan.direct {
			c.to = loopback(r.ports[c.host%origins])
		}
		r.clients = append(r.clients, c)
		if err := r.open(c); err != nil {
			return err
		}
		if r.plan.rate > 0 {
			continue
		}
		if err := r.start(c); err != nil {
			return err
		}
		if err := r.settle(i); err != nil {
			return err
		}
	}
	if r.plan.rate > 0 {
		r.pace()
		r.turn, r.turnDue = 0, r.turnDue[:0]
		for _, c := range r.clients {
			r.turnDue = append(r.turnDue, c.next)
		}
	}
	return nil
}

// settle works a little while connections are made: after each, until few wait for an answer, when there is one request each.
func (r *rig) settle(i int) error {
	if !r.plan.once {
		if i%64 == 63 {
			return r.step()
		}
		return nil
	}
	for end := r.now() + 10*time.Second; r.underWay > 32; {
		if err := r.step(); err != nil {
			return err
		}
		if r.now() > end {
			return errors.New("no answer within 10 s")
		}
	}
	return nil
}

// turns works for a time. Silence for ten seconds is a failure.
func (r *rig) turns(ctx context.Context, length time.Duration) error {
	end := r.now() + length
	for i, last, since := 0, 0, r.now(); ; i++ {
		if err := r.step(); err != nil {
			return err
		}
		if r.plan.rate > 0 {
			if err := r.due(); err != nil {
				return err
			}
		} else if i%8 != 0 {
			continue
		}
		now := r.now()
		if now >= end {
			return ctx.Err()
		}
		if r.served != last {
			last, since = r.served, now
		} else if now-since > 10*time.Second {
			return fmt.Errorf("nothing came for 10 s, %d requests under way", r.underWay)
		}
	}
}

// drain waits for what is under way.
func (r *rig) drain(ctx context.Context) error {
	for end := r.now() + 10*time.Second; r.underWay > 0; {
		if err := r.step(); err != nil {
			return fmt.Errorf("draining: %w", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if r.now() > end {
			return fmt.Errorf("%d requests were never answered", r.underWay)
		}
	}
	return nil
}

func (r *rig) step() error {
	n, err := poll(r.ep, r.events)
	if err != nil {
		return err
	}
	for i := range r.events[:n] {
		ev := &r.events[i]
		s := r.slots[ev.Fd]
		switch {
		case s.client != nil:
			err = r.onClient(s.client, ev.Events)
		case s.origin != nil:
			err = r.onOrigin(s.origin, ev.Events)
		case s.listener > 0:
			err = r.acceptAll(s.listener - 1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) closeClients() {
	for _, c := range r.clients {
		if c.fd != 0 {
			r.set(c.fd, slot{})
			closeFD(c.fd)
			c.fd = 0
		}
	}
	r.clients = r.clients[:0]
}

// again asks on every open connection once more: was it kept?
func (r *rig) again(ctx context.Context) error {
	for i, c := range r.clients {
		if err := r.start(c); err != nil {
			return err
		}
		if err := r.settle(i); err != nil {
			return err
		}
	}
	return r.drain(ctx)
}

// rest forgets the connections that the origins still have, after a proxy has ended.
func (r *rig) rest() {
	for _, s := range r.slots {
		if s.origin != nil {
			r.dropOrigin(s.origin)
		}
	}
}
