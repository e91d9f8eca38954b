package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"jurymast/internal/api"
	"jurymast/internal/certificates"
	"jurymast/internal/cluster"
	"jurymast/internal/cluster/roll"
	"jurymast/internal/engine"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/cookie"
	"jurymast/internal/nameserver/dnstap"
	"jurymast/internal/nameserver/flatten"
	"jurymast/internal/nameserver/querylog"
	"jurymast/internal/places"
	"jurymast/internal/probe"
	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/proxy/accesslog"
	"jurymast/internal/snapshot"
	"jurymast/internal/store/etcd"
	"jurymast/internal/store/lastgood"
)

// Options of a node.
type Options struct {
	File    string // configuration; required
	Data    string // overrides node.data when not empty
	Log     *slog.Logger
	Out     io.Writer // one line per listener, and "ready"
	Version string
	Reload  <-chan struct{} // SIGHUP; nil: only changes of the file reload it
	Cookies roll.Rules      // times of a change of the cookie secret; zero: every day, and 65 minutes

	ClockOffset time.Duration // shifts the clock of signatures and key rolls, for rehearsals; nothing else
	AskParent   time.Duration // how often a DS that is waited for is looked for; 0: every minute
}

// App is a running node.
type App struct {
	o       Options
	log     *slog.Logger
	file    *profile.File // as of the start: listeners and data do not change without a restart
	stored  bool          // the file was refused at the start: of it, only its node section is here
	data    *data
	started time.Time
	solo    bool

	hub     *snapshot.Hub
	library *library
	loop    *engine.Loop
	sched   *probe.Scheduler
	probing *probing
	prober  *probe.Prober
	places  *places.Places
	dns     *nameserver.Server
	// dnsCerts are the certificates of the encrypted DNS listeners.
	dnsCerts certificates.Holder
	targets  *flatten.Book
	fetched  secondaries
	queries  *querylog.Log // nil: off
	wire     *dnstap.Tap   // nil: off
	odd      *odd          // alarms about questions
	web      *proxy.Proxy
	requests *accesslog.Log // nil: off
	api      *api.Server
	store    *reopener
	cluster  *cluster.Cluster
	good     *keeper
	journal  *feed
	seal     *sealer
	cookies  cookies
	serials  serials
	jar      *cookie.Jar
	zoneKeys zoneKeys
	parents  parents
	sets     chan cluster.DocumentSet // newest wins
	again    chan struct{}            // the documents in force are to be prepared anew
	begun    chan struct{}            // a session with the store has begun

	vitals   *vitals
	means    atomic.Pointer[probe.Node] // what probes may use
	config   atomic.Pointer[api.ConfigStatus]
	read     atomic.Pointer[sources] // what the file is made of, as last read
	applied  atomic.Uint64           // generation of the documents with the file in them
	alarms   alarms
	tsig     string // what was logged last about the secrets of TSIG keys
	draining atomic.Bool
	kept     error // what became of the last-good log at the stop
	fatal    chan error
	undo     undoList
	tasks    sync.WaitGroup
}

// Run starts a node and keeps it until ctx ends, then stops it in order, bounded. It returns an error when the node
// cannot start: the configuration is wrong, an address is taken, the data directory is refused.
func Run(ctx context.Context, o Options) error {
	if o.Cookies == (roll.Rules{}) {
		o.Cookies = roll.Rules{Every: roll.Every, Keep: roll.Keep}
	}
	signal.Ignore(syscall.SIGXFSZ) // a limit on file sizes is one more kind of full disk, not the end of the node
	a, err := start(ctx, o)
	if err != nil {
		return err
	}
	defer a.stop()
	select {
	case <-ctx.Done():
		return nil
	case err := <-a.fatal:
		return err
	}
}

func start(ctx context.Context, o Options) (a *App, err error) {
	file, read, wrong := readFile(o.File)
	if wrong != nil {
		if file = soundNode(o.File); file == nil {
			return nil, wrong
		}
	}
	if o.Data != "" {
		file.Node.UseData(o.Data)
	}
	nameNode(&file.Node)
	a = &App{
		o: o, log: o.Log, file: file, started: time.Now().UTC(), solo: len(file.Node.Store.Endpoints) == 0,
		hub: snapshot.NewHub(), sets: make(chan cluster.DocumentSet, 1), again: make(chan struct{}, 1), begun: make(chan struct{}, 1), fatal: make(chan error, 4),
	}
	a.undo.log = o.Log
	a.config.Store(&api.ConfigStatus{File: o.File})
	a.read.Store(read)
	a.useSecrets(file)
	var checks map[*profile.Profile][]probe.Check
	if wrong == nil {
		checks, wrong = a.checkSecrets(file)
	}
	if wrong != nil && !usedData(file.Node.Data) {
		return nil, wrong // and the folder is not touched
	}
	if a.data, err = openData(file.Node.Data); err != nil {
		return nil, errors.Join(wrong, err)
	}
	made := a // a return with an error sets a to nil before the undo runs
	defer func() {
		if err != nil {
			made.undo.run()
			made.data.unlock()
		}
	}()
	stored := a.storedSet()
	if wrong != nil && len(stored.Records) == 0 {
		return nil, wrong
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err = a.build(metrics); err != nil {
		return nil, err
	}
	if wrong == nil {
		a.library.know(file, checks)
		if err := a.prepareFile(stored); err != nil {
			wrong = fmt.Errorf("%s: %w", o.File, err)
		}
	}
	switch {
	case wrong == nil:
	case len(stored.Records) > 0:
		if err = a.useStored(stored, wrong); err != nil {
			return nil, err
		}
	case a.solo:
		return nil, wrong // there is nothing to serve in its place
	default:
		a.log.Warn("the file needs documents of the store, or is wrong; the store will tell", "error", wrong)
	}
	if err = a.listen(ctx); err != nil {
		return nil, err
	}
	if err = a.begin(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// nameNode fills in what only the machine knows.
func nameNode(n *profile.Node) {
	if n.Name == "" {
		if host, err := os.Hostname(); err == nil {
			n.Name = host
		}
	}
}

// build makes every part; nothing runs yet.
func (a *App) build(metrics *prometheus.Registry) error {
	n := &a.file.Node
	a.library = &library{
		hub: a.hub, node: func() probe.Node { return *a.means.Load() }, sealed: n.Store.Seal.File != "", keeps: a.zoneKeys.keeps,
	}
	if err := errors.Join(a.openPlaces(), a.openSeal(n)); err != nil {
		return err
	}
	if err := a.openCookies(n); err != nil {
		return err
	}
	if err := errors.Join(a.buildTargets(metrics), a.buildSecondaries(metrics)); err != nil {
		return err
	}
	if err := a.buildNameserver(metrics); err != nil {
		return err
	}
	if err := a.openZoneKeys(); err != nil {
		return err
	}
	if err := a.buildProxy(metrics); err != nil {
		return err
	}
	a.undo.add("proxy", 20*time.Second, a.web.Close)
	a.journal = newFeed()
	a.vitals = newVitals(a.hub)
	if err := errors.Join(metrics.Register(a.vitals), metrics.Register(newConfigVitals(&a.config)), metrics.Register(newCertificateVitals(a))); err != nil {
		return err
	}
	a.probing = newProbing(func(name string, ev engine.Event) { a.loop.Post(name, ev) })
	var err error
	a.prober = &probe.Prober{UserAgent: "jurymast-probe/" + a.o.Version}
	a.sched, err = probe.New(probe.Options{Node: n.Name, Report: a.probing.report, Logger: a.log, Seed: seedOf(n.Name), Run: a.prober.Run, Registerer: metrics})
	if err != nil {
		return err
	}
	a.undo.add("probes", 6*time.Second, func(context.Context) error { return a.sched.Close() })
	a.probing.sched = a.sched
	opts, err := storeOptions(n, a.data, a.o.Version, a.log)
	if err != nil {
		return err
	}
	a.store = &reopener{opts: opts, log: a.log}
	me := cluster.NodeRecord{Name: n.Name, Location: n.Location, Version: a.o.Version, Instance: a.data.instance, Addresses: ownAddresses()}
	a.cluster = cluster.New(cluster.Options{
		Store: a.store, Node: me, Lease: n.Store.Lease, Renew: n.Store.Renew, Listen: a.heard, Logger: a.log, WriteTimeout: a.writeTimeout(),
		Quiet: a.web.Quiet,
	})
	a.cluster.UseKeys(a.seal.keys())
	a.odd = a.newOdd()
	if err := metrics.Register(a.odd); err != nil {
		return err
	}
	if err := metrics.Register(newSecretVitals((*secretDesk)(a))); err != nil {
		return err
	}
	a.api = a.buildAPI(promhttp.HandlerFor(metrics, promhttp.HandlerOpts{Registry: metrics}))
	return nil
}

// writeTimeout is short for a node alone: when its disk stalls it acts unwritten after this.
func (a *App) writeTimeout() time.Duration {
	if a.solo {
		return 500 * time.Millisecond
	}
	return 2 * time.Second
}

// listen takes every address before anything is served: a node that cannot have one of them does not start.
func (a *App) listen(ctx context.Context) error {
	if err := a.dns.Listen(ctx); err != nil {
		return err
	}
	a.undo.add("nameserver", 10*time.Second, a.dns.Close)
	a.spareProcessors()
	if err := a.api.Listen(ctx); err != nil {
		return err
	}
	a.undo.add("api", 5*time.Second, a.api.Close)
	for _, l := range a.listeners() {
		_, _ = fmt.Fprintf(a.o.Out, "listening %-5s %s %s\n", l.Front, l.Network, l.Address)
	}
	return nil
}

// begin serves the last good state at once, then goes on with the store in the background. Only what an operator must
// mend ends the start: a data directory that is not ours or damaged, found before anything is changed. What is undone
// first stands last: the fronts drain while everything behind them still works, then the node leaves the cluster, then
// the store closes.
func (a *App) begin(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx)) // ends after the fronts have drained, not with ctx
	opened, err := a.openStore(ctx, work)
	if err == nil {
		err = a.data.begin()
	}
	var log *lastgood.Log
	var last map[string]json.RawMessage
	if err == nil {
		log, last, err = lastgood.Open(a.data.path("last-good"), a.log)
	}
	if err != nil {
		cancel()
		_ = a.store.close()
		return err
	}
	a.undo.add("last-good log", 3*time.Second, func(context.Context) error {
		a.kept = log.Close(2 * time.Second)
		return a.kept
	})
	a.undo.add("store", 6*time.Second, func(context.Context) error { return a.store.close() })
	a.undo.add("background work", 10*time.Second, func(context.Context) error {
		cancel()
		a.tasks.Wait()
		return nil
	})
	a.good = newKeeper(log, last)
	a.loop = engine.New(engine.Options{
		Hub: a.hub, Carrier: &carrier{a}, Logger: a.log,
		Start: engine.Start{Self: a.self(), Solo: a.solo, Lives: a.data.lives, Stops: a.file.Node.OnIsolation == profile.IsolationStop},
	})
	if len(a.file.Node.Nameserver.Listen) > 0 {
		a.goTask(func() { a.odd.run(work) })
	}
	a.goTask(func() { a.targets.Run(work, a.dns.Targets) })
	a.goTask(func() { a.fetched.book.Run(work) })
	a.goTask(func() { a.dns.FollowSecondaries(work) })
	empty := a.hub.Load()
	replaced := a.recover(last)
	a.goTask(func() { a.loop.Run(work) })
	a.goTask(func() { a.good.run(work) })
	a.goTask(func() { a.probing.run(work) })
	a.goTask(func() { a.useSets(work) })
	if replaced {
		awaitState(ctx, empty)
	}
	a.settleTargets(ctx)
	a.readTSIG()
	a.recallSerials()
	a.serve()
	a.goTask(func() { a.keepTSIG(work) })
	tried := make(chan struct{})
	a.goTask(func() {
		first := <-opened
		close(tried)
		a.store.keep(work, first)
	})
	a.goTask(func() {
		<-tried
		a.session(work)
	})
	a.goTask(func() { a.keepCookies(work) })
	a.goTask(func() { a.keepSerials(work) })
	a.goTask(func() { a.keepZoneKeys(work) })
	a.goTask(func() { a.askParents(work) })
	a.goTask(func() { a.finishSeal(work) })
	a.goTask(func() { a.watchFile(work) })
	a.goTask(func() { a.announceReady(work) })
	return nil
}

// slowState is how long the fronts wait for their first state at most.
const slowState = 10 * time.Second

// awaitState waits until the first state is visible. The listeners are bound: what is asked meanwhile waits there, and is
// not told that nothing is known.
func awaitState(ctx context.Context, empty *snapshot.Snapshot) {
	select {
	case <-empty.Replaced():
	case <-ctx.Done():
	case <-time.After(slowState):
	}
}

// slowDisk is how long a start waits for the look at the store's directory.
const slowDisk = 10 * time.Second

// openStore starts to open the store and waits until its directory is found sound, or refused. opened gets what came
// of it later.
func (a *App) openStore(ctx, work context.Context) (opened <-chan error, err error) {
	sound, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- a.store.open(work, func() { close(sound) }) }()
	select {
	case <-sound:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(slowDisk): // the last good state is served meanwhile
		a.log.Warn("the disk is slow: the store's directory is still being looked at")
	case err := <-done:
		if errors.Is(err, etcd.ErrDir) {
			return nil, err
		}
		done <- err
	}
	return done, nil
}

// serve lets the fronts answer.
func (a *App) serve() {
	a.dns.Serve()
	a.web.Start()
	a.api.Serve()
	a.undo.add("fronts", 20*time.Second, func(ctx context.Context) error {
		dns := make(chan error, 1)
		go func() { dns <- a.dns.Close(ctx) }()
		return errors.Join(a.web.Close(ctx), <-dns)
	})
}

func (a *App) goTask(f func()) { a.tasks.Go(f) }

func (a *App) fail(err error) {
	select {
	case a.fatal <- err:
	default:
	}
}

// session keeps the node in the cluster; a store of another format ends the node.
func (a *App) session(ctx context.Context) {
	if err := a.cluster.Run(ctx); err != nil && ctx.Err() == nil {
		a.fail(err)
	}
}

// announceReady tells the operator and the service manager once everything answers from fresh state.
func (a *App) announceReady(ctx context.Context) {
	for {
		snap := a.hub.Load()
		if ok, _ := a.ready(); ok {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-snap.Replaced():
		case <-time.After(200 * time.Millisecond):
		}
		select { // a start publishes often
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	took := time.Since(a.started).Round(time.Millisecond)
	_, _ = fmt.Fprintf(a.o.Out, "ready after %v\n", took)
	a.log.Info("ready", "after", took)
	if err := notifySystemd(ctx, "READY=1"); err != nil {
		a.log.Warn("cannot notify systemd", "error", err)
	}
}

// stop announces, drains, and undoes everything in reverse. The mark of a clean end is set last.
func (a *App) stop() {
	a.draining.Store(true)
	_ = notifySystemd(context.Background(), "STOPPING=1")
	a.log.Info("stopping")
	a.undo.run()
	switch {
	case a.loop.Unwritten():
		a.log.Warn("a decision is not in the store; the next start keeps clear of its epoch")
	case a.kept != nil: // what it could not write, the next start must not rely on
	default:
		if err := a.data.end(); err != nil {
			a.log.Warn("cannot mark a clean end", "error", err)
		}
	}
	a.data.unlock()
}
