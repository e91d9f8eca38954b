package figures

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Options of Figures. Words that labels may have come in lists; nil has "other" alone.
type Options struct {
	Reasons  []string // two capital letters each; other texts are "other"
	Kinds    []string // of passive signals
	Attempts []string // how attempts end, beside AttemptOK
	Retries  []string // why a request is sent again
	Holds    []string // how waiting ends
	Rules    []string // that clients' messages break

	// Live is asked once per scrape, and returns what the configuration in force has: a profile
	// (endpoint "") and its endpoints. nil: everything lives.
	Live func() func(profile, endpoint string) bool

	// What others count, asked at each scrape; nil: not told.
	LogDropped func() uint64
	Origins    func(tell func(Origin))

	Shards int // rounded up to a power of two; 0: twice the processors, 64 at most
}

// AttemptOK is the result of an attempt that brought an answer.
const AttemptOK = "ok"

// Origin is what is known about the connections to one origin.
type Origin struct {
	Addr       string // host:port, as the configuration has it
	Idle, Busy int
	Stale      uint64            // pooled ones that had ended before they were used
	Dials      map[string]uint64 // by result
}

// Figures holds all counters. It is a prometheus.Collector.
type Figures struct {
	o      Options
	words  words
	shards []Shard
	next   atomic.Uint32

	panics   atomic.Uint64
	rejected []atomic.Uint64 // by rule

	profiles sync.Map // name -> *Profile
	none     *Endpoint
	scraping sync.Mutex // one scrape after the other
}

// words are the label values of each list.
type words struct {
	reasons                                codes
	kinds, attempts, retries, holds, rules list
}

// Shard is where some connections count. It is 128 bytes, so that processors do not fight over the lines between two.
type Shard struct {
	inflight atomic.Int64
	index    uint32
	_        [116]byte
}

const maxShards = 64

// New makes figures that are all zero.
func New(o Options) *Figures {
	want := o.Shards
	if want <= 0 {
		want = 2 * runtime.GOMAXPROCS(0)
	}
	n := 1
	for n < want && n < maxShards {
		n *= 2
	}
	f := &Figures{
		o: o, shards: make([]Shard, n),
		words: words{
			reasons: codesOf(o.Reasons), kinds: listOf(o.Kinds), attempts: listOf(o.Attempts), retries: listOf(o.Retries),
			holds: listOf(o.Holds), rules: listOf(o.Rules),
		},
	}
	for i := range f.shards {
		f.shards[i].index = uint32(i)
	}
	f.rejected = f.words.rules.counters()
	f.none = newProfile(f, "").Endpoint("")
	return f
}

// Shard is for one more connection: all its requests count there.
func (f *Figures) Shard() *Shard {
	return &f.shards[f.next.Add(1)&uint32(len(f.shards)-1)] //nolint:gosec // at most 64
}

// Begin counts a request that is being carried now, End that it no longer is.
func (s *Shard) Begin() { s.inflight.Add(1) }

// End is described at Begin.
func (s *Shard) End() { s.inflight.Add(-1) }

// Profile is where the requests of a profile are counted: always the same, as long as the configuration has it. No scrape
// keeps anybody waiting here.
func (f *Figures) Profile(name string) *Profile {
	for {
		kept, _ := f.profiles.Load(name)
		p, known := kept.(*Profile)
		switch {
		case known && p.life.ask():
			return p
		case known:
			f.profiles.CompareAndDelete(name, p) // it is being forgotten at this moment
		default:
			f.profiles.LoadOrStore(name, newProfile(f, name)) // or somebody was faster
		}
	}
}

// None is where requests are counted that no profile was found for.
func (f *Figures) None() *Endpoint { return f.none }

// Panic counts a fault of our own that was contained to one request.
func (f *Figures) Panic() { f.panics.Add(1) }

// Rejected counts a client's message that broke a rule.
func (f *Figures) Rejected(rule string) { f.rejected[f.words.rules.index(rule)].Add(1) }

// Sweep forgets what the configuration no longer has and nobody has asked for since the last scrape or Sweep. Scrapes do
// it too: this is for a node that nobody scrapes.
func (f *Figures) Sweep() { f.living(func(*Profile, bool, []*Endpoint) {}) }

// living tells every profile, whether the configuration has it, and those of its endpoints that it has.
//
//	in the configuration   -> told
//	not, but asked for     -> not told; the asker may have read a newer configuration
//	not, for a second time -> forgotten, unless requests of the profile still wait or tunnels are open
func (f *Figures) living(tell func(p *Profile, live bool, endpoints []*Endpoint)) {
	f.scraping.Lock()
	defer f.scraping.Unlock()
	has := func(string, string) bool { return true }
	if f.o.Live != nil {
		has = f.o.Live()
	}
	f.profiles.Range(func(_, v any) bool {
		p := v.(*Profile) //nolint:errcheck // only profiles are stored
		live := has(p.name, "")
		if !live && p.quiet() && p.life.end() {
			f.profiles.CompareAndDelete(p.name, p)
			return true
		}
		var told []*Endpoint
		for name, e := range *p.endpoints.Load() {
			switch {
			case live && (name == "" || has(p.name, name)):
				told = append(told, e)
			case live && e.life.end():
				p.forget(e)
			}
		}
		tell(p, live, told)
		return true
	})
}

// life is whether somebody has asked for something since the last scrape.
//
//	asked --scrape, not in the configuration--> idle --the same--> over
//	  ^------------- asked for -----------------'                   \-> who asks gets a new one
type life struct{ state atomic.Int32 }

const (
	lifeAsked int32 = iota
	lifeIdle
	lifeOver
)

// ask keeps it for one more scrape; false: it is over.
func (l *life) ask() bool {
	for {
		switch l.state.Load() {
		case lifeAsked:
			return true
		case lifeOver:
			return false
		}
		if l.state.CompareAndSwap(lifeIdle, lifeAsked) {
			return true
		}
	}
}

// end brings it one step nearer to its end; true: it is over.
func (l *life) end() bool {
	return !l.state.CompareAndSwap(lifeAsked, lifeIdle) && l.state.CompareAndSwap(lifeIdle, lifeOver)
}

// Wait is one request that waits. Its zero value is ready; it must not be copied between Wait and Waited.
type Wait struct {
	since          time.Time
	earlier, later *Wait
}
