package doh2

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strconv"
)

// begin writes the head of a frame.
func (c *conn) begin(typ, flags byte, id uint32, n int) {
	c.out = append(c.out, byte(n>>16), byte(n>>8), byte(n), typ, flags) //nolint:gosec // at most 16384
	c.out = binary.BigEndian.AppendUint32(c.out, id)
}

// settings are ours, with the window of the connection.
func (c *conn) settings() {
	const streams, window, list = 3, 4, 6
	pairs := [][2]uint32{{streams, uint32(c.o.Streams)}, {window, streamWindow}, {list, HeadBytes}} //nolint:gosec // some hundred
	c.begin(frameSettings, 0, 0, 6*len(pairs))
	for _, p := range pairs {
		c.out = binary.BigEndian.AppendUint16(c.out, uint16(p[0])) //nolint:gosec // below 7
		c.out = binary.BigEndian.AppendUint32(c.out, p[1])
	}
	c.begin(frameWindow, 0, 0, 4)
	c.out = binary.BigEndian.AppendUint32(c.out, connWindow-firstWindow)
}

func (c *conn) goAway(code uint32) {
	c.begin(frameGoAway, 0, 0, 8)
	c.out = binary.BigEndian.AppendUint32(c.out, c.last)
	c.out = binary.BigEndian.AppendUint32(c.out, code)
}

// abandon ends a stream with a code.
func (c *conn) abandon(id, code uint32) {
	c.begin(frameReset, 0, id, 4)
	c.out = binary.BigEndian.AppendUint32(c.out, code)
}

// Places of names in the static table, as they begin a literal that is not indexed [RFC 7541 6.2.2, A].
var (
	status200    = []byte{0x88}
	status       = []byte{0x08}
	allow        = []byte{0x0f, 22 - 15}
	cacheControl = []byte{0x0f, 24 - 15}
	length       = []byte{0x0f, 28 - 15}
	contentType  = []byte{0x0f, 31 - 15}
)

const (
	typeDNS  = "application/dns-message"
	typeText = "text/plain; charset=utf-8"
)

// text writes a line of a head; values have less than 127 bytes.
func (c *conn) text(name []byte, value string) {
	c.out = append(append(c.out, name...), byte(len(value))) //nolint:gosec // see above
	c.out = append(c.out, value...)
}

// number is text for a number behind a word.
func (c *conn) number(name []byte, word string, n uint64) {
	c.out = append(append(c.out, name...), 0)
	at := len(c.out)
	c.out = strconv.AppendUint(append(c.out, word...), n, 10)
	c.out[at-1] = byte(len(c.out) - at) //nolint:gosec // below 127
}

// answer writes an answer, as far as there is room for it.
func (c *conn) answer(id uint32, window int64, r Reply) {
	c.answers++
	c.begin(frameHeaders, flagHead, id, 0)
	at := len(c.out)
	if r.Status == http.StatusOK {
		c.out = append(c.out, status200...)
		c.text(contentType, typeDNS)
		c.number(cacheControl, "max-age=", uint64(r.MaxAge))
	} else {
		c.number(status, "", uint64(r.Status)) //nolint:gosec // 400 to 599
		c.text(contentType, typeText)
		if r.Allow != "" {
			c.text(allow, r.Allow)
		}
	}
	c.number(length, "", uint64(len(r.Body)))
	c.out[at-frameHead+2] = byte(len(c.out) - at) //nolint:gosec // below 256: some lines of less than 40 bytes
	s := stream{reply: r.Body, window: window}
	if c.send(id, &s); len(s.reply) == 0 {
		return
	}
	if c.held += len(s.reply); c.held > waiting {
		c.held -= len(s.reply)
		c.abandon(id, codeCalm)
		return
	}
	s.reply = slices.Clone(s.reply)
	c.streams[id] = &s
	c.order = append(c.order, id)
}

// send writes as much of an answer as there is room for.
func (c *conn) send(id uint32, s *stream) {
	for {
		n := int(max(min(int64(len(s.reply)), s.window, c.window, frameBytes), 0))
		if n == 0 && len(s.reply) > 0 {
			return
		}
		end := byte(0)
		if n == len(s.reply) {
			end = flagEnd
		}
		c.begin(frameData, end, id, n)
		c.out = append(c.out, s.reply[:n]...)
		s.reply, s.window, c.window = s.reply[n:], s.window-int64(n), c.window-int64(n)
		if end != 0 {
			return
		}
	}
}

// release goes on with answers that wait for room.
func (c *conn) release() {
	left := c.order[:0]
	for _, id := range c.order {
		s := c.streams[id]
		before := len(s.reply)
		c.send(id, s)
		if c.held -= before - len(s.reply); len(s.reply) > 0 {
			left = append(left, id)
			continue
		}
		delete(c.streams, id)
	}
	c.order = left
}

// flush writes what there is, all at once, and starts the time for the next question if one was answered.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	if c.answers > 0 {
		c.within = c.o.Begun()
	}
	err := c.o.Write(c.out, c.within)
	if c.out = c.out[:0]; cap(c.out) > keep {
		c.out = nil
	}
	if err != nil {
		return err
	}
	if c.answers > 0 {
		c.answers = 0
		if !c.o.Wait(false) {
			return ErrStopped
		}
	}
	return nil
}
