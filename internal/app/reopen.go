package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"jurymast/internal/profile"
	"jurymast/internal/store"
	"jurymast/internal/store/etcd"
)

// reopener is the store the rest of the program sees: it is there from the start, says ErrUnavailable while etcd is
// not, and opens it again after it failed. The embedded store dies of a disk that refuses writes; the node must not.
type reopener struct {
	opts etcd.Options
	log  *slog.Logger

	mu      sync.Mutex
	current *etcd.Store
	cause   error // why it is not open
}

func (r *reopener) get() (*etcd.Store, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == nil {
		if r.cause != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, r.cause)
		}
		return nil, store.ErrUnavailable
	}
	return r.current, nil
}

// open opens the store once; ErrDir means that an operator is needed. sound is called as soon as the store's directory
// is locked and found undamaged; nil: nobody wants to know.
func (r *reopener) open(ctx context.Context, sound func()) error {
	opts := r.opts
	opts.Sound = sound
	s, err := etcd.Open(ctx, opts)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current, r.cause = s, err
	if err != nil {
		r.current = nil
	}
	return err
}

// keep reopens the store whenever it has failed, until ctx ends. first is what open said.
func (r *reopener) keep(ctx context.Context, first error) {
	err := first
	for {
		if err == nil {
			s, gone := r.get()
			if gone != nil {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-s.Failed():
			}
			r.log.Error("the store has failed; opening it again until it works", "error", s.FailedBecause())
			r.mu.Lock()
			r.current, r.cause = nil, s.FailedBecause()
			r.mu.Unlock()
			if err := s.Close(); err != nil {
				r.log.Warn("the failed store does not close", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * time.Second):
		}
		if err = r.open(ctx, nil); err != nil && ctx.Err() == nil {
			r.log.Warn("the store does not open", "error", err)
		}
	}
}

func (r *reopener) close() error {
	r.mu.Lock()
	s := r.current
	r.current, r.cause = nil, store.ErrClosed
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.Close()
}

// detail says in one line why the store is not there, "" when it is.
func (r *reopener) detail() string {
	if _, err := r.get(); err != nil {
		return err.Error()
	}
	return ""
}

// Get implements store.Store, as do the methods below.
func (r *reopener) Get(ctx context.Context, key string) (store.KV, bool, error) {
	s, err := r.get()
	if err != nil {
		return store.KV{}, false, err
	}
	return s.Get(ctx, key)
}

// List implements store.Store.
func (r *reopener) List(ctx context.Context, prefix string) ([]store.KV, int64, error) {
	s, err := r.get()
	if err != nil {
		return nil, 0, err
	}
	return s.List(ctx, prefix)
}

// Commit implements store.Store.
func (r *reopener) Commit(ctx context.Context, conds []store.Cond, ops []store.Op) (int64, bool, error) {
	s, err := r.get()
	if err != nil {
		return 0, false, err
	}
	return s.Commit(ctx, conds, ops)
}

// Watch implements store.Store.
func (r *reopener) Watch(ctx context.Context, prefix string, after int64) <-chan store.Batch {
	s, err := r.get()
	if err != nil {
		c := make(chan store.Batch, 1)
		c <- store.Batch{Err: err}
		close(c)
		return c
	}
	return s.Watch(ctx, prefix, after)
}

// Grant implements store.Store.
func (r *reopener) Grant(ctx context.Context, ttl time.Duration) (store.Lease, error) {
	s, err := r.get()
	if err != nil {
		return nil, err
	}
	return s.Grant(ctx, ttl)
}

// RevokeID implements store.Revoker.
func (r *reopener) RevokeID(ctx context.Context, id store.LeaseID) error {
	s, err := r.get()
	if err != nil {
		return err
	}
	return s.RevokeID(ctx, id)
}

var (
	_ store.Store   = (*reopener)(nil)
	_ store.Revoker = (*reopener)(nil)
)

// storeOptions translates the node's words. Without endpoints the store is embedded in the data directory.
func storeOptions(n *profile.Node, d *data, version string, log *slog.Logger) (etcd.Options, error) {
	o := etcd.Options{CreatedBy: "jurymast " + version, Logger: log}
	if len(n.Store.Endpoints) == 0 {
		o.Dir = d.path("store")
		return o, nil
	}
	o.Endpoints = n.Store.Endpoints
	t := n.Store.TLS
	if t.CA == "" && t.Cert == "" && t.Key == "" {
		return o, nil
	}
	o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return o, fmt.Errorf("node.store.tls.ca: %w", err)
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return o, errors.New("node.store.tls.ca: no PEM certificate in " + t.CA)
		}
	}
	if t.Cert != "" || t.Key != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return o, fmt.Errorf("node.store.tls: cert and key: %w", err)
		}
		o.TLS.Certificates = []tls.Certificate{pair}
	}
	return o, nil
}
