package main

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls are raw: nothing here ever blocks, and the scheduler of Go need not know. They allocate nothing.

func read(fd int, p []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0) //nolint:gosec // recv(2)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

func write(fd int, p []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0) //nolint:gosec // send(2)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

func closeFD(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// poll takes what is ready and never waits.
func poll(ep int, events []unix.EpollEvent) (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_WAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0) //nolint:gosec // epoll_wait(2)
	if e != 0 && e != unix.EINTR {
		return 0, fmt.Errorf("epoll_wait: %w", e)
	}
	if e != 0 {
		return 0, nil
	}
	return int(n), nil
}

// watch adds a descriptor for its whole life: events come when something changes.
func watch(ep, fd int) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)}                       //nolint:gosec // a descriptor
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(ep), unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0) //nolint:gosec // epoll_ctl(2)
	if e != 0 {
		return fmt.Errorf("epoll_ctl: %w", e)
	}
	return nil
}

// loopback is 127.0.0.1 with a port in the kernel's form.
func loopback(port int) unix.RawSockaddrInet4 {
	a := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte{127, 0, 0, 1}}
	p := (*[2]byte)(unsafe.Pointer(&a.Port)) //nolint:gosec // network byte order
	p[0], p[1] = byte(port>>8), byte(port)   //nolint:gosec // a port
	return a
}

// dial begins a connection; on loopback it is nearly always there at once.
func dial(to *unix.RawSockaddrInet4) (int, error) {
	fd, _, e := unix.RawSyscall(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return 0, fmt.Errorf("socket: %w", e)
	}
	noDelay(int(fd))
	_, _, e = unix.RawSyscall(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(to)), unsafe.Sizeof(*to)) //nolint:gosec // connect(2)
	if e != 0 && e != unix.EINPROGRESS {
		closeFD(int(fd))
		return 0, fmt.Errorf("connect: %w", e)
	}
	return int(fd), nil
}

func noDelay(fd int) {
	one := int32(1)
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, uintptr(unsafe.Pointer(&one)), 4, 0) //nolint:gosec // setsockopt(2)
}

// accept takes one waiting connection; ok is false when there is none.
func accept(listener int) (fd int, ok bool, err error) {
	n, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if e == 0 {
		return int(n), true, nil
	}
	if e == unix.EAGAIN || e == unix.ECONNABORTED {
		return 0, false, nil
	}
	return 0, false, fmt.Errorf("accept: %w", e)
}

// listen opens a listener on a free port of 127.0.0.1.
func listen() (fd, port int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, 0, err
	}
	err = errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 4096))
	if err != nil {
		return 0, 0, errors.Join(err, unix.Close(fd))
	}
	a, err := unix.Getsockname(fd)
	if err != nil {
		return 0, 0, errors.Join(err, unix.Close(fd))
	}
	in, _ := a.(*unix.SockaddrInet4)
	return fd, in.Port, nil
}
