// Package doh2 is HTTP/2 for requests that are answered at once: DNS over HTTPS [RFC 8484, RFC 9113]. It is no web server:
// there are no handlers that wait, no responses that stream, no server push, no upgrade from HTTP/1.1. It never starts a
// goroutine and never holds more than one connection's worth of bounded buffers:
//
//	frames that have arrived -> heads (hpack) and bodies -> Options.Answer -> frames, written in one go
//	                                                            \-> what the client's window has no room for waits
//
// A connection may have Streams requests open, 128 KiB of bodies on the way, and a head of HeadBytes. Who sends frames
// without ever asking anything is told to calm down.
package doh2

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/net/http2/hpack"
)

// Limits of one connection, in bytes unless told otherwise.
const (
	HeadBytes = 16 << 10 // of one request, compressed and not
	BodyBytes = 65535    // of one request

	frameBytes   = 16 << 10 // of a payload, both ways: the default, which nobody has to be told
	streamWindow = BodyBytes + 1
	connWindow   = 128 << 10
	firstWindow  = 65535 // before anybody says otherwise
	mostWindow   = 1<<31 - 1
	burst        = 16 << 10 // answers are written when they are that many
	keep         = 64 << 10 // larger buffers are given back
	waiting      = 256 << 10
	idleFrames   = 1000 // frames in a row that do not ask anything
)

// Request is the head of one request.
type Request struct {
	Method, Path, Type string
	Length             int64 // as announced; -1: it was not
}

// Reply is what is sent back. Status is 200 with a message, or an error with a text.
type Reply struct {
	Status int
	Body   []byte // valid until the next call
	MaxAge uint32 // seconds; of 200
	Allow  string // of 405
}

// Options of a connection.
type Options struct {
	Streams int                   // open at once
	Wait    func(first bool) bool // starts the time for the next question; false: there is none
	Begun   func() time.Duration  // a question is here; how long the client may take to take in the answers
	Ahead   func() bool           // takes what has arrived into the reader's buffer, without waiting; false: there is no more; nil: nobody knows
	Write   func([]byte, time.Duration) error
	Head    func(*Request) (question []byte, body bool, status int) // a question in the head, one to come in the body, or neither
	Answer  func(question []byte) Reply
	Refuse  func(status int) Reply
}

// Why a connection ended, beside errors of reading and writing.
var (
	ErrMisuse  = errors.New("not HTTP/2 as it should be")
	ErrStopped = errors.New("stopped")
)

// misuse ends a connection with a code.
type misuse struct {
	code uint32
	what string
}

func (m *misuse) Error() string        { return fmt.Sprintf("HTTP/2: %s (code %d)", m.what, m.code) }
func (m *misuse) Is(target error) bool { return target == ErrMisuse }

// Codes of errors [RFC 9113 7].
const (
	codeNone        = 0
	codeProtocol    = 1
	codeFlow        = 3
	codeClosed      = 5
	codeSize        = 6
	codeRefused     = 7
	codeCompression = 9
	codeCalm        = 11
)

func wrong(code uint32, what string) error { return &misuse{code, what} }

// stream is one request whose body, or whose room for an answer, is missing.
type stream struct {
	body   []byte // of the request; while it is read
	reply  []byte // what is left of the answer; nil: there is none yet
	window int64  // for the answer
	credit int    // bytes of the connection's window that its body holds
}

// conn is one connection.
type conn struct {
	o       Options
	in      *bufio.Reader
	out     []byte
	answers int // in out
	payload []byte

	decoder *hpack.Decoder
	head    Request
	fault   bool // the head is against the rules
	listed  int  // bytes of the head
	block   int  // bytes of the head as sent
	headOf  uint32
	ended   bool // the head of headOf ends its stream

	streams map[uint32]*stream
	order   []uint32 // streams that wait for room, oldest first
	held    int      // bytes of their answers
	last    uint32   // the highest stream
	window  int64    // for all answers
	initial int64    // of a stream
	taken   int      // bytes of bodies that came and that the client was not told to send again
	owed    int      // of them, what nobody needs any more
	useless int
	within  time.Duration // in which the client has to take in what is written
	leaving bool          // the client has said goodbye
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Serve answers until the client or its time is over. in must hold at least 9 bytes.
func Serve(in *bufio.Reader, o Options) error {
	c := &conn{o: o, in: in, streams: map[uint32]*stream{}, window: firstWindow, initial: firstWindow}
	c.decoder = hpack.NewDecoder(4096, c.field)
	c.decoder.SetMaxStringLength(HeadBytes)
	err := c.run()
	m := new(misuse)
	switch {
	case errors.As(err, &m):
		c.goAway(m.code)
	default:
		c.goAway(codeNone)
	}
	_ = c.flush() // it ends anyway
	return err
}

func (c *conn) run() error {
	c.within = c.o.Begun()
	if !c.o.Wait(true) {
		return ErrStopped
	}
	c.settings()
	if err := c.flush(); err != nil {
		return err
	}
	start, err := c.in.Peek(len(preface))
	if err != nil {
		return err
	}
	if string(start) != preface {
		return wrong(codeProtocol, "no preface")
	}
	_, _ = c.in.Discard(len(preface)) // it is there
	for first := true; ; first = false {
		if len(c.out) > 0 && (len(c.out) >= burst || !c.more()) {
			if err := c.flush(); err != nil {
				return err
			}
		}
		typ, flags, id, err := c.frame()
		if err != nil {
			return err
		}
		if first && (typ != frameSettings || flags&flagAck != 0) {
			return wrong(codeProtocol, "no settings")
		}
		if c.headOf != 0 && (typ != frameContinuation || id != c.headOf) {
			return wrong(codeProtocol, "a head was not ended")
		}
		if c.useless++; c.useless > idleFrames {
			return wrong(codeCalm, "many frames and no question")
		}
		if err := c.take(typ, flags, id); err != nil {
			return err
		}
		if c.leaving && len(c.streams) == 0 {
			return io.EOF
		}
	}
}

// Types and flags of frames [RFC 9113 6].
const (
	frameData         = 0
	frameHeaders      = 1
	framePriority     = 2
	frameReset        = 3
	frameSettings     = 4
	framePush         = 5
	framePing         = 6
	frameGoAway       = 7
	frameWindow       = 8
	frameContinuation = 9

	flagEnd      = 1 // of a stream
	flagAck      = 1
	flagHead     = 4 // the head ends here
	flagPadded   = 8
	flagPriority = 0x20

	frameHead = 9
)

// more reports that the next frame can be read without waiting for the client.
func (c *conn) more() bool {
	for !c.whole() {
		if c.o.Ahead == nil || !c.o.Ahead() {
			return false
		}
	}
	return true
}

// whole reports that a frame is in the buffer.
func (c *conn) whole() bool {
	if c.in.Buffered() < frameHead {
		return false
	}
	b, err := c.in.Peek(frameHead)
	return err == nil && c.in.Buffered() >= frameHead+int(b[0])<<16+int(b[1])<<8+int(b[2])
}

// frame reads one.
func (c *conn) frame() (typ, flags byte, id uint32, err error) {
	b, err := c.in.Peek(frameHead)
	if err != nil {
		return 0, 0, 0, err
	}
	n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	typ, flags, id = b[3], b[4], binary.BigEndian.Uint32(b[5:])&mostWindow
	if n > frameBytes {
		return 0, 0, 0, wrong(codeSize, "a frame above 16384 bytes")
	}
	_, _ = c.in.Discard(frameHead) // it is there
	if cap(c.payload) < n {
		c.payload = make([]byte, n, max(n, 512))
	}
	c.payload = c.payload[:n]
	_, err = io.ReadFull(c.in, c.payload)
	return typ, flags, id, err
}

// take does what a frame says.
func (c *conn) take(typ, flags byte, id uint32) error {
	switch typ {
	case frameData, frameHeaders, frameReset, framePriority, frameContinuation:
		if id == 0 {
			return wrong(codeProtocol, "a frame without its stream")
		}
	case frameSettings, framePing, frameGoAway:
		if id != 0 {
			return wrong(codeProtocol, "a frame of the connection on a stream")
		}
	}
	switch typ {
	case frameData:
		return c.data(flags, id)
	case frameHeaders:
		return c.headers(flags, id)
	case frameContinuation:
		if c.headOf == 0 {
			return wrong(codeProtocol, "nothing to be continued")
		}
		return c.fragment(c.payload, flags&flagHead != 0)
	case frameReset:
		return c.reset(id)
	case frameSettings:
		return c.set(flags)
	case framePing:
		if len(c.payload) != 8 {
			return wrong(codeSize, "a ping that is not of 8 bytes")
		}
		if flags&flagAck == 0 {
			c.begin(framePing, flagAck, 0, 8)
			c.out = append(c.out, c.payload...)
		}
	case frameGoAway:
		c.leaving = true
	case frameWindow:
		return c.room(id)
	case framePush:
		return wrong(codeProtocol, "a push from a client")
	}
	return nil
}

// unpad removes the padding of a payload.
func (c *conn) unpad(flags byte) ([]byte, error) {
	if flags&flagPadded == 0 {
		return c.payload, nil
	}
	if len(c.payload) == 0 || int(c.payload[0]) >= len(c.payload) {
		return nil, wrong(codeProtocol, "more padding than frame")
	}
	return c.payload[1 : len(c.payload)-int(c.payload[0])], nil
}
