package etcd

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"jurymast/internal/store"
)

// maxBehind is how many batches a reader may be behind before its watch ends with ErrCompacted.
const maxBehind = 8192

// Watch implements store.Store. etcd sends whole revisions as long as fragments are not asked for, and the client
// resumes after the last revision it has seen, so a lost connection makes no gap.
func (s *Store) Watch(ctx context.Context, prefix string, after int64) <-chan store.Batch {
	out := make(chan store.Batch)
	go func() {
		defer close(out)
		last, err := s.follow(ctx, prefix, after, out)
		if err == nil {
			return
		}
		select {
		case out <- store.Batch{Rev: last, Err: fmt.Errorf("etcd store: watch %s: %w", prefix, err)}:
		case <-ctx.Done():
		}
	}()
	return out
}

// follow returns nil when ctx ended, else why the watch cannot go on.
func (s *Store) follow(ctx context.Context, prefix string, last int64, out chan<- store.Batch) (int64, error) {
	if err := s.usable(ctx); err != nil {
		return last, whenLive(ctx, err)
	}
	wctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	responses, err := s.startWatch(wctx, prefix, last)
	if err != nil {
		return last, whenLive(ctx, err)
	}
	var queue []store.Batch
	for {
		var to chan<- store.Batch
		var head store.Batch
		if len(queue) > 0 {
			to, head = out, queue[0]
		}
		select {
		case to <- head:
			last, queue = head.Rev, queue[1:]
		case r, ok := <-responses:
			b, err := s.toBatch(r, ok)
			if err != nil {
				return last, whenLive(ctx, err)
			}
			if len(b.Events) > 0 {
				queue = append(queue, b)
			}
			if len(queue) > maxBehind {
				return last, fmt.Errorf("the reader is %d batches behind: %w", len(queue), store.ErrCompacted)
			}
		case <-ctx.Done():
			return last, nil
		case <-s.ctx.Done():
			return last, store.ErrClosed
		case <-s.health.failed:
			return last, fmt.Errorf("%w: %w", store.ErrUnavailable, s.health.cause())
		}
	}
}

// startWatch may block on a stalled server, hence the goroutine.
func (s *Store) startWatch(ctx context.Context, prefix string, after int64) (clientv3.WatchChan, error) {
	made := make(chan clientv3.WatchChan, 1)
	go func() {
		made <- s.cl.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(after+1))
	}()
	select {
	case w := <-made:
		return w, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.ctx.Done():
		return nil, store.ErrClosed
	case <-s.health.failed:
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, s.health.cause())
	}
}

func (s *Store) toBatch(r clientv3.WatchResponse, ok bool) (store.Batch, error) {
	switch {
	case s.closed.Load():
		return store.Batch{}, store.ErrClosed
	case !ok:
		return store.Batch{}, fmt.Errorf("ended by the server: %w", store.ErrUnavailable)
	case r.CompactRevision != 0:
		return store.Batch{}, fmt.Errorf("kept from revision %d: %w", r.CompactRevision, store.ErrCompacted)
	case r.Err() != nil:
		return store.Batch{}, mapErr(s.ctx, r.Err())
	}
	b := store.Batch{Events: make([]store.Event, len(r.Events))}
	for i, e := range r.Events {
		b.Events[i] = toEvent(e)
		b.Rev = b.Events[i].Rev
	}
	return b, nil
}

// whenLive drops an error that only says that ctx ended.
func whenLive(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, store.ErrClosed) {
		return nil
	}
	return err
}
