//go:build !linux

package nameserver

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// wildcardReplies: without packet information the answer to a question on a wildcard address may leave from another
// address than it was sent to.
const wildcardReplies = false

// loops: one socket per address, since not every system spreads clients over several.
func loops(int) int { return 1 }

func listenUDP(ctx context.Context, network string, addr netip.AddrPort) (*net.UDPConn, error) {
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, network, addr.String())
	if err != nil {
		return nil, err
	}
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		pc.Close()
		return nil, fmt.Errorf("%s %s: not a UDP socket", network, addr)
	}
	return conn, nil
}

func replyFrom([]byte) []byte { return nil }
