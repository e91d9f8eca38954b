package nameserver

import (
	"net/netip"
	"testing"
	"time"
)

// Table is driverTable with types the tests know.
type Table interface {
	Offer(name []byte, typ uint16, records []byte, count uint16, slot uint32) (bool, error)
	Withdraw(name []byte, typ uint16) error
	Clear() error
	Settle() error
	Alive(d time.Duration) error
}

type tested struct{ Table }

func (t tested) Offer(name []byte, typ uint16, h hot) (bool, error) {
	return t.Table.Offer(name, typ, h.data, h.records, h.slot)
}

// Mirror keeps a table equal to what the server answers.
type Mirror struct {
	s *Server
	m *mirror
}

// Mirror makes one for so many answers and counters.
func (s *Server) Mirror(t Table, most, slots int) *Mirror {
	return &Mirror{s, newMirror(tested{t}, s.slot, s.m.answers, most, slots)}
}

// Try follows the newest snapshot.
func (m *Mirror) Try() error { return m.m.follow(m.s.opt.Hub.Load()) }

// Follow is Try that must work.
func (m *Mirror) Follow(t testing.TB) {
	t.Helper()
	if err := m.Try(); err != nil {
		t.Fatal(err)
	}
}

// Limit is how long something wrong may be answered.
func (m *Mirror) Limit(d time.Duration) { m.m.limit = d }

// Again offers what had to wait.
func (m *Mirror) Again(t testing.TB) {
	t.Helper()
	if err := m.m.again(); err != nil {
		t.Fatal(err)
	}
}

// Sizes are what is there or will be soon, what of it waits, and what does not fit.
func (m *Mirror) Sizes() (entries, waiting, left int) {
	return len(m.m.held), len(m.m.waits), len(m.m.left)
}

// Kernel is what the tests pretend.
type Kernel interface {
	Table
	Find(listen []netip.AddrPort) ([]DriverInterface, error)
	Load() error
	Attach(name string) error
	Close()
	Counted() [4]uint64
	Slot(n uint32) uint64
}

// Plug has the driver's part use a pretended kernel.
func (s *Server) Plug(k Kernel) { s.driver.plug = pretendedPlug{k} }

type pretendedPlug struct{ k Kernel }

func (p pretendedPlug) find(listen []netip.AddrPort) ([]DriverInterface, []netip.Addr, error) {
	list, err := p.k.Find(listen)
	return list, nil, err
}

func (p pretendedPlug) load([]netip.Addr, int, int, int) (*kernelTable, error) {
	return &kernelTable{tested{p.k}, pretendedMeter(p)}, p.k.Load()
}

func (p pretendedPlug) attach(_ *kernelTable, name string) error { return p.k.Attach(name) }

type pretendedMeter struct{ k Kernel }

func (m pretendedMeter) Counts() (driverCounts, error) {
	c := m.k.Counted()
	return driverCounts{v4: c[0], v6: c[1], edns: c[2], do: c[3]}, nil
}

func (m pretendedMeter) Answered(slots []uint32, into []uint64) error {
	for i, slot := range slots {
		into[i] = m.k.Slot(slot)
	}
	return nil
}

func (m pretendedMeter) Close() error {
	m.k.Close()
	return nil
}
