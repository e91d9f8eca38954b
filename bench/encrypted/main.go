// Command encrypted measures the processor time of an answer over TLS and over HTTPS, beside Debian's dnsdist, which answers the
// same question by itself. Both servers have one core, the load has another; they take turns, and medians of pairs are
// compared. Knot 3.2 serves neither (its QUIC needs AF_XDP), so there is nobody else in Debian 12 to compare with.
//
//	make bench-encrypted            # about 3 minutes, two cores; needs dnsdist, dnsperf, nghttp2-client
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// load is one way to ask.
type load struct {
	name   string
	secure bool // over HTTPS
	args   []string
}

// What is asked: many questions on the way, as resolvers do, and one at a time on each connection.
var loads = []load{
	{"DoT, 100 on the way", false, []string{"-c", "4", "-q", "100"}},
	{"DoT, 4 on the way", false, []string{"-c", "4", "-q", "4"}},
	{"DoH, 25 streams each", true, []string{"-c", "4", "-m", "25"}},
	{"DoH, one stream each", true, []string{"-c", "4", "-m", "1"}},
}

// server is one of the two.
type server struct {
	name     string
	dot, doh int
	cmd      *exec.Cmd
}

const tick = 10 * time.Millisecond // of /proc, on every Linux

var pairs = flag.Int("pairs", 5, "how often each server has its turn")

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-encrypted:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	for _, tool := range []string{"dnsdist", "dnsperf", "h2load", "openssl", "taskset"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w; scripts/packages.txt names its package", err)
		}
	}
	dir, err := os.MkdirTemp("", "bench-encrypted-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // files of ours alone
	if err := write(ctx, dir); err != nil {
		return err
	}
	ours, err := filepath.Abs("bin/jurymast")
	if err != nil {
		return err
	}
	both := []*server{{name: "jurymast", dot: 18853, doh: 18443}, {name: "dnsdist", dot: 19853, doh: 19443}}
	commands := [][]string{{ours, "serve", "-c", "jurymast.yaml"}, {"dnsdist", "--supervised", "--disable-syslog", "-C", "dnsdist.conf"}}
	for i, s := range both {
		end, err := s.start(ctx, dir, commands[i])
		if err != nil {
			return err
		}
		defer end()
	}
	time.Sleep(3 * time.Second)
	for _, l := range loads {
		if err := compare(ctx, dir, l, both); err != nil {
			return err
		}
	}
	return nil
}

// write makes the files of both servers and of the load.
func write(ctx context.Context, dir string) error {
	files := map[string]string{
		"jurymast.yaml": `node:
  name: bench
  data: ./data
  nameserver: {listen: ["127.0.0.1:15300"], tls: ["127.0.0.1:18853"], https: ["127.0.0.1:18443"], certificates: [{cert: c.pem, key: c.key}]}
zones:
  - {name: dr.example, nameservers: [ns1.dr.example], hostmaster: ops.dr.example, records: "ns1 300 A 127.0.0.11"}
`,
		"dnsdist.conf": `setLocal('127.0.0.1:15399')
addTLSLocal('127.0.0.1:19853', 'c.pem', 'c.key')
addDOHLocal('127.0.0.1:19443', 'c.pem', 'c.key', '/dns-query')
addAction(AllRule(), SpoofAction({"127.0.0.11"}))
setSecurityPollSuffix("")
`,
		"questions": "ns1.dr.example A\n",
		"question":  "\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03ns1\x02dr\x07example\x00\x00\x01\x00\x01",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
		"-subj", "/CN=ns1.dr.example", "-addext", "subjectAltName=DNS:ns1.dr.example,IP:127.0.0.1", "-keyout", "c.key", "-out", "c.pem")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("openssl: %w: %s", err, out)
	}
	return nil
}

// start runs a server on the first core.
func (s *server) start(ctx context.Context, dir string, command []string) (end func(), err error) {
	log, err := os.Create(filepath.Join(dir, s.name+".log"))
	if err != nil {
		return nil, err
	}
	s.cmd = exec.CommandContext(ctx, "taskset", append([]string{"-c", "0"}, command...)...) //nolint:gosec // one of two
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = dir, log, log
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return func() {
		_ = s.cmd.Process.Signal(os.Interrupt) // it may have ended
		timer := time.AfterFunc(5*time.Second, func() { _ = s.cmd.Process.Kill() })
		_ = s.cmd.Wait() // however it ends
		timer.Stop()
		_ = log.Close() // nobody reads it
	}, nil
}

// compare lets both answer in turns and tells medians.
func compare(ctx context.Context, dir string, l load, both []*server) error {
	costs := map[string][]float64{}
	var ratios []float64
	for round := range *pairs {
		order := slices.Clone(both)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, s := range order {
			cost, err := s.cost(ctx, dir, l)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, l.name, err)
			}
			costs[s.name] = append(costs[s.name], cost)
		}
		ratios = append(ratios, costs[both[0].name][round]/costs[both[1].name][round])
	}
	fmt.Printf("%-22s %s %6.2f us   %s %6.2f us   ratio %.2f\n", l.name, both[0].name, median(costs[both[0].name]), both[1].name, median(costs[both[1].name]), median(ratios))
	return nil
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

var (
	completed = regexp.MustCompile(`Queries completed:\s+(\d+)`)
	lost      = regexp.MustCompile(`Queries lost:\s+0 `)
	succeeded = regexp.MustCompile(`(\d+) succeeded, 0 failed`)
)

// cost is the processor time of one answer, in microseconds.
func (s *server) cost(ctx context.Context, dir string, l load) (float64, error) {
	args := []string{"-c", "1", "dnsperf", "-m", "dot", "-s", "127.0.0.1", "-p", strconv.Itoa(s.dot), "-d", "questions", "-l", "3"}
	if l.secure {
		args = []string{"-c", "1", "h2load", "-D", "3", "-d", "question", "-H", "content-type: application/dns-message"}
	}
	args = append(args, l.args...)
	if l.secure {
		args = append(args, fmt.Sprintf("https://127.0.0.1:%d/dns-query", s.doh))
	}
	before, err := s.spent()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "taskset", args...) //nolint:gosec // one of two
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	after, err := s.spent()
	if err != nil {
		return 0, err
	}
	count := completed.FindSubmatch(out)
	if l.secure {
		count = succeeded.FindSubmatch(out)
	} else if !lost.Match(out) {
		return 0, fmt.Errorf("questions were lost: %s", out)
	}
	if count == nil {
		return 0, fmt.Errorf("no count in %s", out)
	}
	n, err := strconv.ParseFloat(string(count[1]), 64)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("nothing was answered: %s", out)
	}
	return float64((after - before).Microseconds()) / n, nil
}

// spent is the processor time of the server so far; taskset has become it.
func (s *server) spent() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("%s has ended: %w", s.name, err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	const user, system = 11, 12
	if len(fields) <= system {
		return 0, fmt.Errorf("/proc/%d/stat: %q", s.cmd.Process.Pid, text)
	}
	var sum time.Duration
	for _, f := range fields[user : system+1] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}
