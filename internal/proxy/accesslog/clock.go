package accesslog

import (
	"sync/atomic"
	"time"
)

// clock writes times; the part down to the second is made once a second.
type clock struct{ last atomic.Pointer[second] }

type second struct {
	unix int64
	text [len("2006-01-02T15:04:05.")]byte
}

// append writes t in UTC with microseconds, RFC 3339.
func (c *clock) append(b []byte, t time.Time) []byte {
	s := c.last.Load()
	if unix := t.Unix(); s == nil || s.unix != unix {
		s = &second{unix: unix}
		t.UTC().AppendFormat(s.text[:0], "2006-01-02T15:04:05.")
		c.last.Store(s)
	}
	b = append(b, s.text[:]...)
	us := t.Nanosecond() / 1000
	for unit := 100_000; unit > 0; unit /= 10 {
		b = append(b, byte('0'+us/unit%10))
	}
	return append(b, 'Z')
}
