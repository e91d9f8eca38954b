package nameserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"jurymast/internal/nameserver/xdp"
)

// dnsPort is the only one the program looks at.
const dnsPort = 53

// linux is a plug for the kernel we run on.
type linux struct{ opt XDP }

func newPlug(opt XDP) plug { return &linux{opt} }

// find implements plug. Names an operator wrote are taken at their word, but for what cannot be meant.
func (l *linux) find(listen []netip.AddrPort) (list []DriverInterface, addrs []netip.Addr, err error) {
	cards, err := netCards()
	if err != nil {
		return nil, nil, err
	}
	addrs = addresses(cards, listen)
	if len(addrs) == 0 {
		return nil, nil, errors.New("nothing but loopback is listened on at port 53, and the driver looks at no other port; listen there, or write xdp: off")
	}
	for _, name := range l.opt.Interfaces {
		i := slices.IndexFunc(cards, func(c netCard) bool { return c.name == name })
		if i < 0 {
			list = append(list, DriverInterface{Name: name, Reason: "there is no such interface"})
			continue
		}
		list = append(list, DriverInterface{Name: name, Reason: cards[i].impossible()})
	}
	if len(l.opt.Interfaces) > 0 {
		return list, addrs, nil
	}
	for i := range cards {
		c := &cards[i]
		if slices.ContainsFunc(addrs, func(a netip.Addr) bool { return slices.Contains(c.addrs, a) }) {
			list = append(list, DriverInterface{Name: c.name, Reason: c.unsuitable()})
		}
	}
	if len(list) == 0 {
		return nil, nil, errors.New("no interface has an address that is listened on; name those the questions come in by, like xdp: [eth0]")
	}
	return list, addrs, nil
}

// addresses are those listened on at the port of DNS, each of the machine's where it is all of them.
func addresses(cards []netCard, listen []netip.AddrPort) (out []netip.Addr) {
	add := func(a netip.Addr) {
		if a = a.Unmap().WithZone(""); !a.IsLoopback() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	for _, at := range listen {
		switch {
		case at.Port() != dnsPort:
		case !at.Addr().IsUnspecified():
			add(at.Addr())
		default:
			for i := range cards {
				for _, a := range cards[i].addrs {
					if a.Is4() == at.Addr().Is4() {
						add(a)
					}
				}
			}
		}
	}
	return out
}

// netCard is a network interface as the kernel describes it.
type netCard struct {
	name     string
	index    int
	flags    uint32
	kind     string // of a virtual one
	master   bool   // it belongs to a bridge, bond or the like
	promised uint32 // how many want to see all that passes, e.g. tcpdump
	addrs    []netip.Addr
}

// impossible says why questions cannot be answered in its driver, whoever asks for it.
func (c *netCard) impossible() string {
	switch {
	case c.flags&unix.IFF_LOOPBACK != 0:
		return "it is loopback, which has no driver to answer in"
	case c.master:
		return "it belongs to a bridge or bond, so not all it receives is for this machine"
	}
	return ""
}

// unsuitable says why it is left alone unless it is named.
func (c *netCard) unsuitable() string {
	switch {
	case c.impossible() != "":
		return c.impossible()
	case c.kind != "":
		return fmt.Sprintf("it is virtual (%s); name it if it is meant: xdp: [%s]", c.kind, c.name)
	case c.promised > 0:
		return fmt.Sprintf("it is promiscuous, so not all it receives is for this machine; name it if it is meant: xdp: [%s]", c.name)
	}
	return ""
}

// netCards lists all interfaces with their addresses.
func netCards() ([]netCard, error) {
	answer, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	var out []netCard
	for i := range messages {
		m := &messages[i]
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			return nil, fmt.Errorf("list the network interfaces: %w", err)
		}
		c := netCard{index: int(binary.NativeEndian.Uint32(m.Data[4:])), flags: binary.NativeEndian.Uint32(m.Data[8:])}
		for _, a := range attrs {
			c.learn(&a)
		}
		if c.addrs, err = addressesOf(c.index); err != nil {
			continue // it has just gone
		}
		out = append(out, c)
	}
	return out, nil
}

func (c *netCard) learn(a *syscall.NetlinkRouteAttr) {
	switch a.Attr.Type &^ unix.NLA_F_NESTED {
	case unix.IFLA_IFNAME:
		c.name = unix.ByteSliceToString(a.Value)
	case unix.IFLA_MASTER:
		c.master = true
	case unix.IFLA_PROMISCUITY:
		if len(a.Value) >= 4 {
			c.promised = binary.NativeEndian.Uint32(a.Value)
		}
	case unix.IFLA_LINKINFO:
		// The first attribute inside is the kind: length, type, text.
		if b := a.Value; len(b) > unix.SizeofNlAttr && binary.NativeEndian.Uint16(b[2:]) == unix.IFLA_INFO_KIND {
			end := min(int(binary.NativeEndian.Uint16(b)), len(b))
			c.kind = unix.ByteSliceToString(b[unix.SizeofNlAttr:max(end, unix.SizeofNlAttr)])
		}
	}
}

func addressesOf(index int) (out []netip.Addr, err error) {
	card, err := net.InterfaceByIndex(index)
	if err != nil {
		return nil, err
	}
	list, err := card.Addrs()
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, prefix.Addr().Unmap())
		}
	}
	return out, nil
}

// load implements plug.
func (l *linux) load(addrs []netip.Addr, answers, slots, udpSize int) (*kernelTable, error) {
	table, err := xdp.Load(xdp.Options{Answers: answers, Slots: slots, Addresses: addrs, UDPSize: uint16(udpSize)}) //nolint:gosec // at most 1400
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("%w; it needs the capabilities CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (systemd: AmbientCapabilities=)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; it needs Linux 5.18 or newer", err)
	}
	t := inKernel{table}
	return &kernelTable{t, t}, nil
}

// attach implements plug.
func (l *linux) attach(t *kernelTable, name string) error {
	card, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	in, _ := t.meter.(inKernel)
	return in.Attach(card.Index)
}

// inKernel is a table of the kernel.
type inKernel struct{ *xdp.Table }

// Offer implements driverTable.
func (t inKernel) Offer(name []byte, typ uint16, h hot) (done bool, err error) {
	// Where the zone is not signed, who wants signatures gets the same.
	return t.Table.Offer(name, typ, xdp.Answer{Records: h.data, Count: h.records, Slot: h.slot, Unsigned: !h.signed})
}

// Counts implements meter.
func (t inKernel) Counts() (out driverCounts, err error) {
	c, err := t.Table.Counts()
	if err != nil {
		return out, err
	}
	return driverCounts{
		v4: c.V4.Total(), v6: c.V6.Total(),
		edns: c.V4.EDNS + c.V4.DO + c.V6.EDNS + c.V6.DO, do: c.V4.DO + c.V6.DO,
		missed: c.Missed, noRoom: c.NoRoom,
	}, nil
}

// Answered implements meter.
func (t inKernel) Answered(slots []uint32, into []uint64) error {
	if len(slots) == 0 {
		return nil
	}
	all := make([]uint64, 1+slices.Max(slots))
	if err := t.AnsweredAll(all); err != nil {
		return err
	}
	for i, slot := range slots {
		into[i] = all[slot]
	}
	return nil
}
