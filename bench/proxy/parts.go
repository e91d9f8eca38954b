package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"jurymast/bench/side"
)

const (
	warm  = 700 * time.Millisecond // before anything is counted
	share = 0.3                    // of the most requests per second of the slowest, where latency is measured
	kib   = 1024.
)

var costColumns = []column{
	{"us", "us/request", "%.2f"},
	{"user", "of it user %", "%.0f"},
	{"most", "requests/s", "%.0f"},
	{"busy", "busy %", "%.0f"},
	{"dials", "dials/1000", "%.1f"},
	{"other", "other %", "%.0f"},
}

// cost measures CPU time per request while the proxy has as much to do as it can.
func (b *bench) cost(p part) error {
	all, err := b.pairs(p.name, b.Pairs, func(l *live) (side.Values, error) {
		return b.costOf(l, plan{verb: p.verb, connections: p.connections})
	})
	if err != nil {
		return err
	}
	b.report.table(p.name, p.title, costColumns)
	b.ratios("CPU time per request, "+p.name+",", "us", all, p.goal)
	if p.name == "get64" {
		b.most = map[string]float64{}
		for _, o := range all {
			b.most[o.proxy.name] = o.Median("most")
		}
	}
	return nil
}

// meter reads clocks when counting begins and ends.
type meter struct {
	l               *live
	core            int
	cpu, user, busy time.Duration // so far; in the end: meanwhile
}

func (m *meter) begin() (err error) {
	m.cpu, m.user, m.busy, err = m.read()
	return err
}

func (m *meter) end() error {
	cpu, user, busy, err := m.read()
	m.cpu, m.user, m.busy = cpu-m.cpu, user-m.user, busy-m.busy
	return err
}

func (m *meter) read() (cpu, user, busy time.Duration, err error) {
	if cpu, err = side.CPUOf(m.l.family); err != nil {
		return 0, 0, 0, err
	}
	if user, err = side.User(m.l.family); err != nil {
		return 0, 0, 0, err
	}
	busy, err = side.CoreBusy(m.core)
	return cpu, user, busy, err
}

// costOf is one run.
func (b *bench) costOf(l *live, p plan) (side.Values, error) {
	m := meter{l: l, core: b.ProxyCore}
	p.warm, p.length, p.count, p.stop = warm, b.length(), m.begin, m.end
	if b.Perf != "" {
		p.count = func() error { return errors.Join(b.perf(l, p.verb.name+strconv.Itoa(p.connections)), m.begin()) }
	}
	if b.Together {
		p.warm = warm / 10
	}
	r, err := b.rig.run(b.ctx, l.port, p)
	if err != nil {
		return nil, err
	}
	if r.answers == 0 {
		return nil, fmt.Errorf("no answer in %v", p.length)
	}
	return side.Values{
		"us":    microseconds(m.cpu, r.answers),
		"user":  100 * float64(m.user) / float64(max(1, m.cpu)),
		"most":  float64(r.answers) / r.wall.Seconds(),
		"busy":  100 * float64(m.cpu) / float64(r.wall),
		"dials": 1000 * float64(r.accepted) / float64(r.answers),
		"other": max(0, 100*float64(m.busy-m.cpu)/float64(r.wall)),
		"p50":   microseconds(r.latency.Quantile(.5), 1),
		"p99":   microseconds(r.latency.Quantile(.99), 1),
		"max":   microseconds(r.latency.Most, 1),
	}, nil
}

// perf starts a recording that ends by itself.
func (b *bench) perf(l *live, what string) error {
	c := exec.CommandContext(b.ctx, "perf", "record", "-q", "-e", "cpu-clock", "-F", "4000", "-g", "-p", strconv.Itoa(l.pid), //nolint:gosec // a tool on request
		"-o", filepath.Join(b.Perf, what+"-"+strings.ReplaceAll(l.name, "/", "_")+".data"), "sleep", fmt.Sprint(b.Seconds))
	if err := c.Start(); err != nil {
		return err
	}
	go func() { _ = c.Wait() }() // whoever reads the file sees how it went
	return nil
}

func (b *bench) length() time.Duration { return time.Duration(b.Seconds * float64(time.Second)) }

var latencyColumns = []column{
	{"p50", "p50 us", "%.0f"},
	{"p99", "p99 us", "%.0f"},
	{"max", "max us", "%.0f"},
	{"added50", "added p50", "%.0f"},
	{"added99", "added p99", "%.0f"},
	{"us", "us/request", "%.2f"},
	{"busy", "busy %", "%.0f"},
	{"other", "other %", "%.0f"},
}

// latencies loads all with the same rate, and the origin alone right before each: what is added is the difference.
func (b *bench) latencies(p part) error {
	if err := b.findMost(p); err != nil {
		return err
	}
	rate := 0.0
	for _, x := range b.proxies {
		if m := b.most[x.name]; rate == 0 || m > 0 && m*share < rate {
			rate = m * share
		}
	}
	if rate == 0 {
		b.report.judge(goal{Name: "p99 latency", Limit: p.goal, Why: "no proxy's most requests per second could be measured"})
		return nil
	}
	load := plan{verb: p.verb, connections: p.connections, rate: rate}
	b.prompt = b.Prefer
	defer func() { b.prompt = false }()
	all, err := b.pairs(p.name, b.Pairs, func(l *live) (side.Values, error) {
		direct := load
		direct.direct = true
		d, err := b.costOf(l, direct)
		if err != nil {
			return nil, fmt.Errorf("without a proxy: %w", err)
		}
		v, err := b.costOf(l, load)
		if err != nil {
			return nil, err
		}
		v["direct50"], v["direct99"] = d["p50"], d["p99"]
		v["added50"], v["added99"] = v["p50"]-d["p50"], v["p99"]-d["p99"]
		return v, nil
	})
	if err != nil {
		return err
	}
	b.report.table(p.name, fmt.Sprintf("Latency at %.0f requests per second, %.0f %% of what the slowest can do; without a proxy p50 %.0f us, p99 %.0f us",
		rate, 100*share, all[0].Median("direct50"), all[0].Median("direct99")), latencyColumns)
	b.ratios("added p50", "added50", all, 0)
	b.ratios("added p99", "added99", all, p.goal)
	return nil
}

// findMost measures the most requests per second of those proxies where it is not known yet.
func (b *bench) findMost(p part) error {
	if b.most == nil {
		b.most = map[string]float64{}
	}
	for _, x := range b.proxies {
		if b.most[x.name] > 0 {
			continue
		}
		o := &outcome{proxy: x, Runs: make(side.Runs, 1)}
		b.try(o, 0, func(l *live) (side.Values, error) { return b.costOf(l, plan{verb: p.verb, connections: p.connections}) })
		b.most[x.name] = o.Median("most")
		for _, why := range o.why {
			fmt.Printf("*** most requests per second of %s: %s\n", x.name, why)
		}
	}
	return b.ctx.Err()
}

var idleColumns = []column{
	{"each", "KiB each", "%.1f"},
	{"before", "MiB before", "%.0f"},
	{"after", "MiB after", "%.0f"},
}

// idle opens many connections with one request each, lets them rest, and asks on every one again.
func (b *bench) idle(p part) error {
	all, err := b.pairs(p.name, 1, func(l *live) (side.Values, error) {
		before, after := side.Memory(l.pid), 0.
		err := b.once(l, b.Connections, func() error {
			if err := b.sleep(3 * time.Second); err != nil {
				return err
			}
			after = side.Memory(l.pid)
			return b.rig.again(b.ctx)
		})
		return side.Values{"before": before, "after": after, "each": (after - before) * kib / float64(b.Connections)}, err
	})
	if err != nil {
		return err
	}
	b.report.table(p.name, fmt.Sprintf("Memory of %d idle kept connections (resident, without the kernel's)", b.Connections), idleColumns)
	v := all[0].Median("each")
	g := goal{Name: "KiB of an idle connection", Value: v, Limit: p.goal, Met: v > 0 && v <= p.goal}
	if v == 0 {
		g.Why = "no run counts"
	}
	b.report.judge(g)
	return nil
}
