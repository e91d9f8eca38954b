package nameserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"jurymast/internal/certificates"
	"jurymast/internal/nameserver/tap"
)

// Secure are the encrypted transports. Their connections have the limits of TCP, each address its own.
type Secure struct {
	TLS          []string // host:port each, for DNS over TLS [RFC 7858]; as Options.Listen
	HTTPS        []string // for DNS over HTTPS [RFC 8484]
	QUIC         []string // for DNS over QUIC [RFC 9250]
	Certificates *certificates.Holder
}

// Names of the protocols inside TLS [RFC 7858, RFC 9250, RFC 9113].
const (
	alpnDoT  = "dot"
	alpnDoQ  = "doq"
	alpnH2   = "h2"
	alpnHTTP = "http/1.1"
)

// SecureAddrs are the bound addresses of an encrypted transport, in the order of its list.
func (s *Server) SecureAddrs(via tap.Transport) []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]netip.AddrPort(nil), s.secure[via]...)
}

// tlsConfig is that of all listeners of one transport: a session that began at one is resumed at all of them. There is
// no early data over TCP, so no question can be replayed.
func (s *Server) tlsConfig(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: certificates.Suites, GetCertificate: s.certificate, NextProtos: protocols,
		DynamicRecordSizingDisabled: true, // answers that are written at once are one record
	}
}

// certificate answers a handshake.
func (s *Server) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s.opt.Secure.Certificates == nil {
		return nil, certificates.ErrNone
	}
	return s.opt.Secure.Certificates.Pick(hello)
}

// bindSecure binds all addresses of the encrypted transports.
func (s *Server) bindSecure(ctx context.Context) error {
	each := func(list []string, one func(netip.AddrPort) (uint16, error)) error {
		for _, text := range list {
			if err := s.bindEach(text, one); err != nil {
				return bindError(text, err)
			}
		}
		return nil
	}
	dot, doh, doq := s.tlsConfig(alpnDoT), s.tlsConfig(alpnH2, alpnHTTP), s.tlsConfig(alpnDoQ)
	err := each(s.opt.Secure.TLS, func(addr netip.AddrPort) (uint16, error) { return s.bindTLS(ctx, addr, tap.DoT, dot) })
	if err == nil {
		err = each(s.opt.Secure.HTTPS, func(addr netip.AddrPort) (uint16, error) { return s.bindTLS(ctx, addr, tap.DoH, doh) })
	}
	if err == nil {
		err = each(s.opt.Secure.QUIC, func(addr netip.AddrPort) (uint16, error) { return s.bindQUIC(ctx, addr, doq) })
	}
	if err != nil {
		return err
	}
	if h := s.opt.Secure.Certificates; len(s.secure) > 0 && (h == nil || h.Empty()) {
		s.log.Warn("encrypted DNS has no certificate yet, handshakes will fail", "remedy", "set node.nameserver.certificates")
	}
	return nil
}

func (s *Server) bindTLS(ctx context.Context, addr netip.AddrPort, via tap.Transport, config *tls.Config) (uint16, error) {
	l, bound, err := listenStream(ctx, addr)
	if err != nil {
		return 0, remedy(err, addr.Port())
	}
	t := newStream(s, l)
	t.via, t.tls = via, config
	t.rates = newRates(t.limits.Handshakes, t.limits.PerPrefixHandshakes)
	if via == tap.DoH {
		t.web = newWeb(t)
	}
	s.tcp = append(s.tcp, t)
	s.bound(via, bound)
	return bound.Port(), nil
}

// bound notes an address. It needs mu.
func (s *Server) bound(via tap.Transport, addr netip.AddrPort) {
	if s.secure == nil {
		s.secure = map[tap.Transport][]netip.AddrPort{}
	}
	s.secure[via] = append(s.secure[via], addr)
}

// protect makes the connection one of TLS. Nothing is sent or read yet.
func (t *stream) protect(c *client) {
	if t.tls == nil {
		return
	}
	c.records = &records{Conn: c.raw}
	c.conn = tls.Server(c.records, t.tls)
}

// shake does the handshake, in the time of a first question. false: it failed, and is counted.
func (t *stream) shake(c *client) bool {
	conn, ok := c.conn.(*tls.Conn)
	if !ok {
		return true
	}
	count := &t.s.m.lines[t.via]
	if !t.wait(c, true) || conn.SetWriteDeadline(time.Now().Add(t.limits.First)) != nil {
		return false
	}
	if err := conn.Handshake(); err != nil { //nolint:noctx // the deadlines end it, and stop moves them
		count.unshaken[t.s.unshaken(err)].Add(1)
		return false
	}
	state := conn.ConnectionState()
	count.shook(state.Version, state.DidResume)
	return true
}

// unshaken is why a handshake failed.
func (s *Server) unshaken(err error) int {
	switch alert := tls.AlertError(0); {
	case errors.Is(err, certificates.ErrNone):
		s.bare.Do(func() {
			s.log.Warn("TLS handshakes fail: no certificate", "remedy", "set node.nameserver.certificates")
		})
		return unshakenNoCert
	case errors.Is(err, os.ErrDeadlineExceeded):
		return unshakenTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.As(err, &alert), isRemote(err):
		return unshakenClient
	}
	return unshakenOther
}

// isRemote reports an alert that the client sent.
func isRemote(err error) bool {
	op := new(net.OpError)
	return errors.As(err, &op) && op.Op == "remote error"
}
