package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jurymast/bench/side"
)

// attempts is how often a run that does not count is tried again.
const attempts = 2

// outcome is what a proxy did in each pair; nil where no attempt counted.
type outcome struct {
	proxy *proxy
	side.Runs
	why  []string
	live *live // while they run together
}

// pairs measures every proxy once per round, each time in a fresh process; the order turns round with every round,
// so that a machine that grows slower or faster favours nobody.
func (b *bench) pairs(part string, rounds int, one func(*live) (side.Values, error)) ([]*outcome, error) {
	all := make([]*outcome, len(b.proxies))
	for i, p := range b.proxies {
		all[i] = &outcome{proxy: p, Runs: make(side.Runs, rounds)}
	}
	if b.Together {
		stop, err := b.startAll(all)
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	for round := range rounds {
		order := slices.Clone(all)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, o := range order {
			b.try(o, round, one)
			if err := b.ctx.Err(); err != nil {
				return nil, err
			}
		}
	}
	for _, o := range all {
		b.report.add(part, o)
	}
	return all, nil
}

// try runs a proxy until a run counts.
func (b *bench) try(o *outcome, round int, one func(*live) (side.Values, error)) {
	for range attempts {
		v, err := b.one(o, one)
		if err == nil {
			o.Runs[round] = v
			return
		}
		if b.ctx.Err() != nil {
			return
		}
		o.why = append(o.why, fmt.Sprintf("pair %d: %v", round+1, err))
	}
}

func (b *bench) one(o *outcome, one func(*live) (side.Values, error)) (side.Values, error) {
	if o.live != nil {
		return one(o.live)
	}
	return b.fresh(o.proxy, one)
}

// startAll starts every proxy, for turns.
func (b *bench) startAll(all []*outcome) (stop func(), err error) {
	stop = func() {
		for _, o := range all {
			if o.live != nil {
				_ = o.live.stop() // it is no longer needed
				o.live = nil
			}
		}
		b.rig.rest()
	}
	for _, o := range all {
		if o.live, err = b.start(o.proxy); err != nil {
			stop()
			return nil, err
		}
	}
	return stop, nil
}

// fresh measures a proxy that has just started.
func (b *bench) fresh(p *proxy, one func(*live) (side.Values, error)) (v side.Values, err error) {
	l, err := b.start(p)
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, l.stop())
		b.rig.rest()
	}()
	return one(l)
}

// ratios tells what Jurymast has to each other proxy, over the pairs, and judges that to HAProxy.
func (b *bench) ratios(what, key string, all []*outcome, limit float64) {
	for _, o := range all[1:] {
		list := side.Ratios(all[0].Runs, o.To(key), key)
		name := fmt.Sprintf("%s to %s", what, o.proxy.name)
		if len(list) > 0 {
			b.report.ratio(name, side.Median(list), slices.Min(list), slices.Max(list))
		}
		if o.proxy.name == "haproxy" && limit > 0 {
			why := ""
			if len(list) == 0 {
				why = "no pair of runs counts: " + strings.Join(all[0].why, "; ")
			}
			b.report.judge(goal{Name: name, Value: side.Median(list), Limit: limit, Met: why == "" && side.Median(list) <= limit, Why: why})
		}
	}
}

func microseconds(d time.Duration, per int) float64 {
	return float64(d) / float64(time.Microsecond) / float64(max(1, per))
}
