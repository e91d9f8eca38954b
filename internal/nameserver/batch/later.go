package batch

import (
	"errors"
	"net"
)

// Reply sends one answer, from any goroutine, while the Conn may be used and even closed by others. The answer leaves
// from the address the question was sent to.
type Reply func(answer []byte) error

// errUnsent is a Reply's that the system refused.
var errUnsent = errors.New("the system refused to send the answer")

// replier is what a Conn leaves in a Batch, to answer one of its messages later.
type replier interface {
	later(b *Batch, i int) Reply
}

// Later is for answering Messages[i] after Send: call it before the next Receive, and leave the message's Reply nil.
func (b *Batch) Later(i int) Reply {
	if r, ok := b.system.(replier); ok {
		return r.later(b, i)
	}
	return func([]byte) error { return net.ErrClosed } // nothing was received yet
}

func (p *portable) later(b *Batch, i int) Reply {
	to := b.Messages[i].From
	return func(answer []byte) error {
		_, err := p.conn.WriteToUDPAddrPort(answer, to) // safe from anywhere, after closing too
		return err
	}
}
