package proxy

import (
	"net/http"
	"time"

	"jurymast/internal/proxy/inbound"
)

// What a client's connection is held to before its first request names a profile; proxy.md 11.
const (
	headTimeout = 10 * time.Second // of a request head, in total
	idleTimeout = 60 * time.Second
)

// listen opens all listeners or none.
func (p *Proxy) listen() (err error) {
	p.front, err = inbound.Listen(inbound.Options{
		Plain: p.o.HTTP, Secure: p.o.HTTPS, TLS: p.tlsConfig(),
		ProxyProtocol: p.o.ProxyProtocol, TrustedProxies: p.o.TrustedProxies,
		PerListener: p.o.Limits.Connections, PerClient: p.o.Limits.PerClient, HeadBytes: int(p.o.Limits.Head),
		Watch: p.watch, Serve: p.serveHTTP1, HTTP2: http.HandlerFunc(p.serveHTTP2), Logger: p.o.Logger,
	})
	if err == nil && len(p.o.HTTPS) > 0 && p.certs.Empty() {
		p.o.Logger.Warn("the https listener has no certificate yet, handshakes will fail", "remedy", "set node.proxy.tls.certificates")
	}
	return err //nolint:wrapcheck // it names listener and key
}
