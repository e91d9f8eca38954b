package nameserver

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"time"

	"jurymast/internal/nameserver/batch"
	"jurymast/internal/nameserver/tap"
)

// retryPause after a read error that is none of ours, so that a broken socket does not take a processor.
const retryPause = 10 * time.Millisecond

// wireSlack lets a set be written behind the limit before it is taken back, without a new buffer.
const wireSlack = 2048

// datagram is one UDP socket and the one goroutine that reads it, answers in place and writes. There is no goroutine
// per question and nothing to wait for in between.
type datagram struct {
	s    *Server
	conn batch.Conn
	addr netip.AddrPort
	cpu  int // the processor it is pinned to, -1: none
}

func (d *datagram) loop() {
	b := batch.New(d.s.opt.Batch, udpSize+wireSlack)
	a := d.s.responder(d.s.m.take())
	a.eyes, a.limits, a.demand = d.s.eyes(), d.s.limits.Loop(), d.s.demand
	a.c.kernel.Store(new(d.conn.Dropped))
	if d.s.opt.Batch.Shape == batch.Raw || d.cpu >= 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		id, err := ownThread(d.cpu)
		if err != nil {
			d.s.log.Warn("a loop is not pinned to its processor", "address", d.addr.String(), "processor", d.cpu, "error", err)
		}
		a.c.thread.Store(id)
		defer a.c.thread.Store(0)
	}
	queries := a.c.received(tap.UDP, d.addr.Addr())
	for untimed := 0; ; {
		n, err := d.conn.Receive(b)
		if err != nil {
			if !d.again(err) {
				return
			}
			continue
		}
		var start time.Time
		timed := untimed+n > timeEvery
		if untimed += n; timed {
			untimed = 0
		}
		if timed || a.eyes.timed() {
			start = time.Now()
		}
		queries.Add(uint64(n)) //nolint:gosec // at most the size of a batch
		a.facts.Received = start
		a.refresh()
		if a.limits != nil {
			a.limits.Tick()
		}
		for i := range b.Messages[:n] {
			m := &b.Messages[i]
			if a.eyes.wire != nil {
				a.port = m.From.Port()
			}
			if m.Reply = d.s.answer(a, m.Packet, m.Buffer, false, m.From.Addr()); a.unsigned {
				m.Reply = a.demand.later(b, i, a)
			}
		}
		if unsent := d.conn.Send(b, n); unsent > 0 {
			a.c.unsent.Add(uint64(unsent)) // the client is out of reach, or the path too narrow; it will ask again
		}
		if timed {
			a.c.took(time.Since(start)) // what the last of the batch waited
		}
	}
}

// again reports whether the loop goes on after a read error. Errors of earlier sends arrive here too.
func (d *datagram) again(err error) bool {
	if errors.Is(err, batch.ErrStopped) || errors.Is(err, net.ErrClosed) {
		return false
	}
	if d.s.isStopping() {
		return false
	}
	d.s.log.Warn("reading from a UDP socket failed, trying again", "address", d.addr.String(), "error", err)
	select {
	case <-d.s.stopping:
	case <-time.After(retryPause):
	}
	return true
}
