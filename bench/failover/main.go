// Command failover measures what clients of the proxy notice when the primary is killed (kill -9) under a steady
// open-loop load: real processes of the binary on loopback, several runs, medians and the worst.
//
//	detection  kill to this node's vote "down"; it holds the time until the next request meets the dead port
//	decision   kill to the time written in the decision
//	slowest    slowest request that ended after the kill, counted from when it was due, not from when it was sent
//	failed     requests without a good answer
//
// It ends with 1 when a goal is missed. It is no test: run it on a machine that does nothing else.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/health"
)

// The goals of a failover by the fast path on one machine.
const (
	goalDetection = 50 * time.Millisecond
	goalSlowest   = 100 * time.Millisecond
)

const config = `node:
  name: bench
  data: %[1]s/data
  nameserver: {listen: ["%[2]s:5300"]}
  proxy: {http: ["%[2]s:8080"]}
  api: {listen: "%[2]s:9460"}
zones:
  - {name: dr.example, nameservers: [ns1.dr.example], hostmaster: ops.dr.example, records: "ns1 300 A 127.0.0.1"}
profiles:
  - name: integration
    hostnames: [integration.dr.example]
    routing: priority
    monitor: {protocol: http, path: /http/health, interval: 1s, timeout: 300ms, tolerated_failures: 1}
    endpoints:
      - {name: eu20, target: 127.0.0.11, origin: "http://%[2]s:9101", priority: 1}
      - {name: us21, target: 127.0.0.12, origin: "http://%[2]s:9102", priority: 2}
    proxy: {mode: failover}
`

// result is one run.
type result struct {
	detection, decision, slowest, before time.Duration
	requests, failed                     int
}

func main() {
	binary := flag.String("binary", "bin/jurymast", "the `PROGRAM` to measure")
	runs := flag.Int("runs", 5, "how often")
	rate := flag.Int("rate", 500, "requests per second")
	flag.Parse()
	if err := measure(*binary, *runs, *rate); err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

func measure(binary string, runs, rate int) error {
	var all []result
	for i := range runs {
		r, err := run(binary, i, rate)
		if err != nil {
			return fmt.Errorf("run %d: %w", i+1, err)
		}
		fmt.Printf("run %d      detection %-8v decision %-8v slowest %-8v (before the kill %v)  failed %d of %d\n",
			i+1, short(r.detection), short(r.decision), short(r.slowest), short(r.before), r.failed, r.requests)
		all = append(all, r)
	}
	median := func(of func(result) time.Duration) time.Duration {
		list := make([]time.Duration, len(all))
		for i, r := range all {
			list[i] = of(r)
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	detection := median(func(r result) time.Duration { return r.detection })
	slowest, failed := time.Duration(0), 0
	for _, r := range all {
		slowest, failed = max(slowest, r.slowest), failed+r.failed
	}
	fmt.Printf("median     detection %-8v decision %-8v slowest %v\n",
		short(detection), short(median(func(r result) time.Duration { return r.decision })), short(median(func(r result) time.Duration { return r.slowest })))
	fmt.Printf("of all     slowest %v, failed %d\n", short(slowest), failed)
	if failed > 0 || slowest >= goalSlowest || detection >= goalDetection {
		return fmt.Errorf("a goal is missed: 0 failed, slowest below %v, median detection below %v", goalSlowest, goalDetection)
	}
	return nil
}

func short(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// run plays one failover on an address of its own.
func run(binary string, n, rate int) (r result, err error) {
	dir, err := os.MkdirTemp("", "jurymast-failover-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	pid := os.Getpid()
	ip := fmt.Sprintf("127.%d.%d.%d", 192+pid>>8&31, pid&255, n+1)
	file := filepath.Join(dir, "jurymast.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, dir, ip), 0o600); err != nil {
		return r, err
	}
	var children []*exec.Cmd
	defer func() {
		for _, c := range children {
			_ = c.Process.Kill() // it may be dead already
			_ = c.Wait()
		}
	}()
	for _, args := range [][]string{
		{"lab", "tenant", "--region", "EU20", "--listen", ip + ":9101", "--control", "off"},
		{"lab", "tenant", "--region", "US21", "--listen", ip + ":9102", "--control", "off"},
		{"serve", "-c", file},
	} {
		c := exec.Command(binary, args...) //nolint:gosec,noctx // the program named on the command line; ended above
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := c.Start(); err != nil {
			return r, err
		}
		children = append(children, c)
	}
	base := "http://" + ip
	if err := await(20*time.Second, func() bool { return get(base+":9460/readyz", nil) == nil && active(base) == "eu20" }); err != nil {
		return r, fmt.Errorf("the node is not ready: %w", err)
	}
	return load(base, children[0], rate)
}

func load(base string, primary *exec.Cmd, rate int) (r result, err error) {
	var mu sync.Mutex
	var calls sync.WaitGroup
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 512}}
	defer client.CloseIdleConnections()
	var killed time.Time
	gap := time.Second / time.Duration(rate)
	begin := time.Now()
	for i := range 3 * rate { // one second before the kill, two after
		due := begin.Add(time.Duration(i) * gap)
		time.Sleep(time.Until(due))
		if i == rate {
			killed = time.Now()
			if err := primary.Process.Kill(); err != nil {
				return r, err
			}
		}
		after := i >= rate
		calls.Go(func() {
			ok := ask(client, base+":8080/http/health")
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			r.requests++
			if !ok {
				r.failed++
			}
			if after || due.Add(took).After(begin.Add(time.Second)) {
				r.slowest = max(r.slowest, took)
			} else {
				r.before = max(r.before, took)
			}
		})
	}
	calls.Wait()
	return r, r.times(base, killed)
}

// times reads detection and decision from the journal.
func (r *result) times(base string, killed time.Time) error {
	return await(5*time.Second, func() bool {
		var list api.EntryList
		if get(base+":9460/api/v1/journal?limit=1000", &list) != nil {
			return false
		}
		for i := range list.Entries {
			e := &list.Entries[i]
			switch {
			case e.Kind == health.EntryVote && e.Endpoint == "eu20" && e.To == "down":
				r.detection = e.At.Sub(killed)
			case e.Kind == health.EntryDecision && e.To == "us21":
				r.decision = e.At.Sub(killed)
			}
		}
		return r.detection > 0 && r.decision > 0
	})
}

func ask(c *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	req.Host = "integration.dr.example"
	resp, err := c.Do(req)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return err == nil && resp.StatusCode == http.StatusOK && strings.Contains(string(body), "hello from")
}

func active(base string) string {
	var s api.ProfileStatus
	if get(base+":9460/api/v1/profiles/integration/status", &s) != nil || s.Decision == nil {
		return ""
	}
	return s.Decision.Active
}

// get fetches a page of the node that must answer 200.
func get(url string, into any) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

func await(within time.Duration, ok func() bool) error {
	for end := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("not within %v", within)
		}
	}
	return nil
}
