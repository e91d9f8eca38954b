package querylog

import (
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/wire"
)

// ringSize is how many questions of one loop wait for the writer at most.
const ringSize = 1024

// maxErrors is how many errors of one loop are written in a second, because they are errors: whoever can send questions
// can make as many as he likes, and a disk fills.
const maxErrors = 100

// Why a question is written.
const (
	becauseError  = "error"
	becauseWatch  = "watch"
	becauseSample = "sample"
)

// rules say what is written. They are replaced as a whole.
type rules struct {
	errors bool
	sample uint32               // one in so many; 0: none
	watch  map[string]time.Time // profiles of which everything is, and until when; nil: none
}

// Loop is the side of one loop that answers questions; only that loop uses it.
type Loop struct {
	rules *atomic.Pointer[rules]
	left  uint32 // questions until the next sample
	ring  *tap.Ring[entry]
	lost  atomic.Uint64

	second  time.Time // when the second began in which so many errors were written
	errors  int
	limited atomic.Uint64 // errors left out because there were enough
}

// maxSubnet is the largest client subnet option, in bytes: head and IPv6 address.
const maxSubnet = 20

// entry is one question in a ring. Its facts have no slices; those of the question are beside them.
type entry struct {
	at     time.Time
	why    string
	took   time.Duration // 0: not measured
	facts  tap.Facts
	length uint8
	subnet uint8
	name   [wire.MaxName]byte
	told   [maxSubnet]byte
}

func newLoop(r *atomic.Pointer[rules]) *Loop {
	l := &Loop{rules: r, ring: tap.NewRing[entry](ringSize)}
	l.draw(r.Load().sample)
	return l
}

// Seen writes a question or lets it pass.
func (l *Loop) Seen(f *tap.Facts) {
	if why := l.because(f); why != "" {
		l.put(f, why)
	}
}

func (l *Loop) because(f *tap.Facts) string {
	r := l.rules.Load()
	if r.errors && Failed(f.Rcode) {
		if l.roomForError() {
			return becauseError
		}
		why := l.chosen(r, f)
		if why == "" {
			l.limited.Add(1)
		}
		return why
	}
	return l.chosen(r, f)
}

// roomForError counts one more error, unless this second had enough.
func (l *Loop) roomForError() bool {
	if now := time.Now(); now.Sub(l.second) >= time.Second {
		l.second, l.errors = now, 0
	}
	if l.errors >= maxErrors {
		return false
	}
	l.errors++
	return true
}

// chosen is why a question is written that need not be an error.
func (l *Loop) chosen(r *rules, f *tap.Facts) string {
	if r.watch != nil && f.Profile != "" {
		if _, watched := r.watch[f.Profile]; watched {
			return becauseWatch
		}
	}
	if r.sample == 0 {
		return ""
	}
	if l.left > 1 {
		l.left--
		return ""
	}
	l.draw(r.sample)
	return becauseSample
}

// draw chooses how many questions are left out, at random around the wanted number: a fixed one could go along with a
// pattern in the questions.
func (l *Loop) draw(sample uint32) {
	if sample <= 1 {
		l.left = 1
		return
	}
	l.left = 1 + rand.Uint32N(2*sample-1) //nolint:gosec // which questions are written is no secret
}

// Failed reports that a response code is an error: anything but an answer, an empty one, or a name that is not there.
func Failed(rcode uint16) bool {
	switch rcode {
	case wire.Success, wire.NXDomain, wire.YXDomain:
		return false
	}
	return true
}

func (l *Loop) put(f *tap.Facts, why string) {
	e := l.ring.Next()
	if e == nil {
		l.lost.Add(1)
		return
	}
	e.at, e.why, e.facts, e.took = time.Now(), why, *f, 0
	if !f.Received.IsZero() {
		e.took = e.at.Sub(f.Received)
	}
	e.facts.Name, e.facts.Subnet = nil, nil     // they are the packet's
	e.length = uint8(copy(e.name[:], f.Name))   //nolint:gosec // at most 255
	e.subnet = uint8(copy(e.told[:], f.Subnet)) //nolint:gosec // at most 20
	l.ring.Put()
}

// network is what is written of an address that may not be written whole.
func network(a netip.Addr) netip.Prefix {
	bits := 56
	if a.Is4() {
		bits = 24
	}
	p, _ := a.WithZone("").Prefix(bits) // fails on an invalid address only
	return p
}
