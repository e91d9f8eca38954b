package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/snapshot"
)

// Bounds of a connection.
const (
	maxBody       = 16 << 20
	headerTimeout = 10 * time.Second
	readTimeout   = time.Minute
	writeTimeout  = 2 * time.Minute
	idleTimeout   = 2 * time.Minute
	storeTimeout  = 10 * time.Second // one write to the store
)

// DocumentStore holds the shared documents. Kinds are profiles and zones. Its errors are the typed ones of this
// package; ifMatch is "" (whatever is there), an entity tag, "*" (it must exist) or IfAbsent.
type DocumentStore interface {
	List() []Document
	Put(ctx context.Context, kind, name string, source []byte, ifMatch, by string) (d Document, created bool, err error)
	Delete(ctx context.Context, kind, name, ifMatch, by string) error
	// Apply takes a whole configuration file, YAML or JSON, checked here; its node section is not for the store.
	Apply(ctx context.Context, data []byte, by string) (ApplyResult, error)
}

// IfAbsent is the ifMatch of If-None-Match: *: the document must not exist yet.
const IfAbsent = "!*"

// OrderStore keeps the operators' orders. Orders returns those of a profile, "" for all, gates included; expired ones
// may be among them. Transact writes what judge makes of the orders there are, all of it or nothing, and returns judge's
// error as it is; judge is asked again when somebody else was faster.
type OrderStore interface {
	Orders(profile string) []health.Override
	Transact(ctx context.Context, judge func(OrderBook) (OrderChange, error)) error
}

// OrderBook is what is ordered: all orders, and when the last transactions began, by profile.
type OrderBook struct {
	Orders []health.Override
	Begun  map[string]time.Time
}

// OrderChange is one change of the book. Orders of one id are one order with several targets. By and Note belong to what
// is ended, Reason to every entry of the journal.
type OrderChange struct {
	Place, End []health.Override
	Begun      map[string]time.Time
	By, Note   string
	Reason     string
}

// Signals takes what somebody outside says about endpoints. Token is the bearer token that may speak for an endpoint; its
// error says why this node cannot read it, in words for the sender: names, never content. Put reports whether it had to
// write anything.
type Signals interface {
	Token(profile, endpoint string) (token string, err error)
	Put(ctx context.Context, s health.Signal) (written bool, err error)
}

// Journal tells what happened. Read returns the newest entries, oldest first, at most limit (0: all at hand).
// Subscribe returns what happens from then on; its channel is closed when the reader is too slow or ctx ends.
type Journal interface {
	Read(limit int, match func(*health.Entry) bool) []health.Entry
	Subscribe(ctx context.Context) <-chan health.Entry
}

// Options of a Server. Hub, Node, Documents, Orders and Journal are required.
type Options struct {
	Socket string // path of the unix socket; "": none
	Listen string // host:port on loopback; "": none

	Hub       *snapshot.Hub
	Node      func() NodeStatus
	Documents DocumentStore
	Orders    OrderStore
	Journal   Journal
	Signals   Signals   // nil: no signals are taken
	Secrets   Secrets   // nil: nothing is known of shared secrets
	Zones     Zones     // nil: nothing is known of how zones are served
	Traffic   Traffic   // nil: this node answers no DNS
	Limits    Limits    // nil: the same
	Transfers Transfers // nil: no zone may be fetched
	Secondary Secondary // nil: no zone is fetched
	Explain   func(ctx context.Context, name, qtype string, client netip.Addr, ecs netip.Prefix) (Explanation, error)
	Probe     func(ctx context.Context, profile, endpoint string) (ProbeResult, error)
	Ready     func() (bool, []string) // nil: as Node says
	Metrics   http.Handler            // nil: 404
	Logger    *slog.Logger            // nil: silent
	Version   string
}

// Server is the API of one node.
type Server struct {
	o        Options
	log      *slog.Logger
	http     *http.Server
	live     context.Context // ends with Close: streams end with it
	end      context.CancelFunc
	serving  sync.WaitGroup
	ordering chan struct{} // one order at a time: the guard must see the one before
	above    struct {      // of the documents in force; for who holds ordering
		docs    *snapshot.Documents
		parents map[string][]string
	}
	streams chan struct{} // one token per open event stream
	pace    pace          // of signals

	mu        sync.Mutex
	listeners []net.Listener
}

// New makes a server; nothing is opened yet.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = http.NotFoundHandler()
	}
	if o.Ready == nil {
		o.Ready = func() (bool, []string) { n := o.Node(); return n.Ready, n.WaitingFor }
	}
	s := &Server{o: o, log: o.Logger, ordering: make(chan struct{}, 1), streams: make(chan struct{}, maxStreams)}
	s.live, s.end = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return s.live },
		ConnContext:       withPeer,
	}
	return s
}

// Addrs are the open sockets, the unix socket first.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		out[i] = l.Addr()
	}
	return out
}

// Serve answers on every open socket, in the background, until Close.
func (s *Server) Serve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		s.serving.Go(func() {
			if err := s.http.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("api: a listener failed", "address", l.Addr().String(), "error", err)
			}
		})
	}
}

// Run serves until ctx ends, then closes within five seconds.
func (s *Server) Run(ctx context.Context) error {
	s.Serve()
	<-ctx.Done()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return s.Close(bounded)
}

// Close ends the streams, lets running requests finish until ctx ends, then cuts them off. It may be called again.
func (s *Server) Close(ctx context.Context) error {
	s.end()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	s.mu.Lock()
	for _, l := range s.listeners { // those that never served
		_ = l.Close()
	}
	s.listeners = nil
	s.mu.Unlock()
	s.serving.Wait()
	return err
}
