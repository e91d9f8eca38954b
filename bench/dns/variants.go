package main

import (
	"fmt"
	"strings"

	"jurymast/bench/side"
)

// variantRounds bounds what is for information alone.
const variantRounds = 3

// variants are other questions: what dnsperf is told.
var variants = []struct {
	name string
	args []string
}{
	{"EDNS", []string{"-e"}},
	{"DO", []string{"-D"}},
	{"cookie", []string{"-E", "10:0123456789abcdef"}},
	{"TCP", []string{"-m", "tcp"}},
}

var variantColumns = []column{{"us", "us/answer", "%.2f"}, {"qps", "dnsperf q/s", "%.0f"}, {"bytes", "bytes", "%.0f"}}

// variants measures other questions; no goal hangs on them.
func (b *bench) variants() error {
	all, err := b.pairs("variants", min(b.Pairs, variantRounds), b.everybody(), func(l *live) (side.Values, error) {
		v := side.Values{}
		for _, way := range variants {
			if _, err := b.dnsperf(l, 1, way.args...); err != nil {
				return nil, err
			}
			if err := b.perfOf(l, v, way.name+" ", way.args...); err != nil {
				return nil, fmt.Errorf("%s: %w", way.name, err)
			}
		}
		return v, nil
	})
	if err != nil {
		return err
	}
	b.report.Rows = b.report.Rows[:len(b.report.Rows)-len(all)] // one row for each way instead
	for _, way := range variants {
		for _, o := range all {
			b.report.Rows = append(b.report.Rows, o.row("variants", way.name, way.name+" "))
		}
	}
	b.report.table("Other questions, for information", "variants", variantColumns...)
	for _, way := range variants {
		for _, o := range all[1:] {
			if f, why := ratio(all[0], o.To(way.name+" us"), way.name+" us"); why == "" {
				fmt.Printf("ratio     %s, CPU time per answer to %s: %.3f\n", way.name, o.server.name, f)
			}
		}
	}
	return nil
}

// shapes sets receive shapes and batch sizes of Jurymast against each other.
func (b *bench) shapes() error {
	var all []contender
	for _, text := range list(b.Shapes) {
		shape, size, _ := strings.Cut(text, ":")
		udp := "wait: " + shape
		if size != "" {
			udp += ", batch: " + size
		}
		all = append(all, contender{label: text, server: b.servers[0], world: world{names: usual, dynamic: true, udp: udp}})
	}
	out, err := b.pairs("shapes", b.Pairs, all, b.costOf)
	if err != nil {
		return err
	}
	b.report.table("Receive shapes and batch sizes", "shapes", costColumns...)
	for _, o := range out[1:] {
		f, why := ratio(o, out[0].To("us"), "us")
		fmt.Printf("ratio     %s to %s, CPU time per answer: %.3f %s\n", o.label, out[0].label, f, why)
	}
	rate := 0.0
	for _, o := range out {
		if m := o.Median("most") * share; rate == 0 || m > 0 && m < rate {
			rate = m
		}
	}
	if rate == 0 {
		return nil
	}
	if _, err := b.pairs("shapes-latency", b.Pairs, all, func(l *live) (side.Values, error) { return b.latencyOf(l, rate) }); err != nil {
		return err
	}
	b.report.table(fmt.Sprintf("Latency of the shapes at %.0f queries per second", rate), "shapes-latency", latencyColumns...)
	return nil
}
