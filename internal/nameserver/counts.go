package nameserver

import (
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"

	"jurymast/internal/nameserver/cookie"
	"jurymast/internal/nameserver/tap"
)

// cacheLine is a generous bound for the processors this runs on, in bytes: two lines are fetched at once on some.
const cacheLine = 128

// counter is what the hot path sees of a metric.
type counter = *atomic.Uint64

// counts is what one loop, or all connections of one listener, have counted. Only a loop adds to its own, so that their
// memory stays with its processor; connections share theirs, because what was counted stays: one each would let strangers
// fill the memory, a page for every pageSize profiles and connection. A scrape sums all of them. It is never copied, and
// what it has counted is never taken back.
//
// Every field is incremented with Add(1), except size and time, which have a method each.
type counts struct {
	_ [cacheLine]byte

	queries [tap.Transports][2]atomic.Uint64 // packets received, over IPv4 and IPv6; see received

	rcode     [rcodeOther + 1]atomic.Uint64 // answers written, by code; respond and failure count them
	truncated atomic.Uint64                 // sent empty with TC=1
	unsent    atomic.Uint64                 // refused by the system when sending
	panics    atomic.Uint64
	tsig      [tsigKinds]atomic.Uint64 // signed questions

	edns      [ednsKinds]atomic.Uint64
	subnets   atomic.Uint64 // questions with a client subnet of a known family
	cookies   [cookieStates]atomic.Uint64
	malformed [malformedKinds]atomic.Uint64
	dropped   [droppedKinds]atomic.Uint64
	limited   [2 * verdicts]atomic.Uint64 // answers suppressed, by verdict; the second half is only counted

	sizes   [sizeBuckets]atomic.Uint64 // of answers; see sized
	sizeSum atomic.Uint64              // bytes
	times   [timeBuckets]atomic.Uint64 // of one question in timeEvery; see took
	timeSum atomic.Uint64              // nanoseconds

	book  *book                   // where answers of profiles have their numbers
	pages atomic.Pointer[[]*page] // counters of answers, by number; see leaf.count

	kernel atomic.Pointer[func() (drops uint64, known bool)] // what the kernel dropped before the owner saw it; nil: not asked
	thread atomic.Int64                                      // the owner's thread id, while it is locked to one; 0: it is not

	_ [cacheLine]byte
}

// received is the counter of packets that come over a transport from such an address.
func (c *counts) received(via tap.Transport, from netip.Addr) counter {
	if from.Unmap().Is4() {
		return &c.queries[via][0]
	}
	return &c.queries[via][1]
}

// rcodeOther is where codes beyond BADCOOKIE are counted.
const rcodeOther = 24

// Kinds of EDNS, each counted for its own.
const (
	ednsAny     = iota // any OPT record
	ednsDO             // with the DO bit
	ednsVersion        // of a version above 0, answered BADVERS
	ednsKinds
)

// cookieStates are those of cookie.State; questions without a cookie are not counted.
const cookieStates = int(cookie.Renewed) + 1

// Why a packet was answered with FORMERR.
const (
	malformedQuestion = iota // no, several or unreadable questions
	malformedRest            // what follows the question: records, bytes left over, EDNS and its options
	malformedKinds
)

// Why a packet got no answer.
const (
	droppedShort    = iota // shorter than a header
	droppedResponse        // itself a response
	droppedKinds
)

// Histograms have buckets by powers of two, so that finding one is a single instruction.
const (
	sizeFirst   = 6              // up to 2^6 bytes
	sizeBuckets = 17 - sizeFirst // up to 2^16
	timeFirst   = 9              // up to 2^9 ns
	timeBuckets = 16             // up to 2^23 ns, and one for everything above
	timeEvery   = 64             // one question in so many is timed
)

// sized counts the size of an answer, in bytes: 12 to 65535.
func (c *counts) sized(n int) {
	c.sizes[max(bits.Len(uint(n-1)), sizeFirst)-sizeFirst].Add(1)
	c.sizeSum.Add(uint64(n)) //nolint:gosec // positive
}

// took counts how long one question took, from its receiving to the handing over of its answer. The owner times one
// question in timeEvery.
func (c *counts) took(d time.Duration) {
	ns := uint64(max(d, 1))
	c.times[min(max(bits.Len64(ns-1), timeFirst)-timeFirst, timeBuckets-1)].Add(1)
	c.timeSum.Add(ns)
}

// response counts an answer by its code.
func (c *counts) response(rcode uint16) { c.rcode[min(rcode, rcodeOther)].Add(1) }
