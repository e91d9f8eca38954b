package etcd

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"jurymast/internal/store"
)

// Grant implements store.Store. etcd counts in whole seconds: ttl is rounded up, 1 s at least.
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (store.Lease, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("etcd store: grant a lease of %v: it must be positive: %w", ttl, store.ErrInvalid)
	}
	seconds := int64((ttl + time.Second - 1) / time.Second)
	resp, err := call(ctx, s, "grant a lease", func(ctx context.Context) (*clientv3.LeaseGrantResponse, error) {
		if err := s.spaceLeft(); err != nil {
			return nil, err
		}
		return s.cl.Grant(ctx, seconds)
	})
	if err != nil {
		return nil, err
	}
	return &lease{s: s, id: resp.ID}, nil
}

// RevokeID implements store.Revoker.
func (s *Store) RevokeID(ctx context.Context, id store.LeaseID) error {
	_, err := call(ctx, s, "revoke a lease", func(ctx context.Context) (*clientv3.LeaseRevokeResponse, error) {
		return s.cl.Revoke(ctx, clientv3.LeaseID(id))
	})
	return err
}

type lease struct {
	s  *Store
	id clientv3.LeaseID
}

func (l *lease) ID() store.LeaseID { return store.LeaseID(l.id) }

func (l *lease) Renew(ctx context.Context) error {
	_, err := call(ctx, l.s, "renew a lease", func(ctx context.Context) (*clientv3.LeaseKeepAliveResponse, error) {
		return l.s.cl.KeepAliveOnce(ctx, l.id)
	})
	return err
}

func (l *lease) Revoke(ctx context.Context) error { return l.s.RevokeID(ctx, l.ID()) }
