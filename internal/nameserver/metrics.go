package nameserver

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/nameserver/cookie"
	"jurymast/internal/nameserver/tap"
	"jurymast/internal/snapshot"
)

// rcodeNames are the label values of responses, by code; all others are "other".
var rcodeNames = map[uint16]string{
	0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 9: "NOTAUTH", 16: "BADVERS",
	23: "BADCOOKIE",
}

// The label values of what is counted by kind, in the order of the constants.
var (
	ednsNames      = [ednsKinds]string{"any", "do", "version"}
	malformedNames = [malformedKinds]string{"question", "rest"}
	droppedNames   = [droppedKinds]string{"short", "response"}
)

// droppedByKernel is the label value of what the kernel dropped because a socket's buffer was full.
const droppedByKernel = "buffer"

// metrics of one server: the counts of all its loops and connections, summed when they are looked at. Every label value
// comes from the configuration or from a fixed list.
type metrics struct {
	answers *book
	load    func() *snapshot.Snapshot
	slot    snapshot.Slot
	driver  *driver // nil: there is none

	mu   sync.Mutex
	all  []*counts // ever made; they stay, since what was counted stays
	free []*counts // of them, those of nobody

	lines [tap.Transports]lines // connections, by transport
}

func newMetrics(load func() *snapshot.Snapshot) *metrics {
	m := &metrics{load: load}
	m.answers = newBook(load, m.everybody)
	m.answers.gather = func() { m.gather(nil) }
	return m
}

func (m *metrics) register(r prometheus.Registerer, others ...prometheus.Collector) error {
	if r == nil {
		return nil
	}
	for _, c := range append([]prometheus.Collector{m, m.answers}, others...) {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register the nameserver's metrics: %w", err)
		}
	}
	return nil
}

// take is counts that nobody else adds to.
func (m *metrics) take() *counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.free); n > 0 {
		c := m.free[n-1]
		m.free = m.free[:n-1]
		return c
	}
	c := &counts{book: m.answers}
	m.all = append(m.all, c)
	return c
}

// give hands counts on to whoever takes next; what they have counted stays in them.
func (m *metrics) give(c *counts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, c)
}

func (m *metrics) everybody() []*counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clip(m.all)
}

func rcodeName(rcode uint16) string {
	if n, ok := rcodeNames[rcode]; ok {
		return n
	}
	return "other"
}

// desc describes one metric of the nameserver.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("jurymast_dns_"+name, help, labels, nil)
}

var (
	queriesDesc   = desc("queries_total", "Packets received, by transport and family of addresses.", "transport", "family")
	responsesDesc = desc("responses_total", "Answers written, by response code.", "rcode")
	truncatedDesc = desc("truncated_total", "Answers that did not fit and were sent empty with TC set.")
	unsentDesc    = desc("unsent_total", "UDP answers the system refused to send.")
	panicsDesc    = desc("panics_total", "Questions whose answering failed inside; each was answered SERVFAIL.")
	ednsDesc      = desc("edns_total", "Questions with EDNS, by kind: any, do (DNSSEC OK), version (above 0).", "kind")
	tsigDesc      = desc("tsig_total", "Questions signed with TSIG: valid, badsig, badkey, badtime, badtrunc, format (the record cannot be read).", "result")
	ecsDesc       = desc("ecs_total", "Questions with a client subnet of a known family.")
	cookiesDesc   = desc("cookies_total", "Questions with a client cookie, by their server cookie: missing, wrong, valid, renewed (valid, but old).", "state")
	malformedDesc = desc("malformed_total", "Packets answered with FORMERR because they could not be read, by what was wrong.", "why")
	droppedDesc   = desc("dropped_total", "Packets without an answer: short (no whole header), response, buffer (dropped by the kernel, UDP).", "why")
	sizeDesc      = desc("size_bytes", "Sizes of answers.")
	secondsDesc   = desc("seconds", "Time from the receiving of a UDP question to the handing over of its answer; one in 64 is timed.")
	serialDesc    = desc("zone_serial", "Serial of the zone's SOA.", "zone")
	ageDesc       = desc("snapshot_age_seconds", "Seconds since zones, health or decisions changed here for the last time.")
	busyDesc      = desc("loop_busy_seconds_total", "Processor time of a UDP loop that has a thread of its own; its rate is how busy the loop is.", "loop")
)

// Describe is prometheus.Collector's.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		queriesDesc, responsesDesc, truncatedDesc, unsentDesc, panicsDesc, ednsDesc, tsigDesc, ecsDesc, cookiesDesc, malformedDesc, droppedDesc,
		sizeDesc, secondsDesc, openDesc, refusedDesc, closedDesc, shakenDesc, unshakenDesc, retriesDesc, serialDesc, ageDesc, busyDesc,
		driverOnDesc, driverAnswersDesc, driverPassedDesc, driverEntriesDesc, driverAttachedDesc,
	} {
		to <- d
	}
}

// Collect is prometheus.Collector's.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	m.gather(to)
	s := sums{to: to, all: m.everybody()}
	s.transports()
	s.kinds(responsesDesc, rcodeOther+1, func(c *counts, i int) *atomic.Uint64 { return &c.rcode[i] }, nil)
	s.total(truncatedDesc, func(c *counts) *atomic.Uint64 { return &c.truncated })
	s.total(unsentDesc, func(c *counts) *atomic.Uint64 { return &c.unsent })
	s.total(panicsDesc, func(c *counts) *atomic.Uint64 { return &c.panics })
	s.kinds(ednsDesc, ednsKinds, func(c *counts, i int) *atomic.Uint64 { return &c.edns[i] }, ednsNames[:])
	s.kinds(tsigDesc, tsigKinds, func(c *counts, i int) *atomic.Uint64 { return &c.tsig[i] }, tsigNames[:])
	s.total(ecsDesc, func(c *counts) *atomic.Uint64 { return &c.subnets })
	for state := cookie.Missing; state <= cookie.Renewed; state++ {
		s.count(cookiesDesc, s.sum(func(c *counts) *atomic.Uint64 { return &c.cookies[state] }), state.String())
	}
	s.kinds(malformedDesc, malformedKinds, func(c *counts, i int) *atomic.Uint64 { return &c.malformed[i] }, malformedNames[:])
	s.kinds(droppedDesc, droppedKinds, func(c *counts, i int) *atomic.Uint64 { return &c.dropped[i] }, droppedNames[:])
	s.histogram(sizeDesc, sizeFirst, sizeBuckets, 1, func(c *counts) ([]atomic.Uint64, *atomic.Uint64) { return c.sizes[:], &c.sizeSum })
	s.histogram(secondsDesc, timeFirst, timeBuckets-1, time.Nanosecond.Seconds(), func(c *counts) ([]atomic.Uint64, *atomic.Uint64) { return c.times[:], &c.timeSum })
	s.loops()
	m.connections(&s)
	m.zones(&s)
}

// zones tells what is served now.
func (m *metrics) zones(s *sums) {
	snap := m.load()
	s.gauge(ageDesc, time.Since(snap.Published()).Seconds())
	conf, _ := snap.Config(m.slot).(*config)
	if conf == nil {
		return
	}
	for _, z := range conf.zones {
		set := z.SOA
		if o := conf.outgoing[z]; o != nil {
			set = o.soaOf(z)
		}
		if serial, ok := serialOf(set); ok {
			s.gauge(serialDesc, float64(serial), z.Name)
		}
	}
}

// sums adds up the counts of everybody, one metric after the other.
type sums struct {
	to  chan<- prometheus.Metric
	all []*counts
}

func (s *sums) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s *sums) count(d *prometheus.Desc, v uint64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (s *sums) sum(of func(*counts) *atomic.Uint64) (n uint64) {
	for _, c := range s.all {
		n += of(c).Load()
	}
	return n
}

func (s *sums) total(d *prometheus.Desc, of func(*counts) *atomic.Uint64) { s.count(d, s.sum(of)) }

// kinds shows one counter per kind; without names the kinds are response codes, of which those without a name are one.
func (s *sums) kinds(d *prometheus.Desc, n int, of func(*counts, int) *atomic.Uint64, names []string) {
	byName := map[string]uint64{}
	for i := range n {
		name := rcodeName(uint16(i))
		if names != nil {
			name = names[i]
		}
		byName[name] += s.sum(func(c *counts) *atomic.Uint64 { return of(c, i) })
	}
	for name, v := range byName {
		s.count(d, v, name)
	}
}

func (s *sums) transports() {
	for via := range tap.Transports {
		for i, family := range [...]string{"ipv4", "ipv6"} {
			s.count(queriesDesc, s.sum(func(c *counts) *atomic.Uint64 { return &c.queries[via][i] }), tap.Transport(via).String(), family)
		}
	}
}

// histogram shows buckets by powers of two, the first one up to 2^first units. Buckets from bounded on have no bound.
func (s *sums) histogram(d *prometheus.Desc, first, bounded int, unit float64, of func(*counts) ([]atomic.Uint64, *atomic.Uint64)) {
	var n, sum uint64
	buckets := make(map[float64]uint64, bounded)
	for _, c := range s.all {
		_, total := of(c)
		sum += total.Load()
	}
	for i, more := 0, len(s.all) > 0; more; i++ {
		for _, c := range s.all {
			list, _ := of(c)
			n += list[i].Load()
			more = i+1 < len(list)
		}
		if i < bounded {
			buckets[math.Ldexp(unit, first+i)] = n
		}
	}
	s.to <- prometheus.MustNewConstHistogram(d, n, float64(sum)*unit, buckets)
}

// loops shows what the kernel knows of the loops.
func (s *sums) loops() {
	var dropped uint64
	for i, c := range s.all {
		if drops := c.kernel.Load(); drops != nil {
			if n, known := (*drops)(); known {
				dropped += n
			}
		}
		if thread := c.thread.Load(); thread != 0 {
			if busy, known := threadTime(int(thread)); known {
				s.to <- prometheus.MustNewConstMetric(busyDesc, prometheus.CounterValue, busy.Seconds(), strconv.Itoa(i))
			}
		}
	}
	s.count(droppedDesc, dropped, droppedByKernel)
}
