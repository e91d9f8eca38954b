package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// What every client connection is held to; proxy.md 11.
const (
	headBytes   = 64 << 10
	headTimeout = 10 * time.Second // of the request head, in total
	idleTimeout = 60 * time.Second
	h2Streams   = 128
)

// listenerKey carries the listener's address to the access log.
type listenerKey struct{}

// front is one listener and its HTTP server.
type front struct {
	ln     net.Listener
	secure bool
	srv    *http.Server
}

// listenRemedy is what to do about an address that cannot be had.
func listenRemedy(err error, key string) string {
	if errors.Is(err, fs.ErrPermission) {
		return "ports below 1024 need CAP_NET_BIND_SERVICE (or a higher net.ipv4.ip_unprivileged_port_start); else change node.proxy." + key
	}
	return "free the address or change node.proxy." + key
}

// listen opens all listeners or none.
func (p *Proxy) listen() error {
	open := func(addrs []string, secure bool) error {
		for _, addr := range addrs {
			ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
			if err != nil {
				key := "http"
				if secure {
					key = "https"
				}
				return fmt.Errorf("proxy cannot listen on %s: %w; %s", addr, err, listenRemedy(err, key))
			}
			p.fronts = append(p.fronts, &front{ln: ln, secure: secure, srv: p.server(ln.Addr().String(), secure)})
		}
		return nil
	}
	err := errors.Join(open(p.o.HTTP, false), open(p.o.HTTPS, true))
	if err != nil {
		p.closeListeners()
	}
	return err
}

func (p *Proxy) closeListeners() {
	for _, f := range p.fronts {
		f.ln.Close()
	}
}

func (p *Proxy) server(addr string, secure bool) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	srv := &http.Server{
		Handler:                      p,
		ReadHeaderTimeout:            headTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               headBytes,
		DisableGeneralOptionsHandler: true, // OPTIONS * is the origin's to answer
		Protocols:                    protocols,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: h2Streams},
		ErrorLog:                     slog.NewLogLogger(p.o.Logger.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.Background(), listenerKey{}, addr)
		},
	}
	if secure {
		protocols.SetHTTP2(true)
		srv.TLSConfig = p.tlsConfig()
		if p.certs.Empty() {
			p.o.Logger.Warn("the https listener has no certificate yet, handshakes will fail", "listener", addr, "remedy", "set node.proxy.tls.certificates")
		}
	}
	return srv
}

func (f *front) serve(log *slog.Logger) {
	var err error
	if f.secure {
		err = f.srv.ServeTLS(f.ln, "", "")
	} else {
		err = f.srv.Serve(f.ln)
	}
	if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		log.Error("a proxy listener ended", "listener", f.ln.Addr().String(), "error", err)
	}
}

// shutdown lets requests finish until ctx ends, then cuts them.
func (f *front) shutdown(ctx context.Context) error {
	f.ln.Close() // also when it was never served
	if err := f.srv.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("proxy listener %s: requests were cut at the end of the drain: %w", f.ln.Addr(), err), f.srv.Close())
	}
	return nil
}
