package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"jurymast/internal/store"
)

// openExternal connects to the cluster and demands one answer.
func (s *Store) openExternal(ctx context.Context) error {
	s.opts.Sound()
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
			fmt.Errorf("etcd store: endpoints %v do not answer%s: check the addresses, the cluster's quorum and the TLS settings: %w",
				s.opts.Endpoints, diagnose(ctx, s.opts), err),
			cl.Close())
	}
	return nil
}

// diagnose says what hinders a plain connection to the first endpoint that cannot be used: the client keeps such
// causes to itself.
func diagnose(ctx context.Context, o Options) string {
	for _, e := range o.Endpoints {
		if err := tryConnect(ctx, e, o.TLS); err != nil {
			return fmt.Sprintf(" (%s: %v)", e, err)
		}
	}
	return ""
}

func tryConnect(ctx context.Context, endpoint string, conf *tls.Config) (err error) {
	host := endpoint
	if u, perr := url.Parse(endpoint); perr == nil && u.Host != "" {
		host = u.Host
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if conf == nil {
		return nil
	}
	conf = conf.Clone()
	conf.NextProtos = []string{"h2"}
	if conf.ServerName == "" {
		conf.ServerName, _, _ = net.SplitHostPort(host)
	}
	tc := tls.Client(conn, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		return err
	}
	// Since TLS 1.3 a server refuses our certificate after the handshake; otherwise it begins with its settings.
	_ = tc.SetReadDeadline(time.Now().Add(time.Second))
	var one [1]byte
	if _, err := tc.Read(one[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}
