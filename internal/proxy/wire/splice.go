package wire

import (
	"errors"
	"fmt"
	"io"
)

// Worthwhile is the number of bytes from which Splice takes less CPU than reading and writing.
const Worthwhile = 128 << 10

// Side is an end of a Splice.
type Side uint8

// The sides.
const (
	Source Side = iota + 1 // reading failed
	Sink                   // writing failed
)

func (s Side) String() string {
	switch s {
	case Source:
		return "source"
	case Sink:
		return "sink"
	}
	return "?"
}

// SideError is the error of a Splice and says which connection it is about.
type SideError struct {
	Side Side
	Err  error
}

func (e *SideError) Error() string { return fmt.Sprintf("%s: %v", e.Side, e.Err) }

// Unwrap is for errors.Is.
func (e *SideError) Unwrap() error { return e.Err }

// Splice moves n bytes from src to dst, or all until src ends when n is negative, and returns how many dst took.
// Between two plain connections the kernel moves them by splice(2) and they never come here; else they are copied
// through one buffer. The error is a *SideError; an end before n bytes is io.ErrUnexpectedEOF of the Source. Bytes
// that were read and could not be written are lost.
//
// It pays from Worthwhile on. Relaying a body between two processes over loopback took so much CPU of the relay, in
// microseconds per MiB, the least of several runs (BenchmarkBody):
//
//	body      splice  copy by 64 KiB  copy by 256 KiB
//	16 KiB      1219            1068             1111
//	64 KiB       518             558              420
//	256 KiB      169             329              234
//	1 MiB        125             299              270
//	16 MiB       145             356              303
func Splice(dst, src *Conn, n int64) (int64, error) { return SpliceRenew(dst, src, n, nil) }

// SpliceRenew is Splice that calls renew whenever bytes have moved, to let the caller give both sides a new Until: a
// deadline then limits the pause, not the whole.
func SpliceRenew(dst, src *Conn, n int64, renew func()) (moved int64, err error) {
	if renew == nil {
		renew = func() {}
	}
	if moved, err = drainBack(dst, src, n, renew); err != nil || moved == n {
		return moved, err
	}
	if dst.plain && src.plain {
		m, handled, err := splice(dst, src, less(n, moved), renew)
		moved += m
		if handled {
			return moved, err
		}
	}
	m, err := relay(dst, src, less(n, moved), renew)
	return moved + m, err
}

// less is what of n is left; all stays all.
func less(n, moved int64) int64 {
	if n < 0 {
		return n
	}
	return n - moved
}

// drainBack writes what Unread put back.
func drainBack(dst, src *Conn, n int64, renew func()) (int64, error) {
	k := int64(len(src.back))
	if n >= 0 {
		k = min(k, n)
	}
	if k == 0 {
		return 0, nil
	}
	m, err := dst.Write(src.back[:k])
	if src.back = src.back[k:]; len(src.back) == 0 {
		src.back = nil
	}
	if err != nil {
		return int64(m), &SideError{Sink, err}
	}
	renew()
	return int64(m), nil
}

// relay copies through a buffer, which it lends only while there is something to copy.
func relay(dst, src *Conn, n int64, renew func()) (moved int64, err error) {
	for n < 0 || moved < n {
		if err := src.Await(); err != nil {
			return moved, &SideError{Source, err}
		}
		m, end, err := piece(dst, src, less(n, moved))
		moved += int64(m)
		if err != nil {
			return moved, err
		}
		if end {
			return moved, early(n)
		}
		renew()
	}
	return moved, nil
}

// piece copies what is there, at most one buffer.
func piece(dst, src *Conn, limit int64) (n int, end bool, err error) {
	size := int64(largest)
	if limit >= 0 {
		size = min(size, limit)
	}
	buf := Get(int(size))
	defer Put(buf)
	r, err := src.Read((*buf)[:size])
	if errors.Is(err, io.EOF) {
		return 0, true, nil
	}
	if err != nil {
		return 0, false, &SideError{Source, err}
	}
	if n, err = dst.Write((*buf)[:r]); err != nil {
		return n, false, &SideError{Sink, err}
	}
	return n, false, nil
}

// early is what the end of the source means.
func early(n int64) error {
	if n < 0 {
		return nil
	}
	return &SideError{Source, io.ErrUnexpectedEOF}
}
