package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/certificates"
	"jurymast/internal/profile"
	"jurymast/internal/proxy/accesslog"
	"jurymast/internal/proxy/figures"
	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/inbound"
	"jurymast/internal/proxy/origins"
	"jurymast/internal/proxy/wire"
	"jurymast/internal/snapshot"
)

// Options of a proxy. Hub is required; everything else has a usable zero value.
type Options struct {
	Hub            *snapshot.Hub
	HTTP, HTTPS    []string // host:port to listen on; port 0 takes a free one, see Addrs
	Certificates   *certificates.Set
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error) // asked first; nil, nil: not mine
	MinVersion     profile.TLSVersion                                   // "1.2" when empty
	OriginRoots    *x509.CertPool                                       // what https origins are verified against; nil: the system's
	TrustedProxies []netip.Prefix
	ProxyProtocol  []netip.Prefix      // peers that begin with a PROXY header
	Limits         profile.ProxyLimits // zero: the defaults
	Locator        Locator             // where clients are, for routing methods that ask; nil: nobody knows
	AccessLog      *accesslog.Log      // nil: off; it is closed after the proxy
	NodeName       string
	Logger         *slog.Logger
	Registerer     prometheus.Registerer
	Signal         func(Signal) // must not block; nil: nobody listens
	// Confirmed is asked right before each send of a profile with fencing: strict: does the session with the store still
	// live that the decision was had in? It must not block; nil: it never does, and nothing is sent.
	Confirmed func(term uint64) bool

	hurry *[2]inbound.Pace // of tests, in place of the paces of proxy.md 11
}

// Proxy is the HTTP front of one node.
type Proxy struct {
	o        Options
	slot     snapshot.Slot
	limits   http1.Limits
	watch    *wire.Watch
	paces    [2]inbound.Pace // of a request's body, and of a client reading its answer
	front    *inbound.Front
	pools    *origins.Pools
	lookout  *lookout
	figures  *figures.Figures
	log      *accesslog.Log
	numbers  atomic.Uint32 // of client connections
	certs    certificates.Holder
	warnOnce sync.Once
	services sync.Map // profile name -> *service

	running  sync.WaitGroup
	stop     chan struct{}
	stopOnce sync.Once
	closing  atomic.Bool  // tunnels end
	sending  sync.RWMutex // held for reading from the last look at a fenced decision until the first bytes are written
}

// New registers with the hub and opens the listeners; nothing is accepted before Start. It must be called before the
// hub's first Prepare.
func New(o Options) (*Proxy, error) {
	if o.Hub == nil {
		return nil, errors.New("proxy: Options.Hub is missing")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Proxy{o: o, watch: wire.NewWatch(0), log: o.AccessLog, stop: make(chan struct{})}
	p.limits = http1.Limits{Line: int(o.Limits.Line), Head: int(o.Limits.Head), Fields: o.Limits.Fields}
	p.pools = origins.New(origins.Options{Roots: o.OriginRoots, Watch: p.watch, Logger: o.Logger})
	p.lookout = newLookout(p)
	p.paces = [2]inbound.Pace{inbound.BodyPace, inbound.AnswerPace}
	if o.hurry != nil {
		p.paces = *o.hurry
	}
	p.figures = p.newFigures()
	p.certs.First = o.GetCertificate
	p.certs.Use(o.Certificates)
	if err := p.listen(); err != nil {
		return nil, err
	}
	if o.Registerer != nil {
		for _, c := range p.collectors() {
			if err := o.Registerer.Register(c); err != nil {
				_ = p.front.Close() // nothing was accepted yet
				return nil, err     //nolint:wrapcheck // prometheus names the metric
			}
		}
	}
	p.slot = o.Hub.Register(compiler())
	return p, nil
}

// Start begins to accept. It is called once.
func (p *Proxy) Start() {
	p.running.Go(p.follow)
	p.running.Go(func() { p.lookout.run(p.stop) })
	p.front.Start()
}

// Addrs are the addresses really listened on, in the order of Options.
func (p *Proxy) Addrs() (plain, secure []net.Addr) { return p.front.Addrs() }

// Close drains: it stops accepting, lets running requests finish with "Connection: close", then ends tunnels. What is
// still there when ctx ends is cut, and Close says so. It may be called more than once.
func (p *Proxy) Close(ctx context.Context) error {
	var err error
	p.stopOnce.Do(func() { err = p.close(ctx) })
	return err
}

func (p *Proxy) close(ctx context.Context) error {
	err := p.front.Shutdown(ctx)
	p.closing.Store(true)
	p.services.Range(func(_, v any) bool {
		v.(*service).closeTunnels() //nolint:errcheck // only services are stored
		return true
	})
	err = errors.Join(err, p.front.Close())
	close(p.stop)
	p.running.Wait()
	p.services.Range(func(_, v any) bool {
		v.(*service).queue.stop() //nolint:errcheck // only services are stored
		return true
	})
	p.pools.Close()
	p.watch.Close()
	if p.o.Registerer != nil {
		for _, c := range p.collectors() {
			p.o.Registerer.Unregister(c)
		}
	}
	return err //nolint:wrapcheck // it names the listener
}

func (s *service) closeTunnels() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.tunnels {
		t.Close()
	}
}

// dice throws a number below n.
func (p *Proxy) dice(n int) int { return rand.IntN(n) } //nolint:gosec // it spreads, it hides nothing

func (p *Proxy) collectors() []prometheus.Collector {
	return []prometheus.Collector{p.figures, p.front}
}
