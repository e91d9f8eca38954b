//go:build interop && linux

package nameserver_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
	"jurymast/internal/testbed"
)

// malloryKey is known to primaries and to ours under one name, with two secrets.
const malloryKey = "mallory.test"

// source is another program as the primary of zones.
type source struct {
	*peer
	t     *testing.T
	dir   string
	zones []string
	args  []string
	cmd   *exec.Cmd
	over  chan struct{}
}

// primaries are the programs with the configuration that makes each the primary of the zones in dir/zones, with NOTIFY for
// the server at tell. Zones named open... are for anybody, the others for the key that their name's first label tells.
var primaries = map[string]func(dir string, port, tell int, zones []string) string{
	"nsd": func(dir string, port, tell int, zones []string) string {
		var b strings.Builder
		fmt.Fprintf(&b, `server:
  ip-address: 127.0.0.1@%d
  server-count: 1
  username: ""
  database: ""
  zonesdir: %q
  pidfile: ""
  xfrdir: %[2]q
  xfrdfile: ""
  verbosity: 2
  reload-config: no
  zonelistfile: "%[2]s/list"
remote-control:
  control-enable: no
`, port, dir)
		for _, k := range sourceKeys {
			fmt.Fprintf(&b, "key:\n  name: %s\n  algorithm: hmac-sha256\n  secret: %q\n", k.name, k.secret)
		}
		for _, z := range zones {
			fmt.Fprintf(&b, "zone:\n  name: %s\n  zonefile: zones/%[1]s\n  store-ixfr: yes\n  create-ixfr: yes\n  provide-xfr: 127.0.0.1 %s\n  notify: 127.0.0.1@%d %[2]s\n", z, keyFor(z, "NOKEY"), tell)
		}
		return strings.ReplaceAll(b.String(), "  reload-config: no\n", "")
	},
	"knotd": func(dir string, port, tell int, zones []string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "server:\n  rundir: %q\n  listen: 127.0.0.1@%d\n  udp-workers: 1\n  tcp-workers: 2\n  background-workers: 1\nlog:\n  - target: stderr\n    any: info\ndatabase:\n  storage: %[1]q\nkey:\n", dir, port)
		for _, k := range sourceKeys {
			fmt.Fprintf(&b, "  - id: %s\n    algorithm: hmac-sha256\n    secret: %s\n", k.name, k.secret)
		}
		b.WriteString("remote:\n")
		for _, k := range append([]sourceKey{{}}, sourceKeys...) {
			fmt.Fprintf(&b, "  - id: ours-%s\n    address: 127.0.0.1@%d\n", k.name, tell)
			if k.name != "" {
				fmt.Fprintf(&b, "    key: %s\n", k.name)
			}
		}
		b.WriteString("acl:\n")
		for _, k := range append([]sourceKey{{}}, sourceKeys...) {
			fmt.Fprintf(&b, "  - id: acl-%s\n    address: 127.0.0.1\n    action: transfer\n", k.name)
			if k.name != "" {
				fmt.Fprintf(&b, "    key: %s\n", k.name)
			}
		}
		b.WriteString(knotSigning)
		fmt.Fprintf(&b, "template:\n  - id: default\n    storage: \"%s/zones\"\n    file: \"%%s\"\n    zonefile-sync: -1\n    zonefile-load: difference\n    journal-content: changes\nzone:\n", dir)
		for _, z := range zones {
			fmt.Fprintf(&b, "  - domain: %s\n    file: %[1]s\n    notify: ours-%s\n    acl: acl-%[2]s\n", z, keyFor(z, ""))
			if policy, signed := strings.CutPrefix(z, "signed-"); signed {
				policy, _, _ = strings.Cut(policy, ".")
				fmt.Fprintf(&b, "    dnssec-signing: on\n    dnssec-policy: %s\n    zonefile-load: difference-no-serial\n    journal-content: all\n", policy)
			}
		}
		return b.String()
	},
	"named": func(dir string, port, tell int, zones []string) string {
		var b strings.Builder
		fmt.Fprintf(&b, `options {
  directory %q;
  listen-on port %d { 127.0.0.1; };
  listen-on-v6 { none; };
  pid-file none;
  session-keyfile none;
  recursion no;
  notify explicit;
  dnssec-validation no;
  notify-rate 1000;
  startup-notify-rate 1000;
  notify-delay 0;
  ixfr-from-differences yes;
};
controls { };
logging { channel err { stderr; severity info; }; category default { err; }; category xfer-out { err; }; category notify { err; }; };
`, dir, port)
		for _, k := range sourceKeys {
			fmt.Fprintf(&b, "key %s { algorithm hmac-sha256; secret %q; };\n", k.name, k.secret)
		}
		for _, z := range zones {
			who, with := "any", ""
			if k := keyFor(z, ""); k != "" {
				who, with = "key "+k, " key "+k
			}
			fmt.Fprintf(&b, "zone %q { type primary; file \"zones/%[1]s\"; allow-transfer { %s; }; also-notify { 127.0.0.1 port %d%s; }; };\n", z, who, tell, with)
		}
		return b.String()
	},
}

// knotSigning are the policies that zones signed-<policy> are signed by.
const knotSigning = `policy:
  - id: nsec
    single-type-signing: on
  - id: nsec3
    single-type-signing: off
    nsec3: on
    nsec3-salt-length: 8
    nsec3-iterations: 3
    algorithm: rsasha256
    ksk-size: 2048
    zsk-size: 1024
  - id: optout
    single-type-signing: on
    nsec3: on
    nsec3-opt-out: on
    nsec3-salt-length: 0
`

type sourceKey struct{ name, secret string }

var sourceKeys = []sourceKey{{"xfr.test", transferSecret}, {malloryKey, "YW5vdGhlciBzZWNyZXQgdGhhbiBvdXJzIGluIHRlc3Q="}}

// keyFor is the key that a primary wants for a zone.
func keyFor(zone, none string) string {
	switch {
	case strings.HasPrefix(zone, "open"), strings.HasPrefix(zone, "signed"):
		return none
	case strings.HasPrefix(zone, "mallory"):
		return malloryKey
	}
	return "xfr.test"
}

// startSource runs a program as the primary of zones, by their names, and notifies the server at tell.
func startSource(t *testing.T, name string, tell netip.AddrPort, zones map[string]string) *source {
	t.Helper()
	testbed.Tool(t, name)
	s := &source{t: t, dir: t.TempDir()}
	s.peer = &peer{name: name, at: freePort(t), log: filepath.Join(s.dir, "log")}
	if err := os.Mkdir(filepath.Join(s.dir, "zones"), 0o700); err != nil {
		t.Fatal(err)
	}
	for z, text := range zones {
		s.zones = append(s.zones, z)
		s.write(z, text)
	}
	file := configured(t, s.dir, "conf", primaries[name](s.dir, int(s.at.Port()), int(tell.Port()), s.zones))
	s.args = map[string][]string{"nsd": {"-d", "-c", file}, "knotd": {"-c", file}, "named": {"-g", "-4", "-n", "1", "-c", file}}[name]
	s.start()
	t.Cleanup(func() {
		s.end(os.Interrupt)
		if t.Failed() {
			t.Logf("%s: %s", name, s.said())
		}
	})
	return s
}

func (s *source) write(zone, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "zones", zone), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// start runs the program, again after end.
func (s *source) start() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(testbed.Tool(s.t, s.name), s.args...)
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = log, log, s.dir
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	over := make(chan struct{})
	s.over = over
	go func() { _ = s.cmd.Wait(); _ = log.Close(); close(over) }()
	list := make([]*profile.Zone, len(s.zones))
	for i, z := range s.zones {
		list[i] = &profile.Zone{Name: z}
	}
	s.await(s.t, list, over)
}

// end ends it with a signal.
func (s *source) end(sig os.Signal) {
	_ = s.cmd.Process.Signal(sig)
	select {
	case <-s.over:
	case <-time.After(3 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.over
	}
}

// reload has it read its zones anew. mtimes count in seconds for some: a file has to be younger than what was read.
func (s *source) reload() {
	s.t.Helper()
	soon := time.Now().Add(2 * time.Second)
	for _, z := range s.zones {
		if err := os.Chtimes(filepath.Join(s.dir, "zones", z), soon, soon); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
}

// sourceText is a zone of one serial: www tells it, and there are n names beside. The timers are too long for a test, so
// that only NOTIFY brings news.
func sourceText(serial, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "$TTL 300\n@ SOA ns1 ops %d 3600 600 86400 60\n@ NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.%d\n*.wild TXT \"any\"\n", serial, serial)
	b.WriteString("sub NS ns.sub\nns.sub A 192.0.2.54\nmoved DNAME new\nhost.new A 192.0.2.44\nodd\\.dot TXT \"Case\"\nUPPER MX 10 Mail.Example.\nunknown TYPE65280 \\# 4 01020304\n")
	for i := range n {
		fmt.Fprintf(&b, "h%d A 10.%d.%d.%d\n", i, i>>16, i>>8&255, i&255)
	}
	return b.String()
}

// cutter passes what is said between ours and a primary, on a port of its own, as long and as far as it is told to.
type cutter struct {
	at   netip.AddrPort
	most chan int // bytes that a connection gets from the primary from now on
}

func newCutter(t *testing.T, to netip.AddrPort, most int) *cutter {
	t.Helper()
	c := &cutter{at: freePort(t), most: make(chan int, 1)}
	c.most <- most
	l, err := net.Listen("tcp", c.at.String())
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp", c.at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(); _ = u.Close() })
	go func() {
		client := dns.Client{Timeout: time.Second}
		buf := make([]byte, 65535)
		for {
			n, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			m := new(dns.Msg)
			if m.Unpack(buf[:n]) != nil {
				continue
			}
			if r, _, err := client.Exchange(m, to.String()); err == nil {
				pkt, _ := r.Pack()
				_, _ = u.WriteTo(pkt, from)
			}
		}
	}()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.pass(conn, to)
		}
	}()
	return c
}

func (c *cutter) limit(most int) { <-c.most; c.most <- most }

func (c *cutter) pass(conn net.Conn, to netip.AddrPort) {
	defer conn.Close()
	most := <-c.most
	c.most <- most
	server, err := net.Dial("tcp", to.String())
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			_, _ = server.Write(buf[:n])
		}
	}()
	buf := make([]byte, 4096)
	for passed := 0; passed < most; {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		_, _ = conn.Write(buf[:n])
		passed += n
	}
}
