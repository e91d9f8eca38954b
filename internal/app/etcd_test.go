//go:build linux

package app_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"jurymast/internal/api"
	"jurymast/internal/cluster/seal"
)

type member = api.NodeMember

// startEtcd runs an etcd of one member on loopback and returns its address.
func startEtcd(t *testing.T) string {
	t.Helper()
	ip := loopback()
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.Logger, c.LogOutputs = t.TempDir(), "fatal", "zap", []string{"/dev/null"}
	client, peer := url.URL{Scheme: "http", Host: ip + ":2379"}, url.URL{Scheme: "http", Host: ip + ":2380"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.TickMs, c.ElectionMs, c.UnsafeNoFsync = 50, 500, true
	e, err := embed.StartEtcd(c)
	must(t, err)
	t.Cleanup(e.Close)
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(20 * time.Second):
		t.Fatal("etcd is not ready")
	}
	return client.Host
}

// storeText names a store that several nodes share, and the key they share, too.
func storeText(address string) string {
	return fmt.Sprintf("  store: {endpoints: [%q], seal: {file: %q}}\n", address, sharedKey())
}

// sharedKey is a key file for all nodes of this run. The directory goes with the run.
var sharedKey = sync.OnceValue(func() string {
	name := filepath.Join(runDir(), "seal.key")
	if _, _, err := seal.ReadOrCreate(name); err != nil {
		panic(err)
	}
	return name
})

// runDir is a directory that TestMain removes.
var runDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "jurymast-app-test-")
	if err != nil {
		panic(err)
	}
	removeRunDir = func() { _ = os.RemoveAll(dir) }
	return dir
})

var removeRunDir = func() {}

// way forwards TCP to one address, until it is cut.
type way struct {
	ln net.Listener
	to string

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]bool
}

func openWay(t *testing.T, to string) *way {
	t.Helper()
	ln, err := net.Listen("tcp", loopback()+":2379")
	must(t, err)
	w := &way{ln: ln, to: to, conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		w.ln.Close()
		w.cut()
	})
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go w.carry(c)
		}
	}()
	return w
}

func (w *way) url() string { return "http://" + w.ln.Addr().String() }

func (w *way) carry(c net.Conn) {
	d, err := net.Dial("tcp", w.to)
	if err != nil || !w.take(c, d) {
		c.Close()
		return
	}
	go func() {
		_, _ = io.Copy(c, d)
		c.Close()
	}()
	_, _ = io.Copy(d, c)
	d.Close()
}

func (w *way) take(pair ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range pair {
		if w.down {
			c.Close()
		} else {
			w.conns[c] = true
		}
	}
	return !w.down
}

// cut ends every connection and every new one at once.
func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for c := range w.conns {
		c.Close()
	}
	clear(w.conns)
}

func (w *way) mend() {
	w.mu.Lock()
	w.down = false
	w.mu.Unlock()
}
