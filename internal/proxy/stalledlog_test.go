package proxy_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/proxy/accesslog"
)

// stalled is a disk that takes nothing until it is let go.
type stalled struct{ release chan struct{} }

func (s stalled) Write(p []byte) (int, error) {
	<-s.release
	return len(p), nil
}

// A disk that stands still, with more lines than memory is kept for, is felt by no request (proxy.md 18, case 30).
func TestStalledLogIsFeltByNobody(t *testing.T) {
	disk := stalled{make(chan struct{})}
	log, err := accesslog.Open(accesslog.Options{Out: disk})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *proxy.Options, _ *profile.Profile) { o.AccessLog = log })
	t.Cleanup(func() { _ = log.Close(t.Context()) })
	defer close(disk.release)
	path := "/" + strings.Repeat("a", 8<<10)
	agent := strings.Repeat("\xff", 1<<10) // six bytes each in the log
	slowest := time.Duration(0)
	for i := 0; log.Dropped() == 0; i++ {
		if i == 3000 {
			t.Fatalf("nothing is dropped after %d lines", i)
		}
		began := time.Now()
		if a := r.must(http.MethodGet, path, nil, "User-Agent", agent); a.StatusCode != http.StatusOK {
			t.Fatalf("request %d: %d", i, a.StatusCode)
		}
		slowest = max(slowest, time.Since(began))
	}
	if slowest > 2*time.Second {
		t.Errorf("a request took %v", slowest)
	}
	if r.metric("jurymast_proxy_log_dropped_total") == 0 {
		t.Error("the metrics do not tell of dropped lines")
	}
}
