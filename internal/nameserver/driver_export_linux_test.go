package nameserver

import (
	"net/netip"
	"testing"
)

// KernelMirror is a mirror in the kernel's table, at no interface.
func (s *Server) KernelMirror(t testing.TB, addr netip.Addr, most, slots int) *Mirror {
	t.Helper()
	table, err := (&linux{}).load([]netip.Addr{addr}, most, slots, s.set.udpSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	return &Mirror{s, newMirror(table, s.slot, s.m.answers, most, slots)}
}

// Scrape reads all counters.
func (m *Mirror) Scrape(t testing.TB) {
	t.Helper()
	table, ok := m.m.table.(*kernelTable)
	if !ok {
		t.Fatal("no table of the kernel")
	}
	if err := table.Answered(m.m.used, make([]uint64, len(m.m.used))); err != nil {
		t.Fatal(err)
	}
}

// Settle waits for a grace period.
func (m *Mirror) Settle(t testing.TB) {
	t.Helper()
	if err := m.m.table.Settle(); err != nil {
		t.Fatal(err)
	}
}
