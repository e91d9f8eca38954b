//go:build interop && linux

package nameserver_test

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// BenchmarkInteropDriver is 10,000 profiles in the kernel's table: one flip with its publishing; and filling, new
// documents that change every answer, new documents that change none, and a scrape.
func BenchmarkInteropDriver(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("needs root")
	}
	const count = 10_000
	make10k := func(third int) (ps []*profile.Profile, views []*health.View) {
		for i := range count {
			p := service(fmt.Sprintf("p%d", i), names(fmt.Sprintf("h%d.dr.example", i)), addrs(fmt.Sprintf("10.%d.%d.%d", third, i/200, i%200)), addrs("192.0.2.2"))
			ps, views = append(ps, p), append(views, view(p, "uu", nil))
		}
		return ps, views
	}
	ps, views := make10k(1)
	f := build(b, []*profile.Zone{testZone("")}, ps, views)
	m := f.srv.KernelMirror(b, netip.MustParseAddr("192.0.2.1"), 40_000, 80_000)
	timed := func(f func()) float64 {
		start := time.Now()
		f()
		return float64(time.Since(start).Microseconds())
	}
	fill := timed(func() { m.Follow(b) })
	ps, views = make10k(2)
	f.publish(b, 8, []*profile.Zone{testZone("")}, ps, views)
	changed := timed(func() { m.Follow(b) })
	_, waits, _ := m.Sizes()
	f.publish(b, 9, []*profile.Zone{testZone("")}, ps, nil)
	same := timed(func() { m.Follow(b) })
	scrape := timed(func() { m.Scrape(b) })
	flips := []*health.View{view(ps[5000], "du", nil), view(ps[5000], "uu", nil)}
	i := 0
	for b.Loop() {
		i++
		f.hub.Publish(nil, flips[i%2])
		m.Follow(b)
		if i%1000 == 0 {
			m.Settle(b)
		}
	}
	b.ReportMetric(fill, "us/fill")
	b.ReportMetric(changed, "us/reload-all")
	b.ReportMetric(same, "us/reload-none")
	b.ReportMetric(scrape, "us/scrape")
	b.ReportMetric(float64(waits), "waits")
}
