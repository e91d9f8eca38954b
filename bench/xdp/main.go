//go:build linux

// Command xdp measures what one query costs when it is answered in the driver (internal/nameserver/xdp) and when it is
// answered by sockets, at the same cable: two network namespaces on this machine, joined by veth in driver mode.
//
//	core 0  the server's end: its NAPI thread and, for sockets, the server. Only this is counted.
//	core 1  the client's end: the generator, its NAPI thread, this program. Never counted.
//
// The generator is an XDP program too, run on live frames: it hands frames to the cable as a network card would, at a
// steady rate. Answers are checked and dropped by a third program at the client's end. README.md says how to read it.
//
// It needs root and two cores and is no test: figures of a machine that does other things are noise.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	jurymast       string
	rounds, names  int
	runs           string
	d, moderation  time.Duration
	prefer, edns   bool
	high, mid, low int64
}

// contender is one row of the table.
type contender struct {
	name   string
	path   string // xdp, socket, or both: the program is there with an empty table, sockets answer
	server string // bare, jurymast or none
	rate   int64  // queries a second asked for
	even   bool   // NAPI of the server's end sleeps between polls, as with interrupt moderation
}

func main() {
	if len(os.Args) > 1 && (os.Args[1] == "generate" || os.Args[1] == "bare") {
		child(os.Args[1:])
		return
	}
	var s settings
	flag.StringVar(&s.jurymast, "binary", "bin/jurymast", "the server on sockets")
	flag.IntVar(&s.rounds, "rounds", 5, "runs of each; the median is told")
	flag.IntVar(&s.names, "names", 100, "names asked for and held")
	flag.StringVar(&s.runs, "runs", "", "only rows that contain this")
	flag.DurationVar(&s.d, "d", 3*time.Second, "of each run")
	flag.DurationVar(&s.moderation, "moderation", 30*time.Microsecond, "how long NAPI of the server's end sleeps between polls at equal load")
	flag.BoolVar(&s.prefer, "prefer", false, "run before all else on this machine (needs a session of its own: setsid)")
	flag.BoolVar(&s.edns, "edns", false, "ask with EDNS")
	flag.Int64Var(&s.high, "high", 2_000_000, "queries a second for XDP at its most")
	flag.Int64Var(&s.mid, "mid", 160_000, "queries a second for sockets at their most; lower it when the bare loop loses some")
	flag.Int64Var(&s.low, "low", 80_000, "queries a second of the equal load")
	flag.Parse()
	if err := s.measure(); err != nil {
		fmt.Fprintln(os.Stderr, "bench xdp:", err)
		os.Exit(1)
	}
}

func (s *settings) contenders() []contender {
	return []contender{
		{"xdp at its most", "xdp", "", s.high, false},
		{"xdp at a fifth of it", "xdp", "", s.high / 5, false},
		{"bare loop at its most", "socket", "bare", s.mid, false},
		{"jurymast at its most", "socket", "jurymast", s.mid * 3 / 4, false},
		{"bare loop behind an empty table", "both", "bare", s.mid, false},
		{"xdp, equal load", "xdp", "", s.low, true},
		{"bare loop, equal load", "socket", "bare", s.low, true},
		{"jurymast, equal load", "socket", "jurymast", s.low, true},
	}
}

func (s *settings) measure() error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	if s.prefer {
		if err := os.WriteFile("/proc/self/autogroup", []byte("-20"), 0); err != nil {
			return err
		}
	}
	if err := pin(0, clientCore); err != nil {
		return err
	}
	list := slices.DeleteFunc(s.contenders(), func(c contender) bool { return !strings.Contains(c.name, s.runs) })
	results := make([][]reading, len(list))
	for round := range s.rounds {
		for i, c := range list {
			select {
			case <-stop:
				return errors.New("interrupted")
			default:
			}
			r, err := s.run(c)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			fmt.Printf("%d %-32s %s\n", round+1, c.name, r)
			results[i] = append(results[i], r)
		}
	}
	fmt.Println("\nmedians")
	for i, c := range list {
		fmt.Printf("  %-32s %s\n", c.name, median(results[i]))
	}
	return nil
}

// run is one contender once.
func (s *settings) run(c contender) (r reading, err error) {
	g, err := newRig(s, c)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	generator, err := g.generator(s.d + 2*time.Second)
	if err != nil {
		return r, err
	}
	time.Sleep(time.Second)
	before, err := g.read()
	if err != nil {
		return r, err
	}
	time.Sleep(s.d)
	after, err := g.read()
	if err != nil {
		return r, err
	}
	if err := generator.Wait(); err != nil {
		return r, fmt.Errorf("generator: %w", err)
	}
	r = after.since(before)
	if r.answers == 0 || r.bad > 0 {
		return r, fmt.Errorf("%d answers, %d of them wrong", r.answers, r.bad)
	}
	return r, nil
}
