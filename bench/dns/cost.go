package main

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"jurymast/bench/side"
)

// The goals. Ratios of figures that are equal by nature differ by this much from run to run.
const (
	goalCost    = 1.00 // CPU time per answer, to gdnsd
	goalRate    = 1.00 // queries per second, to the best peer
	goalLatency = 1.00 // p99, to the best peer
	goalSize    = 1.20 // CPU time per answer with most names, to that with fewest

	noiseRate    = 0.02
	noiseLatency = 0.10
)

// usual is how many names all measures but size use.
const usual = 100

// share of the most queries per second at which latency is measured.
const share = 0.7

var costColumns = []column{
	{"us", "us/answer", "%.2f"},
	{"qps", "dnsperf q/s", "%.0f"},
	{"most", "most q/s", "%.0f"},
	{"busy", "busy %", "%.0f"},
	{"us_most", "us at most", "%.2f"},
	{"own", "client us", "%.2f"},
	{"idle", "idle ms/s", "%.1f"},
	{"bytes", "bytes", "%.0f"},
	{"other", "other %", "%.0f"},
}

// everybody is each server with the usual names, chosen by health where it can.
func (b *bench) everybody() []contender {
	var all []contender
	for _, s := range b.servers {
		kind := "by health"
		if s.pkg != "" && s.name != "gdnsd" {
			kind = "static"
		}
		all = append(all, contender{label: fmt.Sprintf("%d names %s", usual, kind), server: s, world: world{names: usual, dynamic: true}})
	}
	return all
}

// cost measures CPU time per answer under dnsperf, and the most queries per second with a client that costs less.
func (b *bench) cost() error {
	all, err := b.pairs("cost", b.Pairs, b.everybody(), b.costOf)
	if err != nil {
		return err
	}
	b.report.table("CPU time per answer over UDP, and most queries per second", "cost", costColumns...)
	b.most = map[string]float64{}
	for _, o := range all {
		b.most[o.server.name] = o.Median("most")
		if o.server.name == "gdnsd" {
			f, why := ratio(all[0], o.To("us"), "us")
			b.report.most("CPU time per answer to gdnsd", f, goalCost, why)
		}
	}
	for _, o := range all[1:] {
		if f, why := ratio(all[0], o.To("us"), "us"); why == "" {
			fmt.Printf("ratio     CPU time per answer to %s: %.3f, at most queries per second ", o.server.name, f)
			f, _ = ratio(all[0], o.To("us_most"), "us_most")
			fmt.Printf("%.3f\n", f)
		}
	}
	if len(all) > 1 {
		f, why := ratio(all[0], toBest(all[1:], "most", true), "most")
		b.report.least("most queries per second to the best peer (2 % is noise)", f, goalRate-noiseRate, why)
	}
	return nil
}

// costOf is one run of a server: idle, warm-up, dnsperf, then as much as it can.
func (b *bench) costOf(l *live) (side.Values, error) {
	v := side.Values{}
	u, err := b.spent(l, func() error { return b.sleep(time.Second) })
	if err != nil {
		return nil, err
	}
	v["idle"] = float64(u.cpu) / float64(time.Millisecond) / u.wall.Seconds()
	if _, err := b.dnsperf(l, 1); err != nil {
		return nil, err
	}
	if err := b.perfOf(l, v, ""); err != nil {
		return nil, err
	}
	return v, b.mostOf(l, v)
}

// perfOf adds the figures of one run of dnsperf, their names behind a prefix.
func (b *bench) perfOf(l *live, v side.Values, prefix string, args ...string) error {
	var p perf
	u, err := b.spent(l, func() (err error) {
		p, err = b.dnsperf(l, b.Seconds, args...)
		return err
	})
	if err != nil {
		return err
	}
	if err := p.counts(); err != nil {
		return err
	}
	v[prefix+"us"], v[prefix+"qps"], v[prefix+"bytes"] = microseconds(u.cpu, p.completed), p.qps, float64(p.response)
	v[prefix+"other"] = u.other
	return nil
}

// mostOf adds the most queries per second of a closed loop, and how busy the server was: below 100 % the client was the
// limit.
func (b *bench) mostOf(l *live, v side.Values) error {
	var r loadResult
	u, err := b.spent(l, func() (err error) {
		r, err = b.load(l, 0, b.Seconds)
		return err
	})
	if err != nil {
		return err
	}
	if err := r.counts(); err != nil {
		return err
	}
	v["most"], v["us_most"] = r.QPS, microseconds(u.cpu, r.Answers)
	v["own"] = r.Own
	v["busy"] = 100 * v["us_most"] * r.QPS / 1e6
	return nil
}

var latencyColumns = []column{
	{"rate", "q/s", "%.0f"},
	{"us", "us/answer", "%.2f"},
	{"p50", "p50 us", "%.0f"},
	{"p90", "p90 us", "%.0f"},
	{"p99", "p99 us", "%.0f"},
	{"p999", "p99.9 us", "%.0f"},
	{"max", "max us", "%.0f"},
	{"other", "other %", "%.0f"},
}

// latency loads all with the same rate: 70 % of what the slowest of them can do.
func (b *bench) latency() error {
	if err := b.findMost(b.servers); err != nil {
		return err
	}
	rate := 0.0
	for _, s := range b.servers {
		if m := b.most[s.name]; rate == 0 || m > 0 && m*share < rate {
			rate = m * share
		}
	}
	if rate == 0 {
		b.report.most("p99 latency", 0, goalLatency, "no server's most queries per second could be measured")
		return nil
	}
	all, err := b.pairs("latency", b.Pairs, b.everybody(), func(l *live) (side.Values, error) { return b.latencyOf(l, rate) })
	if err != nil {
		return err
	}
	b.report.table(fmt.Sprintf("Latency at %.0f queries per second, %.0f %% of what the slowest can do", rate, 100*share), "latency", latencyColumns...)
	if len(all) > 1 {
		f, why := ratio(all[0], toBest(all[1:], "p99", false), "p99")
		b.report.most("p99 latency to the best peer (10 % is noise)", f, goalLatency+noiseLatency, why)
	}
	return nil
}

// latencyOf is one run with an open loop.
func (b *bench) latencyOf(l *live, rate float64) (side.Values, error) {
	if _, err := b.load(l, rate, 1); err != nil {
		return nil, err
	}
	var r loadResult
	u, err := b.spent(l, func() (err error) {
		r, err = b.load(l, rate, b.Seconds)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := r.counts(); err != nil {
		return nil, err
	}
	v := side.Values{"rate": r.QPS, "us": microseconds(u.cpu, r.Answers), "other": u.other}
	maps.Copy(v, r.Quantile)
	return v, nil
}

// findMost measures the most queries per second of those servers where it is not known yet.
func (b *bench) findMost(list []*server) error {
	if b.most == nil {
		b.most = map[string]float64{}
	}
	for _, s := range list {
		if b.most[s.name] > 0 {
			continue
		}
		o := &outcome{contender: contender{server: s, world: world{names: usual, dynamic: true}}, Runs: make(side.Runs, 1)}
		b.try(o, 0, func(l *live) (side.Values, error) {
			if _, err := b.load(l, 0, 1); err != nil {
				return nil, err
			}
			v := side.Values{}
			return v, b.mostOf(l, v)
		})
		b.most[s.name] = o.Median("most")
		if len(o.why) > 0 {
			fmt.Printf("*** most queries per second of %s: %s\n", s.name, strings.Join(o.why, "; "))
		}
	}
	return b.ctx.Err()
}

// sleep waits, unless the run is given up.
func (b *bench) sleep(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
}
