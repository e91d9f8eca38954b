package rrl

import (
	"encoding/binary"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/gaissmai/bart"
)

// Kind is the class of an answer; each has buckets of its own.
type Kind uint8

// The kinds. What the name is that goes with them is the caller's business; this is what a nameserver takes.
const (
	Positive   Kind = iota // records: by the name asked for, or the wildcard it was made from
	NoData                 // the name is there, the type is not: by name
	NXDomain               // by zone: random names share one bucket
	Referral               // by delegation
	Failure                // REFUSED, FORMERR, SERVFAIL and the like: one for each network
	BadCookie              // answers that only tell a cookie: one for each network
	Connection             // of a Gate
	kinds
)

var kindWords = [kinds]string{"positive", "nodata", "nxdomain", "referral", "error", "badcookie", "connection"}

func (k Kind) String() string {
	if k < kinds {
		return kindWords[k]
	}
	return "unknown"
}

// Action is what becomes of an answer.
type Action uint8

// The actions.
const (
	Pass Action = iota
	Drop
	Slip // answer with TC=1 and no records: who really asked comes back over TCP
)

func (a Action) String() string {
	switch a {
	case Pass:
		return "pass"
	case Drop:
		return "drop"
	case Slip:
		return "slip"
	}
	return "unknown"
}

// Bounds of Options.
const (
	MaxRate    = 1_000_000
	MaxSlip    = 100
	MinBuckets = 1 << 10
	MaxBuckets = 1 << 22
)

// Options of a Limiter. Zero values are defaults.
type Options struct {
	Rate     int           // answers a second of one bucket, 1..MaxRate; 200
	Window   time.Duration // a bucket owes at most so much time: a source that never stops asking is limited that long after it stops; 15 s
	Slip     int           // one suppressed answer in so many is a Slip, 1..MaxSlip; 0: none
	Networks Networks      // what one source is, and who is exempt
	Buckets  int           // of each loop, rounded up to a power of two; 16384
	Seed     maphash.Seed  // of names' hashes, for who has them at hand: see Loop.AskHashed; zero: one of its own

	// Loops is how many loops one source's questions are spread over evenly; each gives a bucket its share of Rate, and a
	// second's worth of it at once, 20 answers at least. 0 and 1: each loop gives the whole rate.
	Loops int
	// Dry says that nothing is to be done about what Ask says; it is only passed on, see Limiter.Dry.
	Dry bool
}

func (o Options) orDefaults() Options {
	if o.Rate <= 0 {
		o.Rate = 200
	}
	if o.Window <= 0 {
		o.Window = 15 * time.Second
	}
	if o.Buckets <= 0 {
		o.Buckets = 1 << 14
	}
	o.Loops = max(o.Loops, 1)
	o.Buckets = max(MinBuckets, min(o.Buckets, MaxBuckets))
	o.Rate, o.Slip = min(o.Rate, MaxRate), min(o.Slip, MaxSlip)
	o.Networks = o.Networks.orDefaults()
	return o
}

// Networks says how addresses are put together and whom no limit holds for.
type Networks struct {
	IPv4, IPv6 int // bits of one network: 8..32, 16..64; 0: 24, 56
	Loopback   bool
	Exempt     *bart.Lite // nil: nobody else
}

// NetworksOf reads prefixes; those of loopback are told apart because they are looked at first.
func NetworksOf(ipv4, ipv6 int, exempt []netip.Prefix) Networks {
	n := Networks{IPv4: ipv4, IPv6: ipv6}
	var loop4, loop6 bool
	for _, p := range exempt {
		switch {
		case p == netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8):
			loop4 = true
		case p == netip.PrefixFrom(netip.IPv6Loopback(), 128):
			loop6 = true
		default:
			if n.Exempt == nil {
				n.Exempt = new(bart.Lite)
			}
			n.Exempt.Insert(p)
		}
	}
	if n.Loopback = loop4 && loop6; n.Loopback || !loop4 && !loop6 {
		return n
	}
	if n.Exempt == nil {
		n.Exempt = new(bart.Lite)
	}
	if loop4 {
		n.Exempt.Insert(netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8))
	} else {
		n.Exempt.Insert(netip.PrefixFrom(netip.IPv6Loopback(), 128))
	}
	return n
}

func (n Networks) orDefaults() Networks {
	if n.IPv4 <= 0 {
		n.IPv4 = 24
	}
	if n.IPv6 <= 0 {
		n.IPv6 = 56
	}
	n.IPv4, n.IPv6 = min(n.IPv4, 32), min(n.IPv6, 64)
	return n
}

// exempt reports that no limit holds for an address: one that is not known, or one of the lists.
func (n *Networks) exempt(a netip.Addr) bool {
	if n.Loopback && a.IsLoopback() || !a.IsValid() {
		return true
	}
	return n.Exempt != nil && n.Exempt.Contains(a.Unmap().WithZone(""))
}

// number is the network of an address: its leading bits, and its family.
func (n *Networks) number(a netip.Addr) (bits, family uint64) {
	if a.Is4() || a.Is4In6() {
		return n.number4(a.As4()), family4
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:]) >> (64 - n.IPv6), family6
}

func (n *Networks) number4(b [4]byte) uint64 {
	return uint64(binary.BigEndian.Uint32(b[:]) >> (32 - n.IPv4))
}

const family4, family6 = 4, 6

// Of is the network of an address as it is shown.
func (n *Networks) Of(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	size := n.IPv6
	if a.Is4() {
		size = n.IPv4
	}
	p, _ := a.Prefix(size) // fails on an invalid address only
	return p
}

// secret keys the hash of one server. It is nowhere shown.
type secret struct {
	seed   maphash.Seed
	k0, k1 uint64
}

func newSecret(seed maphash.Seed) secret {
	if seed == (maphash.Seed{}) {
		seed = maphash.MakeSeed()
	}
	return secret{seed, rand.Uint64(), rand.Uint64()} //nolint:gosec // seeded by the system; nothing of it is ever shown
}
