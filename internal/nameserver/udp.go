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
}

func newDatagram(s *Server, conn *net.UDPConn, addr netip.Addr) *datagram {
	return &datagram{s: s, conn: conn, wildcard: addr.IsUnspecified()}
}

func (d *datagram) loop() {
	in, out := make([]byte, maxDatagram), make([]byte, 0, udpSize+wireSlack)
	var oob []byte
	if d.wildcard {
		oob = make([]byte, maxControl)
	}
	a := d.s.responder()
	for {
		n, control, _, from, err := d.conn.ReadMsgUDPAddrPort(in, oob)
		if err != nil {
			if !d.again(err) {
				return
			}
			continue
		}
		d.s.m.udp.Inc()
		reply := d.s.answer(a, in[:n], out, false, from.Addr())
		if reply == nil {
			continue
		}
		if _, _, err := d.conn.WriteMsgUDPAddrPort(reply, replyFrom(oob[:control]), from); err != nil {
			d.s.m.unsent.Inc() // the client is out of reach, or the path too narrow; it will ask again
		}
	}
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
