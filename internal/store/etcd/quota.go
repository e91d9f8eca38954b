package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// room is the making of room in the database when it has reached its quota, one at a time.
type room struct {
	mu   sync.Mutex
	next time.Time      // not before
	done sync.WaitGroup // who closes the server waits for it
	over bool           // closing: no more
}

// atQuota makes room away from the caller when err says that the database has reached its quota: most of it is history
// then, as a rule. It must not be left to the next start, for nobody starts a node that only warns. On an external
// cluster this is its operator's to do.
func (s *Store) atQuota(err error) {
	if s.emb == nil || !errors.Is(err, rpctypes.ErrNoSpace) {
		return
	}
	r := &s.emb.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || time.Now().Before(r.next) {
		return
	}
	r.next = time.Now().Add(time.Hour) // until this one is over
	r.done.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				s.health.fail(fmt.Sprintf("panic while room was made: %v", p))
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.next = time.Now().Add(s.opts.QuotaEvery)
		}()
		if err := s.makeRoom(s.ctx, false); err != nil && s.ctx.Err() == nil {
			s.noRoom(err)
		}
	})
}

// end waits until no room is being made, and lets nobody begin.
func (r *room) end() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.done.Wait()
}

// clearAlarm makes the store of an earlier life writable again if it had reached its quota.
func (s *Store) clearAlarm(ctx context.Context) error {
	alarms, err := call(ctx, s, "list alarms", func(ctx context.Context) (*clientv3.AlarmResponse, error) {
		return s.cl.AlarmList(ctx)
	})
	if err != nil || len(alarms.Alarms) == 0 {
		return err
	}
	if err := s.makeRoom(ctx, true); err != nil {
		if cause := s.usable(ctx); cause != nil {
			return cause
		}
		s.noRoom(err) // it can be read at least, and the next write tries again
	}
	return nil
}

func (s *Store) noRoom(err error) {
	s.opts.Logger.Error("store has reached its quota and no room could be made", slog.Any("error", err))
}

// makeRoom forgets the history, writes the file anew and takes the alarm back. If the keys themselves are too many that
// does not help: unless always is set, the file, which nobody can use while it is rewritten, is left alone then.
func (s *Store) makeRoom(ctx context.Context, always bool) error {
	began := time.Now()
	s.opts.Logger.Warn("store has reached its quota, compacting", slog.Int64("quota", s.opts.Quota))
	if err := s.Compact(ctx); err != nil {
		return err
	}
	back := s.emb.srv.Backend()
	back.ForceCommit() // what was forgotten counts as free after the commit after its own
	back.ForceCommit()
	used := back.SizeInUse()
	if !always && used > s.opts.Quota/10*9 {
		return fmt.Errorf("%d MiB of %d MiB are in use, and none of it is history: delete documents that are not needed", used>>20, s.opts.Quota>>20)
	}
	if err := freeSpace(s.emb.dir.path, s.opts.MinFree+used); err != nil && s.opts.MinFree >= 0 {
		return fmt.Errorf("the file cannot be rewritten: %w", err)
	}
	if err := back.Defrag(); err != nil {
		return fmt.Errorf("defragment: %w", err)
	}
	_, err := call(ctx, s, "disarm alarms", func(ctx context.Context) (*clientv3.AlarmResponse, error) {
		return s.cl.AlarmDisarm(ctx, &clientv3.AlarmMember{})
	})
	if err == nil {
		s.opts.Logger.Info("store has room again", slog.Int64("bytes", back.Size()), slog.Duration("took", time.Since(began)))
	}
	return err
}
