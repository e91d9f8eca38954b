package dnstap

import (
	"net/netip"
	"sync/atomic"
	"time"

	"jurymast/internal/nameserver/tap"
)

const (
	ringSize  = 1024    // questions of one loop that wait for the writer at most
	keepBytes = 4 << 10 // of a place in the ring that are kept for its next use
)

// entry is one question and its answer in a ring. The place keeps its buffers.
type entry struct {
	asked, said time.Time
	client      netip.AddrPort
	via         tap.Transport
	question    []byte
	answer      []byte
}

// Loop is the side of one loop that answers questions; only that loop uses it.
type Loop struct {
	ring *tap.Ring[entry]
	lost atomic.Uint64 // questions that did not fit
}

// Seen copies a question and its answer, or counts that there is no room. asked may be zero: not measured.
func (l *Loop) Seen(question, answer []byte, client netip.AddrPort, via tap.Transport, asked time.Time) {
	e := l.ring.Next()
	if e == nil {
		l.lost.Add(1)
		return
	}
	e.said = time.Now()
	if e.asked = asked; asked.IsZero() {
		e.asked = e.said
	}
	e.client, e.via = client, via
	e.question = append(e.question[:0], question...)
	e.answer = append(e.answer[:0], answer...)
	l.ring.Put()
}

// tidy gives memory of a place back that is seldom needed. It runs while the place is the reader's.
func (e *entry) tidy() {
	if cap(e.question) > keepBytes {
		e.question = nil
	}
	if cap(e.answer) > keepBytes {
		e.answer = nil
	}
}
