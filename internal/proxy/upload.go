package proxy

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/proxy/body"
	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/wire"
)

// upload is the body of a request on its way to an origin, or to several, one after the other. What has been read of it
// is kept up to retry.body_buffer, for another attempt; beyond that the copy is dropped and the body only streams on,
// without a second chance. Nothing is read from the connection before an attempt has one to an origin.
//
//	all there with the head -> inline: it leaves with the head, in one write
//	else                    -> a goroutine of its own: read -> keep -> write to the attempt's connection
//	                                                    ^-- waits while there is no attempt
type upload struct {
	x      *exchange
	inline bool          // kept is all of it
	kept   []byte        // what has been read, unless lost
	room   *[]byte       // where it is kept; nil: with the head
	max    int64         // of kept
	most   int64         // of the body: limits.body; 0: no limit
	limit  time.Duration // for the origin to answer after the last piece
	wait   time.Duration // for the origin and the client together, from piece to piece

	lost atomic.Bool  // kept is incomplete
	read atomic.Int64 // bytes of data
	over atomic.Bool  // the client has sent all of it, and it was written to the attempt's connection
	sent atomic.Int64 // when that was, if not with the head; unix nanoseconds

	// Of the goroutine. The lock is held while it writes: whoever closes the connection gets it.
	mu      sync.Mutex
	change  *sync.Cond // nil: there is no goroutine
	target  *body.Writer
	current *attempt // that target belongs to
	stopped bool
	done    chan struct{}
	err     error // of the client; io.EOF: all was read
}

// begin looks at what came with the head. An error: the body is malformed already.
func (u *upload) begin(x *exchange) error {
	u.x, u.max, u.most = x, int64(x.settings.Retry.BodyBuffer), int64(x.settings.Limits.Body)
	u.limit = x.settings.Timeouts.Response
	u.wait = max(u.limit, x.p.paces[0].Pause+waitMore)
	if x.req().Body == http1.BodyNone {
		u.inline = true
		u.over.Store(true)
		return nil
	}
	if u.most > 0 && x.req().Length > u.most {
		return errTooLong
	}
	for {
		piece, over, err := x.source.ready()
		if err != nil {
			return err
		}
		if over && u.kept == nil {
			u.kept = slices.Clip(piece) // where it stands: nothing overwrites it any more
		} else if len(piece) > 0 {
			u.keep(piece)
		}
		if u.inline = over; over || len(piece) == 0 {
			break
		}
	}
	if u.inline {
		u.read.Store(int64(len(u.kept)))
		u.over.Store(true)
	}
	return u.within()
}

// within holds the body to its limit.
func (u *upload) within() error {
	if u.most > 0 && u.read.Load() > u.most {
		return errTooLong
	}
	return nil
}

// keep takes a piece in.
func (u *upload) keep(p []byte) {
	n := u.read.Add(int64(len(p)))
	switch {
	case u.lost.Load():
	case n > u.max && u.target != nil: // without one, another attempt still needs all of it
		u.lost.Store(true)
		u.release()
	default:
		if len(u.kept)+len(p) > cap(u.kept) {
			u.enlarge(len(u.kept) + len(p))
		}
		u.kept = append(u.kept, p...)
	}
}

// enlarge lends a buffer for n bytes: it would grow and become garbage with every request otherwise.
func (u *upload) enlarge(n int) {
	size := bufferUsual
	if n > size {
		size = max(n, bufferLarge)
	}
	larger := wire.Get(size)
	kept := append((*larger)[:0], u.kept...)
	u.release()
	u.room, u.kept = larger, kept
}

// release forgets what is kept.
func (u *upload) release() {
	if u.room != nil {
		wire.Put(u.room)
	}
	u.room, u.kept = nil, nil
}

// replayable reports that a new attempt can send the whole body, and may. Anybody may ask.
func (u *upload) replayable() bool { return !u.lost.Load() && u.read.Load() <= u.max }

// complete reports that an attempt can still start with the first byte: all that was read is kept.
func (u *upload) complete() bool { return !u.lost.Load() }

// failed is the client's own error while its body was read, or nil.
func (u *upload) failed() error {
	if u.change == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if errors.Is(u.err, io.EOF) {
		return nil
	}
	return u.err
}

// send writes the head that stands in the lap, and the body behind it as far as it is there.
func (u *upload) send(a *attempt) error {
	l := u.x.lap
	w := &l.upstream
	if u.inline {
		err := u.replay(w, a.conn.Conn)
		l.toward = w.Room()[:0]
		return err
	}
	u.start()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil && !errors.Is(u.err, io.EOF) { // it failed while there was no attempt to call off
		u.x.svc.failUpload(a)
		return errCalledOff
	}
	err := u.replay(w, a.conn.Conn)
	if err == nil {
		if u.err == nil {
			a.conn.Until(time.Now().Add(u.wait))
		}
		u.target, u.current = w, a
		u.change.Signal()
	}
	return err
}

// replay writes the head and what is kept of the body.
func (u *upload) replay(w *body.Writer, conn *wire.Conn) error {
	w.Reset(conn, u.x.lap.toward)
	if u.x.req().Body == http1.BodyChunked {
		w.Chunked()
	}
	err := w.Write(u.kept)
	switch {
	case err != nil:
	case u.inline, errors.Is(u.err, io.EOF):
		if err = w.End(u.x.source.tail()); err == nil {
			u.over.Store(true)
		}
	default:
		err = w.Flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	return nil
}

// start begins to read from the client's connection, once.
func (u *upload) start() {
	if u.change != nil {
		return
	}
	u.change = sync.NewCond(&u.mu)
	u.done = make(chan struct{})
	go u.run()
}

func (u *upload) run() {
	defer close(u.done)
	defer func() {
		if what := recover(); what != nil {
			u.broke(what, debug.Stack())
		}
	}()
	for u.await() {
		if !u.take(u.x.source.next()) || !u.straight() {
			return
		}
	}
}

// straight moves the rest of a long body of which no copy is kept inside the kernel; false: there is no more.
func (u *upload) straight() bool {
	h, ok := u.x.source.(*h1)
	if !ok || !u.lost.Load() || h.in.Left() < longBody || !h.IsPlain() {
		return true
	}
	u.mu.Lock()
	a := u.current
	if u.stopped || u.target == nil || !a.conn.IsPlain() {
		u.mu.Unlock()
		return true
	}
	conn := a.conn
	u.mu.Unlock() // nobody else writes to it, and whoever closes it must not wait for us
	renew := func() {
		now := time.Now()
		conn.Until(now.Add(u.wait))
		h.Until(now.Add(h.pace.Pause))
	}
	renew()
	n, err := wire.SpliceRenew(conn.Conn, h.Conn.Conn, h.in.Left(), renew)
	h.in.Passed(n)
	u.read.Add(n)
	u.mu.Lock()
	defer u.mu.Unlock()
	var side *wire.SideError
	switch {
	case u.stopped:
	case err == nil:
		u.err = io.EOF
		u.pass(nil, io.EOF)
	case errors.As(err, &side) && side.Side == wire.Sink:
		u.target = nil // bytes may be lost on the way: nobody can have the rest
	default:
		u.err = err
		u.x.svc.failUpload(a)
	}
	return false
}

// errFault is what a body gets under which the proxy itself failed.
var errFault = errors.New("the proxy failed to read this body")

// broke contains a fault of our own to the request.
func (u *upload) broke(what any, stack []byte) {
	p := u.x.p
	p.figures.Panic()
	p.o.Logger.Error("a request's body hit a fault of the proxy itself", "fault", what, "stack", string(stack))
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err, u.target = errFault, nil
	if u.current != nil {
		u.x.svc.failUpload(u.current)
	}
}

// take keeps a piece, or what ended the body, and passes it on; false: there is no more.
func (u *upload) take(p []byte, err error) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopped {
		return false
	}
	if err == nil {
		u.keep(p)
		err = u.within()
	}
	// A body whose length was told is over with its last byte, not when the next read says so: the origin may answer in
	// between, and would look like one that does not want the rest.
	last := err == nil && u.x.req().Body == http1.BodyLength && u.read.Load() == u.x.req().Length
	if last {
		u.over.Store(u.target != nil)
	}
	u.err = err
	u.pass(p, err)
	if last {
		err = io.EOF
		u.err = err
		u.over.Store(u.target != nil)
		u.pass(nil, err)
	}
	if err != nil && !errors.Is(err, io.EOF) && u.current != nil {
		u.x.svc.failUpload(u.current)
	}
	return err == nil
}

// pass writes a piece, or the end, to the attempt's connection, with the lock held. A connection that fails is left
// alone: the attempt finds out by itself.
func (u *upload) pass(p []byte, err error) {
	w := u.target
	if w == nil {
		return
	}
	now := time.Now()
	conn := u.current.conn
	conn.Until(now.Add(u.limit)) // the origin has its time from the end of the body on, and as long for each piece
	switch {
	case err == nil:
		if err = w.Write(p); err == nil {
			err = w.Flush()
		}
		conn.Until(time.Now().Add(u.wait)) // now it is the client's turn
	case errors.Is(err, io.EOF):
		if err = w.End(u.x.source.tail()); err == nil {
			u.sent.Store(now.UnixNano())
			u.over.Store(true)
		}
	}
	if err != nil {
		u.target = nil
	}
}

// await waits for an attempt; false: nobody wants the rest.
func (u *upload) await() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.target == nil && !u.stopped {
		u.change.Wait()
	}
	return !u.stopped
}

// detach takes the connection of a failed attempt away. It must be closed.
func (u *upload) detach() {
	if u.change == nil {
		return
	}
	u.mu.Lock()
	u.target, u.current = nil, nil
	u.mu.Unlock()
}

// stop ends the goroutine. The connection it may be writing to must be closed or called off.
func (u *upload) stop() {
	if u.change == nil {
		return
	}
	u.mu.Lock()
	u.stopped = true
	u.change.Signal()
	running := u.err == nil
	u.mu.Unlock()
	if running {
		u.x.source.halt()
	}
	<-u.done
}

// settle waits for the goroutine when it has nothing left to do: what it has written is on its way, and the connection
// may be somebody else's soon. false: it is stuck, and the connection must be closed.
func (u *upload) settle() bool {
	if u.change == nil {
		return true
	}
	select {
	case <-u.done:
		return true
	default:
	}
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	select {
	case <-u.done:
		return true
	case <-patience.C:
		return false
	}
}

// waitMore is how much longer than its client an origin is waited for while a body comes: so that it is not blamed.
const waitMore = 5 * time.Second
