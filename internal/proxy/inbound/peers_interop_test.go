//go:build interop && linux

package inbound

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jurymast/internal/testbed"
)

// TestInteropAnnouncers: the headers of other people's balancers, version 1 and 2, before plain HTTP and before TLS that
// they pass through or do themselves.
func TestInteropAnnouncers(t *testing.T) {
	var r *rig
	var keys *Options
	r = newRig(t, func(o *Options) {
		o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		keys = o
	})
	pemFile := filepath.Join(t.TempDir(), "site.pem")
	writePEM(t, pemFile, keys)
	for name, start := range map[string]func(t *testing.T, r *rig, pemFile string) map[string]string{"haproxy": haproxy, "nginx": nginxStream} {
		t.Run(name, func(t *testing.T) {
			for way, addr := range start(t, r, pemFile) {
				t.Run(way, func(t *testing.T) { passes(t, r, way, addr) })
			}
		})
	}
}

// passes asks through a balancer: what we say of the client must be true.
func passes(t *testing.T, r *rig, way, addr string) {
	c := r.dial("127.0.0.7", addr)
	asks := c
	if strings.Contains(way, "TLS") {
		s, err := r.tls(c.Conn, "http/1.1")
		if err != nil {
			t.Fatal(err)
		}
		asks = r.on(s)
	}
	want := fmt.Sprintf("peer=%s local=%s socket=127.0.0.1 ", c.LocalAddr(), addr)
	for range 3 {
		if got := asks.get("/"); !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func haproxy(t *testing.T, r *rig, pemFile string) map[string]string {
	ways := map[string]string{
		"v1": "send-proxy", "v2": "send-proxy-v2", "v2 with fields": "send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,authority,crc32c,unique-id",
		"v2 through TLS": "send-proxy-v2", "v1 through TLS": "send-proxy", "v2 after TLS": "send-proxy-v2-ssl-cn proxy-v2-options crc32c,authority",
	}
	config := "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n"
	addrs := map[string]string{}
	n := 0
	for way, options := range ways {
		addrs[way] = free(t)
		bind, to := addrs[way], r.plain
		if strings.Contains(way, "after TLS") {
			bind += " ssl crt " + pemFile
		} else if strings.Contains(way, "TLS") {
			to = r.secure
		}
		n++
		config += fmt.Sprintf("frontend f%d\n  bind %s\n  unique-id-format %%rt\n  default_backend b%d\nbackend b%d\n  server s %s %s check check-send-proxy inter 200ms\n", n, bind, n, n, to, options)
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	save(t, file, config)
	run(t, addrs, "haproxy", "-db", "-f", file)
	return addrs
}

func nginxStream(t *testing.T, r *rig, pemFile string) map[string]string {
	const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	if _, err := os.Stat(module); err != nil {
		testbed.Absent(t, "the stream module of nginx")
	}
	addrs := map[string]string{"v1": free(t), "v1 through TLS": free(t), "v1 after TLS": free(t)}
	dir := t.TempDir()
	server := func(way, more, to string) string {
		return fmt.Sprintf("  server { listen %s%s; proxy_pass %s; proxy_protocol on; }\n", addrs[way], more, to)
	}
	file := filepath.Join(dir, "nginx.conf")
	save(t, file, "load_module "+module+";\ndaemon off; worker_processes 1; master_process off; error_log stderr; pid "+dir+"/pid;\nevents { worker_connections 64; }\nstream {\n"+
		"  ssl_certificate "+pemFile+"; ssl_certificate_key "+pemFile+";\n"+
		server("v1", "", r.plain)+server("v1 through TLS", "", r.secure)+server("v1 after TLS", " ssl", r.plain)+"}\n")
	run(t, addrs, "nginx", "-c", file, "-p", dir)
	return addrs
}

// run starts a program until the test ends, and waits until it listens.
func run(t *testing.T, addrs map[string]string, name string, args ...string) {
	t.Helper()
	path := testbed.Tool(t, name)
	cmd := exec.CommandContext(t.Context(), path, args...)
	out := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	late := time.Now().Add(patience)
	for _, addr := range addrs {
		for {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
			if err == nil {
				conn.Close()
				break
			}
			if time.Now().After(late) {
				t.Fatalf("%s does not listen: %v\n%s", name, err, out)
			}
			pause(20 * time.Millisecond)
		}
	}
}

func free(t *testing.T) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func save(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func writePEM(t *testing.T, file string, o *Options) {
	t.Helper()
	pair := o.TLS.Certificates[0]
	key, err := x509.MarshalECPrivateKey(pair.PrivateKey.(*ecdsa.PrivateKey)) //nolint:errcheck // the rig's
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	save(t, file, string(text)+string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key})))
}
