//go:build !linux

package nameserver

import (
	"errors"
	"net/netip"
)

// noPlug is for systems whose drivers answer nothing.
type noPlug struct{}

func newPlug(XDP) plug { return noPlug{} }

var errNoXDP = errors.New("answers in the driver need Linux; write xdp: off")

func (noPlug) find([]netip.AddrPort) ([]DriverInterface, []netip.Addr, error) {
	return nil, nil, errNoXDP
}

func (noPlug) load([]netip.Addr, int, int, int) (*kernelTable, error) { return nil, errNoXDP }

func (noPlug) attach(*kernelTable, string) error { return errNoXDP }
