package proxy

import (
	"errors"
	"io"
	"sync"
)

// errNotReplayable says that a second attempt wanted bytes that were not kept.
var errNotReplayable = errors.New("the request body was longer than retry.body_buffer and cannot be sent again")

// replay is a client's request body that several attempts can read, one after the other. What an attempt has read is
// kept up to max bytes; beyond that the copy is dropped and the body only streams on, without a second chance.
// Nothing is read before an attempt asks, so a failed connect costs nothing.
type replay struct {
	mu     sync.Mutex // an abandoned attempt may still be reading when the next one starts
	src    io.Reader
	max    int64
	buf    []byte
	read   int64
	lost   bool // buf is incomplete
	srcErr error
}

// attempt returns a reader from the first byte on.
func (b *replay) attempt() io.ReadCloser { return &replayReader{body: b} }

// replayable reports that a new attempt can send the whole body.
func (b *replay) replayable() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.lost
}

// complete reports that an attempt can still start with the first byte: all that was read is kept.
func (b *replay) complete() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.lost || b.read == 0
}

// done reports that the client has sent all of it; length is its Content-Length, or -1.
func (b *replay) done(length int64) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Is(b.srcErr, io.EOF) || b.read == length
}

// failed is the client's own error while its body was read, or nil.
func (b *replay) failed() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if errors.Is(b.srcErr, io.EOF) {
		return nil
	}
	return b.srcErr
}

// size is the number of bytes read from the client so far.
func (b *replay) size() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}

type replayReader struct {
	body   *replay
	off    int64
	mu     sync.Mutex
	closed bool
}

// Close makes every later Read fail: an abandoned attempt must not eat what the next one needs.
func (r *replayReader) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	return nil
}

func (r *replayReader) done() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

func (r *replayReader) Read(p []byte) (int, error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.done() { // asked under the lock: from here on the bytes belong to us
		return 0, io.ErrClosedPipe
	}
	if r.off < b.read {
		if b.lost {
			return 0, errNotReplayable
		}
		n := copy(p, b.buf[r.off:])
		r.off += int64(n)
		return n, nil
	}
	if b.srcErr != nil {
		return 0, b.srcErr
	}
	n, err := b.src.Read(p)
	b.keep(p[:n])
	b.srcErr = err
	r.off += int64(n)
	return n, err
}

// discard reads on to the end, at most most bytes, and keeps nothing.
func (b *replay) discard(most int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost, b.buf = true, nil
	if b.srcErr != nil {
		return
	}
	n, err := io.CopyN(io.Discard, b.src, most)
	b.read += n
	b.srcErr = err
}

func (b *replay) keep(p []byte) {
	b.read += int64(len(p))
	switch {
	case b.lost:
	case b.read > b.max:
		b.lost, b.buf = true, nil
	default:
		b.buf = append(b.buf, p...)
	}
}
