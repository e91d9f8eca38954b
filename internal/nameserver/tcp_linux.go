package nameserver

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// fastOpenQueue bounds connections that brought data before their handshake was done [RFC 7413].
	fastOpenQueue = 256

	// streamBuffer bounds what the kernel keeps for one connection in each direction, in bytes; it takes twice as much. Left
	// alone it grows to megabytes for a client that does not read.
	streamBuffer = 64 << 10
)

// streamOptions are set on a listener before it is bound; connections inherit them. None of them is worth not
// listening for.
func streamOptions(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, streamBuffer)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, streamBuffer)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, fastOpenQueue)
	})
}
