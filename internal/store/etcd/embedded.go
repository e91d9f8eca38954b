package etcd

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
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
	room  room
	srv   *etcdserver.EtcdServer
}

const (
	tick          = 100 * time.Millisecond
	electionTicks = 5 // 3/2 * 5 ticks = 0.75 s, so the shortest lease is 1 s
	segmentBytes  = 8 << 20
	keepRevisions = 1000 // history nobody in this process reads, but it fills the quota
)

// The size of etcd's log segments is a global of its package, set before anything of it can run. The default of 64 MB,
// two of them preallocated, is out of proportion for a store of a few MB.
func init() { wal.SegmentSizeBytes = segmentBytes }

func (s *Store) openEmbedded(ctx context.Context) error {
	dir, err := openDirWithin(ctx, s.opts)
	if err != nil {
		return err
	}
	s.opts.Sound()
	srv, err := s.start(ctx, dir)
	if err != nil {
		return fmt.Errorf("etcd store: start in %s: %w: %w", dir.path, store.ErrUnavailable, err)
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

// openDirWithin gives up on a disk that does not answer; the lock is let go when it does.
func openDirWithin(ctx context.Context, o Options) (*dirLock, error) {
	type result struct {
		dir *dirLock
		err error
	}
	made := make(chan result, 1)
	go func() {
		dir, err := openDir(o.Dir, o.CreatedBy)
		if err == nil {
			if err = freeSpace(dir.path, o.MinFree); err != nil {
				dir.unlock()
			}
		}
		made <- result{dir, err}
	}()
	select {
	case r := <-made:
		return r.dir, r.err
	case <-ctx.Done():
		go func() {
			if r := <-made; r.err == nil {
				r.dir.unlock()
			}
		}()
		return nil, fmt.Errorf("etcd store: the disk of %s does not answer: %w: %w", o.Dir, store.ErrUnavailable, ctx.Err())
	}
}

// start makes the server and waits until it leads, or gives the directory back. All of it runs away from the caller,
// for etcd may panic, end the goroutine or hang on a stalled disk.
func (s *Store) start(ctx context.Context, dir *dirLock) (*etcdserver.EtcdServer, error) {
	var srv *etcdserver.EtcdServer
	err := errDied
	made := make(chan struct{})
	go func() {
		defer close(made)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
			if err != nil { // what was opened on the way stays open: have it cut off
				s.health.fail(err.Error())
			}
		}()
		cfg, cerr := serverConfig(dir, s.opts, newZap(s.opts.Logger, s.health))
		if cerr != nil {
			err = cerr
			return
		}
		made, nerr := etcdserver.NewServer(cfg)
		if nerr == nil {
			made.Start()
		}
		srv, err = made, nerr // the last step: when the goroutine ends on the way, err stays errDied
	}()
	var why error
	select {
	case <-made:
		if why = err; why == nil {
			if why = s.lead(ctx, srv); why == nil {
				return srv, nil
			}
		}
	case <-s.health.failed:
	case <-ctx.Done():
		why = ctx.Err()
	}
	ended := make(chan struct{})
	go func() {
		<-made
		if err == nil {
			<-stopServer(srv)
		}
		close(ended)
	}()
	if rerr := release(dir, ended, s.health, s.opts.CloseTimeout); rerr != nil {
		why = fmt.Errorf("%w (and %w)", firstCause(s.health, why), rerr)
	}
	return nil, firstCause(s.health, why)
}

// lead waits until the server leads its cluster of one.
func (s *Store) lead(ctx context.Context, srv *etcdserver.EtcdServer) error {
	select {
	case <-srv.ReadyNotify():
		return nil
	case <-s.health.failed:
		return s.health.cause()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func firstCause(h *health, err error) error {
	if cause := h.cause(); cause != nil {
		return cause
	}
	return err
}

// stop ends client and server and gives the directory back.
func (e *embedded) stop(cl *clientv3.Client, h *health, limit time.Duration) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.room.end()
		func() {
			defer func() { _ = recover() }() // a client of a dead server has nothing left to say
			_ = cl.Close()
		}()
		<-stopServer(e.srv)
	}()
	return release(e.dir, ended, h, limit)
}

// stopServer's channel is closed when the server has ended, which a failed one may never do. The goroutine keeps a
// stuck server reachable, so that the garbage collector closes none of its files under fence.
func stopServer(srv *etcdserver.EtcdServer) <-chan struct{} {
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
	return done
}

// deadWait is how long a failed server is waited for: what still ends ends at once.
const deadWait = 2 * time.Second

// release gives the directory back when the server has ended or is dead. A server that only hangs, on a disk that
// does not answer, may go on writing when the disk does: its directory stays locked until then.
func release(d *dirLock, ended <-chan struct{}, h *health, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ended:
		return letGo(d, h)
	case <-h.failed:
		waitDead(ended, min(limit, deadWait))
		return letGo(d, h)
	case <-timer.C:
	}
	go func() {
		select {
		case <-ended:
		case <-h.failed:
			waitDead(ended, deadWait)
		}
		_ = letGo(d, h)
	}()
	return fmt.Errorf("etcd store: %s: the disk has not answered for %v: the directory stays locked until it does: %w",
		d.path, limit, store.ErrUnavailable)
}

func waitDead(ended <-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

// letGo unlocks the directory. A failed server leaves files open and locks held, even after an orderly end.
func letGo(d *dirLock, h *health) error {
	defer d.unlock()
	if h.cause() == nil {
		return nil
	}
	if err := fence(d); err != nil {
		return fmt.Errorf("etcd store: %s: the failed store could not be cut off from its files; start the process anew: %w", d.path, err)
	}
	return nil
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
		StrictReconfigCheck: true, BcryptCost: 10, TokenTTL: 300,
		CompactHashCheckTime: time.Minute, WatchProgressNotifyInterval: 10 * time.Minute,
		DowngradeCheckTime: 5 * time.Second, PreVote: true, MaxLearners: 1,
		ServerFeatureGate: features.NewDefaultServerFeatureGate(name, lg),
		V2Deprecation:     config.V2DeprDefault, Metrics: "basic",
	}, nil
}
