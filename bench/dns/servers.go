package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// world is what a server is asked to serve: names n0 ... of one zone, each with one address.
type world struct {
	names   int
	dynamic bool   // each name is chosen by health, where a server can do that
	origin  string // http://HOST:PORT that flips; "" nothing flips
	events  bool   // it does flip, and the files are rewritten
	edition int    // content of the record "edition": grows with each reload
	udp     string // of Jurymast's node.nameserver.udp; "": as it is
	signed  bool   // the zone is, with ECDSA P-256, by servers that sign
}

// server is one nameserver program.
type server struct {
	name, pkg, program string
	version            []string                                        // arguments that print it
	args               func(dir string, port int, w world) []string    // how it is started in the foreground
	files              func(dir string, port, api int, w world) []file // its configuration
	limits             string                                          // what is special in comparison
	signs              bool                                            // world.signed is possible
	env                func(b *bench) []string
}

type file struct {
	name string // in the folder of the server
	text []byte
}

const jurymast = "jurymast"

// findServers takes the peers that are asked for and here, and tells loudly which are not.
func (b *bench) findServers(known []*server) error {
	b.servers = slices.Clone(known[:1])
	for peer := range strings.SplitSeq(b.Peers, ",") {
		i := slices.IndexFunc(known, func(s *server) bool { return s.name == peer })
		switch {
		case peer == "" || peer == jurymast:
		case i < 0:
			return fmt.Errorf("-peers %s: allowed are gdnsd, knot and nsd", peer)
		case known[i].found():
			b.servers = append(b.servers, known[i])
		default:
			text := fmt.Sprintf("%s is MISSING and is not compared with: apt install %s (scripts/packages.sh install starts no service)", peer, known[i].pkg)
			fmt.Fprintln(os.Stderr, "*** "+text)
			b.report.Missing = append(b.report.Missing, text)
		}
	}
	return nil
}

// path finds the program, also where ordinary users do not look.
func (s *server) path() (string, error) {
	if p, err := exec.LookPath(s.program); err == nil {
		return filepath.Abs(p)
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, s.program)); err == nil {
			return p, nil
		}
	}
	return "", errors.New(s.program + " is missing")
}

func (s *server) found() bool {
	_, err := s.path()
	return err == nil
}

// says is the first line of what the program calls its version.
func (s *server) says() string {
	path, err := s.path()
	if err != nil {
		return err.Error()
	}
	out, _ := exec.Command(path, s.version...).CombinedOutput() //nolint:gosec,noctx // the program found; some end with 1 after their usage
	for line := range strings.Lines(string(out)) {
		if strings.ContainsAny(line, "0123456789") {
			return strings.TrimSpace(line)
		}
	}
	return "unknown"
}

func jurymastServer(binary string) *server {
	return &server{
		name: jurymast, program: binary, version: []string{"version"}, signs: true,
		args: func(dir string, _ int, _ world) []string {
			return []string{"serve", "-c", filepath.Join(dir, "jurymast.yaml")}
		},
		files: func(dir string, port, api int, w world) []file {
			return []file{{"jurymast.yaml", jurymastConfig(dir, port, api, w)}}
		},
		env: func(b *bench) []string { return list(b.Env) },
		limits: "GOMAXPROCS is not set: the runtime sees the one core of its affinity. Names by health: priority profiles with two " +
			"endpoints that are not probed (always_serve), so probes cost nothing here",
	}
}

func gdnsdServer() *server {
	return &server{
		name: "gdnsd", pkg: "gdnsd", program: "gdnsd", version: []string{"-h"},
		args:   func(dir string, _ int, _ world) []string { return []string{"-c", dir, "start"} },
		files:  gdnsdConfig,
		limits: "names by health: simplefo, all up, udp_threads 1",
	}
}

func knotServer() *server {
	return &server{
		name: "knot", pkg: "knot", program: "knotd", version: []string{"-V"}, signs: true,
		args:   func(dir string, _ int, _ world) []string { return []string{"-c", filepath.Join(dir, "knot.conf")} },
		files:  knotConfig,
		limits: "static names always, udp-workers 1; answers cookies with its module only, which is not loaded",
	}
}

func nsdServer() *server {
	return &server{
		name: "nsd", pkg: "nsd", program: "nsd", version: []string{"-v"},
		args:   func(dir string, _ int, _ world) []string { return []string{"-d", "-c", filepath.Join(dir, "nsd.conf")} },
		files:  nsdConfig,
		limits: "static names always, server-count 1, minimal-responses, no rate limit",
	}
}

// list splits NAME=VALUE,... and drops what is empty.
func list(text string) []string {
	return slices.DeleteFunc(strings.Split(text, ","), func(s string) bool { return s == "" })
}
