//go:build linux

package app_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"jurymast/internal/api"
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

func storeText(address string) string { return fmt.Sprintf("  store: {endpoints: [%q]}\n", address) }

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
