package proxy

import (
	"crypto/tls"

	"jurymast/internal/proxy/origins"
)

// introduced is what an origin that wants the PROXY protocol is told of the client's connection; nil for the others.
func (x *exchange) introduced(p *origins.Pool) *origins.Client {
	ends := x.door.ends
	if p.Key().Proxy == 0 || ends == nil {
		return nil
	}
	c := &origins.Client{Peer: ends.Peer, Local: ends.Local, Authority: x.door.sni}
	if c.Authority == "" {
		c.Authority = hostName(string(x.req().Host.Of(x.head)))
	}
	if ends.TLS == nil {
		return c
	}
	c.ALPN, c.TLSVersion = ends.TLS.NegotiatedProtocol, "TLSv1.3"
	if ends.TLS.Version == tls.VersionTLS12 {
		c.TLSVersion = "TLSv1.2"
	}
	if len(ends.TLS.VerifiedChains) > 0 {
		c.CommonName = ends.TLS.PeerCertificates[0].Subject.CommonName
	}
	return c
}
