//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reading is the state of all counters, or the difference of two.
type reading struct {
	at                time.Duration
	answers, bad      uint64        // seen by the client's end
	napi, server      time.Duration // CPU time of the NAPI thread and of the server
	napiPer, procPer  float64       // us per answer
	perSecond, perCPU float64       // answers per second, per CPU second
	started           time.Time
}

func (g *rig) read() (r reading, err error) {
	r.started = time.Now()
	if r.napi, err = cpuTime(g.napi); err != nil {
		return r, err
	}
	if g.server != nil {
		if r.server, err = cpuTime(g.server.Process.Pid); err != nil {
			return r, err
		}
	}
	if r.answers, err = sumOf(g.seen, 0); err != nil {
		return r, err
	}
	r.bad, err = sumOf(g.seen, 1)
	return r, err
}

func (r reading) since(b reading) reading {
	d := reading{at: r.started.Sub(b.started), answers: r.answers - b.answers, bad: r.bad - b.bad, napi: r.napi - b.napi, server: r.server - b.server}
	n := float64(d.answers)
	d.napiPer, d.procPer = float64(d.napi.Nanoseconds())/1e3/n, float64(d.server.Nanoseconds())/1e3/n
	d.perSecond, d.perCPU = n/d.at.Seconds(), n/(d.napi+d.server).Seconds()
	return d
}

func (r reading) String() string {
	return fmt.Sprintf("%9.0f answers/s  %6.3f us/answer (NAPI %.3f, server %.3f)  %9.0f answers per CPU second",
		r.perSecond, r.napiPer+r.procPer, r.napiPer, r.procPer, r.perCPU)
}

// median by answers per CPU second.
func median(l []reading) reading {
	l = slices.Clone(l)
	slices.SortFunc(l, func(a, b reading) int { return int(a.perCPU - b.perCPU) })
	return l[len(l)/2]
}

// cpuTime of all threads of a process that live, in nanoseconds from the scheduler. Ticks would miss most of the short
// turns that packets cause.
func cpuTime(pid int) (sum time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("process %d is gone", pid)
	}
	for _, t := range threads {
		b, err := os.ReadFile(t)
		if err != nil {
			continue // the thread ended
		}
		n, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n)
	}
	return sum, nil
}
