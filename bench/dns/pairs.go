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
const attempts = 3

// contender is a server in one state that is set against others.
type contender struct {
	label  string // unique in its measure; the case of its row
	server *server
	world  world
}

// outcome is what a contender did in each pair; nil where no attempt counted.
type outcome struct {
	contender
	side.Runs
	why []string
}

// pairs measures every contender once per round, each time in a fresh process; the order turns round with every round,
// so that a machine that grows slower or faster favours nobody.
func (b *bench) pairs(measure string, rounds int, list []contender, one func(*live) (side.Values, error)) ([]*outcome, error) {
	all := make([]*outcome, len(list))
	for i, c := range list {
		all[i] = &outcome{contender: c, Runs: make(side.Runs, rounds)}
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
		b.report.Rows = append(b.report.Rows, o.row(measure, o.label, ""))
	}
	return all, nil
}

// try runs a contender until a run counts.
func (b *bench) try(o *outcome, round int, one func(*live) (side.Values, error)) {
	for range attempts {
		v, err := b.once(o, one)
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

func (b *bench) once(o *outcome, one func(*live) (side.Values, error)) (v side.Values, err error) {
	l, err := b.start(o.server, o.world)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.stop()) }()
	return one(l)
}

// row is the medians of the runs that counted. With a prefix only the values behind it are meant.
func (o *outcome) row(measure, of, prefix string) row {
	r := row{Measure: measure, Case: of, Server: o.server.name, Why: strings.Join(o.why, "; ")}
	r.Values, r.Runs = o.Medians(prefix)
	return r
}

// ratio is the median over pairs of one value of a to that of b, in the same round. It says why when there is none.
func ratio(a *outcome, b func(round int) (float64, bool), key string) (middle float64, why string) {
	return side.Ratio(a.Runs, b, key)
}

// toBest is the best of several in a round: the highest, or the lowest.
func toBest(peers []*outcome, key string, highest bool) func(int) (float64, bool) {
	var all []side.Runs
	for _, o := range peers {
		all = append(all, o.Runs)
	}
	return side.Best(all, key, highest)
}

// use is what something cost.
type use struct {
	cpu, wall time.Duration
	other     float64 // percent of the server's core that went to anybody else, stolen time included
}

// spent is what the server uses while something is done.
func (b *bench) spent(l *live, do func() error) (u use, err error) {
	before, err := side.CPU(l.pid)
	if err != nil {
		return u, err
	}
	core, err := side.CoreBusy(b.ServerCore)
	if err != nil {
		return u, err
	}
	began := time.Now()
	if err := do(); err != nil {
		return u, err
	}
	u.wall = time.Since(began)
	after, err := side.CPU(l.pid)
	if err != nil {
		return u, err
	}
	busy, err := side.CoreBusy(b.ServerCore)
	u.cpu = after - before
	u.other = max(0, 100*float64(busy-core-u.cpu)/float64(u.wall))
	return u, err
}

func microseconds(d time.Duration, per int) float64 {
	return float64(d) / float64(time.Microsecond) / float64(per)
}
