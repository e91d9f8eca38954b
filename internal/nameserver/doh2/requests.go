package doh2

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strconv"

	"golang.org/x/net/http2/hpack"
)

// headers takes the begin of a head, or of what follows a body.
func (c *conn) headers(flags byte, id uint32) error {
	b, err := c.unpad(flags)
	if err != nil {
		return err
	}
	if flags&flagPriority != 0 {
		if len(b) < 5 {
			return wrong(codeSize, "half a priority")
		}
		b = b[5:]
	}
	switch s := c.streams[id]; {
	case s != nil && (s.reply != nil || flags&flagEnd == 0):
		return wrong(codeClosed, "a second head")
	case s != nil:
	case id%2 == 0 || id <= c.last:
		return wrong(codeProtocol, "a stream that was there before")
	default:
		c.last = id
	}
	c.headOf, c.ended, c.fault, c.listed, c.block = id, flags&flagEnd != 0, false, 0, 0
	c.head = Request{Length: -1}
	return c.fragment(b, flags&flagHead != 0)
}

// fragment takes a part of a head.
func (c *conn) fragment(b []byte, end bool) error {
	if c.block += len(b); c.block > HeadBytes {
		return wrong(codeCalm, "a head that is too long")
	}
	if _, err := c.decoder.Write(b); err != nil {
		return wrong(codeCompression, err.Error())
	}
	if c.listed > HeadBytes {
		return wrong(codeCalm, "a head that is too long")
	}
	if !end {
		return nil
	}
	if err := c.decoder.Close(); err != nil {
		return wrong(codeCompression, err.Error())
	}
	id := c.headOf
	c.headOf = 0
	if s := c.streams[id]; s != nil { // what follows a body
		return c.complete(id, s)
	}
	return c.request(id)
}

// field takes one line of a head.
func (c *conn) field(f hpack.HeaderField) {
	c.listed += len(f.Name) + len(f.Value) + 32
	switch f.Name {
	case ":method":
		c.once(&c.head.Method, f.Value)
	case ":path":
		c.once(&c.head.Path, f.Value)
	case "content-type":
		c.head.Type = f.Value
	case "content-length":
		n, err := strconv.ParseInt(f.Value, 10, 64)
		if err != nil || n < 0 {
			c.fault = true
			return
		}
		c.head.Length = n
	case "connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection":
		c.fault = true
	case "":
		c.fault = true
	}
}

func (c *conn) once(to *string, value string) {
	if *to != "" || value == "" {
		c.fault = true
	}
	*to = value
}

// request begins what a head asks for.
func (c *conn) request(id uint32) error {
	if c.fault || c.head.Method == "" || c.head.Path == "" {
		c.abandon(id, codeProtocol)
		return nil
	}
	if len(c.streams) >= c.o.Streams {
		c.abandon(id, codeRefused)
		return nil
	}
	question, body, status := c.o.Head(&c.head)
	if body && status == 0 && c.head.Length > BodyBytes {
		status = http.StatusRequestEntityTooLarge
	}
	switch {
	case status != 0:
		c.answer(id, c.initial, c.o.Refuse(status))
		c.cancelled(id)
	case body && c.ended:
		c.answer(id, c.initial, c.o.Refuse(http.StatusBadRequest))
	case body:
		c.streams[id] = &stream{window: c.initial}
	default:
		c.ask(id, c.initial, question)
		c.cancelled(id)
	}
	return nil
}

// cancelled tells a client that is still sending that nobody needs it any more.
func (c *conn) cancelled(id uint32) {
	if !c.ended {
		c.abandon(id, codeNone)
	}
}

// ask answers a question.
func (c *conn) ask(id uint32, window int64, question []byte) {
	c.useless = 0
	c.answer(id, window, c.o.Answer(question))
}

// data takes a part of a body.
func (c *conn) data(flags byte, id uint32) error {
	size := len(c.payload)
	b, err := c.unpad(flags)
	if err != nil {
		return err
	}
	// Clients that ignore windows would make us hold a body on every stream at once.
	if c.taken += size; c.taken > connWindow {
		return wrong(codeFlow, "more than the window of the connection")
	}
	s := c.streams[id]
	switch {
	case id > c.last:
		return wrong(codeProtocol, "a body without a head")
	case s == nil || s.reply != nil: // answered or cancelled: it may have been on the way
		c.giveBack(size)
		return nil
	}
	if s.credit += size; s.credit > streamWindow {
		return wrong(codeFlow, "more than the window of the stream")
	}
	if len(s.body)+len(b) > BodyBytes {
		delete(c.streams, id)
		c.giveBack(s.credit)
		c.answer(id, s.window, c.o.Refuse(http.StatusRequestEntityTooLarge))
		if flags&flagEnd == 0 {
			c.abandon(id, codeNone)
		}
		return nil
	}
	s.body = append(s.body, b...)
	if flags&flagEnd != 0 {
		return c.complete(id, s)
	}
	return nil
}

// complete answers a request whose body is there.
func (c *conn) complete(id uint32, s *stream) error {
	delete(c.streams, id)
	c.giveBack(s.credit)
	c.ask(id, s.window, s.body)
	return nil
}

// giveBack lets the client send as much again, told from time to time.
func (c *conn) giveBack(n int) {
	if c.owed += n; c.owed < connWindow/4 {
		return
	}
	c.begin(frameWindow, 0, 0, 4)
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(c.owed)) //nolint:gosec // at most some frames
	c.taken, c.owed = c.taken-c.owed, 0
}

// reset forgets a stream.
func (c *conn) reset(id uint32) error {
	if len(c.payload) != 4 {
		return wrong(codeSize, "a reset that is not of 4 bytes")
	}
	if id > c.last {
		return wrong(codeProtocol, "a reset of nothing")
	}
	if s := c.streams[id]; s != nil {
		delete(c.streams, id)
		c.held -= len(s.reply)
		c.giveBack(s.credit)
		if s.reply != nil { // who asks and resets without end must not make the list grow
			c.order = slices.DeleteFunc(c.order, func(waits uint32) bool { return waits == id })
		}
	}
	return nil
}

// set takes the client's settings.
func (c *conn) set(flags byte) error {
	if flags&flagAck != 0 {
		if len(c.payload) != 0 {
			return wrong(codeSize, "an acknowledgement with settings")
		}
		return nil
	}
	if len(c.payload)%6 != 0 {
		return wrong(codeSize, "half a setting")
	}
	const initialWindow = 4
	for b := c.payload; len(b) > 0; b = b[6:] {
		if binary.BigEndian.Uint16(b) != initialWindow {
			continue
		}
		value := int64(binary.BigEndian.Uint32(b[2:]))
		if value > mostWindow {
			return wrong(codeFlow, "a window above 2^31-1")
		}
		for _, s := range c.streams {
			if s.window += value - c.initial; s.window > mostWindow {
				return wrong(codeFlow, "a window above 2^31-1")
			}
		}
		c.initial = value
	}
	c.begin(frameSettings, flagAck, 0, 0)
	c.release()
	return nil
}

// room takes in that the client can take more.
func (c *conn) room(id uint32) error {
	if len(c.payload) != 4 {
		return wrong(codeSize, "a window that is not of 4 bytes")
	}
	more := int64(binary.BigEndian.Uint32(c.payload) & mostWindow)
	to := &c.window
	if id != 0 {
		s := c.streams[id]
		switch {
		case id > c.last:
			return wrong(codeProtocol, "a window of nothing")
		case s == nil:
			return nil // it is answered
		}
		to = &s.window
	}
	if *to += more; more == 0 || *to > mostWindow {
		return wrong(codeFlow, "a window that does not grow, or above 2^31-1")
	}
	c.release()
	return nil
}
