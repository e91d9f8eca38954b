package etcd

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3compactor"
	"go.etcd.io/etcd/server/v3/features"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"

	"jurymast/internal/store"
)

// embedded is one etcd member inside this process. It has no listener: the client calls it directly.
type embedded struct {
	dir   *dirLock
	space space
	srv   *etcdserver.EtcdServer
}

const (
	tick          = 100 * time.Millisecond
	electionTicks = 5 // 3/2 * 5 ticks = 0.75 s, so the shortest lease is 1 s
	segmentBytes  = 8 << 20
	keepRevisions = 5000
)

// smallSegments sets the size of etcd's log segments, a global of its package. The default of 64 MB, two of them
// preallocated, is out of proportion for a store of a few MB.
var smallSegments = sync.OnceFunc(func() { wal.SegmentSizeBytes = segmentBytes })

func (s *Store) openEmbedded(ctx context.Context) error {
	smallSegments()
	dir, err := openDir(s.opts.Dir, s.opts.CreatedBy)
	if err != nil {
		return err
	}
	srv, err := s.start(ctx, dir)
	if err != nil {
		fence(dir)
		dir.unlock()
		return err
	}
	s.emb = &embedded{dir: dir, srv: srv}
	s.cl = v3client.New(srv)
	if err := s.clearAlarm(ctx); err != nil {
		return fmt.Errorf("etcd store: %s: %w", dir.path, joinClose(err, s))
	}
	return nil
}

func joinClose(err error, s *Store) error {
	if cerr := s.Close(); cerr != nil {
		return fmt.Errorf("%w (and %w)", err, cerr)
	}
	return err
}

// start makes the server and waits until it leads. All of it runs away from the caller, for etcd may panic, end the
// goroutine or hang on a stalled disk.
func (s *Store) start(ctx context.Context, dir *dirLock) (*etcdserver.EtcdServer, error) {
	if err := freeSpace(dir.path, s.opts.MinFree); err != nil {
		return nil, fmt.Errorf("etcd store: %w", err)
	}
	type result struct {
		srv *etcdserver.EtcdServer
		err error
	}
	made := make(chan result, 1)
	go func() {
		r := result{err: errDied}
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("panic: %v", p)
			}
			made <- r
		}()
		cfg, err := serverConfig(dir, s.opts, newZap(s.opts.Logger, s.health))
		if err != nil {
			r.err = err
			return
		}
		r.srv, r.err = etcdserver.NewServer(cfg)
		if r.err == nil {
			r.srv.Start()
		}
	}()
	giveUp := func(srv *etcdserver.EtcdServer, err error) (*etcdserver.EtcdServer, error) {
		if srv != nil {
			stopServer(srv, s.opts.CloseTimeout)
		}
		return nil, fmt.Errorf("etcd store: start in %s: %w: %w", dir.path, store.ErrUnavailable, err)
	}
	var srv *etcdserver.EtcdServer
	select {
	case r := <-made:
		if r.err != nil {
			return giveUp(nil, firstCause(s.health, r.err))
		}
		srv = r.srv
	case <-s.health.failed:
		return giveUp(nil, s.health.cause())
	case <-ctx.Done():
		return giveUp(nil, ctx.Err())
	}
	select {
	case <-srv.ReadyNotify():
		return srv, nil
	case <-s.health.failed:
		return giveUp(srv, s.health.cause())
	case <-ctx.Done():
		return giveUp(srv, ctx.Err())
	}
}

func firstCause(h *health, err error) error {
	if cause := h.cause(); cause != nil {
		return cause
	}
	return err
}

// clearAlarm makes the store writable again after it had reached its quota: old revisions go, the file is
// rewritten, and the alarm is taken back. If the documents themselves are too many the alarm comes back.
func (s *Store) clearAlarm(ctx context.Context) error {
	alarms, err := call(ctx, s, "list alarms", func(ctx context.Context) (*clientv3.AlarmResponse, error) {
		return s.cl.AlarmList(ctx)
	})
	if err != nil || len(alarms.Alarms) == 0 {
		return err
	}
	s.opts.Logger.Warn("store had reached its quota, compacting", slog.Int64("quota", s.opts.Quota))
	if err := s.Compact(ctx); err != nil {
		return err
	}
	if err := s.emb.srv.Backend().Defrag(); err != nil {
		return fmt.Errorf("defragment: %w", err)
	}
	_, err = call(ctx, s, "disarm alarms", func(ctx context.Context) (*clientv3.AlarmResponse, error) {
		return s.cl.AlarmDisarm(ctx, &clientv3.AlarmMember{})
	})
	return err
}

// stop ends client and server. A server that has failed may never end: its goroutines hold locks for ever. Then it
// is cut off from its files, so that it can do no harm and the directory can be opened again.
func (e *embedded) stop(cl *clientv3.Client, h *health, limit time.Duration) error {
	defer e.dir.unlock()
	if h.cause() != nil {
		limit = min(limit, 2*time.Second)
	}
	begin := time.Now()
	clientDone := make(chan struct{})
	go func() {
		defer close(clientDone)
		defer func() { _ = recover() }() // a client of a dead server has nothing left to say
		_ = cl.Close()
	}()
	ended := stopServer(e.srv, limit)
	select {
	case <-clientDone:
	case <-time.After(max(0, limit-time.Since(begin))):
	}
	// Even an orderly end after a failure leaves files open.
	if !ended || h.cause() != nil {
		if err := fence(e.dir); err != nil {
			return fmt.Errorf("etcd store: %s: the failed store could not be cut off from its files; start the process anew: %w", e.dir.path, err)
		}
	}
	return nil
}

// stopServer is true when the server ended within the limit. The goroutine keeps a stuck server reachable, so that the
// garbage collector closes none of its files under fence.
func stopServer(srv *etcdserver.EtcdServer, limit time.Duration) bool {
	done := make(chan struct{})
	go func() {
		defer func() {
			if recover() == nil {
				close(done)
			}
		}()
		srv.HardStop()
		runtime.KeepAlive(srv)
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}

func serverConfig(dir *dirLock, o Options, lg *zap.Logger) (config.ServerConfig, error) {
	// Never dialled and never listened on: a single member has no peer. etcd wants every member to have an address.
	urls, err := types.NewURLs([]string{"http://127.0.0.1:1"})
	if err != nil {
		return config.ServerConfig{}, fmt.Errorf("peer address: %w", err)
	}
	const name = "jurymast"
	return config.ServerConfig{
		Name: name, DataDir: dir.path, Logger: lg,
		ClientURLs: urls, PeerURLs: urls,
		NewCluster: true, InitialPeerURLsMap: types.URLsMap{name: urls}, InitialClusterToken: rand.Text(),
		TickMs: uint(tick / time.Millisecond), ElectionTicks: electionTicks, InitialElectionTickAdvance: true,
		// The log in memory holds this many entries of up to 1.5 MB.
		SnapshotCount: 1000, SnapshotCatchUpEntries: 100, MaxSnapFiles: 2, MaxWALFiles: 2,
		BackendFreelistType:     bbolt.FreelistMapType,
		AutoCompactionMode:      v3compactor.ModeRevision,
		AutoCompactionRetention: keepRevisions,
		QuotaBackendBytes:       o.Quota,
		MaxTxnOps:               store.MaxOps, MaxRequestBytes: 1536 * 1024,
		WarningApplyDuration: time.Second, WarningUnaryRequestDuration: 2 * time.Second,
		StrictReconfigCheck: true, AuthToken: "simple", BcryptCost: 10, TokenTTL: 300,
		CompactHashCheckTime: time.Minute, WatchProgressNotifyInterval: 10 * time.Minute,
		DowngradeCheckTime: 5 * time.Second, PreVote: true, MaxLearners: 1,
		ServerFeatureGate: features.NewDefaultServerFeatureGate(name, lg),
		V2Deprecation:     config.V2DeprDefault, Metrics: "basic",
	}, nil
}
