//go:build race

package wire

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The same as in raw_linux.go by calls that the race detector sees.

func receive(fd uintptr, p []byte, flags uintptr) (n int, errno unix.Errno) {
	for {
		var err error
		if flags == 0 {
			n, err = unix.Read(int(fd), p)
		} else {
			n, _, err = unix.Recvfrom(int(fd), p, int(flags)) //nolint:gosec // a few bits
		}
		if errno = number(err); errno != unix.EINTR {
			return n, errno
		}
	}
}

func send(fd uintptr, iov []unix.Iovec) (n int, errno unix.Errno) {
	parts := make([][]byte, 0, len(iov))
	for _, v := range iov {
		parts = append(parts, unsafe.Slice(v.Base, v.Len)) //nolint:gosec // what writeSocket took apart
	}
	for {
		var err error
		if n, err = unix.Writev(int(fd), parts); number(err) != unix.EINTR {
			return n, number(err)
		}
	}
}

func move(from, to uintptr, n int) (int, unix.Errno) {
	for {
		m, err := unix.Splice(int(from), nil, int(to), nil, n, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if errno := number(err); errno != unix.EINTR {
			return int(m), errno
		}
	}
}
