package figures

import "sync/atomic"

// classes of a status: its hundreds.
var classes = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx", other}

func class(status int) int {
	switch {
	case status < 100:
		return 0
	case status >= 600:
		return len(classes) - 1
	}
	return status / 100
}

// reasonOK is the reason that nearly all requests have, and is counted apart from the others.
const reasonOK = "OK"

// Endpoint counts what belongs to one endpoint of a profile.
type Endpoint struct {
	f             *Figures
	profile, name string
	life          life

	hot  []atomic.Pointer[hot] // by shard, made when first needed
	cold atomic.Pointer[cold]  // made when first needed
}

// hot is what every good request counts: one line of memory.
type hot struct {
	done    [len(classes)]atomic.Uint64 // with reason OK
	carried atomic.Uint64               // attempts with result ok
}

// cold is everything else, for all shards.
type cold struct {
	done     []atomic.Uint64 // by reason and class
	attempts []atomic.Uint64 // by result
	signals  []atomic.Uint64 // by kind
}

// Attempt counts a try to send a request.
func (e *Endpoint) Attempt(s *Shard, result string) {
	if result == AttemptOK {
		e.hotOf(s).carried.Add(1)
		return
	}
	e.coldOnes().attempts[e.f.words.attempts.index(result)].Add(1)
}

// every is how many requests of one kind have one sample among them. It is a power of two.
const every = 8

// Done counts a request that has ended. When it is a sample for the histograms, its times are to be Observed.
func (e *Endpoint) Done(s *Shard, status int, reason string) (sample bool) {
	if reason == reasonOK {
		return e.hotOf(s).done[class(status)].Add(1)%every == 1
	}
	at := e.f.words.reasons.index(reason)*len(classes) + class(status)
	return e.coldOnes().done[at].Add(1)%every == 1
}

// Signal counts a passive failure that the engine was told.
func (e *Endpoint) Signal(kind string) {
	e.coldOnes().signals[e.f.words.kinds.index(kind)].Add(1)
}

func (e *Endpoint) hotOf(s *Shard) *hot {
	at := &e.hot[s.index]
	if h := at.Load(); h != nil {
		return h
	}
	at.CompareAndSwap(nil, &hot{}) // or somebody was faster
	return at.Load()
}

func (e *Endpoint) coldOnes() *cold {
	if c := e.cold.Load(); c != nil {
		return c
	}
	w := &e.f.words
	e.cold.CompareAndSwap(nil, &cold{
		done:     make([]atomic.Uint64, len(w.reasons.list)*len(classes)),
		attempts: w.attempts.counters(), signals: w.kinds.counters(),
	}) // or somebody was faster
	return e.cold.Load()
}

// sums adds the shards up.
func (e *Endpoint) sums() (done [len(classes)]uint64, carried uint64) {
	for i := range e.hot {
		h := e.hot[i].Load()
		if h == nil {
			continue
		}
		for c := range done {
			done[c] += h.done[c].Load()
		}
		carried += h.carried.Load()
	}
	return done, carried
}
