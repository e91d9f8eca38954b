// Package store is the contract between Jurymast and the place where its nodes agree.
//
// It says what a store must do and nothing of how: keys are paths, values are bytes, every change has a
// revision that only grows, and the only way to write is a compare-and-swap of several keys at once. What the
// keys mean is cluster's business. Two stores fulfil the contract, mem (tests, simulation) and etcd (embedded
// or external); storetest is the one suite both must pass.
//
// A store never retries on its own and never hides an outage: a call fails with ErrUnavailable (or the
// context's error) and the caller decides.
package store

import (
	"context"
	"errors"
	"time"
)

// Errors a store returns; test them with errors.Is.
var (
	// ErrUnavailable: the store cannot be reached or cannot write now (no quorum, disk full, stalled).
	ErrUnavailable = errors.New("store unavailable")
	// ErrCompacted: a watch asked for a revision that is no longer kept; List again and watch from there.
	ErrCompacted = errors.New("store revision compacted")
	// ErrLeaseLost: the lease has run out or was revoked.
	ErrLeaseLost = errors.New("store lease lost")
	// ErrClosed: the store was closed by us.
	ErrClosed = errors.New("store closed")
	// ErrTooLarge: one commit is over the limits of a transaction (MaxOps, MaxBytes).
	ErrTooLarge = errors.New("store transaction too large")
	// ErrInvalid: one commit contradicts itself (see CheckCommit) or a call has an argument that can never work.
	ErrInvalid = errors.New("store call invalid")
)

// Limits of one Commit, those of etcd's defaults, enforced by every implementation.
const (
	MaxOps   = 128
	MaxBytes = 1_500_000
)

// KV is one key with its value. Rev is the revision of its last change, at least 1.
type KV struct {
	Key   string
	Value []byte
	Rev   int64
	Lease LeaseID // 0: lives for ever
}

// LeaseID names a lease; 0 is no lease.
type LeaseID int64

// Cond is one condition of a commit: the key's last revision equals Rev; Rev 0 demands that the key is absent.
type Cond struct {
	Key string
	Rev int64
}

// Op is one write of a commit. A nil Value deletes the key; Prefix with a nil Value deletes every key below Key.
type Op struct {
	Key    string
	Value  []byte
	Lease  LeaseID
	Prefix bool
}

// Put, Delete and DeletePrefix build operations.
func Put(key string, value []byte) Op { return Op{Key: key, Value: nonNil(value)} }

// PutLeased is Put bound to a lease: the key goes when the lease does.
func PutLeased(key string, value []byte, lease LeaseID) Op {
	return Op{Key: key, Value: nonNil(value), Lease: lease}
}

// Delete removes one key; deleting an absent key is no error.
func Delete(key string) Op { return Op{Key: key} }

// DeletePrefix removes every key that starts with prefix.
func DeletePrefix(prefix string) Op { return Op{Key: prefix, Prefix: true} }

func nonNil(v []byte) []byte {
	if v == nil {
		return []byte{}
	}
	return v
}

// Event is one change seen by a watch. Deleted events carry key and revision only.
type Event struct {
	KV
	Deleted bool
}

// Batch is what a watch delivers: all changes of one or several whole revisions, in order (a commit is never
// split over two batches), or the error that ended the watch, after which the channel is closed. Rev is the revision
// of the last event; of an error batch, of the last one delivered: a new watch can go on after it.
type Batch struct {
	Events []Event
	Rev    int64
	Err    error
}

// Store is the contract. All methods are safe for concurrent use and honour ctx.
type Store interface {
	// Get returns one key; ok is false when it is absent.
	Get(ctx context.Context, key string) (kv KV, ok bool, err error)
	// List returns all keys below prefix in key order, and the store revision they are true at.
	List(ctx context.Context, prefix string) (kvs []KV, rev int64, err error)
	// Commit applies all ops if all conditions hold (ok true), else nothing (ok false). rev is the store
	// revision after the call; it grows only when something changed. An empty conds always holds.
	// When err is ErrTooLarge, ErrInvalid or ErrLeaseLost nothing was applied; with every other err the outcome
	// is unknown: the caller reads before it tries again.
	Commit(ctx context.Context, conds []Cond, ops []Op) (rev int64, ok bool, err error)
	// Watch delivers the changes below prefix with a revision above after, until ctx ends (the channel is then
	// closed without an error batch). A watch that falls behind or whose revision is compacted ends with an
	// error batch, never with a gap. The reader reads until the channel is closed or ends ctx.
	Watch(ctx context.Context, prefix string, after int64) <-chan Batch
	// Grant makes a lease; ttl is at least one second for etcd. It lives while Renew is called.
	Grant(ctx context.Context, ttl time.Duration) (Lease, error)
}

// Lease is a promise of the store to delete the keys bound to it unless it hears from us.
type Lease interface {
	ID() LeaseID
	// Renew extends the lease by its ttl, counted by the store from when it handles the call; the holder must
	// count from before it called. ErrLeaseLost when it is gone.
	Renew(ctx context.Context) error
	// Revoke ends it now, with its keys.
	Revoke(ctx context.Context) error
}

// Revoker is implemented by stores that can end a lease known only by its id: a restarted node revokes the lease
// of its earlier life so that nobody waits for it to run out.
type Revoker interface {
	RevokeID(ctx context.Context, id LeaseID) error
}
