package testbed

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Flood sends datagrams with forged IPv4 senders, as an attacker does, from one network namespace.
type Flood struct {
	Namespace string
	To        netip.AddrPort
	Rate      int                                          // packets a second
	From      func(i uint64) netip.AddrPort                // of packet i
	Payload   func(i uint64, buf []byte) (datagram []byte) // may use buf, which is empty
}

// floodTurn is how often packets are sent.
const floodTurn = 5 * time.Millisecond

const ipHead, udpHead = 20, 8 // bytes

// Run sends until ctx ends and says how many packets went out. It ends at the first that cannot be sent.
func (f *Flood) Run(ctx context.Context) (sent uint64, err error) {
	err = Inside(f.Namespace, func() error {
		socket, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return fmt.Errorf("raw socket: %w", err)
		}
		defer func() { _ = unix.Close(socket) }()
		sent, err = f.send(ctx, socket)
		return err
	})
	return sent, err
}

func (f *Flood) send(ctx context.Context, socket int) (sent uint64, err error) {
	packet := make([]byte, 0, 2048)
	to := &unix.SockaddrInet4{Addr: f.To.Addr().As4()}
	began := time.Now()
	tick := time.NewTicker(floodTurn)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return sent, nil
		case <-tick.C:
		}
		// What was missed is sent later, but never more than ten turns' worth at once.
		due := uint64(time.Since(began).Seconds() * float64(f.Rate))
		if most := sent + uint64(10*floodTurn.Seconds()*float64(f.Rate)); due > most {
			began = began.Add(time.Duration(float64(due-most) / float64(f.Rate) * float64(time.Second)))
			due = most
		}
		for ; sent < due; sent++ {
			packet = f.packet(sent, packet[:0])
			if err := unix.Sendto(socket, packet, 0, to); err != nil && err != unix.ENOBUFS && err != unix.EPERM {
				return sent, fmt.Errorf("send packet %d: %w", sent, err)
			}
		}
	}
}

// packet writes IP and UDP headers before the payload; the kernel fills in the IP checksum, and none is needed for UDP.
func (f *Flood) packet(i uint64, b []byte) []byte {
	from, dst := f.From(i), f.To.Addr().As4()
	src := from.Addr().As4()
	b = b[:ipHead+udpHead]
	clear(b)
	payload := f.Payload(i, b[ipHead+udpHead:])
	total := ipHead + udpHead + len(payload)
	b = append(b[:ipHead+udpHead], payload...)
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(b[2:], uint16(total)) //nolint:gosec // a test's own, far below 64 KiB
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	binary.BigEndian.PutUint16(b[ipHead:], from.Port())
	binary.BigEndian.PutUint16(b[ipHead+2:], f.To.Port())
	binary.BigEndian.PutUint16(b[ipHead+4:], uint16(udpHead+len(payload))) //nolint:gosec // see above
	return b
}

// Traffic of an interface so far.
type Traffic struct {
	RxBytes, TxBytes, RxPackets, TxPackets uint64
}

// Counters of eth0 in a namespace.
func Counters(namespace string) (t Traffic, err error) {
	out, err := shell("ip -n " + namespace + " -s -j link show dev eth0")
	if err != nil {
		return t, fmt.Errorf("ip -s link: %w: %s", err, out)
	}
	type side struct{ Bytes, Packets uint64 }
	var list []struct {
		Stats struct{ Rx, Tx side } `json:"stats64"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		return t, fmt.Errorf("ip -s link says %q: %w", out, err)
	}
	s := &list[0].Stats
	return Traffic{s.Rx.Bytes, s.Tx.Bytes, s.Rx.Packets, s.Tx.Packets}, nil
}
