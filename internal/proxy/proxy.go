package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/certificates"
	"jurymast/internal/profile"
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
	Locator        Locator   // where clients are, for routing methods that ask; nil: nobody knows
	AccessLog      io.Writer // nil: off
	Sample         int       // one in so many requests is logged
	NodeName       string
	Logger         *slog.Logger
	Registerer     prometheus.Registerer
	Signal         func(Signal) // must not block; nil: nobody listens
	// Confirmed is asked right before each send of a profile with fencing: strict: does the session with the store still
	// live that the decision was had in? It must not block; nil: it never does, and nothing is sent.
	Confirmed func(term uint64) bool
}

// Proxy is the HTTP front of one node.
type Proxy struct {
	o        Options
	slot     snapshot.Slot
	sender   sender
	metrics  *metrics
	log      *accessLog
	certs    certificates.Holder
	warnOnce sync.Once
	services sync.Map // profile name -> *service

	fronts   []*front
	serving  sync.WaitGroup // requests, so that the log can be closed after the last line
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
	p := &Proxy{o: o, sender: newTransports(o.OriginRoots), metrics: newMetrics(), stop: make(chan struct{})}
	p.certs.First = o.GetCertificate
	p.certs.Use(o.Certificates)
	if err := p.listen(); err != nil {
		return nil, err
	}
	if o.Registerer != nil {
		for _, c := range p.metrics.all() {
			if err := o.Registerer.Register(c); err != nil {
				p.closeListeners()
				return nil, err //nolint:wrapcheck // prometheus names the metric
			}
		}
	}
	p.slot = o.Hub.Register(compiler())
	if o.AccessLog != nil {
		p.log = newAccessLog(o.AccessLog, o.Sample, p.metrics.dropped.Inc)
	}
	return p, nil
}

// Start begins to accept. It is called once.
func (p *Proxy) Start() {
	p.running.Go(p.watch)
	for _, f := range p.fronts {
		p.running.Go(func() { f.serve(p.o.Logger) })
	}
}

// Addrs are the addresses really listened on, in the order of Options.
func (p *Proxy) Addrs() (plain, secure []net.Addr) {
	for _, f := range p.fronts {
		if f.secure {
			secure = append(secure, f.ln.Addr())
		} else {
			plain = append(plain, f.ln.Addr())
		}
	}
	return plain, secure
}

// Close drains: it stops accepting, lets running requests finish with "Connection: close", then ends tunnels. What is
// still there when ctx ends is cut, and Close says so. It may be called more than once.
func (p *Proxy) Close(ctx context.Context) error {
	var err error
	p.stopOnce.Do(func() { err = p.close(ctx) })
	return err
}

func (p *Proxy) close(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(p.fronts))
	for i, f := range p.fronts {
		wg.Go(func() { errs[i] = f.shutdown(ctx) })
	}
	wg.Wait()
	p.closing.Store(true)
	p.services.Range(func(_, v any) bool {
		v.(*service).closeTunnels() //nolint:errcheck // only services are stored
		return true
	})
	p.serving.Wait()
	close(p.stop)
	p.running.Wait()
	p.services.Range(func(_, v any) bool {
		v.(*service).queue.stop() //nolint:errcheck // only services are stored
		return true
	})
	p.sender.keep(func(poolKey) bool { return false })
	p.log.close()
	if p.o.Registerer != nil {
		for _, c := range p.metrics.all() {
			p.o.Registerer.Unregister(c)
		}
	}
	return errors.Join(errs...)
}

func (s *service) closeTunnels() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.tunnels {
		t.close()
	}
}

// ServeHTTP carries one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.serving.Add(1)
	defer p.serving.Done()
	p.metrics.inflight.Inc()
	defer p.metrics.inflight.Dec()
	x := &exchange{p: p, w: w, r: r, rc: http.NewResponseController(w), from: whoAsks(r, p.o.TrustedProxies)}
	x.line.Time, x.line.Node = time.Now(), p.o.NodeName
	x.line.Listener, _ = r.Context().Value(listenerKey{}).(string)
	defer x.finish()
	x.run()
}

// finish accounts for the request, and contains a fault of ours to it.
func (x *exchange) finish() {
	fault := recover()
	if fault != nil && fault != http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
		x.p.metrics.panics.Inc()
		x.p.o.Logger.Error("a request hit a fault of the proxy itself", "fault", fault, "stack", string(debug.Stack()))
		if x.headPassed {
			x.line.Reason, fault = ReasonInternal, http.ErrAbortHandler
		} else {
			x.answer(ReasonInternal, "the proxy failed to carry this request")
			fault = nil
		}
	}
	if x.cancel != nil {
		x.cancel(nil)
	}
	x.account()
	x.forgetBody()
	if fault != nil {
		panic(fault) // net/http breaks the connection, which is what the client must see
	}
}

func (x *exchange) account() {
	l := &x.line
	took := time.Since(l.Time)
	l.Total, l.HeldMS, l.BytesIn = ms(took), ms(x.held), x.body.size()
	if x.body != nil {
		l.Replay = "yes"
		if !x.body.replayable() {
			l.Replay = "no"
		}
	}
	m := x.p.metrics
	m.requests.WithLabelValues(l.Profile, l.Endpoint, class(l.Status), string(l.Reason)).Inc()
	if l.Profile != "" && l.Upgrade == "" {
		m.seconds.WithLabelValues(l.Profile).Observe(took.Seconds())
		if l.FirstByte > 0 {
			m.firstByte.WithLabelValues(l.Profile).Observe(l.FirstByte / 1000)
		}
	}
	if x.p.log != nil {
		l.describe(x.r, &x.from)
		x.p.log.add(l)
	}
}
