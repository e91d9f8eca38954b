//go:build interop && linux

package app_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jurymast/internal/testbed"
)

// slowAttacks of slowhttptest, all at once: 200 connections each, below what one address may have.
var slowAttacks = map[string][]string{
	"slow heads":   {"-H", "-x", "10"},
	"slow bodies":  {"-B", "-s", "1000000", "-x", "10"},
	"slow readers": {"-X", "-w", "1", "-y", "16", "-n", "5", "-z", "1", "-k", "10"},
	"ranges":       {"-R", "-t", "HEAD", "-a", "10", "-b", "3000"},
}

var (
	colour  = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")
	serving = regexp.MustCompile(`service available:\s+(YES|NO)`)
	open    = regexp.MustCompile(`connected:\s+(\d+)`)
)

// TestInteropSlowClients: under every slow attack of slowhttptest the service stays available, by the tool's own word and
// by that of clients who behave, and the connections of who is too slow are ended.
func TestInteropSlowClients(t *testing.T) {
	tool := testbed.Tool(t, "slowhttptest")
	s := newSite(t)
	s.up()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stop := make(chan struct{})
	var attacks, clients sync.WaitGroup
	for name, args := range slowAttacks {
		attacks.Go(func() {
			all := append(slices.Clone(args), "-c", "200", "-r", "100", "-i", "1", "-l", "14", "-p", "3", "-d", s.web, "-u", "http://"+host+"/http/health")
			out, err := exec.CommandContext(ctx, tool, all...).CombinedOutput()
			judgeSlow(t, name, colour.ReplaceAllString(string(out), ""), err)
		})
	}
	var took []time.Duration
	clients.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			began := time.Now()
			if got := s.browse(); got != "EU20" {
				t.Errorf("a client that behaves got %q", got)
			}
			took = append(took, time.Since(began))
		}
	})
	attacks.Wait()
	close(stop)
	clients.Wait()
	slices.Sort(took)
	t.Logf("%d requests meanwhile: median %v, slowest %v", len(took), took[len(took)/2], took[len(took)-1])
	if slowest := took[len(took)-1]; slowest > 2*time.Second {
		t.Errorf("the slowest request took %v", slowest)
	}
}

// judgeSlow reads slowhttptest's report.
func judgeSlow(t *testing.T, name, report string, err error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Errorf("%s: %v", name, err)
		return
	}
	words := serving.FindAllStringSubmatch(report, -1)
	counts := open.FindAllStringSubmatch(report, -1)
	if len(words) == 0 || len(counts) == 0 {
		t.Errorf("%s: no report in %q", name, report)
		return
	}
	for i, w := range words {
		if w[1] != "YES" {
			t.Errorf("%s: the service is not available in report %d of %d", name, i, len(words))
		}
	}
	last := counts[len(counts)-1][1]
	t.Logf("%s: %d reports, %s connections at the end; %s", name, len(words), last, fmt.Sprint(lastLine(report)))
	// Answers as small as these fit into the kernel's buffers: their readers are slow at nobody's cost.
	if name != "slow readers" && last != "0" && !strings.Contains(report, "No open connections left") {
		t.Errorf("%s: %s connections are still open after 14 s", name, last)
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
