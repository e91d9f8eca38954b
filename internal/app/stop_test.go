//go:build linux

package app_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestStopDrains: SIGTERM lets a request in flight finish while /readyz already says that the node leaves, hands the
// lease back and ends with 0.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cluster := startEtcd(t)
	s.head = storeText("http://" + cluster)
	entered, release := make(chan struct{}), make(chan struct{})
	slow := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-release
		}
		fmt.Fprint(w, "hello from EU20")
	})}
	ln, err := net.Listen("tcp", s.eu20)
	must(t, err)
	go func() { _ = slow.Serve(ln) }()
	defer func() { _ = slow.Close() }()
	s.write(s.text())
	s.startNode()
	s.awaitReady(20 * time.Second)

	answer := make(chan string, 1)
	go func() { answer <- fetch(&http.Client{}, "http://"+s.web+"/slow") }()
	<-entered
	s.node.signal(15)
	eventually(t, 2*time.Second, "/readyz is 503", func() bool {
		resp, err := web.Get("http://" + s.api + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	})
	eventually(t, 2*time.Second, "new connections are refused", func() bool { return !accepts(s.web) })
	select {
	case got := <-answer:
		t.Fatalf("cut: %q", got)
	default:
	}
	if !s.nodeStatus().Draining {
		t.Error("status does not say draining")
	}
	close(release)
	if got := <-answer; got != "EU20" {
		t.Errorf("the request in flight got %q", got)
	}
	s.node.stop(5 * time.Second)

	cl, err := clientv3.New(clientv3.Config{Endpoints: []string{cluster}})
	must(t, err)
	defer func() { _ = cl.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	leases, err := cl.Leases(ctx)
	must(t, err)
	if len(leases.Leases) != 0 {
		t.Errorf("%d leases are left, nobody handed them back", len(leases.Leases))
	}
}

// TestServiceManagerIsTold what the node does, as sd_notify(3) describes.
func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path := filepath.Join(s.dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(t, err)
	defer func() { _ = c.Close() }()
	said := make(chan string, 20)
	go func() {
		buf := make([]byte, 512)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			said <- string(buf[:n])
		}
	}()
	wants := func(word string) {
		t.Helper()
		select {
		case got := <-said:
			if !strings.Contains("\n"+got+"\n", "\n"+word+"\n") {
				t.Errorf("said %q, want %q", got, word)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("never said %q", word)
		}
	}
	s.env = []string{"NOTIFY_SOCKET=" + path}
	s.up()
	wants("READY=1")
	s.hangup()
	wants("RELOADING=1")
	wants("READY=1")
	s.node.stop(5 * time.Second)
	wants("STOPPING=1")
	if left, err := os.ReadFile(filepath.Join(s.data, "running")); err == nil {
		t.Errorf("the mark of a running node is left: %q", left)
	}
}
