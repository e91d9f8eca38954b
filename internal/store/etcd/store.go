// Package etcd is the store on etcd: embedded in this process (one member, no sockets at all) or an external
// cluster. Both speak through the same client, so there is one code path and one behaviour.
//
// The embedded server runs on the directory Options.Dir and never on anything else: guard.go refuses a directory
// that is not ours, of another format or damaged, and leaves it untouched. etcd ends the process when its disk
// fails; here it cannot: its last words mark the Store as failed (see embedded.go), every call then answers
// ErrUnavailable, Failed is closed, and the caller opens the store again when the cause is gone.
//
//	Open -> serving -> Close
//	           |
//	           +-> failed (disk write error, damage) -> Close -> Open
package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"jurymast/internal/store"
)

// Options say which etcd and how. Either Dir or Endpoints is needed, not both.
type Options struct {
	// Dir is the data directory of the embedded server; it is made (0700) when it does not exist.
	Dir string
	// CreatedBy is written into the marker of a new directory, e.g. "jurymast 1.2.3".
	CreatedBy string
	// Sound, when set, is called once as soon as Dir is locked, ours and undamaged, before the server starts in it; on
	// an external cluster before the first connection. From then on Open can only fail with ErrUnavailable.
	Sound func()
	// MinFree is how many bytes the disk of Dir must have free for a write to be tried (default 32 MiB, negative:
	// no check). Refusing early keeps etcd alive: it does not survive a write error.
	MinFree int64
	// Quota is the largest size of the database in bytes (default 512 MiB).
	Quota int64
	// QuotaEvery is how often at most room is made while the embedded database has reached its quota (default 1 min): it
	// keeps everybody waiting while its file is rewritten.
	QuotaEvery time.Duration

	// Endpoints of an external cluster, e.g. https://10.0.0.1:2379.
	Endpoints []string
	// TLS for the external cluster; nil speaks plain text.
	TLS *tls.Config
	// Username and Password for the external cluster, if it asks for them.
	Username, Password string
	// DialTimeout is how long Open waits for a first answer (default 5 s), unless its context ends earlier.
	DialTimeout time.Duration

	// CallTimeout bounds every call whose context does not end earlier (default 5 s).
	CallTimeout time.Duration
	// CloseTimeout bounds Close (default 5 s).
	CloseTimeout time.Duration
	// Logger gets etcd's warnings and ours; nil discards them.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.MinFree == 0 {
		o.MinFree = 32 << 20
	}
	if o.Quota <= 0 {
		o.Quota = 512 << 20
	}
	if o.QuotaEvery <= 0 {
		o.QuotaEvery = time.Minute
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = 5 * time.Second
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = 5 * time.Second
	}
	if o.CloseTimeout <= 0 {
		o.CloseTimeout = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CreatedBy == "" {
		o.CreatedBy = "jurymast"
	}
	if o.Sound == nil {
		o.Sound = func() {}
	}
	return o
}

// Store is an open etcd store. It implements store.Store and store.Revoker.
type Store struct {
	opts   Options
	cl     *clientv3.Client
	emb    *embedded     // nil on an external cluster
	health *health       // shared with etcd's logger
	slots  chan struct{} // calls under way, stuck ones included
	ctx    context.Context
	cancel context.CancelFunc
	closed atomic.Bool
	once   sync.Once
	ended  error // what Close answers
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Revoker = (*Store)(nil)
)

// maxCalls bounds the calls under way: a stalled disk must not pile up goroutines.
const maxCalls = 1024

// Open opens the store and returns when it answers, or with the reason why it does not. An external cluster that
// cannot be reached is ErrUnavailable: try again later. A refused directory is ErrDir: an operator is needed.
func Open(ctx context.Context, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	switch {
	case opts.Dir == "" && len(opts.Endpoints) == 0:
		return nil, errors.New("etcd store: neither a data directory nor endpoints are given: set one of the two")
	case opts.Dir != "" && len(opts.Endpoints) > 0:
		return nil, fmt.Errorf("etcd store: both the data directory %s and endpoints %v are given: set one of the two", opts.Dir, opts.Endpoints)
	}
	s := &Store{opts: opts, health: newHealth(opts.Logger), slots: make(chan struct{}, maxCalls)}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if opts.Dir != "" {
		err = s.openEmbedded(ctx)
	} else {
		err = s.openExternal(ctx)
	}
	if err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// Failed is closed when the embedded server has died (disk write error, damage found). Close the store and open
// it again when the cause is gone; until then every call answers ErrUnavailable. It never closes on an external cluster.
func (s *Store) Failed() <-chan struct{} { return s.health.failed }

// FailedBecause is the cause of Failed, nil before.
func (s *Store) FailedBecause() error { return s.health.cause() }

// Close ends the store within Options.CloseTimeout and gives the directory back, also when the embedded server has
// failed; calls and watches end with ErrClosed. When the disk does not answer at all, Close returns an error and the
// directory stays locked until it does. It may be called twice.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.closed.Store(true)
		s.cancel()
		if s.emb != nil {
			s.ended = s.emb.stop(s.cl, s.health, s.opts.CloseTimeout)
			return
		}
		if err := s.cl.Close(); err != nil && !errors.Is(err, context.Canceled) {
			s.ended = fmt.Errorf("etcd store: close: %w", err)
		}
	})
	return s.ended
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.KV, bool, error) {
	if key == "" {
		return store.KV{}, false, fmt.Errorf("etcd store: get an empty key: %w", store.ErrInvalid)
	}
	resp, err := call(ctx, s, "get "+key, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return s.cl.Get(ctx, key)
	})
	if err != nil || len(resp.Kvs) == 0 {
		return store.KV{}, false, err
	}
	return toKV(resp.Kvs[0]), true, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) ([]store.KV, int64, error) {
	resp, err := call(ctx, s, "list "+prefix, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return s.cl.Get(ctx, prefix, clientv3.WithPrefix())
	})
	if err != nil {
		return nil, 0, err
	}
	kvs := make([]store.KV, len(resp.Kvs))
	for i, kv := range resp.Kvs {
		kvs[i] = toKV(kv)
	}
	return kvs, resp.Header.Revision, nil
}

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, conds []store.Cond, ops []store.Op) (int64, bool, error) {
	if err := store.CheckCommit(conds, ops); err != nil {
		return 0, false, err
	}
	resp, err := call(ctx, s, "commit", func(ctx context.Context) (*clientv3.TxnResponse, error) {
		if err := s.spaceLeft(); err != nil {
			return nil, err
		}
		return s.cl.Txn(ctx).If(toCmps(conds)...).Then(toOps(ops)...).Commit()
	})
	if err != nil {
		return 0, false, err
	}
	return resp.Header.Revision, resp.Succeeded, nil
}

// Compact forgets the history up to now: a watch from before ends with ErrCompacted. The embedded server compacts
// by itself; an external cluster should be set to.
func (s *Store) Compact(ctx context.Context) error {
	_, rev, err := s.List(ctx, "\x00")
	if err != nil {
		return err
	}
	_, err = call(ctx, s, "compact", func(ctx context.Context) (*clientv3.CompactResponse, error) {
		return s.cl.Compact(ctx, rev, clientv3.WithCompactPhysical()) // what follows counts on the space
	})
	if errors.Is(err, store.ErrCompacted) {
		return nil // done already
	}
	return err
}

// call runs f with a bounded context, away from the caller: in-process etcd code may block on a stalled disk without
// looking at its context, panic, or end its goroutine through the logger's fatal hook.
func call[T any](ctx context.Context, s *Store, what string, f func(context.Context) (T, error)) (T, error) {
	var none T
	if err := s.usable(ctx); err != nil {
		return none, fmt.Errorf("etcd store: %s: %w", what, err)
	}
	select {
	case s.slots <- struct{}{}:
	default:
		return none, fmt.Errorf("etcd store: %s: %d calls wait already: %w", what, maxCalls, store.ErrUnavailable)
	}
	cctx, cancel := context.WithTimeout(ctx, s.opts.CallTimeout)
	defer cancel()
	type answer struct {
		v   T
		err error
	}
	done := make(chan answer, 1)
	go func() {
		a := answer{err: errDied}
		defer func() {
			if r := recover(); r != nil {
				s.health.fail(fmt.Sprintf("panic in %s: %v", what, r))
			}
			<-s.slots
			done <- a
		}()
		a.v, a.err = f(cctx)
	}()
	select {
	case a := <-done:
		if a.err == nil {
			return a.v, nil
		}
		s.atQuota(a.err)
		return none, fmt.Errorf("etcd store: %s: %w", what, mapErr(ctx, a.err))
	case <-cctx.Done():
		return none, fmt.Errorf("etcd store: %s: no answer: %w", what, mapErr(ctx, cctx.Err()))
	case <-s.health.failed:
		return none, fmt.Errorf("etcd store: %s: %w: %w", what, store.ErrUnavailable, s.health.cause())
	case <-s.ctx.Done():
		return none, fmt.Errorf("etcd store: %s: %w", what, store.ErrClosed)
	}
}

// usable says why no call can be made now.
func (s *Store) usable(ctx context.Context) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	if cause := s.health.cause(); cause != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, cause)
	}
	return ctx.Err()
}
