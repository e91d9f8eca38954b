//go:build !race

package wire

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The sockets are non-blocking, so these calls return soon and need not tell the scheduler that they may not:
// RawSyscall spares that, a fifth of the CPU of a small exchange (BenchmarkExchange). Only the names of the calls differ from x/sys/unix.

func receive(fd uintptr, p []byte, flags uintptr) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0) //nolint:gosec // the kernel writes into p, at most len(p)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// send goes by the socket's own calls: write and writev pass through the layer of files first, which costs 3 % of a request.
func send(fd uintptr, iov []unix.Iovec) (int, unix.Errno) {
	for {
		var n uintptr
		var errno unix.Errno
		if len(iov) == 1 {
			n, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(iov[0].Base)), uintptr(iov[0].Len), unix.MSG_NOSIGNAL, 0, 0) //nolint:gosec // the kernel reads the part
		} else {
			var head unix.Msghdr
			head.Iov = unsafe.SliceData(iov) //nolint:gosec // as above
			head.SetIovlen(len(iov))
			n, _, errno = unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&head)), unix.MSG_NOSIGNAL) //nolint:gosec // the kernel reads the parts
		}
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

func move(from, to uintptr, n int) (int, unix.Errno) {
	for {
		m, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, from, 0, to, 0, uintptr(n), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if errno != unix.EINTR {
			return int(m), errno
		}
	}
}
