//go:build !linux

package wire

// calls is empty: elsewhere every connection goes through net.Conn.
type calls struct{}

func (*Conn) bind() {}

func (c *Conn) readSocket(p []byte) (int, error) { return c.conn.Read(p) }

func (*Conn) awaitSocket() error { return nil }

func (c *Conn) writeSocket(a, b []byte, done int) (int, error) { return done, nil }

func (*Conn) quiet() (yes, sure bool) { return false, true }

// Left says whether the connection is closed; the peer's end is not seen without reading.
func (c *Conn) Left() bool { return c.closed.Load() }

func splice(_, _ *Conn, _ int64, _ func()) (n int64, handled bool, err error) { return 0, false, nil }
