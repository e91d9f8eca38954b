package proxy

import (
	"sync"
	"sync/atomic"
	"time"
)

// The rhythm of the lookout.
const (
	lookEvery  = 50 * time.Millisecond  // while anybody waits
	lookClient = 250 * time.Millisecond // at each client, and not before it has waited as long
)

// waiters are attempts of one profile that are connecting or wait for the head of an answer: one list of several, so
// that the connections of a busy profile do not meet at one lock.
type waiters struct {
	mu    sync.Mutex
	first *attempt
	_     [40]byte // the next one stands in another cache line
}

const waiterLists = 8

// enter puts an attempt where others find it.
func (s *service) enter(a *attempt) {
	w := &s.waiting[a.x.door.number%waiterLists]
	a.list = w
	w.mu.Lock()
	a.next = w.first
	if a.next != nil {
		a.next.prev = a
	}
	w.first = a
	w.mu.Unlock()
	s.p.lookout.wake()
	if o := a.x.outlook(); o != a.under { // the decision has changed since it was read
		w.mu.Lock()
		s.review(a, o)
		w.mu.Unlock()
	}
}

// leave takes it out: nobody calls it off any more.
func (s *service) leave(a *attempt) {
	w := a.list
	if w == nil {
		return
	}
	w.mu.Lock()
	if a.prev != nil {
		a.prev.next = a.next
	} else {
		w.first = a.next
	}
	if a.next != nil {
		a.next.prev = a.prev
	}
	a.next, a.prev, a.list = nil, nil, nil
	w.mu.Unlock()
}

// failUpload calls an attempt off from the goroutine of its request's body, which failed.
func (s *service) failUpload(a *attempt) {
	w := &s.waiting[a.x.door.number%waiterLists]
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.list != nil {
		a.callOff(calledUpload)
	}
}

// each calls f for every attempt that waits, with the lock of its list held.
func (s *service) each(f func(*attempt)) {
	for i := range s.waiting {
		w := &s.waiting[i]
		w.mu.Lock()
		for a := w.first; a != nil; a = a.next {
			f(a)
		}
		w.mu.Unlock()
	}
}

// watch is one wait of an exchange during which its client is looked at.
type watch struct {
	sink sink
	gone chan struct{}
}

// lookout looks, while anybody waits, for clients that have gone and endpoints that hang. It sleeps otherwise.
type lookout struct {
	p       *Proxy
	asleep  atomic.Bool
	bell    chan struct{}
	mu      sync.Mutex
	watches map[*watch]struct{}
}

func newLookout(p *Proxy) *lookout {
	return &lookout{p: p, bell: make(chan struct{}, 1), watches: map[*watch]struct{}{}}
}

// wake is called for every attempt: a load, when it is awake.
func (l *lookout) wake() {
	if l.asleep.Load() && l.asleep.CompareAndSwap(true, false) {
		select {
		case l.bell <- struct{}{}:
		default:
		}
	}
}

func (l *lookout) run(stop <-chan struct{}) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-ticker.C:
			if l.look(now) {
				continue
			}
		}
		ticker.Stop()
		l.asleep.Store(true)
		if l.look(time.Now()) { // somebody came meanwhile
			l.asleep.Store(false)
		} else {
			select {
			case <-stop:
				return
			case <-l.bell:
			}
		}
		ticker.Reset(lookEvery)
	}
}

// look looks at everybody once; false: nobody waits.
func (l *lookout) look(now time.Time) bool {
	anybody := false
	l.p.services.Range(func(_, v any) bool {
		if v.(*service).look(now) { //nolint:errcheck // only services are stored
			anybody = true
		}
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.watches {
		if w.sink.left() {
			close(w.gone)
			delete(l.watches, w)
		}
	}
	return anybody || len(l.watches) > 0
}

// gone is closed when the client has gone; the looking lasts until the exchange ends.
func (x *exchange) gone() <-chan struct{} {
	if x.watch == nil {
		l := x.p.lookout
		x.watch = &watch{sink: x.sink, gone: make(chan struct{})}
		l.mu.Lock()
		l.watches[x.watch] = struct{}{}
		l.mu.Unlock()
		l.wake()
	}
	return x.watch.gone
}

func (l *lookout) forget(w *watch) {
	if w == nil {
		return
	}
	l.mu.Lock()
	delete(l.watches, w)
	l.mu.Unlock()
}

// look looks at the attempts of one profile: those whose client has gone are called off, endpoints that hang are
// charged, once a second at most.
func (s *service) look(now time.Time) (anybody bool) {
	slow := false
	s.each(func(a *attempt) {
		anybody = true
		waited := now.Sub(a.start)
		if waited >= lookClient && now.Sub(a.looked) >= lookClient {
			a.looked = now
			if a.x.sink.left() {
				a.callOff(calledGone)
			}
		}
		if waited >= stallAfter && a.waits() {
			slow = true
		}
	})
	if !slow {
		return anybody
	}
	links := map[*link][]time.Time{}
	charged := map[*link]*choice{}
	s.each(func(a *attempt) {
		if a.waits() {
			links[a.link] = append(links[a.link], a.since())
			charged[a.link] = a.c
		}
	})
	for k, starts := range links {
		if now.Sub(k.stalled) >= stallAlone && k.pace.stalled(starts, now) {
			k.stalled = now
			s.charge(charged[k], KindStall)
		}
	}
	return anybody
}

// waits reports that the endpoint has all of the request: what a client takes long to send is not its fault.
func (a *attempt) waits() bool { return a.phase.Load() == phaseSending && a.x.up().over.Load() }

// since is when the endpoint had all of the request.
func (a *attempt) since() time.Time {
	if sent := a.x.up().sent.Load(); sent > a.start.UnixNano() {
		return time.Unix(0, sent)
	}
	return a.start
}
