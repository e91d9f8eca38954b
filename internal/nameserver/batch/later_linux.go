package batch

import (
	"bytes"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// later copies where the question came from, and where it was sent to. The socket is used under the lock that closing it
// takes too: afterwards its number may be somebody else's.
func (h *headers) later(_ *Batch, i int) Reply {
	c, name, length := h.conn, h.names[i], h.in[i].hdr.Namelen
	var control []byte
	if c.wildcard {
		var out mmsghdr
		if c.sourceControl(h, i, &out); out.hdr.Control != nil {
			control = bytes.Clone(unsafe.Slice(out.hdr.Control, out.hdr.Controllen)) //nolint:gosec // within h.control
		}
	}
	return func(answer []byte) error {
		if len(answer) == 0 {
			return nil
		}
		vec := unix.Iovec{Base: &answer[0]}
		vec.SetLen(len(answer))
		out := make([]mmsghdr, 1)
		out[0].hdr.Iov = &vec
		out[0].hdr.SetIovlen(1)
		out[0].hdr.Name, out[0].hdr.Namelen = (*byte)(unsafe.Pointer(&name)), length //nolint:gosec // as sendmmsg(2) wants it
		if len(control) > 0 {
			out[0].hdr.Control = &control[0]
			out[0].hdr.SetControllen(len(control))
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case c.closed:
			return net.ErrClosed
		case c.send(out) > 0:
			return errUnsent
		}
		return nil
	}
}
