package nameserver

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/health"
	"jurymast/internal/nameserver/batch"
	"jurymast/internal/nameserver/cookie"
	"jurymast/internal/nameserver/dnstap"
	"jurymast/internal/nameserver/flatten"
	"jurymast/internal/nameserver/querylog"
	"jurymast/internal/nameserver/rrl"
	"jurymast/internal/nameserver/secondary"
	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/traffic"
	"jurymast/internal/nameserver/tsig"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

// Options of a Server. Hub and Logger are needed, the rest has usable zero values.
type Options struct {
	Hub        *snapshot.Hub
	Listen     []string // host:port each, for UDP and TCP; port 0 is any port, the same for both; no host is all addresses
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: metrics are counted but shown nowhere
	Loops      int                   // UDP sockets per address; 0: as many as processors
	Batch      batch.Options         // how they wait and how much they take at a time
	TCP        TCP                   // limits of connections
	Secure     Secure                // encrypted transports
	Locator    Locator               // where clients are; nil: nobody knows
	Places     bool                  // the locator has a database of places: questions are counted by place
	QueryLog   *querylog.Log         // nil: off; the server runs it
	Dnstap     *dnstap.Tap           // nil: off; the server runs it
	EDNS       EDNS                  // what is done with the options of questions
	Cookies    *cookie.Jar           // secrets of server cookies; nil: one of its own, so that other nodes know none of its cookies
	XDP        XDP                   // answers in the network driver
	Clock      func() time.Time      // when signatures are made and end; nil: time.Now
	Targets    *flatten.Book         // addresses of targets that may not be answered with a CNAME; nil: none is known
	Fetched    *secondary.Book       // zones of other servers; nil: none is fetched, and those of the documents get SERVFAIL
	Limits     Limits                // what one network can make the server send

	// NotifyFailed is told, on a goroutine of its own, of a secondary that has answered none of the NOTIFY for a serial.
	NotifyFailed func(zone, secondary string, serial uint32, why string)
}

const (
	closeGrace    = 5 * time.Second        // of Run, for connections that are still being written to
	closeLog      = 100 * time.Millisecond // for the query log, when the time of Close is over
	panicHexBytes = 512                    // of a packet that broke something, in the log
)

// Server is the DNS front. Listen, then Serve, then Close; or Run for the last two.
type Server struct {
	opt      Options
	log      *slog.Logger
	m        *metrics
	slot     snapshot.Slot
	set      *manners
	broken   error // from New
	mu       sync.Mutex
	udp      []*datagram
	tcp      []*stream
	quic     []*quicFront
	addrs    []netip.AddrPort
	secure   map[tap.Transport][]netip.AddrPort
	bare     sync.Once // saying that there is no certificate
	running  sync.WaitGroup
	stopping chan struct{}
	stopOnce sync.Once
	driver   *driver // nil: none was asked for
	signing  *signing
	demand   *demander
	renew    chan struct{} // there may be another configuration

	limits *rrl.Limiter // nil: answers are not limited
	watch  *rrl.Watch   // knows who is limited
	gate   *rrl.Gate    // for TCP; nil: everybody may come in

	traffic *traffic.Traffic
	crowd   *eyes          // of all connections
	looking sync.WaitGroup // who takes over what eyes have seen
	unseen  chan struct{}  // closed when there is nothing more to see
	lastly  sync.Once

	ring      atomic.Pointer[tsig.Ring]
	transfers *transfers
	ending    context.Context //nolint:containedctx // ends with Close, for what runs beside questions
	end       context.CancelFunc

	// dice makes the dice of one loop or connection.
	dice func() steer.Dice
}

// New makes a server and gives it its place in the hub; it must be called before the hub's first Prepare. What could
// not be set up is returned by Listen.
func New(opt Options) *Server {
	s := &Server{opt: opt, log: opt.Logger, m: newMetrics(opt.Hub.Load), stopping: make(chan struct{}), dice: newDice, signing: newSigning(opt.Clock), transfers: newTransfers(), renew: make(chan struct{}, 1)}
	s.ending, s.end = context.WithCancel(context.Background())
	s.set = mannersOf(opt.EDNS, opt.Cookies)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.opt.Loops <= 0 {
		s.opt.Loops = runtime.GOMAXPROCS(0)
	}
	s.restrict()
	s.demand = newDemander(s)
	s.traffic = traffic.New(s.places())
	s.crowd, s.unseen = s.eyes(), make(chan struct{})
	s.crowd.mu = new(sync.Mutex)
	s.broken = s.m.register(opt.Registerer, s.collectors()...)
	s.slot = opt.Hub.Register(snapshot.Compiler{
		Name: "nameserver",
		Config: func(docs *snapshot.Documents) (any, error) {
			c, err := s.prepare(docs)
			if err != nil {
				return nil, err // a nil *config in an interface would not be nil
			}
			return c, nil
		},
		Part: func(v *health.View) any { return compile(v) },
		Published: func() {
			s.driver.published()
			s.signing.nudge()
			s.noteConfig()
		},
	})
	s.m.slot = s.slot
	if opt.XDP.On {
		s.driver = newDriver(s, newPlug(opt.XDP))
		s.m.driver = s.driver
	}
	return s
}

// places is who knows where clients are, nil when nobody does.
func (s *Server) places() traffic.Locator {
	if !s.opt.Places || s.opt.Locator == nil {
		return nil
	}
	return s.opt.Locator
}

// collectors are metrics beside the server's own.
func (s *Server) collectors() []prometheus.Collector {
	list := []prometheus.Collector{signMetrics{s}, s.traffic.Metrics(func(profile string) bool { return s.opt.Hub.Load().Index(profile) >= 0 }), abuseMetrics{s}, s.transfers}
	if s.opt.QueryLog != nil {
		list = append(list, s.opt.QueryLog)
	}
	if s.opt.Dnstap != nil {
		list = append(list, s.opt.Dnstap)
	}
	return list
}

// Listen binds every address for UDP and TCP. The error names the address and what to do; nothing stays bound then.
func (s *Server) Listen(ctx context.Context) error {
	if s.broken != nil {
		return s.broken
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.opt.Listen {
		if err := s.bind(ctx, text); err != nil {
			s.closeSockets()
			return bindError(text, err)
		}
	}
	if err := s.bindSecure(ctx); err != nil {
		s.closeSockets()
		return err
	}
	return nil
}

// Addrs are the bound addresses, each for UDP and TCP, in the order of Options.Listen.
func (s *Server) Addrs() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]netip.AddrPort(nil), s.addrs...)
}

// Loops is how many goroutines read datagrams, each of which keeps a processor with batch.Raw and batch.Busy.
func (s *Server) Loops() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.udp)
}

// Serve starts answering on the bound addresses and returns at once.
func (s *Server) Serve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.udp {
		s.running.Go(d.loop)
	}
	for _, t := range s.tcp {
		s.running.Go(t.accept)
		if t.web != nil {
			s.running.Go(t.web.run)
		}
	}
	for _, q := range s.quic {
		s.running.Go(q.accept)
	}
	s.signing.run(s)
	s.looking.Go(func() { s.traffic.Run(s.unseen) })
	s.looking.Go(func() { s.watch.Run(s.unseen) })
	s.looking.Go(func() { s.runTransfers(s.stopping) })
	if s.opt.QueryLog != nil {
		s.looking.Go(func() { s.opt.QueryLog.Run(s.unseen) })
	}
	if s.opt.Dnstap != nil {
		s.looking.Go(func() { s.opt.Dnstap.Run(s.unseen) })
	}
	s.log.Info("nameserver answers", "addresses", fmt.Sprint(s.addrs), "udp_sockets", len(s.udp))
	if s.driver != nil {
		s.driver.start(append([]netip.AddrPort(nil), s.addrs...))
	}
}

// Run serves until ctx ends, then closes in a few seconds.
func (s *Server) Run(ctx context.Context) error {
	s.Serve()
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
	defer cancel()
	return s.Close(end)
}

// Close stops accepting, answers what has arrived and closes. When ctx ends first, connections that are left are cut
// and its error is returned. It may be called more than once, and without Serve.
func (s *Server) Close(ctx context.Context) error {
	s.stopOnce.Do(func() {
		close(s.stopping)
		s.end()
		if s.driver != nil {
			s.driver.close() // before the sockets, which take over
		}
	})
	s.mu.Lock()
	for _, t := range s.tcp {
		t.stop()
	}
	for _, q := range s.quic {
		q.stop()
	}
	for _, d := range s.udp {
		d.conn.Stop()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("nameserver: connections cut while stopping: %w", ctx.Err())
	}
	s.mu.Lock()
	for _, t := range s.tcp {
		t.cut()
	}
	for _, q := range s.quic {
		q.cut()
	}
	s.mu.Unlock()
	<-done // no connection is left, and loops stop in time by themselves: closed under a loop, a socket's number could be somebody else's
	s.demand.close()
	s.signing.running.Wait() // answers what is left
	s.mu.Lock()
	s.closeSockets()
	s.mu.Unlock()
	s.lastly.Do(func() { close(s.unseen) })
	return errors.Join(err, s.lookedAt(ctx))
}

// lookedAt waits until the last questions are in the log; a file that is stuck is not waited for longer than ctx.
func (s *Server) lookedAt(ctx context.Context) error {
	done := make(chan struct{})
	go func() { s.looking.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		select {
		case <-done:
			return nil
		case <-time.After(closeLog):
			return errors.New("nameserver: the query log or dnstap does not take its last lines")
		}
	}
}

// closeSockets needs mu.
func (s *Server) closeSockets() {
	for _, d := range s.udp {
		_ = d.conn.Close() // nothing is buffered
	}
	for _, t := range s.tcp {
		t.cut()
	}
	for _, q := range s.quic {
		q.close()
	}
	s.quic = nil
	s.udp, s.tcp, s.addrs, s.secure = nil, nil, nil, nil
}

func (s *Server) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// responder makes one that counts there.
func (s *Server) responder(c *counts) *responder {
	a := &responder{load: s.opt.Hub.Load, slot: s.slot, c: c, set: s.set, signing: s.signing}
	if s.opt.Fetched != nil {
		a.r.notified = s.notified
	}
	a.r.set, a.cookie = s.set, make([]byte, 0, cookie.OptionLen)
	a.r.asker.locator = s.opt.Locator
	a.r.asker.throws(s.dice())
	a.eyes, a.ring, a.server = s.crowd, &s.ring, s
	return a
}

// newDice are good enough to spread answers: nobody gains by guessing the next one, and no lock is shared.
func newDice() steer.Dice {
	return rand.NewPCG(rand.Uint64(), rand.Uint64()).Uint64 //nolint:gosec // spreading answers is no secret
}

// answer answers one packet for a loop or connection and shows it to who looks.
func (s *Server) answer(a *responder, pkt, out []byte, stream bool, from netip.Addr) []byte {
	reply := s.fenced(a, pkt, out, stream, from)
	if (reply != nil || a.facts.Limited != tap.Whole) && a.eyes != nil && !a.passed {
		a.seen(reply, from)
	}
	if a.eyes != nil && a.eyes.wire != nil && (reply != nil || a.unanswered(pkt)) {
		a.copied(pkt, reply, from)
	}
	return reply
}

// fenced is respond behind a fence: a panic costs one SERVFAIL, not the loop.
func (s *Server) fenced(a *responder, pkt, out []byte, stream bool, from netip.Addr) (reply []byte) {
	defer func() {
		if p := recover(); p != nil {
			a.c.panics.Add(1)
			a.forget()
			a.facts.Rcode = wire.ServFail
			a.c.response(wire.ServFail)
			s.log.Error("answering a question failed inside; it got SERVFAIL", "panic", fmt.Sprint(p),
				"packet", hex.EncodeToString(pkt[:min(len(pkt), panicHexBytes)]), "packet_bytes", len(pkt), "stack", stack())
			if reply = failure(pkt, out); reply != nil {
				a.c.sized(len(reply))
			}
		}
	}()
	if reply, ok := a.quick(pkt, out, from); ok {
		return reply
	}
	a.forget()
	return a.respond(pkt, out, stream, from)
}

func stack() string {
	buf := make([]byte, 4096)
	return string(buf[:runtime.Stack(buf, false)])
}
