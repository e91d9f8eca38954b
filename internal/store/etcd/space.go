package etcd

import (
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"jurymast/internal/store"
)

// spaceEvery is how often the free space is looked at while commits come.
const spaceEvery = 50 * time.Millisecond

// space remembers the last look at the disk.
type space struct {
	next atomic.Int64 // unix nanoseconds
	err  atomic.Pointer[error]
}

// spaceLeft refuses a write while the disk is nearly full. The embedded server lives on, and works again as soon as
// there is space; a write it could not finish would be its end.
func (s *Store) spaceLeft() error {
	if s.emb == nil || s.opts.MinFree < 0 {
		return nil
	}
	now := time.Now().UnixNano()
	next := s.emb.space.next.Load()
	if now >= next && s.emb.space.next.CompareAndSwap(next, now+int64(spaceEvery)) {
		err := freeSpace(s.emb.dir.path, s.opts.MinFree)
		s.emb.space.err.Store(&err)
	}
	if err := s.emb.space.err.Load(); err != nil {
		return *err
	}
	return nil
}

// freeSpace is an error below atLeast bytes; an unknown amount is enough.
func freeSpace(dir string, atLeast int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || atLeast < 0 {
		return nil //nolint:nilerr // a disk that does not tell is not full
	}
	free := int64(st.Bavail) * st.Bsize //nolint:gosec // no disk has 2^63 bytes
	if free >= atLeast {
		return nil
	}
	return fmt.Errorf("disk nearly full: %d MiB are free at %s, %d MiB are needed: free some space: %w",
		free>>20, dir, atLeast>>20, store.ErrUnavailable)
}
