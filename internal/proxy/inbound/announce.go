package inbound

import (
	"errors"
	"os"
	"time"
)

// announced reads the PROXY header that the connection must begin with, and returns what was read behind it. False: the
// connection is refused.
func (f *Front) announced(c *Conn) (rest []byte, ok bool) {
	h, rest, err := readHeader(c, c.Since.Add(f.o.AnnounceTime))
	if err != nil {
		why := refusedHeader
		if errors.Is(err, os.ErrDeadlineExceeded) {
			why = refusedHeaderLate
		}
		c.at.refused[why].Add(1)
		if f.headerComplaint.due(time.Now()) {
			f.o.Logger.Warn("a connection is refused because it does not begin with a PROXY header", "listener", c.Listener, "peer", c.Socket.Addr().String(), "error", err,
				"remedy", "let it send one (send-proxy-v2 in HAProxy, proxy_protocol on in nginx), or take it out of node.proxy.proxy_protocol")
		}
		return nil, false
	}
	if !h.local {
		c.Peer, c.Local = h.source, h.dest
		if !f.charge(c) {
			_ = c.tcp.SetLinger(0)
			return nil, false
		}
	}
	return rest, true
}

// readHeader reads until the header is complete; by then at most one read has gone too far, and rest is what it got.
func readHeader(c *Conn, until time.Time) (h header, rest []byte, err error) {
	if err := c.tcp.SetReadDeadline(until); err != nil {
		return h, nil, err //nolint:wrapcheck // net's own words
	}
	buf, have := make([]byte, 256), 0
	for {
		n, err := c.tcp.Read(buf[have:])
		have += n
		h, size, fault := parseHeader(buf[:have])
		switch {
		case fault == nil:
			return h, buf[size:have], c.tcp.SetReadDeadline(time.Time{}) //nolint:wrapcheck // net's own words
		case fault != errShort: //nolint:errorlint // our own parser's
			return h, nil, fault
		case err != nil:
			return h, nil, err //nolint:wrapcheck // net's own words
		case have == len(buf): // a long header of version 2, whose length has been found to be bearable
			buf = append(buf, make([]byte, maxHeader2-have)...)
		}
	}
}
