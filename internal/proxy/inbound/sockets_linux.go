package inbound

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Keep-alive of the system for clients that vanish: after 15 s of silence, 9 times every 15 s; Go's own defaults.
const (
	keepIdle  = 15 // s
	keepEvery = 15 // s
	keepTimes = 9
)

// prepare sets on a listening socket what its connections inherit.
func prepare(_, _ string, raw syscall.RawConn) error {
	return control(raw, func(fd int) error {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepIdle),
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepEvery),
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepTimes),
		)
	})
}

// share lets several sockets of this user have one address (SO_REUSEPORT).
func share(_, _ string, raw syscall.RawConn) error {
	return control(raw, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
}

func control(raw syscall.RawConn, f func(fd int) error) error {
	var failed error
	err := raw.Control(func(fd uintptr) { failed = f(int(fd)) })
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("prepare a listening socket: %w", err)
	}
	return nil
}
