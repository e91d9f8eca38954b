package nameserver

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
)

const (
	maxDatagram = 4096 // bytes of a question read over UDP; a longer one loses its tail and so is malformed
	maxControl  = 128  // bytes of packet information

	// retryPause after a read error that is none of ours, so that a broken socket does not take a processor.
	retryPause = 10 * time.Millisecond
)

// datagram is one UDP socket and the one goroutine that reads it, answers in place and writes. There is no goroutine
// per question and nothing to wait for in between.
type datagram struct {
	s        *Server
	conn     *net.UDPConn
	wildcard bool
	v4       bool
}

func newDatagram(s *Server, conn *net.UDPConn, addr netip.Addr) *datagram {
	return &datagram{s: s, conn: conn, wildcard: addr.IsUnspecified(), v4: addr.Is4()}
}

func (d *datagram) loop() {
	in, out := make([]byte, maxDatagram), make([]byte, 0, udpSize+wireSlack)
	var oob []byte
	if d.wildcard {
		oob = make([]byte, maxControl)
	}
	a := d.s.responder()
	a.c.kernel.Store(new(d.drops))
	queries := &a.c.udp6
	if d.v4 {
		queries = &a.c.udp4
	}
	for i := 1; ; i++ {
		n, control, _, from, err := d.conn.ReadMsgUDPAddrPort(in, oob)
		if err != nil {
			if !d.again(err) {
				return
			}
			continue
		}
		queries.Add(1)
		var start time.Time
		if i%timeEvery == 0 {
			start = time.Now()
		}
		reply := d.s.answer(a, in[:n], out, false, from.Addr())
		if reply == nil {
			continue
		}
		if _, _, err := d.conn.WriteMsgUDPAddrPort(reply, replyFrom(oob[:control]), from); err != nil {
			a.c.unsent.Add(1) // the client is out of reach, or the path too narrow; it will ask again
		}
		if i%timeEvery == 0 {
			a.c.took(time.Since(start))
		}
	}
}

// drops is what the kernel has dropped at the socket.
func (d *datagram) drops() (n uint64, known bool) {
	raw, err := d.conn.SyscallConn()
	if err != nil {
		return 0, false
	}
	if err := raw.Control(func(fd uintptr) { n, known = socketDrops(int(fd)) }); err != nil {
		return 0, false
	}
	return n, known
}

// wireSlack lets a set be written behind the limit before it is taken back, without a new buffer.
const wireSlack = 2048

// again reports whether the loop goes on after a read error. Errors of earlier sends arrive here too.
func (d *datagram) again(err error) bool {
	switch {
	case d.s.isStopping() && (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed)):
		return false
	case errors.Is(err, net.ErrClosed):
		return false
	}
	d.s.log.Warn("reading from a UDP socket failed, trying again", "address", d.conn.LocalAddr().String(), "error", err)
	select {
	case <-d.s.stopping:
	case <-time.After(retryPause):
	}
	return true
}
