package origins

import (
	"crypto/tls"
	"crypto/x509"
	"time"
)

// tlsTimeout is how long a handshake with an origin may take, after connecting.
const tlsTimeout = 5 * time.Second

// TLS is what one kind of origins wants beyond the server name in the Key. Connections are shared by pointer: who
// compiles a configuration keeps the same pointer as long as the words stay the same, and so the connections.
type TLS struct {
	Roots       *x509.CertPool   // nil: those of Options
	Certificate *tls.Certificate // of ours, when the origin asks for one; nil: none
	Unverified  bool             // whatever certificate the origin has is taken: for origins that have no better one
}

// config is how a Key's handshakes are made: certificate verified on name, chain and expiry, TLS 1.2 at least, no
// HTTP/2, no renegotiation, sessions resumed.
func (k Key) config(roots *x509.CertPool) *tls.Config {
	if !k.Secure {
		return nil
	}
	c := &tls.Config{
		ServerName: k.ServerName, RootCAs: roots, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(2), // a pool has one name
	}
	if t := k.TLS; t != nil {
		if t.Roots != nil {
			c.RootCAs = t.Roots
		}
		if t.Certificate != nil {
			c.Certificates = []tls.Certificate{*t.Certificate}
		}
		c.InsecureSkipVerify = t.Unverified
	}
	return c
}
