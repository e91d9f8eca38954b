package steer_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

const draws = 100_000

// limit999 is the 99.9 % quantile of chi-square by degrees of freedom.
var limit999 = map[int]float64{1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52}

// chi2 compares counts with shares.
func chi2(t *testing.T, counts []int, shares []float64) {
	t.Helper()
	var sum, all float64
	for _, s := range shares {
		all += s
	}
	free := -1
	for i, s := range shares {
		want := draws * s / all
		if want == 0 {
			if counts[i] != 0 {
				t.Fatalf("%d answers with no share", counts[i])
			}
			continue
		}
		free++
		d := float64(counts[i]) - want
		sum += d * d / want
	}
	if sum > limit999[free] {
		t.Fatalf("chi-square %.2f above %.2f: counts %v, shares %v", sum, limit999[free], counts, shares)
	}
	t.Logf("chi-square %.2f of %.2f", sum, limit999[free])
}

// clients are different networks, one per draw.
func clients(four bool, seed uint64) func() steer.Client {
	dice := rand.New(rand.NewPCG(seed, 9))
	return func() steer.Client {
		if four {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], dice.Uint32())
			return steer.Client{Addr: netip.AddrFrom4(b)}
		}
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], 0x2000<<48|dice.Uint64()>>3)
		return steer.Client{Addr: netip.AddrFrom16(b)}
	}
}

func count(v *health.View, next func() steer.Client, seed uint64) []int {
	p := steer.Compile(v)
	dice := seeded(seed)
	counts := make([]int, len(v.Endpoints))
	for range draws {
		c := next()
		if k := p.Pick(&c, dice, nil); k.Leaf >= 0 {
			counts[k.Leaf]++
		}
	}
	return counts
}

func same(c steer.Client) func() steer.Client { return func() steer.Client { return c } }

func TestWeightsWithinChiSquare(t *testing.T) {
	ramp := func(v *health.View) { v.Profile.RestoreRamp = 10 * time.Minute }
	cases := []struct {
		name   string
		view   *health.View
		shares []float64
	}{
		{"even", build(profile.Weighted, states("uuuu")), []float64{1, 1, 1, 1}},
		{"uneven", build(profile.Weighted, []ep{{state: 'u', weight: 1}, {state: 'u', weight: 1000}, {state: 'u', weight: 10}, {state: 'd', weight: 500}, {state: 'u', weight: 100}, {state: 'u', weight: -1}}), []float64{1, 1000, 10, 0, 100, 0}},
		{"all zero", build(profile.Weighted, []ep{{state: 'u', weight: -1}, {state: 'u', weight: -1}, {state: 'd'}}), []float64{1, 1, 0}},
		{"ramp: three of ten minutes are over", build(profile.Weighted, []ep{{state: 'u', weight: 2}, {state: 'u', weight: 2, fresh: true, ago: 3 * time.Minute}}, ramp), []float64{2, 0.6}},
		{"all down", build(profile.Weighted, []ep{{state: 'd', weight: 3}, {state: 'd', weight: 1}, {state: 'o', weight: 9}}), []float64{3, 1, 0}},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) { chi2(t, count(c.view, same(in("")), uint64(i)+40), c.shares) })
		t.Run(c.name+", sticky", func(t *testing.T) {
			sticky(c.view)
			for _, four := range []bool{true, false} {
				chi2(t, distinct(t, c.view, four, uint64(i)+50), c.shares)
			}
		})
	}
}

// distinct counts over different networks.
func distinct(t *testing.T, v *health.View, four bool, seed uint64) []int {
	t.Helper()
	next, seen := clients(four, seed), map[netip.Prefix]bool{}
	return count(v, func() steer.Client {
		for {
			c := next()
			if n, _ := c.Addr.Prefix(map[bool]int{true: 24, false: 56}[four]); !seen[n] {
				seen[n] = true
				return c
			}
		}
	}, seed)
}

func TestPerformanceTiesWithinChiSquare(t *testing.T) {
	next := clients(true, 77)
	placed := func() steer.Client {
		c := next()
		c.Place = near("eastus").Place
		return c
	}
	tied := build(profile.Performance, []ep{{state: 'u', region: "eastus", weight: 7}, {state: 'u', region: "East US"}, {state: 'u', region: "westeurope"}, {state: 'u', region: "eastus"}})
	chi2(t, count(tied, placed, 1), []float64{1, 1, 0, 1})
	banded := build(profile.Performance, []ep{{state: 'u', region: "eastus", weight: 7}, {state: 'u', region: "eastus2", weight: 2}, {state: 'u', region: "japaneast"}, {state: 'u', region: "eastus", weight: -1}},
		func(v *health.View) { v.Profile.LatencyBand = 20 * time.Millisecond })
	chi2(t, count(banded, placed, 1), []float64{7, 2, 0, 0})
	ramped := build(profile.Performance, []ep{{state: 'u', region: "eastus"}, {state: 'u', region: "eastus", fresh: true, ago: time.Minute}},
		func(v *health.View) { v.Profile.RestoreRamp = 4 * time.Minute })
	chi2(t, count(ramped, placed, 1), []float64{1, 0.25})
}

// Taking one endpoint away moves its own clients and nobody else's; a client keeps its answer from question to question.
func TestStickyMovesNobodyElse(t *testing.T) {
	eps := []ep{{state: 'u', weight: 3}, {state: 'u', weight: 1}, {state: 'u', weight: 10}, {state: 'u', weight: 2}}
	all := steer.Compile(build(profile.Weighted, eps, sticky))
	for gone := range eps {
		less := append([]ep(nil), eps...)
		less[gone].state = 'd'
		rest := steer.Compile(build(profile.Weighted, less, sticky))
		next, moved := clients(true, uint64(gone)), 0
		for range 20_000 {
			c := next()
			a, b := all.Pick(&c, seeded(1), nil), rest.Pick(&c, seeded(2), nil)
			switch {
			case a.Leaf == gone:
				moved++
				if b.Leaf == gone {
					t.Fatal("answered a dead one")
				}
				if order := all.Order(&c, a, nil); order[1] != b.Leaf {
					t.Fatalf("the order named %d next, the client moved to %d", order[1], b.Leaf)
				}
			case a.Leaf != b.Leaf:
				t.Fatalf("%v moved from %d to %d when %d went", c.Addr, a.Leaf, b.Leaf, gone)
			}
			if a.Scope != 24 {
				t.Fatalf("scope %d", a.Scope)
			}
			neighbour := steer.Client{Addr: c.Addr.Next()}
			if x, _ := c.Addr.Prefix(24); x.Contains(neighbour.Addr) && all.Pick(&neighbour, nil, nil).Leaf != a.Leaf {
				t.Fatal("a neighbour inside the scope is answered something else")
			}
		}
		if moved == 0 {
			t.Fatal("nobody had the endpoint")
		}
	}
}

// Two addresses inside one returned scope get the same answer, and scopes do not overlap.
func TestSubnetScopesTellTheTruth(t *testing.T) {
	v := build(profile.Subnet, []ep{{state: 'u'}, {state: 'u', subnets: "10.0.0.0/8 192.0.2.7-192.0.2.130"}, {state: 'u', subnets: "192.0.2.131-192.0.2.131 224.0.0.0/3"}})
	p := steer.Compile(v)
	dice := rand.New(rand.NewPCG(1, 1))
	var a [4]byte
	for range 20_000 {
		binary.BigEndian.PutUint32(a[:], dice.Uint32())
		if dice.IntN(2) == 0 {
			a = [4]byte{192, 0, 2, a[3]}
		}
		c := steer.Client{Addr: netip.AddrFrom4(a)}
		k := p.Pick(&c, nil, nil)
		in, err := c.Addr.Prefix(int(k.Scope))
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			other := in.Addr().As4()
			n := binary.BigEndian.Uint32(other[:])
			if k.Scope < 32 {
				n |= dice.Uint32() >> k.Scope
			}
			binary.BigEndian.PutUint32(other[:], n)
			d := steer.Client{Addr: netip.AddrFrom4(other)}
			if o := p.Pick(&d, nil, nil); o.Leaf != k.Leaf || o.Scope != k.Scope {
				t.Fatalf("%v has scope %v and %d, %v in it has %d", c.Addr, in, k.Leaf, d.Addr, o.Leaf)
			}
		}
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	child := build(profile.Weighted, states("uud"))
	here := row(t, near("eastus"), "westeurope 9, eastus 10")
	here.Place.Code, here.Place.Known = in("US-CA").Place.Code, true
	views := map[string]*health.View{
		"priority":            build(profile.Priority, states("duu"), active("b")),
		"weighted":            child,
		"weighted sticky":     build(profile.Weighted, states("uud"), sticky),
		"performance":         build(profile.Performance, []ep{{state: 'u', region: "westeurope"}, {state: 'u', region: "eastus"}, {state: 'u', region: "eastus", rtt: "eastus 9"}}),
		"performance measure": build(profile.Performance, []ep{{state: 'u', rtt: "eastus 9"}, {state: 'u', rtt: "eastus 9, westeurope 3"}}),
		"geographic":          build(profile.Geographic, []ep{{state: 'd', geo: "US-CA", subnets: "10.0.0.0/8"}, {state: 'u', geo: "WORLD"}}),
		"subnet":              build(profile.Subnet, []ep{{state: 'd', subnets: "198.51.100.0/24"}, {state: 'u'}}),
		"multivalue":          build(profile.Multivalue, states("uud")),
		"all down":            build(profile.Geographic, []ep{{state: 'd', geo: "US-CA"}, {state: 'd', geo: "WORLD"}}),
		"disabled":            build(profile.Weighted, states("xx"), azure),
		"nested":              build(profile.Geographic, []ep{{state: 'u', geo: "US", child: child}, {state: 'u', geo: "WORLD"}}),
	}
	for name, v := range views {
		p, dice, buf := steer.Compile(v), seeded(3), make([]int, 0, 16)
		var k steer.Pick
		if n := testing.AllocsPerRun(200, func() { k = p.Pick(&here, dice, nil) }); n != 0 {
			t.Errorf("%s: %v allocations per question", name, n)
		}
		if n := testing.AllocsPerRun(200, func() { buf = p.Order(&here, k, buf) }); n != 0 && name != "nested" {
			t.Errorf("%s: %v allocations per order", name, n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	here := near("eastus")
	here.Place.Code, here.Place.Known = in("US-CA").Place.Code, true
	for _, r := range []profile.Routing{profile.Priority, profile.Weighted, profile.Performance, profile.Geographic, profile.Subnet, profile.Multivalue} {
		var eps []ep
		for i := range 10 {
			e := ep{name: fmt.Sprintf("e%d", i), state: 'u', region: []string{"eastus", "westeurope", "japaneast"}[i%3]}
			e.geo = []string{"WORLD", "US", "DE", "FR", "GB", "GEO-AS", "GEO-EU", "CN", "JP", "CA"}[i]
			if i > 0 {
				e.subnets = fmt.Sprintf("10.%d.0.0/16", i)
			}
			eps = append(eps, e)
		}
		p, dice := steer.Compile(build(r, eps)), seeded(3)
		b.Run(string(r), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Pick(&here, dice, nil)
			}
		})
	}
}
