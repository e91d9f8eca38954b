package inbound

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"jurymast/internal/proxy/wire"
)

// Defaults; proxy.md 11 says the limits, the time for a PROXY header is ours.
const (
	defaultPerListener = 50_000
	defaultPerClient   = 1000

	announceTime  = 3 * time.Second
	handshakeTime = 10 * time.Second
	idleTime      = time.Minute

	streams      = 128              // of one HTTP/2 connection at once
	headBytes    = 64 << 10         // header list of HTTP/2
	frameBytes   = 16 << 10         // of HTTP/2
	writePause   = 60 * time.Second // without a byte taken by an HTTP/2 client
	freshGrace   = time.Second      // at shutdown, for the first byte of a connection just accepted
	lastAccepts  = 20 * time.Millisecond
	sweepEvery   = 20 * time.Millisecond
	lingerTime   = 500 * time.Millisecond
	afterCut     = 5 * time.Second
	complainEach = 10 * time.Second
)

// Options of a Front. Serve is required; zero values are the defaults.
type Options struct {
	Plain, Secure []string    // host:port to listen on; port 0 takes a free one, see Addrs
	TLS           *tls.Config // of the secure ones; must not be changed afterwards

	// ProxyProtocol are the peers that must begin with a PROXY header; those of others is never read. TrustedProxies are
	// exempt from PerClient.
	ProxyProtocol, TrustedProxies []netip.Prefix

	PerListener int // connections per address listened on; default 50000, negative: no limit
	PerClient   int // of them from one IPv4 address or IPv6 /64; default 1000, negative: no limit
	Loops       int // accept loops per address, each with a socket of its own; default: as many as processors

	AnnounceTime  time.Duration // for a whole PROXY header; default 3s
	HandshakeTime time.Duration // for a whole TLS handshake; default 10s
	IdleTime      time.Duration // of HTTP/2 connections without a request; default 1m
	HeadBytes     int           // of a head in HTTP/2; default 64 KiB

	Watch *wire.Watch // minds the deadlines of connections; nil: each its own

	// Serve carries HTTP/1.x on one connection and returns when it is over; the connection is closed then.
	Serve func(*Conn)
	// HTTP2 answers the requests of clients that chose HTTP/2 in their handshake, which is only offered when this is
	// set. ConnOf gives the connection of a request.
	HTTP2 http.Handler

	Logger *slog.Logger
}

func (o *Options) complete() error {
	if o.Serve == nil {
		return errors.New("inbound: Options.Serve is missing")
	}
	if len(o.Secure) > 0 && o.TLS == nil {
		return errors.New("inbound: Options.TLS is missing")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	number := func(p *int, otherwise int) {
		if *p == 0 {
			*p = otherwise
		}
	}
	number(&o.PerListener, defaultPerListener)
	number(&o.PerClient, defaultPerClient)
	number(&o.Loops, runtime.GOMAXPROCS(0))
	number(&o.HeadBytes, headBytes)
	span := func(p *time.Duration, otherwise time.Duration) {
		if *p <= 0 {
			*p = otherwise
		}
	}
	span(&o.AnnounceTime, announceTime)
	span(&o.HandshakeTime, handshakeTime)
	span(&o.IdleTime, idleTime)
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
		o.TLS.NextProtos = []string{"h2", "http/1.1"}
		if o.HTTP2 == nil {
			o.TLS.NextProtos = o.TLS.NextProtos[1:]
		}
	}
	return nil
}

// within says whether one of the networks contains the address.
func within(list []netip.Prefix, addr netip.Addr) bool {
	addr = addr.WithZone("") // no prefix contains an address with a zone
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
