package batch

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Wildcard: this system tells which address a packet was sent to, and lets the answer leave from it.
const Wildcard = true

// Shared: several sockets may be bound to one address, and clients are spread over them.
const Shared = true

const (
	// receiveWait ends a receive of which nothing came. A time-out of any length also makes signals end it, see the
	// package comment; how long it is only bounds how late a Stop is noticed.
	receiveWait = 100 * time.Millisecond

	// sendWait is how long a full send queue may hold up the loop before the answer is given up.
	sendWait = 10 * time.Millisecond

	// maxControl is room for packet information and the count of dropped packets, in bytes.
	maxControl = 64
)

// conn is a socket of the kernel used with system calls of our own: no poller, no lock, no message at a time.
type conn struct {
	fd       int
	shape    Shape
	wildcard bool
	idle     bool // Raw: nothing came lately, so wait politely
	stopping atomic.Bool
	drain    time.Time // after Stop: until when to wait for packets
	end      time.Time // and until when to read them

	use    sync.Mutex // held by who reads or writes; taken before mu
	mu     sync.Mutex // for those who ask from elsewhere
	closed bool       // written with both, read with one of them
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// headers are what the kernel reads and writes for one batch.
type headers struct {
	conn    *conn
	in, out []mmsghdr
	inVec   []unix.Iovec
	outVec  []unix.Iovec
	names   []unix.RawSockaddrInet6 // large enough for both families
	packets []byte
	control []byte
	used    int // messages of the last receive
}

func listen(ctx context.Context, network string, addr netip.AddrPort, opt Options) (Conn, error) {
	domain, sockaddr := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16(), ZoneId: zone(addr.Addr())})
	if addr.Addr().Is4() {
		domain, sockaddr = unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket "+network, err)
	}
	c := &conn{fd: fd, shape: opt.Shape, wildcard: addr.Addr().IsUnspecified()}
	for _, step := range []func() error{
		func() error { return c.options(addr.Addr()) },
		func() error { return os.NewSyscallError("bind "+addr.String(), unix.Bind(fd, sockaddr)) },
		func() error { return c.byCPU(opt.ByCPU) },
	} {
		if err := step(); err != nil {
			_ = unix.Close(fd) // nothing was sent
			return nil, err
		}
	}
	return c, nil
}

func zone(addr netip.Addr) uint32 {
	if addr.Zone() == "" {
		return 0
	}
	i, err := net.InterfaceByName(addr.Zone())
	if err != nil {
		return 0 // the bind will say so
	}
	return uint32(i.Index) //nolint:gosec // an index of the kernel
}

// options are set before the bind. Datagrams are never sent in fragments [RFC 9715]: path MTU hints are ignored, because
// anybody can forge them, and 1232 bytes fit nearly everywhere.
func (c *conn) options(addr netip.Addr) error {
	list := shared(addr.Is4())
	switch {
	case c.wildcard && addr.Is4():
		list = append(list, option{unix.IPPROTO_IP, unix.IP_PKTINFO, 1})
	case c.wildcard:
		list = append(list, option{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1})
	}
	if err := set(c.fd, list); err != nil {
		return err
	}
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer) // less than wanted is no error worth stopping for
	for name, wait := range map[int]time.Duration{unix.SO_RCVTIMEO: receiveWait, unix.SO_SNDTIMEO: sendWait} {
		tv := unix.NsecToTimeval(wait.Nanoseconds())
		if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, name, &tv); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// byCPU lets the kernel choose the socket with the number of the processor that received the packet, so that the packet
// stays there. A number without a socket falls back to the hash of the client. It belongs to the group, which a socket
// joins when it is bound.
func (c *conn) byCPU(wanted bool) error {
	if !wanted {
		return nil
	}
	const processor = 0xfffff000 + 36 // SKF_AD_OFF + SKF_AD_CPU
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: processor},
		{Code: unix.BPF_RET | unix.BPF_A},
	}
	return os.NewSyscallError("setsockopt SO_ATTACH_REUSEPORT_CBPF", unix.SetsockoptSockFprog(c.fd, unix.SOL_SOCKET,
		unix.SO_ATTACH_REUSEPORT_CBPF, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})) //nolint:gosec // two
}

type option struct{ level, name, value int }

// shared are the options of every shape.
func shared(v4 bool) []option {
	list := []option{{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1}}
	if v4 {
		return append(list, option{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE})
	}
	return append(list, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1}, option{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE})
}

func set(fd int, list []option) error {
	for _, o := range list {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

func shareAddress(network, _ string, rc syscall.RawConn) error {
	var err error
	if e := rc.Control(func(fd uintptr) { err = set(int(fd), shared(network == "udp4")) }); e != nil {
		return e
	}
	return err
}

// headers are made with the first Receive and stay with the batch.
func (c *conn) headers(b *Batch) *headers {
	if h, ok := b.system.(*headers); ok {
		return h
	}
	n := len(b.Messages)
	h := &headers{
		conn: c,
		in:   make([]mmsghdr, n), out: make([]mmsghdr, n), inVec: make([]unix.Iovec, n), outVec: make([]unix.Iovec, n),
		names: make([]unix.RawSockaddrInet6, n), packets: make([]byte, n*MaxPacket),
	}
	if c.wildcard {
		h.control = make([]byte, n*maxControl)
	}
	for i := range n {
		h.inVec[i].Base = &h.packets[i*MaxPacket]
		h.inVec[i].SetLen(MaxPacket)
		h.in[i].hdr.Iov = &h.inVec[i]
		h.in[i].hdr.SetIovlen(1)
		h.in[i].hdr.Name = (*byte)(unsafe.Pointer(&h.names[i])) //nolint:gosec // as recvmmsg(2) wants it
		h.in[i].hdr.Namelen = unix.SizeofSockaddrInet6
		if c.wildcard {
			h.in[i].hdr.Control = &h.control[i*maxControl]
			h.in[i].hdr.SetControllen(maxControl)
		}
		h.out[i].hdr.Iov = &h.outVec[i]
		h.out[i].hdr.SetIovlen(1)
	}
	b.system = h
	return h
}

func (c *conn) Receive(b *Batch) (int, error) {
	c.use.Lock()
	defer c.use.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	h := c.headers(b)
	c.rearm(h)
	for {
		if c.stopping.Load() {
			return c.rest(h, b)
		}
		n, errno := c.receive(h)
		switch {
		case n > 0:
			return c.took(h, b, n), nil
		case errno == unix.EBADF:
			return 0, net.ErrClosed
		case errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR:
			return 0, os.NewSyscallError("recvmmsg", errno)
		}
	}
}

// took hands over what was received.
func (c *conn) took(h *headers, b *Batch, n int) int {
	h.used = n
	for i := range n {
		c.take(h, i, &b.Messages[i])
	}
	return n
}

// rest is Receive after Stop: what is queued, and what comes in a short time; errors end it.
func (c *conn) rest(h *headers, b *Batch) (int, error) {
	now := time.Now()
	if c.end.IsZero() {
		c.drain, c.end = now.Add(drainTime), now.Add(stopTime)
	}
	for now.Before(c.end) {
		n, errno := c.read(h, unix.MSG_DONTWAIT)
		if n > 0 {
			return c.took(h, b, n), nil
		}
		if now = time.Now(); errno != unix.EAGAIN && errno != unix.EINTR || !now.Before(c.drain) {
			break
		}
		time.Sleep(drainTime / 20)
	}
	c.end = c.drain // the next call ends at once
	return 0, ErrStopped
}

// rearm undoes what the kernel wrote into the headers: how much room it used.
func (c *conn) rearm(h *headers) {
	for i := range h.used {
		h.in[i].hdr.Namelen = unix.SizeofSockaddrInet6
		if c.wildcard {
			h.in[i].hdr.SetControllen(maxControl)
		}
	}
}

// receive waits for packets as the shape says. Without any, n is 0.
func (c *conn) receive(h *headers) (n int, errno syscall.Errno) {
	if c.shape == Raw && !c.idle {
		n, errno = c.read(h, unix.MSG_WAITFORONE)
	} else {
		n, errno = c.read(h, unix.MSG_DONTWAIT)
		if errno == unix.EAGAIN && c.shape != Busy {
			n, errno = c.readWaiting(h)
		}
	}
	c.idle = n == 0
	return n, errno
}

// read keeps the processor.
func (c *conn) read(h *headers, flags uintptr) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&h.in[0])), uintptr(len(h.in)), flags, 0, 0) //nolint:gosec // as recvmmsg(2) wants it
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// readWaiting gives the processor away while nothing comes.
func (c *conn) readWaiting(h *headers) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&h.in[0])), uintptr(len(h.in)), unix.MSG_WAITFORONE, 0, 0) //nolint:gosec // as recvmmsg(2) wants it
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// take turns what the kernel wrote into a message and makes the header ready for the next one.
func (c *conn) take(h *headers, i int, m *Message) {
	in := &h.in[i]
	m.Packet, m.Reply = h.packets[i*MaxPacket:i*MaxPacket+int(in.n):(i+1)*MaxPacket], nil
	name := &h.names[i]
	port := (*[2]byte)(unsafe.Pointer(&name.Port)) //nolint:gosec // in the order of the network
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name)) //nolint:gosec // the smaller one
		m.From = netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), binary.BigEndian.Uint16(port[:]))
	} else {
		m.From = netip.AddrPortFrom(netip.AddrFrom16(name.Addr), binary.BigEndian.Uint16(port[:]))
	}
}

func (c *conn) Send(b *Batch, n int) (unsent int) {
	c.use.Lock()
	defer c.use.Unlock()
	h := c.headers(b)
	count := 0
	for i := range b.Messages[:n] {
		m := &b.Messages[i]
		if len(m.Reply) > 0 {
			out := &h.out[count]
			h.outVec[count].Base = &m.Reply[0]
			h.outVec[count].SetLen(len(m.Reply))
			out.hdr.Name, out.hdr.Namelen = h.in[i].hdr.Name, h.in[i].hdr.Namelen
			if c.wildcard {
				c.sourceControl(h, i, out)
			}
			count++
		}
	}
	if c.closed {
		return count
	}
	return c.send(h.out[:count])
}

// send goes on behind a message the system refuses, and waits a little when its queue is full.
func (c *conn) send(out []mmsghdr) (unsent int) {
	for len(out) > 0 {
		//nolint:gosec // as sendmmsg(2) wants it
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&out[0])), uintptr(len(out)), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EAGAIN {
			n, _, errno = unix.Syscall6(unix.SYS_SENDMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&out[0])), uintptr(len(out)), 0, 0, 0) //nolint:gosec // see above
		}
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			out = out[1:]
			unsent++
		default:
			out = out[n:]
		}
	}
	return unsent
}

// Stop is noticed when the receive under way has waited its time.
func (c *conn) Stop() { c.stopping.Store(true) }

func (c *conn) Close() error {
	c.Stop()
	c.use.Lock()
	defer c.use.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	return os.NewSyscallError("close", unix.Close(c.fd))
}

func (c *conn) Dropped() (n uint64, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, false
	}
	return drops(c.fd)
}

// drops is how many packets the kernel has dropped at the socket because its buffer was full.
func drops(fd int) (n uint64, known bool) {
	// SO_MEMINFO fills in nine 32-bit numbers of which the drops are the last. The library has no call for it, but one for
	// an option whose structure is longer and has its field Lost at that place, bytes 32 to 35.
	info, err := unix.GetsockoptTCPInfo(fd, unix.SOL_SOCKET, unix.SO_MEMINFO)
	if err != nil {
		return 0, false
	}
	return uint64(info.Lost), true
}
