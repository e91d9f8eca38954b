package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"jurymast/internal/nameserver/batch"
)

// portTries bounds the search for a port that is free for UDP and TCP.
const portTries = 32

func bindError(text string, err error) error {
	return fmt.Errorf("nameserver: listen %s: %w", text, err)
}

// bind binds one entry of Listen.
func (s *Server) bind(ctx context.Context, text string) error {
	return s.bindEach(text, func(addr netip.AddrPort) (uint16, error) { return s.bindOne(ctx, addr) })
}

// bindEach binds one entry of a list. An entry without a host is both families, each with its own sockets.
func (s *Server) bindEach(text string, one func(netip.AddrPort) (port uint16, err error)) error {
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		return errors.New("not host:port; write 192.0.2.1:53, [2001:db8::1]:53 or :53")
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return fmt.Errorf("port %q: 0 to 65535 are allowed", portText)
	}
	if host == "" {
		return s.bindAll(uint16(port), one)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("host %q: give an IP address, names are not resolved here", host)
	}
	_, err = one(netip.AddrPortFrom(addr.Unmap(), uint16(port)))
	return err
}

// bindAll binds every address of both families; a machine without IPv6 has only one.
func (s *Server) bindAll(port uint16, one func(netip.AddrPort) (uint16, error)) error {
	bound, err := one(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
	if err != nil {
		return err
	}
	_, err = one(netip.AddrPortFrom(netip.IPv6Unspecified(), bound))
	if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		s.log.Warn("no IPv6 on this machine, listening on IPv4 only")
		return nil
	}
	return err
}

// bindOne binds one address: TCP first, because its port is exclusive while UDP sockets share theirs.
func (s *Server) bindOne(ctx context.Context, addr netip.AddrPort) (port uint16, err error) {
	if addr.Addr().IsUnspecified() && (!batch.Wildcard || s.opt.Batch.Shape == batch.Portable) {
		return 0, errors.New("answers on a wildcard address could leave from another one on this system or with udp: {wait: portable}; list the addresses")
	}
	for try := 0; ; try++ {
		port, err = s.pair(ctx, addr)
		if err == nil || addr.Port() != 0 || try == portTries || !errors.Is(err, syscall.EADDRINUSE) {
			return port, remedy(err, addr.Port())
		}
	}
}

// family is the ending of a network's name.
func family(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}

// listenStream listens for connections.
func listenStream(ctx context.Context, addr netip.AddrPort) (net.Listener, netip.AddrPort, error) {
	lc := net.ListenConfig{Control: streamOptions, KeepAlive: -1} // connections that idle end before a keepalive would tell
	l, err := lc.Listen(ctx, "tcp"+family(addr.Addr()), addr.String())
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	bound, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		l.Close()
		return nil, netip.AddrPort{}, err
	}
	return l, bound, nil
}

func (s *Server) pair(ctx context.Context, addr netip.AddrPort) (uint16, error) {
	l, bound, err := listenStream(ctx, addr)
	if err != nil {
		return 0, err
	}
	count := s.opt.Loops
	if !batch.Shared {
		count = 1
	}
	var conns []batch.Conn
	for range count {
		c, err := batch.Listen(ctx, "udp"+family(addr.Addr()), bound, s.opt.Batch)
		if err != nil {
			for _, c := range conns {
				_ = c.Close() // nothing was written
			}
			l.Close()
			return 0, err
		}
		conns = append(conns, c)
	}
	for i, c := range conns {
		d := &datagram{s: s, conn: c, addr: bound, cpu: -1}
		if s.opt.Batch.ByCPU {
			d.cpu = i
		}
		s.udp = append(s.udp, d)
	}
	s.tcp = append(s.tcp, newStream(s, l))
	s.addrs = append(s.addrs, bound)
	return bound.Port(), nil
}

// remedy adds what to do about a bind error.
func remedy(err error, port uint16) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w; port %d needs the capability CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE), or choose a port from 1024", err, port)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; another program has port %d (often systemd-resolved, dnsmasq or a second copy of this one; see: ss -lnptu 'sport = :%d'), stop it or choose another address", err, port, port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w; no interface of this machine has that address", err)
	}
	return err
}
