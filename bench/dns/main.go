// Command dns measures Jurymast beside Debian's gdnsd, Knot and NSD in one run: the same names, the same load, each server
// alone on one core and the client on another. What it claims are ratios, the median over pairs whose order alternates;
// absolute figures belong to the machine.
//
//	cost      CPU time of the server (user and system) per answer over UDP, 100 names; most queries per second
//	latency   p99 at 70 % of what the slowest can do: the same rate for all
//	events    the same load while health flips ten times a second and the zone changes every second: nothing is lost
//	size      CPU time per answer with 10 up to 100,000 names
//	signed    what signatures cost, beside Knot, and how long a large signed zone takes to start
//	variants  EDNS, DO, cookies, TCP; for information
//	shapes    receive shapes and batch sizes of Jurymast against each other (-shapes raw:16,two:16)
//
// A run in which an answer is lost or is not NOERROR does not count. A missed goal is told, and with -strict it ends with 1.
// It is no test: run it on a machine that does nothing else. README.md says how to read it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"jurymast/bench/side"
)

// settings are the flags, and stand in the JSON file.
type settings struct {
	Binary     string        `json:"binary"`
	Only       string        `json:"only"`
	Peers      string        `json:"peers"`
	Pairs      int           `json:"pairs"`
	Seconds    int           `json:"seconds"`
	Clients    int           `json:"clients"`
	Window     int           `json:"window"`
	ServerCore int           `json:"server_core"`
	ClientCore int           `json:"client_core"`
	Shapes     string        `json:"shapes,omitempty"`
	Env        string        `json:"env,omitempty"`
	JSON       string        `json:"-"`
	Strict     bool          `json:"-"`
	Limit      time.Duration `json:"-"`
}

// measures in the order they run.
var measures = []struct {
	name string
	run  func(*bench) error
}{
	{"cost", (*bench).cost},
	{"latency", (*bench).latency},
	{"events", (*bench).events},
	{"size", (*bench).size},
	{"signed", (*bench).signed},
	{"variants", (*bench).variants},
	{"shapes", (*bench).shapes},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == loadVerb {
		exit(loadMain(os.Args[2:]))
		return
	}
	var s settings
	flag.StringVar(&s.Binary, "binary", "bin/jurymast", "the `PROGRAM` to measure")
	flag.StringVar(&s.Only, "only", "", "comma-separated `MEASURES`: cost, latency, events, size, signed, variants, shapes; default: all")
	flag.StringVar(&s.Peers, "peers", "gdnsd,knot,nsd", "comma-separated `SERVERS` to compare with")
	flag.IntVar(&s.Pairs, "pairs", 5, "how often each server is measured; medians are over these")
	flag.IntVar(&s.Seconds, "seconds", 4, "length of one measurement")
	flag.IntVar(&s.Clients, "clients", 8, "sockets of dnsperf")
	flag.IntVar(&s.Window, "window", 160, "questions under way at once; a socket with the usual buffer of 208 KiB is sure to hold 192")
	flag.IntVar(&s.ServerCore, "server-core", 0, "`CORE` of the server")
	flag.IntVar(&s.ClientCore, "client-core", 1, "`CORE` of the clients and of everything else here")
	flag.StringVar(&s.Shapes, "shapes", "", "`SHAPE:BATCH,...` to set against each other, for example raw:16,raw:64,polite:16")
	flag.StringVar(&s.Env, "env", "", "`NAME=VALUE,...` in the environment of Jurymast")
	flag.StringVar(&s.JSON, "json", "", "write all figures to `FILE`")
	flag.BoolVar(&s.Strict, "strict", false, "end with 1 when a goal is missed or a server is missing")
	flag.DurationVar(&s.Limit, "limit", 90*time.Minute, "give up after this time")
	flag.Parse()
	exit(run(s))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "dns:", err)
		os.Exit(1)
	}
}

// bench is one run of the command.
type bench struct {
	settings
	ctx     context.Context
	dir     string    // for everything; removed at the end
	servers []*server // Jurymast first
	report  report
	most    map[string]float64 // queries per second by server, from cost
}

func run(s settings) (err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, s.Limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "jurymast-dns-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{settings: s, ctx: ctx, dir: dir}
	if err := b.prepare(); err != nil {
		return err
	}
	b.report.begin(b)
	for _, m := range measures {
		if !b.wanted(m.name) {
			continue
		}
		if err := m.run(b); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return b.report.end(s.JSON, s.Strict)
}

// wanted tells whether a measure runs: those named, else all; shapes need a list.
func (b *bench) wanted(name string) bool {
	if name == "shapes" && b.Shapes == "" {
		return false
	}
	return b.Only == "" || slices.Contains(strings.Split(b.Only, ","), name)
}

// prepare refuses what cannot be measured before anything is started.
func (b *bench) prepare() error {
	if b.Pairs < 1 || b.Seconds < 1 || b.Window < 1 || b.Window > 60_000 || b.Clients < 1 {
		return errors.New("-pairs, -seconds, -clients and -window are at least 1, -window at most 60000")
	}
	for only := range strings.SplitSeq(b.Only, ",") {
		if only != "" && !slices.ContainsFunc(measures, func(m struct {
			name string
			run  func(*bench) error
		},
		) bool {
			return m.name == only
		}) {
			return fmt.Errorf("-only %s: no such measure", only)
		}
	}
	if err := side.Pin(b.ServerCore); err != nil { // is it allowed at all?
		return fmt.Errorf("server core: %w", err)
	}
	if err := side.Pin(b.ClientCore); err != nil {
		return fmt.Errorf("client core: %w", err)
	}
	if b.ServerCore == b.ClientCore {
		return errors.New("-server-core and -client-core are different cores; one core measures nothing")
	}
	for _, tool := range []server{{name: "dnsperf", pkg: "dnsperf", program: "dnsperf"}, {name: "taskset", pkg: "util-linux", program: "taskset"}} {
		if !tool.found() {
			return fmt.Errorf("%s is missing: apt install %s", tool.name, tool.pkg)
		}
	}
	if _, err := os.Stat(b.Binary); err != nil {
		return fmt.Errorf("%w; make build makes it", err)
	}
	return b.findServers([]*server{jurymastServer(b.Binary), gdnsdServer(), knotServer(), nsdServer()})
}
