//go:build !linux

package batch

import (
	"context"
	"net/netip"
	"syscall"
)

// Wildcard: without packet information the answer to a question on a wildcard address may leave from another address
// than it was sent to, so wildcards must not be bound.
const Wildcard = false

// Shared: not every system spreads clients over several sockets of one address.
const Shared = false

func shareAddress(_, _ string, _ syscall.RawConn) error { return nil }

func listen(ctx context.Context, network string, addr netip.AddrPort, _ Options) (Conn, error) {
	return listenPortable(ctx, network, addr)
}

func drops(int) (n uint64, known bool) { return 0, false }
