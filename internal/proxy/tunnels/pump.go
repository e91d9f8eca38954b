package tunnels

import (
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"

	"jurymast/internal/proxy/wire"
)

// pump is one direction.
type pump struct {
	dst, src *wire.Conn
	n        *atomic.Int64 // what dst took
	renew    func()        // something moved
	frames   *follower     // nil: nobody asks where frames begin
}

// run relays until the source ends (nil) or one side fails.
func (p *pump) run() (wire.Side, error) {
	size := piece
	for {
		if err := p.src.Await(); err != nil {
			return wire.Source, err //nolint:wrapcheck // the caller knows the side
		}
		full, err := p.copy(size)
		if size = piece; full {
			size = bulk
		}
		switch {
		case errors.Is(err, io.EOF):
			return 0, nil
		case err == nil && full:
			err = p.splice()
		}
		if err == nil {
			continue
		}
		if e, ok := errors.AsType[*wire.SideError](err); ok {
			if errors.Is(e.Err, io.ErrUnexpectedEOF) {
				return 0, nil
			}
			return e.Side, e.Err
		}
		return wire.Source, err
	}
}

// copy moves what is there, at most limit bytes. Full: there may be more at once.
func (p *pump) copy(limit int) (full bool, err error) {
	buf := wire.Get(limit)
	defer wire.Put(buf)
	r, err := p.src.Read((*buf)[:limit])
	if err != nil {
		return false, err //nolint:wrapcheck // the caller knows the side
	}
	p.renew()
	n, err := p.dst.Write((*buf)[:r])
	p.n.Add(int64(n))
	if p.frames != nil {
		p.frames.skip((*buf)[:n])
	}
	if err != nil {
		return false, &wire.SideError{Side: wire.Sink, Err: err}
	}
	p.renew()
	return r == limit, nil
}

// splice moves bulk in the kernel: as much of a frame as is missing, where frames are followed.
func (p *pump) splice() error {
	if !p.dst.IsPlain() || !p.src.IsPlain() {
		return nil
	}
	n := int64(stride)
	if p.frames != nil {
		if n = p.frames.left; n < bulk {
			return nil
		}
	}
	moved, err := wire.SpliceRenew(p.dst, p.src, n, p.renew)
	p.n.Add(moved)
	if p.frames != nil {
		p.frames.left -= moved
	}
	return err //nolint:wrapcheck // it says which side
}

// goodbye relays the rest of the frame under way and ends with a close frame.
func (p *pump) goodbye(code uint16) (wire.Side, error) {
	if p.frames == nil || p.frames.lost {
		return wire.Source, ErrCut
	}
	for !p.frames.boundary() {
		if side, err := p.rest(); err != nil {
			return side, err
		}
	}
	if p.frames.closed {
		return 0, nil // it has been said
	}
	frame := binary.BigEndian.AppendUint16([]byte{final | opClose, 2}, code)
	n, err := p.dst.Write(frame)
	p.n.Add(int64(n))
	return wire.Sink, err //nolint:wrapcheck // the caller knows the side
}

// rest relays some of the frame under way and drops what follows it.
func (p *pump) rest() (wire.Side, error) {
	buf := wire.Get(piece)
	defer wire.Put(buf)
	r, err := p.src.Read(*buf)
	if err != nil {
		return wire.Source, err //nolint:wrapcheck // the caller knows the side
	}
	n, err := p.dst.Write((*buf)[:p.frames.finish((*buf)[:r])])
	p.n.Add(int64(n))
	return wire.Sink, err //nolint:wrapcheck // the caller knows the side
}
