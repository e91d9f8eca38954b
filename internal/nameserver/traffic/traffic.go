package traffic

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"jurymast/internal/geo"
	"jurymast/internal/nameserver/wire"
)

const (
	turn      = 100 * time.Millisecond // between two looks at the rings
	minutes   = 10 * time.Second       // one of minuteParts of the last minute
	hours     = 5 * time.Minute        // one of hourParts of the last hour
	parts     = 6
	hourParts = 12
	keepPart  = 1000 // things of one kind that are told apart in a part of a minute
	keepHour  = 2000 // and of an hour

	maxPlaces = 10_000 // series of profile and place
	maxCached = 4096   // places of networks, until the next part of a minute
)

// Locator knows where clients are.
type Locator interface {
	Place(netip.Addr) geo.Place
}

// Traffic is what all loops have seen. Make it with New, run Run.
type Traffic struct {
	locator Locator // nil: questions are not told apart by place

	mu      sync.Mutex
	loops   []*Loop
	started time.Time
	minute  *history
	hour    *history
	places  map[spot]uint64 // since the start
	cache   map[netip.Prefix]where
	cached  int64 // the part of a minute the cache is of
}

// spot is a profile and a place clients have asked from.
type spot struct{ profile, place string }

type where struct {
	code  geo.Code
	known bool
}

// New starts counting. A nil locator knows no places.
func New(locator Locator) *Traffic {
	return &Traffic{
		locator: locator, started: time.Now(), places: map[spot]uint64{},
		minute: newHistory(minutes, parts, keepPart), hour: newHistory(hours, hourParts, keepHour),
	}
}

// Loop is for one more loop.
func (t *Traffic) Loop() *Loop {
	l := newLoop(rand.Uint64()) //nolint:gosec // which questions are copied is no secret
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loops = append(t.loops, l)
	return l
}

// Run empties the rings until stop is closed.
func (t *Traffic) Run(stop <-chan struct{}) {
	tick := time.NewTicker(turn)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			t.mu.Lock()
			t.look(now, true)
			t.mu.Unlock()
		}
	}
}

// look takes over what the loops have copied. It needs mu.
func (t *Traffic) look(now time.Time, pace bool) {
	minute, hour := t.minute.current(now), t.hour.current(now)
	if t.cached != minute.number || len(t.cache) > maxCached {
		t.cache, t.cached = map[netip.Prefix]where{}, minute.number
	}
	for _, l := range t.loops {
		var questions uint64
		l.ring.Drain(func(s *sample) {
			questions += uint64(s.weight)
			t.take(s, minute, hour)
		})
		if l.turn += questions; pace {
			l.pace(l.turn)
			l.turn = 0
		}
	}
}

// take counts one sample.
func (t *Traffic) take(s *sample, windows ...*window) {
	name := s.name[:s.length]
	for i := range name {
		name[i] = wire.Lower(name[i]) // lengths are below 64, so no letters
	}
	keys := [numBy]key{
		ByPrefix: {client: s.client}, ByName: {name: string(name)}, ByType: {number: s.kind}, ByRcode: {number: s.rcode},
	}
	if t.locator != nil && s.profile != "" {
		at := t.where(s.client)
		keys[ByPlace].place, keys[ByPlace].known = at.code, at.known
		t.place(s.profile, at, uint64(s.weight))
	}
	for _, w := range windows {
		w.total += uint64(s.weight)
		w.odd.add(s)
		w.squares += uint64(s.weight) * uint64(s.weight-1)
		for by := range By(numBy) {
			if by == ByPlace && (t.locator == nil || s.profile == "") {
				continue
			}
			k := keys[by]
			k.profile = s.profile
			w.tables[by].add(k, uint64(s.weight))
		}
	}
}

func (t *Traffic) where(p netip.Prefix) where {
	at, ok := t.cache[p]
	if !ok && p.IsValid() {
		place := t.locator.Place(p.Addr())
		at = where{place.Code, place.Known}
		t.cache[p] = at
	}
	return at
}

// place counts for the metric, within its bounds.
func (t *Traffic) place(profile string, at where, weight uint64) {
	s := spot{profile, at.String()}
	if _, there := t.places[s]; !there && len(t.places) >= maxPlaces {
		s = spot{"", otherPlace}
	}
	t.places[s] += weight
}

// The words for what is no place.
const (
	unknownPlace = "unknown" // the database does not know the network
	otherPlace   = "other"   // there were more places than are told apart
)

func (w where) String() string {
	if !w.known {
		return unknownPlace
	}
	return w.code.String()
}
