package inbound

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// listener is one address: several sockets that share it, each with its accept loop.
type listener struct {
	f       *Front
	secure  bool
	name    string // the address really listened on
	sockets []*net.TCPListener

	open    atomic.Int64 // connections
	waiting atomic.Int32 // accept loops that wait for one of them to end
	room    chan struct{}

	accepted, paused, failed atomic.Int64
	refused                  [refusals]atomic.Int64
}

// remedy is what to do about an address that cannot be had.
func remedy(err error, key string) string {
	if errors.Is(err, fs.ErrPermission) {
		return "ports below 1024 need CAP_NET_BIND_SERVICE (or a higher net.ipv4.ip_unprivileged_port_start); else change node.proxy." + key
	}
	return "free the address or change node.proxy." + key
}

// open listens on one address.
func (f *Front) open(addr string, secure bool) error {
	key := "http"
	if secure {
		key = "https"
	}
	sockets, err := sockets(addr, f.o.Loops)
	if err != nil {
		return fmt.Errorf("proxy cannot listen on %s: %w; %s", addr, err, remedy(err, key))
	}
	f.listeners = append(f.listeners, &listener{
		f: f, secure: secure, name: sockets[0].Addr().String(), sockets: sockets, room: make(chan struct{}, f.o.Loops),
	})
	return nil
}

// sockets opens n sockets for one address, among which the kernel spreads clients. The first one takes the address for
// itself and shares it only then, so that an address somebody else has, be it another node of the same user, is still
// an error. Where sharing fails there are fewer sockets.
func sockets(addr string, n int) ([]*net.TCPListener, error) {
	first, err := socketOn(addr, prepare)
	if err != nil {
		return nil, err
	}
	list := []*net.TCPListener{first}
	raw, err := first.SyscallConn()
	if err != nil || share("", "", raw) != nil {
		return list, nil //nolint:nilerr // one socket serves as well, only slower
	}
	for len(list) < n {
		next, err := socketOn(first.Addr().String(), func(network, address string, raw syscall.RawConn) error {
			return errors.Join(prepare(network, address, raw), share(network, address, raw))
		})
		if err != nil {
			break
		}
		list = append(list, next)
	}
	return list, nil
}

func socketOn(addr string, control func(network, address string, c syscall.RawConn) error) (*net.TCPListener, error) {
	// What Go would set for each connection, prepare sets once: connections inherit it.
	lc := net.ListenConfig{KeepAlive: -1, Control: control}
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says where
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		_ = ln.Close()
		return nil, fmt.Errorf("no TCP listener but a %T", ln)
	}
	return tcp, nil
}

// loop accepts until the front stops. Nothing else ends it.
func (l *listener) loop(socket *net.TCPListener) {
	defer socket.Close() //nolint:errcheck // nobody is left to tell
	pause := time.Duration(0)
	for {
		tcp, err := socket.AcceptTCP()
		switch {
		case err == nil:
			pause = 0
			l.welcome(tcp)
		case l.f.stopped() && (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed)):
			return
		default:
			l.failed.Add(1)
			if l.f.acceptComplaint.due(time.Now()) {
				l.f.o.Logger.Error("cannot accept clients; trying again", "listener", l.name, "error", err, "remedy", acceptRemedy(err))
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			l.f.sleep(pause)
		}
	}
}

func acceptRemedy(err error) string {
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return "raise the limit of open files (LimitNOFILE, ulimit -n) to twice node.proxy.limits.connections, or lower the latter"
	}
	return "none is needed if it passes"
}

// welcome admits one connection, as soon as there is room for it, or refuses it.
func (l *listener) welcome(tcp *net.TCPConn) {
	l.accepted.Add(1)
	if !l.admit() { // the front stops
		_ = tcp.Close()
		return
	}
	f := l.f
	c := &Conn{front: f, at: l, tcp: tcp, Listener: l.name, Since: time.Now()}
	c.Socket, c.Local = addrPort(tcp.RemoteAddr()), addrPort(tcp.LocalAddr())
	c.Peer = c.Socket
	announces := within(f.o.ProxyProtocol, c.Socket.Addr())
	if !announces && !f.charge(c) {
		l.leave()
		c.cut()
		return
	}
	f.book.add(c)
	f.conns.Add(1)
	go f.run(c, announces)
}

// admit waits until the listener has fewer connections than it may. False: the front stops.
func (l *listener) admit() bool {
	limit := int64(l.f.o.PerListener)
	for {
		n := l.open.Load()
		if limit < 0 || n < limit {
			if l.open.CompareAndSwap(n, n+1) {
				return true
			}
			continue
		}
		if !l.await(limit) {
			return false
		}
	}
}

// await waits for a connection to end. The order matters: whoever ends one looks at waiting after it has made room.
func (l *listener) await(limit int64) bool {
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	if l.open.Load() < limit {
		return true
	}
	l.paused.Add(1)
	if l.f.pauseComplaint.due(time.Now()) {
		l.f.o.Logger.Warn("a listener has all the connections it may have; new ones wait", "listener", l.name, "connections", limit, "remedy", "raise node.proxy.limits.connections if the machine can carry more")
	}
	select {
	case <-l.room:
		return true
	case <-l.f.stop:
		return false
	}
}

// leave makes room for another connection.
func (l *listener) leave() {
	l.open.Add(-1)
	if l.waiting.Load() == 0 {
		return
	}
	select {
	case l.room <- struct{}{}:
	default: // as many wakes are on their way as there are loops
	}
}

// seldom lets a complaint through now and then.
type seldom struct {
	mu   sync.Mutex
	next time.Time
}

func (s *seldom) due(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		return false
	}
	s.next = now.Add(complainEach)
	return true
}
