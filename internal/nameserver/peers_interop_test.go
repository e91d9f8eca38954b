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

// peer is another name server that runs on loopback for one test, with the same zones as ours.
type peer struct {
	name string
	at   netip.AddrPort
	log  string
}

// startPeer runs a program in the foreground until the test ends. arrange writes its configuration and returns the
// arguments; it gets a folder with the zones as files named after them.
func startPeer(t *testing.T, name string, zones []*profile.Zone, arrange func(dir string, port int) []string) *peer {
	t.Helper()
	p, ended := startProgram(t, name, func(dir string, port int) []string {
		if err := os.Mkdir(filepath.Join(dir, "zones"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, z := range zones {
			if err := os.WriteFile(filepath.Join(dir, "zones", z.Name), []byte(z.Records), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return arrange(dir, port)
	})
	p.await(t, zones, ended)
	return p
}

// startProgram is startPeer for any program with a port.
func startProgram(t *testing.T, name string, arrange func(dir string, port int) []string) (p *peer, ended <-chan struct{}) {
	t.Helper()
	path := testbed.Tool(t, name)
	dir := t.TempDir()
	p = &peer{name: name, at: freePort(t), log: filepath.Join(dir, "log")}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, arrange(dir, int(p.at.Port()))...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // it never outlives the test, however that ends
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { _ = cmd.Wait(); close(over) }() // its log says why it ended
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-over:
		case <-time.After(3 * time.Second):
			_ = cmd.Process.Kill()
			<-over
		}
		_ = log.Close()
		if t.Failed() {
			t.Logf("%s: %s", name, p.said())
		}
	})
	return p, over
}

func (p *peer) said() string {
	text, _ := os.ReadFile(p.log)
	return string(text[max(0, len(text)-8000):])
}

// await asks for the SOA of every zone until all are served.
func (p *peer) await(t *testing.T, zones []*profile.Zone, ended <-chan struct{}) {
	t.Helper()
	c := dns.Client{Timeout: 300 * time.Millisecond}
	deadline := time.Now().Add(30 * time.Second)
	for _, z := range zones {
		for {
			r, _, err := c.Exchange(query(z.Name+".", dns.TypeSOA), p.at.String())
			if err == nil && r.Rcode == dns.RcodeSuccess && r.Authoritative {
				break
			}
			select {
			case <-ended:
				t.Fatalf("%s ended: %s", p.name, p.said())
			case <-time.After(50 * time.Millisecond): // a real program, real time
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not serve %s (%v): %s", p.name, z.Name, err, p.said())
			}
		}
	}
}

// freePort is free for UDP and TCP on loopback right now.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := netip.MustParseAddrPort(l.Addr().String())
		u, err := net.ListenPacket("udp", l.Addr().String())
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return at
		}
	}
	t.Fatal("no port is free for both")
	return netip.AddrPort{}
}

func configured(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func startNSD(t *testing.T, zones []*profile.Zone) *peer {
	return startPeer(t, "nsd", zones, func(dir string, port int) []string {
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
  zonelistfile: "%[2]s/list"
  ipv4-edns-size: 1232
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
  minimal-responses: yes
  refuse-any: no
remote-control:
  control-enable: no
`, port, dir)
		for _, z := range zones {
			fmt.Fprintf(&b, "zone:\n  name: %s\n  zonefile: zones/%s\n", z.Name, z.Name)
		}
		return []string{"-d", "-c", configured(t, dir, "conf", b.String())}
	})
}

func startKnot(t *testing.T, zones []*profile.Zone) *peer {
	return startPeer(t, "knotd", zones, func(dir string, port int) []string {
		var b strings.Builder
		fmt.Fprintf(&b, `server:
  rundir: %q
  listen: 127.0.0.1@%d
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  udp-max-payload: 1232
log:
  - target: stderr
    any: warning
database:
  storage: %[1]q
template:
  - id: default
    storage: "%[1]s/zones"
    file: "%%s"
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
zone:
`, dir, port)
		for _, z := range zones {
			fmt.Fprintf(&b, "  - domain: %s\n    file: %s\n", z.Name, z.Name)
		}
		return []string{"-c", configured(t, dir, "conf", b.String())}
	})
}

func startBIND(t *testing.T, zones []*profile.Zone) *peer {
	return startPeer(t, "named", zones, func(dir string, port int) []string {
		var b strings.Builder
		fmt.Fprintf(&b, `options {
  directory %q;
  listen-on port %d { 127.0.0.1; };
  listen-on-v6 { none; };
  pid-file none;
  session-keyfile none;
  recursion no;
  notify no;
  minimal-responses yes;
  minimal-any no;
  dnssec-validation no;
  answer-cookie no;
  max-udp-size 1232;
  edns-udp-size 1232;
  max-records-per-type 0;
  max-types-per-name 0;
  check-names primary ignore;
  check-integrity no;
  check-wildcard no;
  rrset-order { order none; };
};
controls { };
logging { category query-errors { null; }; category client { null; }; category general { null; }; category zoneload { complaints; }; channel complaints { stderr; severity warning; }; };
`, dir, port)
		for _, z := range zones {
			fmt.Fprintf(&b, "zone %q { type primary; file \"zones/%s\"; };\n", z.Name, z.Name)
		}
		return []string{"-g", "-4", "-n", "1", "-c", configured(t, dir, "conf", b.String())}
	})
}

func startGdnsd(t *testing.T, zones []*profile.Zone) *peer {
	return startPeer(t, "gdnsd", zones, func(dir string, port int) []string {
		configured(t, dir, "config", fmt.Sprintf("options => { listen => 127.0.0.1:%d, run_dir => %q, state_dir => %q, udp_threads => 1, tcp_threads => 1, max_edns_response => 1232 }\n",
			port, filepath.Join(dir, "run"), filepath.Join(dir, "state")))
		return []string{"-c", dir, "start"}
	})
}
