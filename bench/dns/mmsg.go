package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batch is how many packets one system call carries.
const batch = 16

// message is struct mmsghdr of the kernel.
type message struct {
	head unix.Msghdr
	n    uint32
	_    [4]byte
}

// socket is one connected UDP socket with its buffers. It never blocks and never allocates.
type socket struct {
	fd      int
	conn    *net.UDPConn // kept: its end would close fd
	out, in [batch]message
	outVec  [batch]unix.Iovec
	inVec   [batch]unix.Iovec
	outBuf  [batch][512]byte
	inBuf   [batch][1500]byte
	queued  int
	asked   [1 << 16]asked // by ID
	next    uint16
}

// newSocket allocates once; the kernel keeps no address beyond a call.
func newSocket(target *net.UDPAddr) (*socket, error) {
	conn, err := net.DialUDP("udp", nil, target)
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn}
	if err := raw.Control(func(fd uintptr) {
		s.fd = int(fd)
		if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) != nil {
			_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20) // as much as there is
		}
	}); err != nil {
		return nil, err
	}
	for i := range batch {
		s.outVec[i].Base, s.inVec[i].Base = &s.outBuf[i][0], &s.inBuf[i][0]
		s.inVec[i].SetLen(len(s.inBuf[i]))
		s.out[i].head.Iov, s.in[i].head.Iov = &s.outVec[i], &s.inVec[i]
		s.out[i].head.SetIovlen(1)
		s.in[i].head.SetIovlen(1)
	}
	return s, nil
}

// put queues a question under an ID: at most a batch until flush.
func (s *socket) put(q []byte, id uint16) {
	b := &s.outBuf[s.queued]
	n := copy(b[:], q)
	binary.BigEndian.PutUint16(b[:], id)
	s.outVec[s.queued].SetLen(n)
	s.queued++
}

// flush sends what is queued. A socket whose buffer is full is tried again at once: it empties without us.
func (s *socket) flush() error {
	for from := 0; from < s.queued; {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.out[from])), //nolint:gosec // sendmmsg(2)
			uintptr(s.queued-from), unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			from += int(n)
		case unix.EAGAIN, unix.EINTR, unix.ENOBUFS:
		default:
			return fmt.Errorf("sendmmsg: %w", e)
		}
	}
	s.queued = 0
	return nil
}

// receive takes what is there, at most one batch.
func (s *socket) receive() (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.in[0])), //nolint:gosec // recvmmsg(2)
		batch, unix.MSG_DONTWAIT, 0, 0)
	switch e {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	default:
		return 0, fmt.Errorf("recvmmsg: %w", e)
	}
}

func (s *socket) packet(i int) []byte { return s.inBuf[i][:min(int(s.in[i].n), len(s.inBuf[i]))] }

// poller waits until a socket has something to read.
type poller struct{ fds [loadSockets]unix.PollFd }

func newPoller(sockets []*socket) *poller {
	p := &poller{}
	for i, s := range sockets {
		p.fds[i] = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN} //nolint:gosec // a descriptor
	}
	return p
}

func (p *poller) wait(d time.Duration) error {
	ts := unix.NsecToTimespec(int64(d))
	_, _, e := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p.fds[0])), loadSockets, //nolint:gosec // ppoll(2)
		uintptr(unsafe.Pointer(&ts)), 0, 0, 0) //nolint:gosec // ppoll(2)
	if e != 0 && e != unix.EINTR {
		return fmt.Errorf("ppoll: %w", e)
	}
	return nil
}

func (p *poller) ready(i int) bool { return p.fds[i].Revents != 0 }
