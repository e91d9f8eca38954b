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

	queries, responses bool // that are wanted

	lost   atomic.Uint64 // messages that did not fit
	silent atomic.Uint64 // questions without an answer
}

// wanted is how many messages one question becomes, with an answer or without.
func (l *Loop) wanted(answered bool) (n uint64) {
	if l.queries {
		n++
	}
	if l.responses && answered {
		n++
	}
	return n
}

// Seen copies a question and its answer, or counts that there is no room. An empty answer is none: it was dropped. asked
// may be zero: not measured.
func (l *Loop) Seen(question, answer []byte, client netip.AddrPort, via tap.Transport, asked time.Time) {
	if len(answer) == 0 {
		l.silent.Add(1)
	}
	n := l.wanted(len(answer) > 0)
	if n == 0 {
		return
	}
	e := l.ring.Next()
	if e == nil {
		l.lost.Add(n)
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
