package xdp

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const membarrierGlobal = 1 // MEMBARRIER_CMD_GLOBAL in linux/membarrier.h

// pool holds numbers of places: ready to be written, and given back but perhaps still looked at.
type pool struct{ ready, resting []uint32 }

func (p *pool) fill(from, to uint32) {
	for n := to; n > from; n-- {
		p.ready = append(p.ready, n-1)
	}
}

func (p *pool) give(n uint32) { p.resting = append(p.resting, n) }

func (t *Table) take(p *pool) (uint32, error) {
	if len(p.ready) == 0 {
		if err := t.settle(p); err != nil {
			return 0, err
		}
	}
	last := len(p.ready) - 1
	n := p.ready[last]
	p.ready = p.ready[:last]
	return n, nil
}

// settle waits until no frame can be looking at what was given back: tens of milliseconds, if there is something.
func (t *Table) settle(p *pool) error {
	if len(p.resting) == 0 && (p != &t.vacant || t.leaving == 0) {
		return nil
	}
	if err := gracePeriod(); err != nil {
		return err
	}
	for _, q := range []*pool{&t.free, &t.vacant} {
		q.ready = append(q.ready, q.resting...)
		q.resting = q.resting[:0]
	}
	t.leaving = 0 // what Settle is waiting for has waited with us
	return nil
}

// Settle makes what has come free usable again, after a grace period of the kernel: tens of milliseconds, in which the
// table may be changed. It returns at once when nothing has come free. Call it after changes, from one goroutine.
func (t *Table) Settle() error {
	t.settling.Lock()
	defer t.settling.Unlock()
	t.mu.Lock()
	free, vacant := t.free.resting, t.vacant.resting
	t.free.resting, t.vacant.resting, t.leaving = nil, nil, len(vacant)
	t.mu.Unlock()
	if len(free)+len(vacant) == 0 {
		return nil
	}
	err := gracePeriod()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaving = 0
	if err != nil {
		t.free.resting, t.vacant.resting = append(t.free.resting, free...), append(t.vacant.resting, vacant...)
		return err
	}
	t.free.ready, t.vacant.ready = append(t.free.ready, free...), append(t.vacant.ready, vacant...)
	return nil
}

// gracePeriod is over when every frame that was in the program has left it: the global barrier of membarrier(2) is a
// grace period of RCU, under which the program runs.
func gracePeriod() error {
	if _, _, e := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); e != 0 {
		return fmt.Errorf("wait for a grace period (membarrier): %w", e)
	}
	return nil
}
