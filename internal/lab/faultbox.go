package lab

import (
	"math/rand/v2"
	"sync"
	"time"
)

// faultBox holds the one current fault of a stand-in. Reading it is safe from any goroutine; orders are taken one
// after the other, and each is announced to onChange before the next one is looked at.
type faultBox struct {
	now      func() time.Time
	onChange func(Fault) // called for every order, never for two at once; may be nil

	order sync.Mutex // held for a whole change, onChange included

	mu     sync.Mutex
	cur    Fault
	since  time.Time
	hits   uint64
	dice   *rand.Rand
	timer  *time.Timer
	gen    uint64
	mended chan struct{} // closed at the next order
	shut   bool
}

func newFaultBox(seed uint64, now func() time.Time, onChange func(Fault)) *faultBox {
	return &faultBox{
		now: now, onChange: onChange, cur: Fault{Kind: FaultNone, Share: 1}, since: now(),
		dice:   rand.New(rand.NewPCG(seed, 0x6a75727900000000)), //nolint:gosec // repeatable dice are the purpose; nothing secret hangs on them
		mended: make(chan struct{}),
	}
}

// set replaces the current fault. With For it mends itself.
func (b *faultBox) set(f Fault) {
	b.order.Lock()
	defer b.order.Unlock()
	b.replace(f)
}

// replace wants order held.
func (b *faultBox) replace(f Fault) {
	b.mu.Lock()
	if b.shut {
		b.mu.Unlock()
		return
	}
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	b.gen++
	b.cur, b.since, b.hits = f, b.now(), 0
	if f.For > 0 && f.Kind != FaultNone {
		gen := b.gen
		b.timer = time.AfterFunc(f.For, func() { b.expire(gen) })
	}
	close(b.mended)
	b.mended = make(chan struct{})
	b.mu.Unlock()
	if b.onChange != nil {
		b.onChange(f)
	}
}

// expire mends the fault of one generation; a newer order wins.
func (b *faultBox) expire(gen uint64) {
	b.order.Lock()
	defer b.order.Unlock()
	b.mu.Lock()
	stale := b.gen != gen
	b.mu.Unlock()
	if !stale {
		b.replace(Fault{Kind: FaultNone, Share: 1})
	}
}

// close stops the timer and takes no further order.
func (b *faultBox) close() {
	b.order.Lock()
	defer b.order.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = true
	if b.timer != nil {
		b.timer.Stop()
	}
}

// hit rolls the dice for one request: the fault that touches it (kind none if none does) and a channel that is
// closed at the next order. kinds says what the caller can act on.
func (b *faultBox) hit(path string, kinds ...FaultKind) (Fault, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range kinds {
		if b.cur.Kind == k && b.cur.matches(path) && b.roll() {
			b.hits++
			return b.cur, b.mended
		}
	}
	return Fault{Kind: FaultNone}, b.mended
}

// hitConnection is hit for what happens before any request is known: the path does not count.
func (b *faultBox) hitConnection(kind FaultKind) Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cur.Kind == kind && b.roll() {
		b.hits++
		return b.cur
	}
	return Fault{Kind: FaultNone}
}

// roll wants mu held. Certain outcomes take nothing from the generator.
func (b *faultBox) roll() bool {
	return b.cur.Share >= 1 || b.cur.Share > 0 && b.dice.Float64() < b.cur.Share
}

// delay is the lateness of one answer under a slow fault.
func (b *faultBox) delay(f Fault) time.Duration {
	ms := f.Delay
	if f.Jitter > 0 {
		b.mu.Lock()
		ms += b.dice.IntN(f.Jitter + 1)
		b.mu.Unlock()
	}
	return time.Duration(ms) * time.Millisecond
}

// kind is the current fault's.
func (b *faultBox) kind() FaultKind {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cur.Kind
}

// faultView is what GET /lab/fault shows.
type faultView struct {
	Kind    FaultKind  `json:"kind"`
	Share   float64    `json:"share"`
	Path    string     `json:"path,omitempty"`
	MS      int        `json:"ms,omitempty"`
	Jitter  int        `json:"jitter,omitempty"`
	Mode    string     `json:"mode,omitempty"`
	For     string     `json:"for,omitempty"`
	Since   time.Time  `json:"since"`
	Until   *time.Time `json:"until,omitempty"`
	Hits    uint64     `json:"hits"`
	Seed    uint64     `json:"seed"`
	Control string     `json:"control,omitempty"`
	Note    string     `json:"note,omitempty"`
}

func (b *faultBox) view() faultView {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := faultView{
		Kind: b.cur.Kind, Share: b.cur.Share, Path: b.cur.Path, MS: b.cur.Delay, Jitter: b.cur.Jitter,
		Mode: b.cur.Mode, Since: b.since, Hits: b.hits,
	}
	if b.cur.For > 0 {
		until := b.since.Add(b.cur.For)
		v.For, v.Until = b.cur.For.String(), &until
	}
	return v
}
