package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// client is one connection to the proxy and what is under way on it.
type client struct {
	fd      int
	host    int
	to      unix.RawSockaddrInet4
	request []byte
	out     []byte // what is still to be written
	partial []byte // of a head
	busy    bool   // an answer is awaited
	inBody  bool
	body    int // bytes of the body that have come
	ended   bool
	done    int           // answers
	due     time.Duration // since the begin: when the request under way was due
	next    time.Duration // when the next one is; open loop
}

// open makes a connection.
func (r *rig) open(c *client) error {
	fd, err := dial(&c.to)
	if err != nil {
		return err
	}
	c.fd, c.ended = fd, false
	r.set(fd, slot{client: c})
	return watch(r.ep, fd)
}

// start sends a request.
func (r *rig) start(c *client) error {
	if c.fd == 0 {
		if err := r.open(c); err != nil {
			return err
		}
	}
	c.busy, c.inBody, c.body, c.out = true, false, 0, c.request
	r.underWay++
	return r.flushClient(c)
}

func (r *rig) flushClient(c *client) error {
	for len(c.out) > 0 {
		n, e := write(c.fd, c.out)
		if e == unix.EAGAIN {
			return nil // an event tells when
		}
		if e != 0 {
			return fmt.Errorf("a client's request, %d answers before it: %w", c.done, e)
		}
		c.out = c.out[n:]
	}
	return nil
}

// onClient serves what an event told of.
func (r *rig) onClient(c *client, events uint32) error {
	if err := r.flushClient(c); err != nil {
		return err
	}
	if events&^unix.EPOLLOUT == 0 {
		return nil
	}
	for {
		n, e := read(c.fd, r.buf)
		switch {
		case e == unix.EAGAIN:
			return nil
		case e != 0:
			return fmt.Errorf("a client's connection, after %d answers on it: %w", c.done, e)
		case n == 0:
			return r.onEnd(c)
		}
		if err := r.got(c, r.buf[:n]); err != nil {
			return err
		}
		if n < len(r.buf) && events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
			return nil
		}
	}
}

// onEnd is the end of a connection: right only where it was asked for.
func (r *rig) onEnd(c *client) error {
	if !r.plan.verb.closing || c.inBody || c.body > 0 || !c.busy || !c.ended {
		return fmt.Errorf("a connection was closed by the proxy after %d answers on it", c.done)
	}
	r.set(c.fd, slot{})
	closeFD(c.fd)
	c.fd = 0
	return r.finished(c)
}

// got consumes bytes of an answer.
func (r *rig) got(c *client, p []byte) error {
	if !c.busy || c.ended {
		return errors.New("bytes nobody asked for came from the proxy")
	}
	if !c.inBody {
		if len(c.partial) > 0 {
			p = append(c.partial, p...)
			c.partial = nil
		}
		n := headLength(p)
		if n == 0 {
			c.partial = bytes.Clone(p)
			return nil
		}
		if err := r.checkHead(c, p[:n]); err != nil {
			return err
		}
		c.inBody = true
		p = p[n:]
	}
	if c.body+len(p) > r.plan.verb.want {
		return errors.New("an answer is longer than it says")
	}
	if !matches(p, c.body) {
		return fmt.Errorf("the body of an answer is not what the origin sent, at byte %d", c.body)
	}
	if c.body += len(p); c.body < r.plan.verb.want {
		return nil
	}
	c.inBody, c.body = false, 0
	if r.plan.verb.closing {
		c.ended = true // the answer; the end of the connection is still to come
		return nil
	}
	return r.finished(c)
}

func (r *rig) checkHead(c *client, head []byte) error {
	if len(head) < 12 || string(head[:12]) != "HTTP/1.1 200" {
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		return fmt.Errorf("the proxy answered %q", line)
	}
	length, from, closing := -1, -1, false
	fields(head, func(f field) bool {
		switch {
		case f.is("content-length"):
			length = number(f.value)
		case f.is("x-host"):
			from = hostNumber(f.value)
		case f.is("connection"):
			closing = bytes.EqualFold(f.value, []byte("close"))
		}
		return true
	})
	switch {
	case length != r.plan.verb.want:
		return fmt.Errorf("Content-Length of an answer is %d, not %d", length, r.plan.verb.want)
	case from != c.host:
		return fmt.Errorf("the answer to %s is that of host %d", host(c.host), from)
	case closing && !r.plan.verb.closing:
		return errors.New("the proxy says Connection: close where it should keep it")
	}
	return nil
}

// finished counts an answer and begins what comes next.
func (r *rig) finished(c *client) error {
	c.busy = false
	c.done++
	r.underWay--
	if r.counting {
		r.answers++
	}
	switch {
	case r.plan.rate > 0:
		if r.counting {
			r.latency.Add(r.now() - c.due)
		}
		return r.begin(c, r.now())
	case r.stopping || r.plan.once:
		return nil
	}
	return r.start(c)
}

// begin sends the next request of a connection with a fixed rate when it is due. One that is due while another is under way
// waits for it, and its latency counts from when it was due.
func (r *rig) begin(c *client, now time.Duration) error {
	if c.busy || r.stopping || c.next > now {
		return nil
	}
	c.due = c.next
	c.next += r.interval
	return r.start(c)
}

// pace gives each connection its turn in the interval by chance, always the same.
func (r *rig) pace() {
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // dice of a benchmark, the same for all
	r.interval = time.Duration(float64(len(r.clients)) / r.plan.rate * float64(time.Second))
	for _, c := range r.clients {
		c.next = r.now() + time.Duration(rng.Int64N(int64(r.interval)))
	}
	slices.SortFunc(r.clients, func(a, b *client) int { return int(a.next - b.next) })
}

// due begins what has become due, in the order of the interval.
func (r *rig) due() error {
	now := r.now()
	for range r.clients {
		c := r.clients[r.turn]
		if r.turnDue[r.turn] > now {
			return nil
		}
		r.turnDue[r.turn] += r.interval
		r.turn = (r.turn + 1) % len(r.clients)
		if err := r.begin(c, now); err != nil {
			return err
		}
	}
	return nil
}
