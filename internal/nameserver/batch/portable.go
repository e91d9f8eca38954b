package batch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// portable reads and writes one message per call, with package net alone. It does not know to which address of the
// machine a packet came, so it must not be bound to all of them.
type portable struct {
	conn    *net.UDPConn
	packet  [MaxPacket]byte
	mu      sync.Mutex
	stopped bool
}

func listenPortable(ctx context.Context, network string, addr netip.AddrPort) (Conn, error) {
	lc := net.ListenConfig{Control: shareAddress}
	pc, err := lc.ListenPacket(ctx, network, addr.String())
	if err != nil {
		return nil, err
	}
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		pc.Close()
		return nil, fmt.Errorf("%s %s: not a UDP socket", network, addr)
	}
	_ = conn.SetReadBuffer(receiveBuffer) // less than wanted is no error worth stopping for
	return &portable{conn: conn}, nil
}

func (p *portable) Receive(b *Batch) (int, error) {
	n, from, err := p.conn.ReadFromUDPAddrPort(p.packet[:])
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.stopped && errors.Is(err, os.ErrDeadlineExceeded) {
			err = ErrStopped
		}
		return 0, err
	}
	b.system = p
	m := &b.Messages[0]
	m.Packet, m.Reply = p.packet[:n], nil
	m.From = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return 1, nil
}

func (p *portable) Send(b *Batch, n int) (unsent int) {
	for i := range b.Messages[:n] {
		m := &b.Messages[i]
		if m.Reply == nil {
			continue
		}
		if _, err := p.conn.WriteToUDPAddrPort(m.Reply, m.From); err != nil {
			unsent++
		}
	}
	return unsent
}

// Stop gives packets on their way some time: a read with an elapsed deadline would leave queued ones unread.
func (p *portable) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.stopped = true
		_ = p.conn.SetReadDeadline(time.Now().Add(drainTime)) // fails on a closed socket only
	}
}

func (p *portable) Close() error { return p.conn.Close() }

func (p *portable) Dropped() (n uint64, known bool) {
	raw, err := p.conn.SyscallConn()
	if err != nil {
		return 0, false
	}
	if err := raw.Control(func(fd uintptr) { n, known = drops(int(fd)) }); err != nil {
		return 0, false
	}
	return n, known
}
