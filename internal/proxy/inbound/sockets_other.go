//go:build !linux

package inbound

import (
	"errors"
	"syscall"
)

func prepare(_, _ string, _ syscall.RawConn) error { return nil }

// share: one socket per address, with several accept loops.
func share(_, _ string, _ syscall.RawConn) error { return errors.ErrUnsupported }
