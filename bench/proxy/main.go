// Command proxy measures Jurymast beside Debian's HAProxy and nginx in one run: the same host names, the same features, the
// same load, each proxy alone on one core, client and origin on the other. What it claims are ratios, the median over pairs
// whose order alternates; absolute figures belong to the machine.
//
//	get64    CPU time of the proxy (user and system) per request: small GET on 64 kept connections
//	get512   the same on 512 connections
//	post4k   small POST with a body of 4 KiB
//	down1m   answers of 1 MiB
//	up1m     request bodies of 1 MiB
//	close    a connection for each request
//	latency  p50 and p99 at 30 % of what the slowest can do, and what a proxy adds to no proxy at all
//	idle     memory of each of 10,000 connections that asked once
//
// Every answer is checked by the client and every request by the origin; one that is wrong fails the run.
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

	"jurymast/bench/proxy/bare"
	"jurymast/bench/side"
)

// bareVerb makes this program the bare relay.
const bareVerb = "bare"

// settings are the flags, and stand in the JSON file.
type settings struct {
	Binary      string        `json:"binary"`
	Part        string        `json:"part"`
	Proxies     string        `json:"proxies"`
	Pairs       int           `json:"pairs"`
	Seconds     float64       `json:"seconds"`
	Connections int           `json:"connections"`
	ProxyCore   int           `json:"proxy_core"`
	ClientCore  int           `json:"client_core"`
	JSON        string        `json:"-"`
	Perf        string        `json:"perf,omitempty"`
	Strict      bool          `json:"-"`
	Prefer      bool          `json:"prefer,omitempty"`
	Together    bool          `json:"together,omitempty"`
	Limit       time.Duration `json:"-"`
}

var (
	verbGet   = verb{name: "get", path: "/s", want: small}
	verbPost  = verb{name: "post", path: "/s", send: posted, want: small}
	verbDown  = verb{name: "down", path: "/l", want: large}
	verbUp    = verb{name: "up", path: "/s", send: large, want: small}
	verbClose = verb{name: "close", path: "/s", want: small, closing: true}
)

// part is one measure. Those with connections are costs.
type part struct {
	name, title string
	verb        verb
	connections int
	goal        float64 // CPU time per request to HAProxy; 0: none
	run         func(*bench, part) error
}

// parts in the order they run. The goals are those of the proxy's specification.
var parts = []part{
	{"get64", "Small GET, 64 kept connections", verbGet, 64, 1.00, (*bench).cost},
	{"get512", "Small GET, 512 kept connections", verbGet, 512, 1.00, (*bench).cost},
	{"post4k", "POST of 4 KiB, 64 kept connections", verbPost, 64, 1.00, (*bench).cost},
	{"down1m", "Answers of 1 MiB, 16 kept connections", verbDown, 16, 1.10, (*bench).cost},
	{"up1m", "Request bodies of 1 MiB, 16 kept connections", verbUp, 16, 1.10, (*bench).cost},
	{"close", "Small GET, a connection for each, 64 at once", verbClose, 64, 1.00, (*bench).cost},
	{"latency", "", verbGet, 64, 1.10, (*bench).latencies},
	{"idle", "", verbGet, 0, 12, (*bench).idle},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == bareVerb {
		exit(bare.Main(os.Args[2:]))
		return
	}
	var s settings
	flag.StringVar(&s.Binary, "binary", "bin/jurymast", "the `PROGRAM` to measure")
	flag.StringVar(&s.Part, "part", "", "comma-separated `PARTS`: "+partNames()+"; default: all")
	flag.StringVar(&s.Proxies, "proxies", "jurymast,haproxy,nginx,bare",
		"comma-separated `PROXIES`; the first is set against each of the others. With something in the environment: jurymast@NAME=VALUE@NAME=VALUE")
	flag.IntVar(&s.Pairs, "pairs", 5, "how often each proxy is measured; medians are over these")
	flag.Float64Var(&s.Seconds, "seconds", 2, "length of one measurement")
	flag.IntVar(&s.Connections, "connections", 10_000, "how many connections idle has")
	flag.IntVar(&s.ProxyCore, "proxy-core", 0, "`CORE` of the proxy")
	flag.IntVar(&s.ClientCore, "client-core", 1, "`CORE` of client and origin and of everything else here")
	flag.StringVar(&s.JSON, "json", "", "write all figures to `FILE`")
	flag.StringVar(&s.Perf, "perf", "", "let perf record the proxy in every run, into `FOLDER`; figures of such runs are too high")
	flag.BoolVar(&s.Strict, "strict", false, "end with 1 when a goal is missed or a proxy is missing")
	flag.BoolVar(&s.Prefer, "prefer", false, "run before all else on this machine (root, chrt, and a session of its own: setsid -w)")
	flag.BoolVar(&s.Together, "together", false, "start each proxy once and let them take short turns: finds small differences of programs that do nothing of their own")
	flag.DurationVar(&s.Limit, "limit", 30*time.Minute, "give up after this time")
	flag.Parse()
	exit(run(s))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "proxy:", err)
		os.Exit(1)
	}
}

func partNames() string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}

// bench is one run of the command.
type bench struct {
	settings
	ctx     context.Context
	dir     string   // for everything; removed at the end
	proxies []*proxy // the subject first
	rig     *rig
	report  report
	most    map[string]float64 // requests per second by proxy, from get64
	prompt  bool               // proxies are woken before anybody else on the machine, whoever works there
}

func run(s settings) (err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, s.Limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "jurymast-proxy-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // nginx's worker is another user when root starts it
		return err
	}
	b := &bench{settings: s, ctx: ctx, dir: dir}
	if err := b.prepare(); err != nil {
		return err
	}
	b.report.begin(b)
	for _, p := range parts {
		if s.Part != "" && !slices.Contains(strings.Split(s.Part, ","), p.name) {
			continue
		}
		if err := p.run(b, p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return b.report.end(s.JSON, s.Strict)
}

// prepare refuses what cannot be measured before anything is started.
func (b *bench) prepare() error {
	if b.Pairs < 1 || b.Seconds < 0.1 || b.Connections < 1 || b.Connections > 25_000 {
		return errors.New("-pairs is at least 1, -seconds at least 0.1, -connections 1 to 25000")
	}
	for name := range strings.SplitSeq(b.Part, ",") {
		if name != "" && !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("-part %s: allowed are %s", name, partNames())
		}
	}
	if b.ProxyCore == b.ClientCore {
		return errors.New("-proxy-core and -client-core are different cores; one core measures nothing")
	}
	for _, core := range []int{b.ProxyCore, b.ClientCore} { // is it allowed at all? The last one stays
		if err := side.Pin(core); err != nil {
			return err
		}
	}
	if tool := (&proxy{program: "taskset"}); !tool.found() {
		return errors.New("taskset is missing: apt install util-linux")
	}
	if b.Prefer {
		if err := os.WriteFile("/proc/self/autogroup", []byte("-20"), 0); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := b.findProxies([]*proxy{jurymastProxy(b.Binary), haproxyProxy(), nginxProxy(), bareProxy(self)}); err != nil {
		return err
	}
	b.rig, err = newRig()
	return err
}
