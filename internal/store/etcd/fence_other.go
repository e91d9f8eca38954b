//go:build !linux

package etcd

import (
	"errors"
	"runtime"
)

// fence needs to know the open files of this process, which is known how on Linux alone.
func fence(*dirLock) error {
	return errors.New("not supported on " + runtime.GOOS)
}
