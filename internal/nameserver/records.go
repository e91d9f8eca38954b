package nameserver

import (
	"bufio"
	"encoding/binary"
	"net"
	"os"
)

// records is a connection that is read one TLS record at a time: so that it is known, between two of them, whether the
// next one has arrived as a whole. TLS itself would take in what it can get and not tell. Answers are held back only
// while more questions are there.
type records struct {
	net.Conn
	buf  [readBuffer]byte
	r, w int // what is in buf
	left int // bytes of the current record that were not handed out

	here bool // only what is in buf is handed out

	closed func() // by TLS; nil: nobody wants to know
}

// Close closes the connection.
func (c *records) Close() error {
	if c.closed != nil {
		c.closed()
	}
	return c.Conn.Close()
}

const (
	recordHead = 5  // type, version, length [RFC 8446 5.1]
	recordData = 23 // the type of records that may hold questions
)

// Read hands out bytes up to the end of the current record. It never fails while it has some.
func (c *records) Read(p []byte) (int, error) {
	for c.left == 0 && c.w-c.r < recordHead {
		if err := c.fill(); err != nil {
			if c.w == c.r {
				return 0, err
			}
			c.left = c.w - c.r // less than a head: TLS will find out
		}
	}
	if c.left == 0 {
		c.left = recordHead + int(binary.BigEndian.Uint16(c.buf[c.r+3:]))
	}
	if c.w == c.r {
		if len(p) >= len(c.buf) && !c.here {
			n, err := c.Conn.Read(p[:min(len(p), c.left)])
			c.left -= n
			return n, err
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p[:min(len(p), c.left)], c.buf[c.r:c.w])
	c.r, c.left = c.r+n, c.left-n
	return n, nil
}

// fill adds what has arrived, at least one byte.
func (c *records) fill() error {
	if c.here {
		return os.ErrDeadlineExceeded // for TLS a read that may be tried again
	}
	if c.r > 0 {
		c.r, c.w = 0, copy(c.buf[:], c.buf[c.r:c.w])
	}
	n, err := c.Conn.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil // the error comes again
	}
	return err
}

// ready reports that the next record is here, and that it is one that may hold questions.
func (c *records) ready() bool {
	b := c.buf[c.r:c.w]
	return c.left == 0 && len(b) >= recordHead && b[0] == recordData && len(b) >= recordHead+int(binary.BigEndian.Uint16(b[3:]))
}

// ahead takes one more record into the buffer of in, which reads what TLS makes of records, without waiting for the
// client: a whole record may hold nothing to read, such as a new key [RFC 8446 4.6.3], and TLS then goes on to the next
// one, for which the client may wait for our answers. false: there is none, or no room. A nil c has none.
func (c *records) ahead(in *bufio.Reader) bool {
	if c == nil || in.Buffered() == in.Size() || !c.ready() {
		return false
	}
	c.here = true
	defer func() { c.here = false }()
	_, err := in.Peek(in.Buffered() + 1)
	return err == nil // an error comes again with the next read
}
