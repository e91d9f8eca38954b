package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"jurymast/internal/store"
)

// openExternal connects to the cluster and demands one answer.
func (s *Store) openExternal(ctx context.Context) error {
	cl, err := clientv3.New(clientv3.Config{
		Context:              s.ctx,
		Endpoints:            s.opts.Endpoints,
		TLS:                  s.opts.TLS,
		Username:             s.opts.Username,
		Password:             s.opts.Password,
		DialTimeout:          s.opts.DialTimeout,
		DialKeepAliveTime:    5 * time.Second,
		DialKeepAliveTimeout: 2 * time.Second,
		Logger:               newZap(s.opts.Logger, nil),
		// A write that was cut off must not be tried again by the client: its outcome is the caller's to find out.
		MaxUnaryRetries: 1,
	})
	if err != nil {
		return fmt.Errorf("etcd store: endpoints %v: %w: %w", s.opts.Endpoints, store.ErrUnavailable, err)
	}
	s.cl = cl
	dctx, cancel := context.WithTimeout(ctx, s.opts.DialTimeout)
	defer cancel()
	if _, _, err := s.Get(dctx, "/jurymast/v1/meta"); err != nil {
		return errors.Join(
			fmt.Errorf("etcd store: endpoints %v do not answer (connection %v): check the addresses, the cluster's quorum and the TLS settings: %w",
				s.opts.Endpoints, connState(cl), err),
			cl.Close())
	}
	return nil
}

func connState(cl *clientv3.Client) connectivity.State {
	if c := cl.ActiveConnection(); c != nil {
		return c.GetState()
	}
	return connectivity.Idle
}
