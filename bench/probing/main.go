// Command probing measures what the probe engine costs at full size: 20,000 TCP checks, then 10,000 HTTP checks, each
// every ten seconds at an address of its own (127.x.y.z), in one process with the metrics it has in service. The
// answering process is a child of its own, so that only probing is counted.
//
//	cpu      user and system time of this process per ten seconds
//	checks   probes that ended per ten seconds, and how many of them failed
//	late     how much later than planned probes started, 99th percentile
//
// It ends with 1 when a goal is missed: ten CPU seconds per ten seconds is one core. It is no test: run it on a machine
// that does nothing else. It ends by itself after about 100 seconds.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/probe"
	"jurymast/internal/profile"
)

const (
	interval = 10 * time.Second
	goalCPU  = 10 * time.Second // per interval: one core
	goalLate = 100 * time.Millisecond
)

func main() {
	answer := flag.Bool("answer", false, "be the answering process")
	measure := flag.Duration("measure", 30*time.Second, "how long to measure")
	warm := flag.Duration("warm", 12*time.Second, "how long to run before that; at least one interval")
	file := flag.String("profile", "", "write a CPU profile of the measured time to `FILE`.KIND")
	only := flag.String("only", "", "`KIND` to measure: tcp or http; default: both")
	flag.Parse()
	if *answer {
		serve()
		return
	}
	if err := run(*warm, *measure, *file, *only); err != nil {
		fmt.Fprintln(os.Stderr, "probing:", err)
		os.Exit(1)
	}
}

// run starts the answering process and plays both parts.
func run(warm, measure time.Duration, file, only string) (err error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil && limit.Cur < 8192 {
		return fmt.Errorf("%d open files are allowed; at least 8192 are needed (ulimit -n)", limit.Cur)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self, "-answer") //nolint:gosec,noctx // ourselves; ended below, or by the end of its input
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stdin.Close(), child.Wait()) }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the answering process did not start: %w", err)
	}
	port, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return err
	}
	fmt.Printf("%d processors, GOMAXPROCS %d, %s\n", runtime.NumCPU(), runtime.GOMAXPROCS(0), runtime.Version())
	var missed []error
	for _, part := range []struct {
		protocol profile.Protocol
		checks   int
	}{{profile.TCP, 20000}, {profile.HTTP, 10000}} {
		if only == "" || only == string(part.protocol) {
			missed = append(missed, play(part.protocol, part.checks, port, warm, measure, file))
		}
	}
	return errors.Join(missed...)
}

// tally counts reports and how late their probes started.
type tally struct {
	mu           sync.Mutex
	counting     bool
	done, failed int
	reason       string
	last         map[string]time.Time // start of the last probe, by endpoint
	late         []time.Duration
}

func (t *tally) report(r probe.Report) {
	start := r.Obs.At.Add(-r.Obs.Latency)
	t.mu.Lock()
	defer t.mu.Unlock()
	before, known := t.last[r.Endpoint]
	t.last[r.Endpoint] = start
	if !t.counting {
		return
	}
	t.done++
	if !r.Obs.OK {
		t.failed++
		t.reason = r.Obs.Reason
	}
	if known {
		t.late = append(t.late, max(0, start.Sub(before)-interval)) // starts are planned one interval apart
	}
}

// play measures one kind of checks.
func play(protocol profile.Protocol, checks, port int, warm, measure time.Duration, file string) (err error) {
	t := &tally{last: map[string]time.Time{}}
	prober := &probe.Prober{UserAgent: "jurymast-probe/bench"}
	s, err := probe.New(probe.Options{Node: "bench", Seed: 1, Report: t.report, Run: prober.Run, Registerer: prometheus.NewRegistry()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.Apply(set(protocol, checks, port))
	time.Sleep(warm)
	stop, err := profiled(file, protocol)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.counting = true
	t.mu.Unlock()
	user, system, begin := spent()
	time.Sleep(measure)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counting = false
	user2, system2, end := spent()
	stop()
	tens := float64(end.Sub(begin)) / float64(interval)
	per := func(d time.Duration) time.Duration {
		return time.Duration(float64(d) / tens).Round(10 * time.Millisecond)
	}
	cpu := per(user2 - user + system2 - system)
	slices.Sort(t.late)
	late := time.Duration(0)
	if n := len(t.late); n > 0 {
		late = t.late[n*99/100]
	}
	did := float64(t.done) / tens
	fmt.Printf("%-5s %d checks   cpu %v per 10s (user %v, system %v)   checks %.0f per 10s, %d failed   late p99 %v\n",
		protocol, checks, cpu, per(user2-user), per(system2-system), did, t.failed, late.Round(10*time.Microsecond))
	if cpu > goalCPU || did < 0.99*float64(checks) || t.failed > 0 || late > goalLate {
		return fmt.Errorf("%s: a goal is missed: at most %v of CPU, %d checks without a failure %q, p99 within %v", protocol, goalCPU, checks, t.reason, goalLate)
	}
	return nil
}

// set makes checks of distinct targets, every one at 127.x.y.z.
func set(protocol profile.Protocol, n, port int) []probe.Check {
	list := make([]probe.Check, n)
	for i := range list {
		at := netip.AddrFrom4([4]byte{127, byte(1 + i>>16), byte(i >> 8), byte(i)})
		s := probe.Spec{Protocol: protocol, Targets: []string{at.String()}, Port: port, Timeout: 5 * time.Second}
		if protocol == profile.HTTP {
			s.Method, s.Path, s.Host = "GET", "/health", "www.dr.example"
			s.Expect.Status = []profile.StatusRange{{Min: 200, Max: 200}}
		}
		list[i] = probe.Check{Profile: fmt.Sprintf("profile%d", i/10), Endpoint: fmt.Sprintf("endpoint%d", i), Spec: s, Interval: interval}
	}
	return list
}

func spent() (user, system time.Duration, at time.Time) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, 0, time.Now()
	}
	return time.Duration(u.Utime.Nano()), time.Duration(u.Stime.Nano()), time.Now()
}

func profiled(file string, protocol profile.Protocol) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file + "." + string(protocol))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that is cut short is seen when it is read
	}, nil
}

// serve answers all addresses of loopback until the parent closes its input.
func serve() {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp4", "0.0.0.0:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "probing:", err)
		os.Exit(1)
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		fmt.Println(a.Port)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go respond(c)
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent, however it ends
	_ = l.Close()
}

const reply = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{\"status\":\"UP\"}"

// respond answers whatever is asked, and closes when nothing is.
func respond(c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second)) // an endless peer is the parent's fault alone
	buf := make([]byte, 4096)
	if n, err := c.Read(buf); err != nil || n == 0 {
		return
	}
	_, _ = io.WriteString(c, reply) // a parent that is gone does not care
}
