package nameserver

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/nameserver/sign"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
)

// signing is the books of all zones that are signed, or whose keys are here. They outlive configurations.
type signing struct {
	now   func() time.Time
	every time.Duration // between two looks at what has changed in silence
	clock sign.Clock
	cache *sign.Cache // of what is signed on demand

	// turn is held while a set is signed for a question over UDP, turnOnStream for any other: who asks much over TCP waits for
	// others like him, and nobody over UDP for him.
	turn, turnOnStream chan struct{}

	signed [signedKinds]atomic.Uint64 // sets
	failed atomic.Uint64              // sets that could not be

	wake        chan struct{}
	keysChanged atomic.Bool
	running     sync.WaitGroup

	mu    sync.Mutex
	books map[string]*sign.Book // by the zone's name
}

// Why a set was signed.
const (
	signedAhead  = iota // before anybody asked
	signedAgain         // before anybody asked, over an older signature
	signedDemand        // for a question
	signedKinds
)

func newSigning(now func() time.Time) *signing {
	if now == nil {
		now = time.Now
	}
	s := &signing{now: now, every: time.Second, turn: make(chan struct{}, half()), turnOnStream: make(chan struct{}, 1), wake: make(chan struct{}, 1), cache: sign.NewCache(sign.DefaultCache), books: map[string]*sign.Book{}}
	s.tick()
	return s
}

// half of the processors, one at least, may be busy with signing.
func half() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// tick sets the clock that signatures go by.
func (s *signing) tick() { s.clock.Set(s.now()) }

// book of a zone, made when there is none.
func (s *signing) book(name string) *sign.Book {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.books[name]; b != nil {
		return b
	}
	apex, err := zone.PackName(name)
	if err != nil {
		return nil
	}
	b := sign.NewBook(name, apex, &s.clock)
	s.books[name] = b
	return b
}

// bind gives the signed zones of a configuration their books.
func (s *signing) bind(c *config) {
	c.books, c.numbered = make(map[*zone.Zone]*sign.Book, len(c.numbers)), make([]*sign.Book, len(c.numbers)+1)
	for z, number := range c.numbers {
		c.books[z] = s.book(z.Name)
		if number < unnumbered {
			c.numbered[number] = c.books[z]
		}
	}
}

// UseKeys gives the server the keys of a zone, at any time and before its documents too. The zone is signed anew in the
// background; what the keys before have signed is answered until then, as long as their public halves are published.
// Keys that cannot be used change nothing; the log says why.
func (s *Server) UseKeys(k *sign.Keys) {
	b := s.signing.book(k.Zone)
	if b == nil {
		s.log.Error("keys of what is no zone are not used", "zone", k.Zone)
		return
	}
	s.signing.tick()
	if err := b.Use(k); err != nil {
		s.log.Error("new keys of a zone are not used", "error", err)
		return
	}
	s.signing.keysChanged.Store(true)
	s.signing.nudge()
	s.log.Info("a zone is signed with other keys", "zone", k.Zone, "mark", k.Mark)
}

// SigningStatus is how the signatures of a zone stand. A zone nothing is known of has an empty one.
func (s *Server) SigningStatus(zone string) sign.Status {
	s.signing.mu.Lock()
	b := s.signing.books[zone]
	s.signing.mu.Unlock()
	if b == nil {
		return sign.Status{Zone: zone}
	}
	return b.Status()
}

// secure reports that this question gets what the zone answers with signatures and, where something is not there, with
// proofs.
func (r *response) secure(z *zone.Zone) bool { return r.do && z.DNSSEC.Enabled }

// soa is the SOA set of a zone as it is now.
func (r *response) soa(z *zone.Zone) *zone.RRset {
	if o := r.conf.outgoing[z]; o != nil {
		return o.soaOf(z)
	}
	return z.SOA
}

// live is the set of a type that a zone's keys bring to its apex, or nil.
func (r *response) live(z *zone.Zone, n *zone.Node, typ uint16) *zone.RRset {
	if n != z.Apex || !z.DNSSEC.Enabled {
		return nil
	}
	list := r.conf.books[z].Live()
	for i := range list {
		if list[i].Type == typ {
			return &list[i]
		}
	}
	return nil
}

// proof adds a set to the authority section that proves something, signed like all sets of the zone. ttl is what it is
// sent with, at most the set's own. owner must outlive the message.
func (r *response) proof(z *zone.Zone, owner []byte, set *zone.RRset, ttl uint32) {
	r.author = append(r.author, record{owner: owner, set: set, ttl: ttl, zone: z, original: set.TTL})
}

// signedBy completes a record of the answer section: z signs it, its signature says so many seconds. A wildcard's set is
// signed under the wildcard's own name where the denial is a chain, and as the name that was asked for where it is
// compact [RFC 4035 3.1.3.3, RFC 9824].
func (r *response) signedBy(rec record, z *zone.Zone, original uint32) record {
	rec.zone, rec.original = z, original
	if r.wild != nil && z.DNSSEC.Denial == profile.DenialNSEC {
		rec.signer = r.wild
	}
	return rec
}

// whyKeys is told where a signed zone cannot be answered with signatures.
var whyKeys = []wire.EDE{{Code: edeNotReady, Text: "the keys of the zone are not here yet"}}
