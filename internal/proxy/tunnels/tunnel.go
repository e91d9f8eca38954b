package tunnels

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/proxy/wire"
)

const (
	defaultIdle     = time.Hour
	defaultPatience = 5 * time.Second

	piece  = 16 << 10 // of a copy; a whole TLS record
	bulk   = 64 << 10 // the same while there is much; and what must be left of a frame to splice it
	stride = 1 << 20  // spliced before looking again whether it still pays
)

// Why a tunnel ended.
var (
	ErrIdle   = errors.New("nothing moved in the tunnel for too long")
	ErrCut    = errors.New("the tunnel was cut")
	ErrClosed = errors.New("the tunnel was closed")
	ErrFault  = errors.New("the proxy itself failed")
)

// errOver ends the other direction when one has failed.
var errOver = errors.New("the other direction has failed")

// BrokenError says which connection broke.
type BrokenError struct {
	Client bool // else the origin
	Err    error
}

func (e *BrokenError) Error() string {
	if e.Client {
		return fmt.Sprintf("client: %v", e.Err)
	}
	return fmt.Sprintf("origin: %v", e.Err)
}

// Unwrap is for errors.Is.
func (e *BrokenError) Unwrap() error { return e.Err }

// Options of a tunnel. The zero value is an hour of silence and no goodbye.
type Options struct {
	Idle      time.Duration // without a byte in either direction; 0: 1 h
	WebSocket bool          // a cut says goodbye to the client with a close frame
	Code      uint16        // of that frame; 0: 1012, service restart
	Patience  time.Duration // how long a cut waits for the frame under way and for the client's end; 0: 5 s
}

// Tunnel is one pair of connections. It owns both until Run has returned, and has closed both then.
type Tunnel struct {
	client, origin *wire.Conn
	o              Options
	renew          func()

	cut     atomic.Bool
	stopped atomic.Bool // CutNow
	closed  atomic.Bool
	toOver  atomic.Bool // the direction to the client has ended

	in, out atomic.Int64

	mu    sync.Mutex
	why   error
	over  bool // Run is about to return
	timer *time.Timer
}

// New makes a tunnel of two connections whose upgrade is done. What either has read too far (Unread) is relayed first.
func New(client, origin *wire.Conn, o Options) *Tunnel {
	if o.Idle <= 0 {
		o.Idle = defaultIdle
	}
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.Code == 0 {
		o.Code = serviceRestart
	}
	t := &Tunnel{client: client, origin: origin, o: o}
	t.renew = func() {
		end := time.Now().Add(t.o.Idle)
		t.client.Until(end)
		t.origin.Until(end)
	}
	return t
}

// Run relays until the end and returns the bytes the origin took, the bytes the client took, and why it ended: nil when
// both ends had closed.
func Run(client, origin *wire.Conn, o Options) (in, out int64, why error) {
	return New(client, origin, o).Run()
}

// Run is the function of this name, for whoever keeps the Tunnel to cut it.
func (t *Tunnel) Run() (in, out int64, why error) {
	t.renew()
	var inwards sync.WaitGroup
	inwards.Go(func() {
		defer t.contain()
		t.toOrigin()
	})
	func() {
		defer t.contain()
		t.toClient()
	}()
	t.toOver.Store(true)
	inwards.Wait()
	t.mu.Lock()
	t.over = true
	if t.timer != nil {
		t.timer.Stop()
	}
	why = t.why
	t.mu.Unlock()
	_ = t.origin.Close()
	_ = t.client.Close()
	return t.in.Load(), t.out.Load(), why
}

// Bytes says how many bytes have moved so far.
func (t *Tunnel) Bytes() (in, out int64) { return t.in.Load(), t.out.Load() }

// Cut ends the tunnel because the client has to go elsewhere: with a goodbye where Options allow one. It returns at
// once; Run returns within Options.Patience. Everybody may call it, any number of times.
func (t *Tunnel) Cut() {
	if t.cut.Swap(true) {
		return
	}
	t.because(ErrCut)
	if !t.o.WebSocket || t.toOver.Load() {
		t.Close()
		return
	}
	t.mu.Lock()
	if !t.over {
		t.timer = time.AfterFunc(t.o.Patience, t.Close)
	}
	t.mu.Unlock()
	t.origin.Wake(ErrCut) // the client is left alone: a TLS connection does not survive an interrupted write
}

// CutNow is Cut where the origin must not get another byte: its connection is reset before CutNow returns. The client
// is told when no frame is under way; the rest of one that is will not come.
func (t *Tunnel) CutNow() {
	t.because(ErrCut)
	t.stopped.Store(true)
	_ = t.origin.Reset() // it is over in any case
	t.Cut()
}

// Close ends the tunnel without a goodbye. Everybody may call it, any number of times.
func (t *Tunnel) Close() {
	t.because(ErrClosed)
	t.closed.Store(true)
	t.client.Wake(ErrClosed)
	t.origin.Wake(ErrClosed)
}

// cutting says whether an error of the origin may come from a cut.
func (t *Tunnel) cutting() bool { return t.cut.Load() || t.stopped.Load() }

// contain keeps a fault of our own to this tunnel.
func (t *Tunnel) contain() {
	if fault := recover(); fault != nil {
		t.because(fmt.Errorf("%w: %v", ErrFault, fault))
		t.client.Wake(errOver)
		t.origin.Wake(errOver)
	}
}

// because keeps the first reason.
func (t *Tunnel) because(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.why == nil {
		t.why = why
	}
}

// broke ends both directions because of an error of one connection.
func (t *Tunnel) broke(client bool, err error) {
	switch {
	case errors.Is(err, errOver), errors.Is(err, ErrClosed), errors.Is(err, ErrCut): // has its reason
	case errors.Is(err, wire.ErrTimeout):
		t.because(ErrIdle)
	default:
		t.because(&BrokenError{Client: client, Err: err})
	}
	t.client.Wake(errOver)
	t.origin.Wake(errOver)
}

// toOrigin relays what the client says. After a cut it drops it: the client's end is what the goodbye waits for, and
// closing with something unread would make a reset of it.
func (t *Tunnel) toOrigin() {
	p := pump{dst: t.origin, src: t.client, n: &t.in, renew: t.renew}
	side, err := p.run()
	if err == nil {
		_ = halfClose(t.origin) // a broken origin is found by the other direction
		return
	}
	if side == wire.Sink && t.cutting() && !t.closed.Load() {
		if err = drop(t.client); err == nil {
			return
		}
		side = wire.Source
	}
	t.broke(side == wire.Source, err)
}

// drop reads to the end.
func drop(c *wire.Conn) error {
	for {
		if err := c.Await(); err != nil {
			return err //nolint:wrapcheck // the caller knows the side
		}
		buf := wire.Get(piece)
		_, err := c.Read(*buf)
		wire.Put(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // the caller knows the side
		}
	}
}

// toClient relays what the origin says and, after a cut, says goodbye.
func (t *Tunnel) toClient() {
	p := pump{dst: t.client, src: t.origin, n: &t.out, renew: t.renew}
	if t.o.WebSocket {
		p.frames = &follower{}
	}
	side, err := p.run()
	if err == nil && t.stopped.Load() { // an end that we have made
		side, err = wire.Source, ErrCut
	}
	if side == wire.Source && err != nil && t.cutting() {
		t.origin.Clear()
		if t.closed.Load() { // its Wake may have been cleared with the cut's
			t.broke(false, ErrClosed)
			return
		}
		if side, err = p.goodbye(t.o.Code); err == nil {
			_ = t.origin.Close() // wakes the other direction if it is writing
		}
	}
	if err != nil {
		t.broke(side == wire.Sink, err)
		return
	}
	if halfClose(t.client) != nil {
		t.broke(true, errOver)
	}
}

// halfClose ends a direction. Where there is no half-close (errors.ErrUnsupported) the connection is closed, so that
// the peer learns of the end all the same.
func halfClose(c *wire.Conn) error {
	err := c.CloseWrite()
	if errors.Is(err, errors.ErrUnsupported) {
		return c.Close() //nolint:wrapcheck // only whether it failed
	}
	return err //nolint:wrapcheck // only whether it failed
}
