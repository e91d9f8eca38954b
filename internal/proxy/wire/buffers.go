package wire

import "sync"

// The size classes: a head, a TLS record, a piece of a body.
const (
	small   = 4 << 10
	medium  = 16 << 10
	largest = 64 << 10
)

var smalls, mediums, larges = pool(small), pool(medium), pool(largest)

func pool(size int) *sync.Pool {
	return &sync.Pool{New: func() any { b := make([]byte, size); return &b }}
}

// Get lends a buffer of at least size bytes: 4 KiB, 16 KiB or 64 KiB, with its whole length. A larger one is made
// for the occasion. What is in it is not cleared.
func Get(size int) *[]byte {
	switch {
	case size <= small:
		return smalls.Get().(*[]byte) //nolint:errcheck // only buffers are in the pool
	case size <= medium:
		return mediums.Get().(*[]byte) //nolint:errcheck // only buffers are in the pool
	case size <= largest:
		return larges.Get().(*[]byte) //nolint:errcheck // only buffers are in the pool
	}
	b := make([]byte, size)
	return &b
}

// Put gives back what Get lent; nothing may refer to it any more. nil and buffers of other sizes are fine.
func Put(b *[]byte) {
	if b == nil {
		return
	}
	*b = (*b)[:cap(*b)]
	switch len(*b) {
	case small:
		smalls.Put(b)
	case medium:
		mediums.Put(b)
	case largest:
		larges.Put(b)
	}
}
