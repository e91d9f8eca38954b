//go:build interop && linux

package origins

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"jurymast/internal/testbed"
)

// The configurations answer with what they believe of the client. %[1]d is the plain port, %[2]d that with TLS.
const (
	haproxyConf = `
global
    log stderr local0 warning
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend told
    bind 127.0.0.1:%[1]d accept-proxy
    bind 127.0.0.1:%[2]d accept-proxy ssl crt both.pem
    http-request return status 200 content-type text/plain lf-string "%%[src] %%[src_port] %%[dst] %%[dst_port] %%[fc_pp_authority]"
`
	nginxConf = `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path t1;
    proxy_temp_path t2;
    fastcgi_temp_path t3;
    uwsgi_temp_path t4;
    scgi_temp_path t5;
    server {
        listen 127.0.0.1:%[1]d proxy_protocol;
        listen 127.0.0.1:%[2]d ssl proxy_protocol;
        ssl_certificate both.pem;
        ssl_certificate_key both.pem;
        location / { return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port"; }
    }
}
`
)

// TestInteropProxyProtocol lets HAProxy and nginx say which client they were told of, by both versions, in the clear and
// before TLS, and whether they take our own connections (LOCAL, UNKNOWN) for what they are.
func TestInteropProxyProtocol(t *testing.T) {
	ca := newAuthority(t)
	for _, server := range []struct {
		name, conf string
		args       []string
		authority  bool // it tells the host name in version 2
	}{
		{"haproxy", haproxyConf, []string{"-db", "-f"}, true},
		{"nginx", nginxConf, []string{"-e", "stderr", "-p", ".", "-c"}, false},
	} {
		t.Run(server.name, func(t *testing.T) {
			plain, secure := startServer(t, ca, server.name, server.conf, server.args)
			s := newPools(t, Options{Roots: ca.Pool})
			for _, version := range []uint8{1, 2} {
				for _, k := range []Key{{Addr: plain, Proxy: version}, {Addr: secure, Proxy: version, Secure: true, ServerName: "origin.example"}} {
					for _, c := range []*Client{
						{Peer: addrPort("192.0.2.7:40000"), Local: addrPort("198.51.100.1:443"), ALPN: "h2", Authority: "a.example", TLSVersion: "TLSv1.3", CommonName: "robot"},
						{Peer: addrPort("[2001:db8::7]:40000"), Local: addrPort("[2001:db8::1]:80"), Authority: "a.example"},
					} {
						want := fmt.Sprint(c.Peer.Addr(), " ", c.Peer.Port(), " ", c.Local.Addr(), " ", c.Local.Port())
						if server.authority && version == 2 {
							want += " a.example"
						}
						got, err := view(t, s.For(k), c)
						if got = strings.TrimSuffix(strings.TrimSpace(got), " -"); err != nil || got != want {
							t.Errorf("version %d, TLS %v: %q, %v; want %q", version, k.Secure, got, err, want)
						}
					}
					if got, err := view(t, s.For(k), nil); err != nil || strings.Contains(got, "192.0.2.7") {
						t.Errorf("version %d, TLS %v, a connection of our own: %q, %v", version, k.Secure, got, err)
					}
				}
			}
			if got, err := view(t, s.For(Key{Addr: plain}), nil); err == nil && strings.Contains(got, "127.0.0.1") {
				t.Errorf("without a header: %q; then this test shows nothing", got)
			}
		})
	}
}

// view asks over two requests on one connection, as a keep-alive client does, and returns the second answer.
func view(t *testing.T, p *Pool, client *Client) (string, error) {
	t.Helper()
	c, err := p.DialFor(t.Context(), 5*time.Second, client)
	if err != nil {
		return "", err
	}
	defer discard(c)
	c.Until(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(c)
	var body []byte
	for range 2 {
		if p.Key().Proxy != 0 && len(body) > 0 && !c.Usable(Any) {
			return "", errors.New("not usable for the second request")
		}
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: origin.example\r\n\r\n")); err != nil {
			return "", err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return "", err
		}
		if body, err = io.ReadAll(resp.Body); err != nil || resp.Body.Close() != nil {
			return "", err
		}
		if resp.StatusCode != http.StatusOK {
			return "", errors.New(resp.Status)
		}
		c.Rest()
	}
	return string(body), nil
}

// startServer runs a program until the test ends. Without it the test is skipped, unless all has to be there.
func startServer(t *testing.T, ca *authority, name, conf string, args []string) (plain, secure string) {
	t.Helper()
	path := testbed.Tool(t, name)
	dir := t.TempDir()
	ports := [2]int{freePort(t), freePort(t)}
	write(t, filepath.Join(dir, "both.pem"), pemOf(t, ca.issue("origin.example")))
	write(t, filepath.Join(dir, "conf"), fmt.Appendf(nil, conf, ports[0], ports[1]))
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, append(args, "conf")...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.Dir = &log, &log, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // killed
		if t.Failed() {
			t.Log(log.String())
		}
	})
	plain, secure = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	s := newPools(t, Options{})
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for limit := time.Now().Add(30 * time.Second); ; <-again.C {
		c, err := s.For(Key{Addr: secure, Proxy: 1}).Dial(t.Context(), time.Second)
		if err == nil {
			discard(c)
			return plain, secure
		}
		if time.Now().After(limit) {
			t.Fatalf("%s does not listen: %v", name, err)
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr, ok := ln.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal(ln.Addr())
	}
	return addr.Port
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// pemOf is certificate and key in one file.
func pemOf(t *testing.T, c tls.Certificate) []byte {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
}
