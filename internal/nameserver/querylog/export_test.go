package querylog

import (
	"time"

	"jurymast/internal/nameserver/tap"
)

// Line is what is written of a question.
func Line(f *tap.Facts) []byte { return LineOf(f, true) }

// LineOf is Line, with or without whole addresses.
func LineOf(f *tap.Facts, full bool) []byte {
	e := entry{at: time.Now(), why: becauseError, facts: *f}
	e.subnet = uint8(copy(e.told[:], f.Subnet))
	e.length = uint8(copy(e.name[:], f.Name))
	return e.line(nil, full)
}
