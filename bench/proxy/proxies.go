package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const jurymast = "jurymast"

// proxy is one proxy program.
type proxy struct {
	name, pkg, program string
	version            []string // arguments that print it
	args               func(dir string, port int) []string
	config             func(w world) []file
	says               string   // what is special in comparison
	env                []string // beside ours
}

// world is what every proxy is asked to do: hosts host names, each with its origin and a standby that nobody may use.
type world struct {
	dir         string
	port, admin int
	origins     []int // ports: origins, then as many standbys
	connections int   // at most, from clients
}

// of is the port of the origin of host i, and of its standby.
func (w world) of(i int) (active, standby int) {
	return w.origins[i%origins], w.origins[i%origins+origins]
}

type file struct {
	name string
	text []byte
}

func jurymastProxy(binary string) *proxy {
	return &proxy{
		name: jurymast, program: binary, version: []string{"version"}, config: jurymastConfig,
		args: func(dir string, _ int) []string { return []string{"serve", "-c", filepath.Join(dir, "jurymast.yaml")} },
		says: "16 priority profiles of two endpoints, not probed (always_serve); GOMAXPROCS not set: the runtime sees the one core",
	}
}

func haproxyProxy() *proxy {
	return &proxy{
		name: "haproxy", pkg: "haproxy", program: "haproxy", version: []string{"-v"}, config: haproxyConfig,
		args: func(dir string, _ int) []string {
			return []string{"-db", "-q", "-f", filepath.Join(dir, "haproxy.cfg")}
		},
		says: "nbthread 1, a map from Host to 16 backends of a server and a backup, no checks, http-reuse always, Prometheus exporter on",
	}
}

func nginxProxy() *proxy {
	return &proxy{
		name: "nginx", pkg: "nginx", program: "nginx", version: []string{"-v"}, config: nginxConfig,
		args: func(dir string, _ int) []string {
			return []string{"-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", filepath.Join(dir, "nginx.conf")}
		},
		says: "worker_processes 1, 16 servers, upstreams of a server and a backup with keepalive, stub_status on, nothing is spooled to disk",
	}
}

// bareProxy is this program again: no proxy, but the least that a relay in Go can cost.
func bareProxy(self string) *proxy {
	return &proxy{
		name: "bare", program: self, version: nil,
		config: func(w world) []file {
			var o bytes.Buffer
			for i := range hosts {
				active, _ := w.of(i)
				fmt.Fprintf(&o, "%s 127.0.0.1:%d\n", host(i), active)
			}
			return []file{{"hosts", o.Bytes()}}
		},
		args: func(dir string, port int) []string {
			return []string{bareVerb, "-listen", fmt.Sprintf("127.0.0.1:%d", port), "-hosts", filepath.Join(dir, "hosts")}
		},
		says: "the floor for Go: a goroutine per connection, no checks, no metrics, no time limits",
	}
}

// findProxies takes those that are asked for and here, and tells loudly which are not. The first has to be here.
func (b *bench) findProxies(known []*proxy) error {
	for asked := range strings.SplitSeq(b.Proxies, ",") {
		words := strings.Split(asked, "@")
		i := slices.IndexFunc(known, func(p *proxy) bool { return p.name == words[0] })
		if i < 0 {
			return fmt.Errorf("-proxies %s: allowed are jurymast, haproxy, nginx and bare", asked)
		}
		p := *known[i]
		p.name, p.env = asked, words[1:]
		switch {
		case p.found():
			b.proxies = append(b.proxies, &p)
		case len(b.proxies) == 0:
			return fmt.Errorf("%s is not here; make build makes Jurymast, apt install the others", p.program)
		default:
			text := fmt.Sprintf("%s is MISSING and is not compared with: apt install %s", p.name, p.pkg)
			fmt.Fprintln(os.Stderr, "*** "+text)
			b.report.Missing = append(b.report.Missing, text)
		}
	}
	return nil
}

// path finds the program, also where ordinary users do not look.
func (p *proxy) path() (string, error) {
	for _, dir := range []string{"", "/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, p.program)); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", errors.New(p.program + " is missing")
}

func (p *proxy) found() bool {
	_, err := p.path()
	return err == nil
}

// versionLine is what the program calls its version.
func (p *proxy) versionLine() string {
	path, err := p.path()
	if err != nil {
		return err.Error()
	}
	if p.version == nil {
		return "of this program"
	}
	out, _ := exec.Command(path, p.version...).CombinedOutput() //nolint:gosec,noctx // the program found
	for line := range strings.Lines(string(out)) {
		if strings.ContainsAny(line, "0123456789") {
			return strings.TrimSpace(line)
		}
	}
	return "unknown"
}
