//go:build interop && linux

package rawcases

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is somebody else's HTTP server on loopback that tells which requests it has seen in what it was sent.
type Server struct {
	Name string
	Addr string
}

// Seen is one request as a server saw it.
type Seen struct {
	Method, Target, Host string
	Length               int // of the body
}

// View is what a server made of some bytes.
type View struct {
	Seen    []Seen
	Refused bool // it answered with an error of its own
	Waits   bool // it waited for more, or said nothing and did not close
}

func (v View) String() string {
	var s strings.Builder
	for _, r := range v.Seen {
		fmt.Fprintf(&s, "[%.40s %.40s %.40s %d]", quoted(r.Method), quoted(r.Target), quoted(r.Host), r.Length)
	}
	if v.Refused {
		s.WriteString(" refused")
	}
	if v.Waits {
		s.WriteString(" waits")
	}
	return s.String()
}

// quoted is a text that can be printed.
func quoted(s string) string { return strings.Trim(strconv.Quote(s), `"`) }

// sawField carries what a server saw in its answer, which HEAD has, too.
const sawField = "X-Saw"

func saw(method, target, host string, length int64) string {
	return fmt.Sprintf("%x.%x.%x.%d", method, target, host, length)
}

// Recorder answers with what it sees. It stands behind those servers that are asked what they pass on.
func Recorder() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the body has no end: there was no request
		}
		w.Header().Set(sawField, saw(r.Method, r.RequestURI, r.Host, n))
	})
}

// Servers are all of them, started for one test. Those that are proxies pass on to a recorder.
func Servers(t *testing.T) []Server {
	t.Helper()
	recorder := serveGo(t)
	return []Server{
		{"net/http", recorder},
		start(t, "node", func(dir string, port int) []string { return []string{write(t, dir, "echo.js", nodeScript(port))} }),
		start(t, "nginx", func(dir string, port int) []string {
			return []string{"-p", dir, "-c", write(t, dir, "nginx.conf", nginxConf(dir, port, recorder)), "-e", "stderr"}
		}),
		start(t, "apache2", func(dir string, port int) []string {
			return []string{"-D", "FOREGROUND", "-d", dir, "-f", write(t, dir, "apache.conf", apacheConf(dir, port, recorder))}
		}),
		start(t, "lighttpd", func(dir string, port int) []string {
			return []string{"-D", "-f", write(t, dir, "lighttpd.conf", lighttpdConf(dir, port, recorder))}
		}),
		start(t, "caddy", func(dir string, port int) []string {
			return []string{"run", "--adapter", "caddyfile", "--config", write(t, dir, "Caddyfile", caddyConf(port, recorder))}
		}),
		start(t, "haproxy", func(dir string, port int) []string {
			return []string{"-db", "-f", write(t, dir, "haproxy.cfg", haproxyConf(port, recorder))}
		}),
	}
}

func serveGo(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: Recorder(), ReadHeaderTimeout: time.Minute, DisableGeneralOptionsHandler: true}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs a program in the foreground until the test ends. Without it the test is skipped, unless all has to be there.
func start(t *testing.T, name string, arrange func(dir string, port int) []string) Server {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, name))
		}
	}
	if err != nil {
		if os.Getenv("JURYMAST_INTEROP") == "strict" {
			t.Fatalf("%s is not installed: scripts/packages.sh install", name)
		}
		t.Skipf("%s is not installed", name)
	}
	dir := t.TempDir()
	port := freePort(t)
	log := filepath.Join(dir, "log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, arrange(dir, port)...) //nolint:gosec // the programs of Servers
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		_ = out.Close()
	})
	s := Server{name, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	for until := time.Now().Add(30 * time.Second); ; {
		if v, err := s.View(t.Context(), []byte(Next), 2*time.Second); err == nil && len(v.Seen) == 1 {
			return s
		}
		select {
		case <-ended:
		case <-time.After(50 * time.Millisecond):
			if time.Now().Before(until) {
				continue
			}
		}
		text, _ := os.ReadFile(log)
		t.Fatalf("%s does not serve:\n%s", name, text)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	at, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return int(at.Port())
}

// Next is the request that is sent behind every case: a server that has seen the end of the case sees this one as it is.
const Next = "GET /next HTTP/1.1\r\nHost: next.example\r\nConnection: close\r\n\r\n"

var (
	sawPattern    = regexp.MustCompile(`(?i)\r\n` + sawField + `: ([0-9a-f]*)\.([0-9a-f]*)\.([0-9a-f]*)\.([0-9]+)\r\n`)
	statusPattern = regexp.MustCompile(`HTTP/1\.[01] ([45][0-9][0-9])`)
)

// View sends raw bytes and collects the answers until the server closes or says nothing for so long.
func (s Server) View(ctx context.Context, raw []byte, quiet time.Duration) (v View, err error) {
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return v, err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
	go func() { _, _ = c.Write(raw) }() // it may stop reading in between
	var all []byte
	buffer := make([]byte, 16<<10)
	for {
		_ = c.SetReadDeadline(time.Now().Add(quiet))
		n, err := c.Read(buffer)
		all = append(all, buffer[:n]...)
		if err == nil {
			continue
		}
		v.Waits = errors.Is(err, os.ErrDeadlineExceeded)
		break
	}
	for _, m := range sawPattern.FindAllSubmatch(all, -1) {
		length, _ := strconv.Atoi(string(m[4]))
		v.Seen = append(v.Seen, Seen{plain(m[1]), plain(m[2]), plain(m[3]), length})
	}
	v.Refused = statusPattern.Match(all) || len(all) == 0 && !v.Waits || bytes.HasPrefix(all, []byte("<"))
	return v, nil
}

func plain(b []byte) string {
	text, _ := hex.DecodeString(string(b))
	return string(text)
}
