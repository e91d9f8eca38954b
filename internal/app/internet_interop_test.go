//go:build interop && linux

package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/testbed"
)

// internet is a network namespace that plays the internet: a root and a top level domain on NSD, and below it a node of
// ours with the zone shop.zt on two addresses of each family, all on port 53. Zonemaster refuses addresses that are
// private or for documentation, so these look public.
type internet struct {
	t    *testing.T
	name string
	dir  string
}

// Who listens where.
var (
	rootServers = []string{"45.90.1.1", "46.91.1.1", "2a00:1::1", "2a01:1::1"}
	zoneServers = []string{"45.92.2.1", "47.93.2.1", "2a00:2::1", "2a01:2::1"}
	ourServers  = []string{"45.94.3.1", "48.95.3.1", "2a00:3::1", "2a01:3::1"}
)

// TestInteropJudges: Zonemaster, with which registries test delegations, has nothing to say of our making about a zone of
// ours, signed or not; and DNSViz finds every signature and proof of a signed one valid.
func TestInteropJudges(t *testing.T) {
	for name, dnssec := range map[string]string{
		"unsigned":             "{enabled: false}",
		"signed compact":       "{enabled: true}",
		"signed nsec":          "{enabled: true, denial: nsec}",
		"signed with Ed25519":  "{enabled: true, algorithm: ed25519, denial: nsec}",
		"signed with two keys": "{enabled: true, keys: ksk-zsk}",
	} {
		t.Run(name, func(t *testing.T) {
			in := newInternet(t)
			signed := strings.Contains(dnssec, "true")
			in.node(dnssec)
			ds := in.delegationSigner(signed)
			in.parents(ds)
			in.zonemaster(signed)
			if signed {
				in.dnsviz(ds)
			}
		})
	}
}

func newInternet(t *testing.T) *internet {
	t.Helper()
	if os.Getuid() != 0 {
		testbed.NeedsRoot(t, "a network namespace")
	}
	in := &internet{t: t, name: fmt.Sprintf("jmi%d-%d", os.Getpid(), time.Now().UnixNano()%1e6), dir: t.TempDir()}
	if out, err := exec.Command("ip", "netns", "add", in.name).CombinedOutput(); err != nil {
		testbed.Refused(t, fmt.Errorf("ip netns add: %w: %s", err, out))
	}
	t.Cleanup(func() { testbed.Shell(t, "ip netns del "+in.name) })
	// DNSViz asks only where there is a way to the internet.
	testbed.Shell(t, "ip -n "+in.name+" link set lo up; ip -n "+in.name+" route add default dev lo; ip -n "+in.name+" -6 route add default dev lo")
	for _, list := range [][]string{rootServers, zoneServers, ourServers} {
		for _, addr := range list {
			testbed.Shell(t, "ip -n "+in.name+" addr add "+addr+" dev lo"+map[bool]string{true: " nodad"}[strings.Contains(addr, ":")])
		}
	}
	return in
}

// run starts a program in the namespace that ends with the test.
func (in *internet) run(name string, env []string, args ...string) {
	in.t.Helper()
	log, err := os.Create(filepath.Join(in.dir, name+".log"))
	must(in.t, err)
	cmd := exec.Command("ip", append([]string{"netns", "exec", in.name}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), log, log
	must(in.t, cmd.Start())
	in.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		_ = log.Close()
		if text, err := os.ReadFile(log.Name()); err == nil && in.t.Failed() {
			in.t.Logf("%s said:\n%s", name, text[max(0, len(text)-4000):])
		}
	})
}

// node is ours.
func (in *internet) node(dnssec string) {
	in.t.Helper()
	var listen []string
	for _, addr := range ourServers {
		listen = append(listen, fmt.Sprintf("%q", net.JoinHostPort(addr, "53")))
	}
	text := fmt.Sprintf(`node:
  name: n1
  data: %[1]s/data
  nameserver: {listen: [%[2]s]}
  store: {seal: {file: %[1]s/seal.key}}
zones:
  - name: shop.zt
    dnssec: %[3]s
    nameservers: [ns1.shop.zt, ns2.shop.zt]
    hostmaster: ops.shop.zt
    records: |
      ns1 3600 A 45.94.3.1
      ns2 3600 A 48.95.3.1
      ns1 3600 AAAA 2a00:3::1
      ns2 3600 AAAA 2a01:3::1
      @ 3600 MX 10 mail
      mail 3600 A 45.94.3.1
      mail 3600 AAAA 2a00:3::1
      *.wild 300 A 45.94.3.1
profiles:
  - name: www
    hostnames: [www.shop.zt]
    routing: priority
    endpoints:
      - {name: a, target: 45.94.3.1, always_serve: true}
      - {name: b, target: 48.95.3.1, always_serve: true}
`, in.dir, strings.Join(listen, ", "), dnssec)
	file := filepath.Join(in.dir, "jurymast.yaml")
	must(in.t, os.WriteFile(file, []byte(text), 0o600))
	in.run("node", []string{roleVar + "=node"}, os.Args[0], file)
	eventually(in.t, 20*time.Second, "the node answers", func() bool {
		m := in.ask(ourServers[0], "www.shop.zt.", dns.TypeA)
		return m != nil && len(m.Answer) > 0
	})
}

// ask asks a server inside; nil is no answer.
func (in *internet) ask(server, name string, typ uint16) (answer *dns.Msg) {
	in.t.Helper()
	testbed.Within(in.t, in.name, func() error {
		q := new(dns.Msg)
		q.SetQuestion(name, typ).SetEdns0(1232, true)
		c := dns.Client{Timeout: time.Second}
		answer, _, _ = c.Exchange(q, net.JoinHostPort(server, "53")) // asked again by the caller
		return nil
	})
	return answer
}

// delegationSigner is the DS record of the zone, "" of one that is not signed.
func (in *internet) delegationSigner(signed bool) (ds string) {
	in.t.Helper()
	if !signed {
		return ""
	}
	eventually(in.t, 20*time.Second, "the zone has keys and signatures", func() bool {
		m := in.ask(ourServers[0], "shop.zt.", dns.TypeDNSKEY)
		if m == nil {
			return false
		}
		for _, rr := range m.Answer {
			if key, ok := rr.(*dns.DNSKEY); ok && key.Flags&dns.SEP != 0 {
				ds = key.ToDS(dns.SHA256).String()
			}
		}
		return ds != ""
	})
	return ds
}

// parents are the root and the zone above ours.
func (in *internet) parents(ds string) {
	in.t.Helper()
	glue := func(host string, addrs []string) string {
		var b strings.Builder
		for i, addr := range addrs {
			fmt.Fprintf(&b, "%s%d.nic.zt. %s %s\n", host, 1+i%2, map[bool]string{true: "AAAA", false: "A"}[strings.Contains(addr, ":")], addr)
		}
		return b.String()
	}
	const soa = "SOA root1.nic.zt. ops.zt. 1 14400 3600 1209600 3600\n"
	in.server("root", ".", rootServers, "$TTL 86400\n. "+soa+". NS root1.nic.zt.\n. NS root2.nic.zt.\n"+
		"zt. NS ns1.nic.zt.\nzt. NS ns2.nic.zt.\n"+glue("root", rootServers)+glue("ns", zoneServers))
	in.server("zt", "zt", zoneServers, "$TTL 86400\nzt. "+soa+"zt. NS ns1.nic.zt.\nzt. NS ns2.nic.zt.\n"+glue("root", rootServers)+glue("ns", zoneServers)+
		"shop.zt. NS ns1.shop.zt.\nshop.zt. NS ns2.shop.zt.\n"+strings.ReplaceAll(glue("ns", ourServers), "nic", "shop")+ds+"\n")
	must(in.t, os.WriteFile(in.hints(), []byte(". 3600000 NS root1.nic.zt.\n. 3600000 NS root2.nic.zt.\n"+glue("root", rootServers)), 0o600))
	eventually(in.t, 10*time.Second, "the parents answer", func() bool {
		return in.ask(rootServers[0], "zt.", dns.TypeNS) != nil && in.ask(zoneServers[0], "zt.", dns.TypeSOA) != nil
	})
}

func (in *internet) hints() string { return filepath.Join(in.dir, "hints") }

// server is an NSD with one zone.
func (in *internet) server(name, zone string, addrs []string, text string) {
	in.t.Helper()
	dir := filepath.Join(in.dir, name)
	must(in.t, os.Mkdir(dir, 0o750))
	config := "server:\n"
	for _, addr := range addrs {
		config += "  ip-address: " + addr + "\n"
	}
	config += fmt.Sprintf(`  username: ""
  chroot: ""
  zonesdir: %[1]q
  database: ""
  pidfile: "%[1]s/pid"
  xfrdfile: "%[1]s/xfrd"
  zonelistfile: "%[1]s/list"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: %[2]q
  zonefile: zone
`, dir, zone)
	must(in.t, os.WriteFile(filepath.Join(dir, "zone"), []byte(text), 0o600))
	must(in.t, os.WriteFile(filepath.Join(dir, "nsd.conf"), []byte(config), 0o600))
	in.run(name, nil, "/usr/sbin/nsd", "-d", "-c", filepath.Join(dir, "nsd.conf"))
}

// excused is what the internet here lacks, not the server: addresses have no names, nobody serves the reverse zones.
const excused = "ADDRESS02"

// zonemaster runs Zonemaster. Notices are about timers and counts that the operator chooses.
func (in *internet) zonemaster(signed bool) {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", in.name, "zonemaster-cli",
		"--hints", in.hints(), "--level", "INFO", "--show-testcase", "--no-progress", "--locale", "C.UTF-8", "shop.zt")
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		in.t.Fatalf("zonemaster-cli: %v", err)
	}
	lines, seen := 0, map[string]bool{}
	for line := range bytes.Lines(out) {
		words := strings.Fields(string(line))
		if len(words) < 3 {
			continue
		}
		lines, seen[words[2]] = lines+1, true
		switch words[1] {
		case "WARNING", "ERROR", "CRITICAL":
			if words[2] != excused {
				in.t.Errorf("zonemaster: %s", bytes.TrimSpace(line))
			}
		}
	}
	tests := []string{"BASIC02", "CONSISTENCY01", "DELEGATION01", "NAMESERVER01", "SYNTAX01", "ZONE10"}
	if signed {
		tests = append(tests, "DNSSEC04", "DNSSEC05", "DNSSEC10")
	}
	for _, test := range tests {
		if !seen[test] {
			in.t.Errorf("zonemaster has not run %s", test)
		}
	}
	in.t.Logf("zonemaster said %d lines", lines)
	if in.t.Failed() {
		in.t.Logf("%s", out)
	}
}

// dnsviz runs DNSViz over names that exist and names that do not. Its -t, for a trust anchor, does not work with the
// pygraphviz of Debian 12; the DS of the delegation takes its place.
func (in *internet) dnsviz(ds string) {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var servers []string
	for i, addr := range ourServers {
		if strings.Contains(addr, ":") {
			addr = "[" + addr + "]"
		}
		servers = append(servers, fmt.Sprintf("ns%d.shop.zt=%s", 1+i%2, addr))
	}
	at := "shop.zt:" + strings.Join(servers, ",")
	probe := exec.CommandContext(ctx, "ip", "netns", "exec", in.name, "dnsviz", "probe", "-d", "1", "-A", "-x", at, "-N", at,
		"-D", "shop.zt:"+strings.Join(strings.Fields(ds)[4:], " "),
		"shop.zt", "www.shop.zt", "mail.shop.zt", "nobody.shop.zt", "any.wild.shop.zt", "a.b.www.shop.zt")
	seen, err := probe.Output()
	must(in.t, err)
	grok := func(level string) string {
		cmd := exec.CommandContext(ctx, "dnsviz", "grok", "-l", level)
		cmd.Stdin = bytes.NewReader(seen)
		out, err := cmd.Output()
		must(in.t, err)
		return string(out)
	}
	if said := strings.TrimSpace(grok("warning")); said != "" && said != "{}" {
		in.t.Errorf("dnsviz: %s", said)
	}
	all := grok("info")
	valid, secure := strings.Count(all, `"VALID"`), strings.Count(all, `"SECURE"`)
	if valid < 20 || secure == 0 {
		in.t.Errorf("dnsviz finds %d valid and %d secure:\n%s", valid, secure, all)
	}
	in.t.Logf("dnsviz finds %d signatures, digests and proofs valid", valid)
}
