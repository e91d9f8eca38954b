// Command scale measures one real node with 10,000 profiles of 10 endpoints each: half weighted, half by priority, every
// endpoint probed by TCP at an address of its own (127.x.y.z).
//
//	ready      start of the process to /readyz: every first verdict that could change an answer is in
//	memory     peak resident memory of the process so far
//	verdict    a target refuses -> (probe, vote, verdict) -> another DNS answer; counted from the verdict
//	order      request of an override sent -> another DNS answer
//	written    bytes the process has the kernel write for one flap, beyond what it writes idle
//
// The answering process is a child of its own. It ends with 1 when a goal is missed. It is no test: run it on a machine
// that does nothing else; it ends by itself after a few minutes.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"jurymast/internal/api"
)

// The goals at full size.
const (
	goalReady   = 30 * time.Second
	goalMemory  = 3 << 10 // MiB
	goalVerdict = 20 * time.Millisecond
	goalOrder   = 50 * time.Millisecond
	goalWritten = 64 << 10
)

// flappers is how many profiles have a preferred endpoint whose target can be made to refuse.
const flappers = 100

func main() {
	binary := flag.String("binary", "bin/jurymast", "the `PROGRAM` to measure")
	profiles := flag.Int("profiles", 10_000, "how many profiles")
	endpoints := flag.Int("endpoints", 10, "endpoints of each")
	answer := flag.Bool("answer", false, "be the answering process")
	keep := flag.Bool("keep", false, "leave the data behind and say where")
	flag.Parse()
	if *answer {
		serve()
		return
	}
	if err := measure(*binary, *profiles, *endpoints, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// bed is the node under measurement and its surroundings.
type bed struct {
	dir, ip string
	node    *exec.Cmd
	doors   map[int]net.Listener // by number of the profile: the target that can be made to refuse
	misses  []string
}

func measure(binary string, profiles, endpoints int, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "jurymast-scale-")
	if err != nil {
		return err
	}
	b := &bed{dir: dir, ip: fmt.Sprintf("127.255.%d.%d", os.Getpid()>>8&255, os.Getpid()&255), doors: map[int]net.Listener{}}
	defer func() {
		if keep {
			fmt.Println("data is in", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	answering, err := b.surroundings()
	if err != nil {
		return err
	}
	defer stop(answering)
	if err := os.WriteFile(filepath.Join(dir, "jurymast.yaml"), b.config(profiles, endpoints), 0o600); err != nil {
		return err
	}
	if err := b.start(binary); err != nil {
		return err
	}
	defer stop(b.node)
	fmt.Printf("%d profiles x %d endpoints\n", profiles, endpoints)
	if err := b.verdicts(); err != nil {
		return err
	}
	if err := b.written(); err != nil {
		return err
	}
	if err := b.orders(); err != nil {
		return err
	}
	b.memory()
	if len(b.misses) > 0 {
		return errors.New("goals missed: " + strings.Join(b.misses, "; "))
	}
	return nil
}

// surroundings start the process that answers the probes, and open the doors of the flapping targets.
func (b *bed) surroundings() (*exec.Cmd, error) {
	for i := range flappers {
		l, err := net.Listen("tcp", b.door(i)) //nolint:noctx // a listener of this process
		if err != nil {
			return nil, err
		}
		b.open(i, l)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.Command(self, "-answer") //nolint:gosec,noctx // ourselves; ended by the caller
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c, c.Start()
}

func (b *bed) door(i int) string { return fmt.Sprintf("127.254.%d.%d:7998", i>>8, i&255) }

func (b *bed) open(i int, l net.Listener) {
	b.doors[i] = l
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
}

// serve answers every probe until it is killed.
func serve() {
	l, err := net.Listen("tcp", "0.0.0.0:7999") //nolint:gosec,noctx // loopback addresses of many networks
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.Close()
	}
}

func (b *bed) config(profiles, endpoints int) []byte {
	var w bytes.Buffer
	fmt.Fprintf(&w, `node:
  name: bench
  data: %[1]s/data
  nameserver: {listen: ["%[2]s:5300"]}
  api: {listen: "%[2]s:9460"}
zones:
  - {name: big.example, nameservers: [ns1.big.example], hostmaster: ops.big.example, records: "ns1 300 A 127.0.0.1"}
profiles:
`, b.dir, b.ip)
	for i := range profiles {
		routing := "weighted"
		if i < flappers || i%2 == 0 {
			routing = "priority"
		}
		fmt.Fprintf(&w, "  - name: p%d\n    hostnames: [p%d.big.example]\n    routing: %s\n    min_usable: 0\n", i, i, routing)
		w.WriteString("    monitor: {protocol: tcp, port: 7999, interval: 60s, timeout: 5s, tolerated_failures: 0}\n    endpoints:\n")
		for j := range endpoints {
			n := i*endpoints + j
			target, more := fmt.Sprintf("127.%d.%d.%d", 1+n>>16, n>>8&255, n&255), ""
			if i < flappers && j == 0 {
				target, more = strings.TrimSuffix(b.door(i), ":7998"), ", monitor: {port: 7998, interval: 500ms, timeout: 400ms}"
			}
			fmt.Fprintf(&w, "      - {name: e%d, target: %s%s}\n", j, target, more)
		}
	}
	return w.Bytes()
}

func (b *bed) start(binary string) error {
	began := time.Now()
	b.node = exec.Command(binary, "serve", "-c", filepath.Join(b.dir, "jurymast.yaml")) //nolint:gosec,noctx // the program named on the command line
	b.node.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(b.dir, "log"))
	if err != nil {
		return err
	}
	b.node.Stdout, b.node.Stderr = log, log
	if err := b.node.Start(); err != nil {
		return err
	}
	if err := await(3*time.Minute, func() bool {
		time.Sleep(50 * time.Millisecond)
		return b.get("/readyz", nil) == nil
	}); err != nil {
		stop(b.node)
		return fmt.Errorf("the node is not ready: %w", err)
	}
	b.judge("ready", time.Since(began).Round(10*time.Millisecond), goalReady)
	b.memory()
	return nil
}

// verdicts closes the doors one after the other and waits for each in DNS. The 500 ms of the probe interval are no part
// of what is measured: it begins with the verdict.
func (b *bed) verdicts() error {
	var took []time.Duration
	for i := range flappers {
		seen, err := b.flap(i)
		if err != nil {
			return err
		}
		took = append(took, seen)
	}
	b.judge("verdict to answer, 99th percentile of "+strconv.Itoa(len(took)), percentile(took, 99), goalVerdict)
	fmt.Printf("verdict to answer, median %v\n", percentile(took, 50))
	return nil
}

// flap makes the preferred target of a profile refuse, waits for the other answer, and mends it.
func (b *bed) flap(i int) (time.Duration, error) {
	name := fmt.Sprintf("p%d", i)
	before, err := b.ask(name)
	if err != nil {
		return 0, err
	}
	_ = b.doors[i].Close()
	seen, err := b.other(name, before)
	if err != nil {
		return 0, err
	}
	var s api.ProfileStatus
	if err := b.get("/api/v1/profiles/"+name+"/status", &s); err != nil {
		return 0, err
	}
	took := seen.Sub(s.Endpoints[0].Since)
	l, err := net.Listen("tcp", b.door(i)) //nolint:noctx // a listener of this process
	if err != nil {
		return 0, err
	}
	b.open(i, l)
	return took, nil
}

// other asks every half millisecond until the answer is another one, and returns when that was sent.
func (b *bed) other(name, than string) (time.Time, error) {
	var at time.Time
	err := await(20*time.Second, func() bool {
		at = time.Now()
		got, err := b.ask(name)
		return err == nil && got != than
	})
	return at, err
}

// orders disables and enables endpoints.
func (b *bed) orders() error {
	var took []time.Duration
	for i := range flappers {
		name := fmt.Sprintf("p%d", i+flappers*2)
		name = strings.TrimSuffix(name, " ")
		if (i+flappers*2)%2 == 1 {
			continue // weighted: what is answered is chance
		}
		before, err := b.ask(name)
		if err != nil {
			return err
		}
		began := time.Now()
		done := make(chan error, 1)
		go func() { done <- b.post("/api/v1/profiles/"+name+"/orders", `{"act":"disable","endpoint":"e0"}`) }()
		seen, err := b.other(name, before)
		if err != nil {
			return errors.Join(err, <-done)
		}
		if err := <-done; err != nil {
			return err
		}
		took = append(took, seen.Sub(began))
	}
	b.judge("override to answer, 99th percentile of "+strconv.Itoa(len(took)), percentile(took, 99), goalOrder)
	fmt.Printf("override to answer, median %v\n", percentile(took, 50))
	return nil
}

// written counts what one flap has the kernel write, against as much time without one.
func (b *bed) written() error {
	const pause = 3 * time.Second
	time.Sleep(pause)
	var more []int
	for i := range 10 {
		start := b.bytes()
		time.Sleep(pause)
		idle := b.bytes() - start
		start = b.bytes()
		began := time.Now()
		if _, err := b.flap(i); err != nil {
			return err
		}
		time.Sleep(pause - time.Since(began))
		more = append(more, b.bytes()-start-idle)
	}
	slices.Sort(more)
	fmt.Printf("written for one flap down and up: median %d KiB, most %d KiB\n", more[len(more)/2]>>10, more[len(more)-1]>>10)
	if more[len(more)/2] > 2*goalWritten {
		b.misses = append(b.misses, fmt.Sprintf("a flap writes %d KiB", more[len(more)/2]>>11))
	}
	return nil
}

// bytes is what the process handed to the kernel to write since it began.
func (b *bed) bytes() int {
	return b.proc("io", "wchar:")
}

func (b *bed) memory() {
	mib := b.proc("status", "VmHWM:") >> 10
	fmt.Printf("peak memory %d MiB (goal %d)\n", mib, goalMemory)
	if mib > goalMemory {
		b.misses = append(b.misses, fmt.Sprintf("peak memory %d MiB", mib))
	}
}

func (b *bed) proc(file, key string) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", b.node.Process.Pid, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == key {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	return 0
}

func (b *bed) judge(what string, got, goal time.Duration) {
	fmt.Printf("%s %v (goal %v)\n", what, got, goal)
	if got > goal {
		b.misses = append(b.misses, fmt.Sprintf("%s %v", what, got))
	}
}

func percentile(list []time.Duration, p int) time.Duration {
	s := slices.Clone(list)
	slices.Sort(s)
	return s[min(len(s)-1, len(s)*p/100)].Round(10 * time.Microsecond)
}

// ask is one question over UDP, written by hand: nothing of a library's time is measured.
func (b *bed) ask(name string) (string, error) {
	c, err := net.Dial("udp", b.ip+":5300") //nolint:noctx // loopback, bounded below
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	q := []byte{0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(name+".big.example", ".") {
		q = append(append(q, byte(len(label))), label...) //nolint:gosec // short labels
	}
	q = append(q, 0, 0, 1, 0, 1)
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Write(q); err != nil {
		return "", err
	}
	buf := make([]byte, 1500)
	n, err := c.Read(buf)
	if err != nil {
		return "", err
	}
	if n < 16 || buf[7] == 0 {
		return "", fmt.Errorf("%s: no answer, rcode %d", name, buf[3]&15)
	}
	return net.IP(buf[n-4 : n]).String(), nil
}

func (b *bed) get(path string, into any) error {
	return b.call(http.MethodGet, path, "", into)
}

func (b *bed) post(path, body string) error { return b.call(http.MethodPost, path, body, nil) }

func (b *bed) call(method, path, body string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+b.ip+":9460"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

func await(within time.Duration, ok func() bool) error {
	for end := time.Now().Add(within); !ok(); time.Sleep(500 * time.Microsecond) {
		if time.Now().After(end) {
			return fmt.Errorf("not within %v", within)
		}
	}
	return nil
}

func stop(c *exec.Cmd) {
	_ = c.Process.Kill() // it may be dead already
	_ = c.Wait()
}
