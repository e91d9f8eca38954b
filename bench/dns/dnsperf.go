package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// perf is what dnsperf reports.
type perf struct {
	completed, lost, noerror int
	qps                      float64
	request, response        int // average size in bytes
}

var perfLines = map[string]*regexp.Regexp{
	"completed": regexp.MustCompile(`Queries completed:\s+(\d+)`),
	"lost":      regexp.MustCompile(`Queries lost:\s+(\d+)`),
	"noerror":   regexp.MustCompile(`Response codes:.*NOERROR (\d+)`),
	"qps":       regexp.MustCompile(`Queries per second:\s+([\d.]+)`),
	"request":   regexp.MustCompile(`Average packet size:\s+request (\d+)`),
	"response":  regexp.MustCompile(`Average packet size:.*response (\d+)`),
}

func parsePerf(text []byte) (perf, error) {
	value := map[string]float64{}
	for key, line := range perfLines {
		m := line.FindSubmatch(text)
		if m == nil {
			if key == "noerror" { // not one
				continue
			}
			return perf{}, fmt.Errorf("dnsperf says nothing of %q: %s", key, bytes.TrimSpace(text))
		}
		v, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return perf{}, err
		}
		value[key] = v
	}
	return perf{
		completed: int(value["completed"]), lost: int(value["lost"]), noerror: int(value["noerror"]),
		qps: value["qps"], request: int(value["request"]), response: int(value["response"]),
	}, nil
}

// counts says why a run does not count.
func (p perf) counts() error {
	if p.completed == 0 || p.lost > 0 || p.noerror != p.completed {
		return fmt.Errorf("%d answers, %d of them NOERROR, %d lost", p.completed, p.noerror, p.lost)
	}
	return nil
}

// questions writes the file of n names, the same order for every server.
func (b *bench) questions(n int) (string, error) {
	path := filepath.Join(b.dir, fmt.Sprintf("questions-%d", n))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	var o bytes.Buffer
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(n) { //nolint:gosec // the same in every run
		fmt.Fprintln(&o, name(i), "A")
	}
	return path, os.WriteFile(path, o.Bytes(), 0o600)
}

// dnsperf loads a server as hard as it can with a window of questions.
func (b *bench) dnsperf(l *live, seconds int, more ...string) (perf, error) {
	file, err := b.questions(l.world.names)
	if err != nil {
		return perf{}, err
	}
	args := []string{
		"-c", strconv.Itoa(b.ClientCore), "dnsperf", "-s", "127.0.0.1", "-p", strconv.Itoa(l.port), "-d", file, "-T", "1",
		"-c", strconv.Itoa(b.Clients), "-q", strconv.Itoa(b.Window), "-l", strconv.Itoa(seconds),
		"-b", "1024", // KiB: nothing is lost at the client because it had no room
	}
	c := exec.CommandContext(b.ctx, "taskset", append(args, more...)...) //nolint:gosec // arguments of our own
	c.WaitDelay = 2 * time.Second
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Run(); err != nil {
		return perf{}, fmt.Errorf("dnsperf: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return parsePerf(said.Bytes())
}
