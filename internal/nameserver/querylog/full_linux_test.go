package querylog_test

import (
	"testing"
	"time"

	"jurymast/internal/nameserver/querylog"
	"jurymast/internal/nameserver/tap"
)

// A disk that is full costs lines, which are counted, and nothing else.
func TestFullDisk(t *testing.T) {
	l := begin(t, querylog.Options{File: "/dev/full", Sample: 1})
	loop := l.Loop()
	for range 10 {
		loop.Seen(&tap.Facts{})
	}
	for end := time.Now().Add(10 * time.Second); counter(t, l, "failed") != 10; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v failed, %v written", counter(t, l, "failed"), counter(t, l, "written"))
		}
	}
}
