//go:build !linux

package nameserver

import "syscall"

func streamOptions(string, string, syscall.RawConn) error { return nil }
