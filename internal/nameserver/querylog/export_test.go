package querylog

import (
	"time"

	"jurymast/internal/nameserver/tap"
)

// Line is what is written of a question.
func Line(f *tap.Facts) []byte {
	e := entry{at: time.Now(), why: becauseError, facts: *f}
	e.length = uint8(copy(e.name[:], f.Name))
	return e.line(nil, true)
}
