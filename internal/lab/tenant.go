package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Tenant is one stand-in for a regional tenant. Make it with NewTenant.
type Tenant struct {
	opts      TenantOptions
	log       *slog.Logger
	seed      uint64
	secrets   *secrets
	account   *account
	landscape *landscape
	vault     vault
	faults    *faultBox
	authority *authority // nil unless self-signed
	tls       *tls.Config

	stopping chan struct{} // closed when Close begins
	done     chan struct{} // closed when Close has ended

	mu      sync.Mutex
	started bool
	closed  bool
	undo    []undoStep
	gate    *gate
	control net.Listener
	server  *http.Server

	share *slicer // only touched by faultChanged, which is never run twice at once, and by Close after the last order
}

// undoStep takes back one step of Start.
type undoStep struct {
	name string
	do   func(context.Context) error
}

// NewTenant checks the options and prepares a tenant; nothing listens before Start. All that is wrong is told at once.
func NewTenant(opts TenantOptions) (*Tenant, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("lab tenant: %w", err)
	}
	t := &Tenant{
		opts: o, log: o.Logger, seed: o.Seed, secrets: newSecrets(o.secure()), account: newAccount(o.Quota, o.Now),
		landscape: newLandscape(o.DeployTime, o.Now()), stopping: make(chan struct{}), done: make(chan struct{}),
	}
	for t.seed == 0 {
		t.seed = rand.Uint64N(1 << 53) //nolint:gosec // no secret; a JSON number keeps this many bits
	}
	t.faults = newFaultBox(t.seed, o.Now, t.faultChanged)
	if t.tls, err = t.tlsConfig(); err != nil {
		return nil, fmt.Errorf("lab tenant: %w", err)
	}
	return t, nil
}

// Start listens and serves, and returns when both listeners take connections. A bind error is returned and leaves
// nothing behind. When ctx ends the tenant closes itself.
func (t *Tenant) Start(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.started || t.closed {
		return errors.New("lab tenant: it was started or closed before; make a new one")
	}
	if err := t.listen(ctx); err != nil {
		return errors.Join(err, t.unwind(t.undo)) // nothing serves yet
	}
	t.started = true
	stop := context.AfterFunc(ctx, func() { _ = t.Close() }) // Close logs what it finds
	t.undo = append(t.undo, undoStep{"context watch", func(context.Context) error { stop(); return nil }})
	t.log.Info("lab tenant listening", "region", t.opts.Region, "url", t.url(), "control", t.controlURL(), "seed", t.seed,
		"auth", !t.runtimeOpen(), "csrf", t.opts.CSRF, "hosts", t.opts.Hosts)
	return nil
}

// listen wants mu held.
func (t *Tenant) listen(ctx context.Context) error {
	gate, err := openGate(ctx, t.opts.Listen, t.log)
	if err != nil {
		return fmt.Errorf("lab tenant: listen %s: %w; is another process on that port?", t.opts.Listen, err)
	}
	t.gate = gate
	t.undo = append(t.undo, undoStep{"listener", func(context.Context) error { return gate.Close() }})
	if t.opts.Control != ControlOff {
		var lc net.ListenConfig
		if t.control, err = lc.Listen(ctx, "tcp", t.opts.Control); err != nil {
			return fmt.Errorf("lab tenant: control %s: %w; give another address or %q", t.opts.Control, err, ControlOff)
		}
	}
	t.warnPublic(gate.Addr().String())
	if t.control != nil {
		t.warnPublic(t.control.Addr().String())
		t.serve("control server", t.newServer(t.controlHandler()), t.control)
	}
	var front net.Listener = gate
	if t.tls != nil {
		front = tls.NewListener(gate, t.tls)
	}
	t.server = t.newServer(t)
	t.serve("server", t.server, front)
	return nil
}

func (t *Tenant) newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: bodyTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(t.log.Handler(), slog.LevelDebug),
	}
}

// serve wants mu held. The undo waits for requests in flight as long as its context allows, then cuts them.
func (t *Tenant) serve(name string, srv *http.Server, l net.Listener) {
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.log.Error("lab tenant stopped serving", "server", name, "err", err)
		}
	})
	t.undo = append(t.undo, undoStep{name, func(ctx context.Context) error {
		err := srv.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		wg.Wait()
		return err
	}})
}

// warnPublic wants mu held.
func (t *Tenant) warnPublic(addr string) {
	if ip := net.ParseIP(hostOnly(addr)); ip != nil && !ip.IsLoopback() {
		t.log.Warn("lab tenant can be reached from outside, and anybody who reaches it can break it", "addr", addr)
	}
}

// Close stops the tenant: requests that hang are cut, others get StopGrace. It may be called at any time, more than once.
func (t *Tenant) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		<-t.done
		return nil
	}
	t.closed = true
	t.mu.Unlock()
	close(t.stopping)
	t.faults.close()
	t.share.stop()
	t.mu.Lock()
	steps := t.undo
	t.mu.Unlock() // requests in flight may still ask for our addresses
	err := t.unwind(steps)
	close(t.done)
	if err != nil {
		t.log.Warn("lab tenant did not stop cleanly", "region", t.opts.Region, "err", err)
	}
	return err
}

// unwind does the undo steps, last first.
func (t *Tenant) unwind(steps []undoStep) error {
	ctx, cancel := context.WithTimeout(context.Background(), t.opts.StopGrace)
	defer cancel()
	var errs []error
	for _, step := range slices.Backward(steps) {
		if err := step.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", step.name, err))
		}
	}
	return errors.Join(errs...)
}

// Done is closed when the tenant has stopped.
func (t *Tenant) Done() <-chan struct{} { return t.done }

// Addr is the address listened on, with the port really taken; "" before Start.
func (t *Tenant) Addr() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gate == nil {
		return ""
	}
	return t.gate.addr
}

// ControlAddr is the address of the control listener; "" before Start and without one.
func (t *Tenant) ControlAddr() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.controlAddr()
}

// controlAddr wants mu held.
func (t *Tenant) controlAddr() string {
	if t.control == nil {
		return ""
	}
	return t.control.Addr().String()
}

// url wants mu held.
func (t *Tenant) url() string {
	if t.opts.secure() {
		return "https://" + t.gate.addr
	}
	return "http://" + t.gate.addr
}

// controlURL wants mu held.
func (t *Tenant) controlURL() string {
	if t.control == nil {
		return ControlOff
	}
	return "http://" + t.controlAddr()
}

// Seed is what the dice were started with.
func (t *Tenant) Seed() uint64 { return t.seed }

// Stats is the account of the tenant, as GET /lab/stats shows it.
func (t *Tenant) Stats() Stats { return t.account.stats(t.opts.Region) }

// faultChanged carries out what acts below the requests. The fault box calls it for one order after the other.
func (t *Tenant) faultChanged(f Fault) {
	t.log.Info("lab tenant fault", "region", t.opts.Region, "kind", string(f.Kind), "share", f.Share, "path", f.Path, "for", f.For, "mode", f.Mode)
	t.mu.Lock()
	gate, server, ready := t.gate, t.server, t.started && !t.closed
	t.mu.Unlock()
	if !ready {
		return
	}
	t.share.stop()
	t.share = nil
	// Turning keep-alive off closes idle connections, as the end of a process would; one that is busy ends with its answer.
	server.SetKeepAlivesEnabled(f.Kind != FaultRefuse && f.Kind != FaultTLS)
	switch {
	case f.Kind == FaultTLS:
		server.SetKeepAlivesEnabled(true) // broken handshakes do not shorten the life of other connections
		gate.open()
	case f.Kind == FaultRefuse && f.Share >= 1:
		gate.shut()
	case f.Kind == FaultRefuse && f.Share > 0:
		t.share = startSlicer(func() {
			if t.faults.hitConnection(FaultRefuse).Kind == FaultRefuse {
				gate.shut()
			} else {
				gate.open()
			}
		})
	default:
		gate.open()
	}
}

// sliceTime is how long a share of refuse holds before the dice are rolled again: a closed port cannot choose its callers.
const sliceTime = 100 * time.Millisecond

// slicer runs a function at once and then every sliceTime.
type slicer struct {
	end  chan struct{}
	once sync.Once
	wg   sync.WaitGroup
}

func startSlicer(do func()) *slicer {
	s := &slicer{end: make(chan struct{})}
	do()
	s.wg.Go(func() {
		tick := time.NewTicker(sliceTime)
		defer tick.Stop()
		for {
			select {
			case <-s.end:
				return
			case <-tick.C:
				do()
			}
		}
	})
	return s
}

// stop may be called on nil, and more than once.
func (s *slicer) stop() {
	if s == nil {
		return
	}
	s.once.Do(func() { close(s.end) })
	s.wg.Wait()
}
