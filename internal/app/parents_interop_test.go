//go:build interop && linux

package app_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/testbed"
)

// nsdParent is a private parent zone on NSD, which the DS of ours is put into.
type nsdParent struct {
	t    *testing.T
	dir  string
	addr string
	cmd  *exec.Cmd
}

func startNSDParent(t *testing.T) *nsdParent {
	t.Helper()
	p := &nsdParent{t: t, dir: t.TempDir(), addr: loopback() + ":5353"}
	host, port, _ := strings.Cut(p.addr, ":")
	conf := fmt.Sprintf(`server:
  ip-address: %s@%s
  username: ""
  zonesdir: %q
  database: ""
  pidfile: %q
  zonelistfile: %q
  xfrdfile: %q
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: example
  zonefile: example.zone
`, host, port, p.dir, filepath.Join(p.dir, "pid"), filepath.Join(p.dir, "list"), filepath.Join(p.dir, "xfrd"))
	must(t, os.WriteFile(filepath.Join(p.dir, "nsd.conf"), []byte(conf), 0o600))
	p.write()
	p.cmd = exec.CommandContext(t.Context(), testbed.Tool(t, "nsd"), "-d", "-c", filepath.Join(p.dir, "nsd.conf"))
	must(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Signal(syscall.SIGTERM); _ = p.cmd.Wait() })
	p.awaits()
	return p
}

var serial = 1

func (p *nsdParent) write(ds ...string) {
	serial++
	text := fmt.Sprintf("$ORIGIN example.\n$TTL 300\n@ SOA ns ops %d 60 60 600 60\n@ NS ns\nns A 127.0.0.1\ndr NS ns1.dr\nns1.dr A 127.0.0.1\n", serial)
	for _, one := range ds {
		text += "dr 300 DS " + one + "\n"
	}
	must(p.t, os.WriteFile(filepath.Join(p.dir, "example.zone"), []byte(text), 0o600))
}

// give puts the DS in place of those before.
func (p *nsdParent) give(ds ...string) {
	p.t.Helper()
	p.write(ds...)
	must(p.t, p.cmd.Process.Signal(syscall.SIGHUP))
	p.awaits(ds...)
}

func (p *nsdParent) awaits(ds ...string) {
	p.t.Helper()
	eventually(p.t, 20*time.Second, fmt.Sprintf("the parent has %d DS", len(ds)), func() bool { got, ok := p.has(); return ok && len(got) == len(ds) })
}

// has is the DS set that the parent answers.
func (p *nsdParent) has() (out []string, ok bool) {
	m, _, err := (&dns.Client{Timeout: 300 * time.Millisecond}).Exchange(new(dns.Msg).SetQuestion("dr.example.", dns.TypeDS), p.addr)
	if err != nil || m.Rcode != dns.RcodeSuccess {
		return nil, false
	}
	for _, rr := range m.Answer {
		if ds, is := rr.(*dns.DS); is {
			out = append(out, fmt.Sprintf("%d %d %d %s", ds.KeyTag, ds.Algorithm, ds.DigestType, strings.ToUpper(ds.Digest)))
		}
	}
	return out, true
}
