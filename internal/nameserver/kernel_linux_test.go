package nameserver_test

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jurymast/internal/nameserver"
)

func TestThreadTimeGrows(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, known := nameserver.ThreadTime(unix.Gettid())
	if !known {
		t.Skip("this kernel keeps no schedstat")
	}
	start := time.Now()
	spins := 0
	for time.Since(start) < 50*time.Millisecond {
		spins++
	}
	if after, _ := nameserver.ThreadTime(unix.Gettid()); after-before <= 0 || after-before > 10*time.Second {
		t.Errorf("from %v to %v after %d spins", before, after, spins)
	}
}
