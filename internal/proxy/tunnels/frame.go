package tunnels

import "encoding/binary"

// Of the header of a frame, RFC 6455 section 5.2.
const (
	final    = 0x80
	opMask   = 0x0f
	opKind   = 0x07 // of data and of control frames
	opClose  = 8
	opBinary = 2 // the last one, and 10 among control frames
	masked   = 0x80
	length2  = 126
	length8  = 127

	serviceRestart = 1012 // the registered close code, RFC 6455 section 11.7
)

// follower knows where frames begin without looking into them.
//
//	header (bytes of it gathered) -> payload (left > 0) -> header ...
//	header of an impossible frame -> lost, for good
type follower struct {
	header [14]byte
	have   int
	left   int64 // of the payload
	last   byte  // the frame's opcode
	closed bool  // a close frame has passed
	lost   bool
}

// boundary says whether a frame of ours may come now.
func (f *follower) boundary() bool { return f.have == 0 && f.left == 0 && !f.lost }

// skip goes past p.
func (f *follower) skip(p []byte) {
	for len(p) > 0 && !f.lost {
		p = p[f.advance(p):]
	}
}

// finish goes to the end of the frame under way, or of p, and says how far that was.
func (f *follower) finish(p []byte) (n int) {
	for n < len(p) && !f.boundary() && !f.lost {
		n += f.advance(p[n:])
	}
	return n
}

// advance takes a piece of one frame: payload, or some of a header.
func (f *follower) advance(p []byte) int {
	if f.left > 0 {
		n := min(f.left, int64(len(p)))
		if f.left -= n; f.left == 0 {
			f.end()
		}
		return int(n)
	}
	n := copy(f.header[f.have:f.size()], p)
	if f.have += n; f.have == f.size() {
		f.begin()
	}
	return n
}

// size is how long the header is, as far as its bytes tell.
func (f *follower) size() int {
	if f.have < 2 {
		return 2
	}
	size := 2
	switch f.header[1] &^ masked {
	case length2:
		size += 2
	case length8:
		size += 8
	}
	if f.header[1]&masked != 0 {
		size += 4
	}
	return size
}

// begin reads a header that is complete.
func (f *follower) begin() {
	f.have = 0
	f.last = f.header[0] & opMask
	if f.last&opKind > opBinary { // reserved: this is no websocket, or none that we know
		f.lost = true
		return
	}
	switch n := f.header[1] &^ masked; n {
	case length2:
		f.left = int64(binary.BigEndian.Uint16(f.header[2:]))
	case length8:
		n := binary.BigEndian.Uint64(f.header[2:])
		if f.lost = n>>63 != 0; !f.lost {
			f.left = int64(n) //nolint:gosec // below 2^63
		}
	default:
		f.left = int64(n)
	}
	if f.left == 0 {
		f.end()
	}
}

func (f *follower) end() { f.closed = f.closed || f.last == opClose }
