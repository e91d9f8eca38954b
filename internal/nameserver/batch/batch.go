package batch

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

const (
	// MaxPacket is how many bytes of a datagram are read; a longer one loses its tail.
	MaxPacket = 4096

	// DefaultSize is how many messages are read and written at most with one system call.
	DefaultSize = 16

	// MaxSize is the largest batch.
	MaxSize = 64

	// receiveBuffer is asked of the kernel for each socket, in bytes; it gives as much as net.core.rmem_max allows.
	receiveBuffer = 4 << 20

	// drainTime is how long a stopped Conn still waits for packets that were on their way.
	drainTime = 20 * time.Millisecond

	// stopTime is how long a stopped Conn reads what is queued, at most: a flood must not keep it alive.
	stopTime = 500 * time.Millisecond
)

// ErrStopped is Receive's, once everything that was queued at Stop has been read.
var ErrStopped = errors.New("the socket is stopped")

// Shape is how a Conn waits for packets.
type Shape string

// The shapes. Systems other than Linux have Portable alone.
const (
	Polite   Shape = "polite"
	Raw      Shape = "raw"
	Busy     Shape = "busy"
	Portable Shape = "portable"
)

// Message is one datagram and its answer.
type Message struct {
	Packet []byte         // as received; valid until the next Receive
	From   netip.AddrPort // its sender; an IPv4 address is never mapped
	Reply  []byte         // to be sent back, nil for none; may be made in Buffer, must stay until Send returns
	Buffer []byte         // empty, of the capacity the batch was made with
}

// Batch is room for the messages of one Receive.
type Batch struct {
	Messages []Message
	system   any // the platform's message headers
}

// Options of Listen. The zero value is polite and of DefaultSize.
type Options struct {
	Shape Shape // "": Polite, or Portable where there is nothing else
	Size  int   // of batches; 0: DefaultSize, at most MaxSize
	ByCPU bool  // the group's sockets take the packets of the processor with their number; the order of Listen counts
}

// Conn is one UDP socket.
type Conn interface {
	// Receive waits for packets and reads as many as there are. Messages[:n] are valid until the next call. Errors of
	// earlier sends arrive here too: unless it is ErrStopped or net.ErrClosed, the caller goes on.
	Receive(b *Batch) (n int, err error)

	// Send sends the replies of Messages[:n] and returns how many the system refused.
	Send(b *Batch, n int) (unsent int)

	// Stop lets Receive read what is queued, for half a second at most, and then return ErrStopped for ever. It may be
	// called at any time, more than once.
	Stop()

	// Close stops, waits for a Receive or Send under way, and gives the socket back: its number may be somebody else's
	// then, so nothing touches it any more.
	Close() error

	// Dropped is how many packets the kernel has thrown away because the queue was full. It may be asked at any time;
	// the system may not know.
	Dropped() (n uint64, known bool)
}

// New makes a batch for a Conn made with the same options. Each message has a reply buffer of that capacity, in bytes.
func New(opt Options, capacity int) *Batch {
	b := &Batch{Messages: make([]Message, opt.size())}
	replies := make([]byte, len(b.Messages)*capacity)
	for i := range b.Messages {
		b.Messages[i].Buffer = replies[i*capacity : i*capacity : (i+1)*capacity]
	}
	return b
}

func (o *Options) size() int {
	if o.Size <= 0 {
		return DefaultSize
	}
	return min(o.Size, MaxSize)
}

// Listen binds one of several sockets that may share an address; the kernel spreads clients over them. network is udp4
// or udp6.
func Listen(ctx context.Context, network string, addr netip.AddrPort, opt Options) (Conn, error) {
	if opt.Shape == Portable {
		return listenPortable(ctx, network, addr)
	}
	return listen(ctx, network, addr, opt)
}
