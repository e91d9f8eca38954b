package nameserver

import (
	"net/netip"

	"jurymast/internal/geo"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/steer"
)

// Locator knows where clients are. Its methods are called for questions whose profile wants to know, by any number of
// goroutines at once; they must not block.
type Locator interface {
	Place(netip.Addr) geo.Place
	Row(netip.Addr) *geo.Row
}

// asker is who asks one question, found out as far as somebody wants to know. It is reused.
type asker struct {
	locator Locator    // nil: nobody is located
	dice    steer.Dice // counted, see throws
	thrown  uint64     // how often the dice were

	source  netip.Addr // of the packet; invalid: not known
	subnet  []byte     // contents of the question's client subnet, nil without one
	client  steer.Client
	known   steer.Needs
	mapped  int  // bits in front of the IPv4 address the subnet stands for
	private bool // a subnet of no bits: the client does not want to be located
}

func (a *asker) begin(source netip.Addr, subnet []byte) {
	a.source, a.subnet, a.known, a.mapped, a.private = source, subnet, 0, 0, false
}

// throws makes the asker count how often dice are thrown: what was chosen without is chosen again for the same client.
func (a *asker) throws(d steer.Dice) {
	a.dice = func() uint64 { a.thrown++; return d() }
}

const needClient = steer.NeedAddr | steer.NeedPlace | steer.NeedRow

// facts are what is known of the client, at least those that are needed.
func (a *asker) facts(needs steer.Needs) *steer.Client {
	if needs&needClient&^a.known == 0 {
		return &a.client
	}
	if a.known == 0 {
		a.client = steer.Client{}
		a.address()
		a.known = steer.NeedAddr
	}
	if a.locator == nil || !a.client.Addr.IsValid() {
		a.known = needClient
		return &a.client
	}
	if needs&^a.known&steer.NeedPlace != 0 {
		a.client.Place = a.locator.Place(a.client.Addr)
	}
	if needs&^a.known&steer.NeedRow != 0 {
		a.client.Row = a.locator.Row(a.client.Addr)
	}
	a.known |= needs & needClient
	return &a.client
}

// address takes the client's from the subnet when it tells one, else the source's.
func (a *asker) address() {
	if a.subnet != nil {
		addr, bits, mapped := wire.Subnet(a.subnet)
		if bits > 0 {
			a.client.Addr, a.client.Bits, a.client.ECS, a.mapped = addr, bits, true, mapped
			return
		}
		a.private, a.mapped = true, mapped
	}
	if a.source.IsValid() {
		a.client.Addr = a.source.Unmap().WithZone("")
		a.client.Bits = a.client.Addr.BitLen()
	}
}

// scope is what goes back with the subnet for a choice that depended on so many leading bits of the client's address.
// It may be longer than the subnet: then the choice was a guess that holds for these bits alone [RFC 7871 7.2.1].
func (a *asker) scope(bits uint8) uint8 {
	if bits == 0 || a.subnet == nil {
		return 0
	}
	if a.private {
		return uint8(a.mapped) //nolint:gosec // 0, or 96: no bit of an IPv4 address, but told in an IPv6 one
	}
	return uint8(min(int(bits), a.client.Addr.BitLen()) + a.mapped) //nolint:gosec // at most 128
}
