package main

import (
	"fmt"
	"strings"

	"jurymast/bench/side"
)

// The numbers of names. Host names of profiles end where one node is made for.
var (
	staticSizes  = []int{10, 10_000, 100_000}
	profileSizes = []int{10, 1_000, 10_000}
)

// sizeRounds bounds what is only looked at: peers with static names.
const sizeRounds = 1

var sizeColumns = []column{{"us", "us/answer", "%.2f"}, {"qps", "dnsperf q/s", "%.0f"}, {"ready", "ready s", "%.2f"}, {"mib", "MiB", "%.0f"}}

// size measures CPU time per answer as names grow more.
func (b *bench) size() error {
	type growth struct{ few, many *outcome }
	found := map[string]growth{}
	for _, s := range b.servers {
		for _, dynamic := range []bool{false, true} {
			if dynamic && s.name != jurymast {
				continue
			}
			sizes, rounds := staticSizes, b.Pairs
			if dynamic {
				sizes = profileSizes
			}
			if s.name != jurymast {
				rounds = min(rounds, sizeRounds)
			}
			var all []contender
			for _, n := range sizes {
				all = append(all, contender{label: kind(dynamic, n), server: s, world: world{names: n, dynamic: dynamic}})
			}
			out, err := b.pairs("size", rounds, all, b.sizeOf)
			if err != nil {
				return err
			}
			if s.name == jurymast {
				found[strings.SplitN(out[len(out)-1].label, " ", 2)[1]] = growth{out[0], out[len(out)-1]}
			}
		}
	}
	b.report.table("CPU time per answer with more and more names (peers: one run, for information)", "size", sizeColumns...)
	for _, what := range []string{"static", "by health"} {
		g := found[what]
		f, why := ratio(g.many, g.few.To("us"), "us")
		b.report.most(fmt.Sprintf("CPU time per answer, %s to %d", g.many.label, g.few.world.names), f, goalSize, why)
	}
	return nil
}

func kind(dynamic bool, n int) string {
	if dynamic {
		return fmt.Sprintf("%d by health", n)
	}
	return fmt.Sprintf("%d static", n)
}

// sizeOf warms up longer than others: every name is asked at least once or nearly so.
func (b *bench) sizeOf(l *live) (side.Values, error) {
	v := side.Values{"ready": l.took.Seconds()}
	if err := b.settle(l); err != nil {
		return nil, err
	}
	if _, err := b.dnsperf(l, 2); err != nil {
		return nil, err
	}
	if err := b.perfOf(l, v, ""); err != nil {
		return nil, err
	}
	v["mib"] = side.Memory(l.pid)
	return v, nil
}
