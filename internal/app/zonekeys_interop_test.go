//go:build interop && linux

package app_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/api"
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
	p.cmd = exec.CommandContext(t.Context(), "nsd", "-d", "-c", filepath.Join(p.dir, "nsd.conf"))
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

func (s *site) ds() (ds api.ZoneDS) {
	s.get("/api/v1/zones/dr.example/ds", &ds)
	return ds
}

// secure demands that delv finds everything secure with this DS as anchor.
func (s *site) secure(what, ds string) {
	s.t.Helper()
	words := strings.Fields(ds)
	anchors := filepath.Join(s.dir, "anchors")
	must(s.t, os.WriteFile(anchors, fmt.Appendf(nil, "trust-anchors { \"dr.example.\" static-ds %s %s %s \"%s\"; };\n", words[0], words[1], words[2], words[3]), 0o600))
	host, port, _ := strings.Cut(s.dns, ":")
	for _, q := range [][2]string{{"ns1.dr.example", "A"}, {"integration.dr.example", "A"}, {"dr.example", "SOA"}, {"dr.example", "DNSKEY"}, {"ns1.dr.example", "TXT"}} {
		ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
		delv := exec.CommandContext(ctx, "delv", "@"+host, "-p", port, "-a", anchors, "+root=dr.example", q[0], q[1])
		delv.WaitDelay = time.Second
		out, err := delv.CombinedOutput()
		cancel()
		if err != nil || !strings.Contains(string(out), "fully validated") {
			s.t.Fatalf("%s: delv %s %s: %v\n%s", what, q[0], q[1], err, out)
		}
	}
}

// TestInteropRollsAreSecure: a zone with keys from the store, a parent on NSD whose DS is polled, and delv, which finds
// everything secure in each stage of the rolls, with the DS that the parent has then. The node is killed between stages.
func TestInteropRollsAreSecure(t *testing.T) {
	for _, row := range []struct{ keys, roll string }{{"csk", `{}`}, {"ksk-zsk", `{"role":"ksk"}`}, {"ksk-zsk", `{"role":"zsk"}`}, {"csk", `{"algorithm":"ed25519"}`}} {
		t.Run(row.keys+" "+row.roll, func(t *testing.T) {
			p := startNSDParent(t)
			s := signedSite(t, p.addr, ", keys: "+row.keys)
			at := -24 * time.Hour // so that all signatures are good for validators, which have the right time
			s.shifted(at)
			s.awaitKeys("everything is signed", waits("begin"))
			first := s.ds().Keys[0].DS
			s.secure("begin", first)
			later := func(d time.Duration) {
				at += d
				s.shifted(at)
			}
			later(2 * time.Hour)
			s.awaitKeys("steady", inStage("steady"))
			p.give(first)
			if code, body := s.call(http.MethodPost, "/api/v1/zones/dr.example/keys/roll", row.roll); code != http.StatusOK {
				t.Fatalf("roll: %d %s", code, body)
			}
			for i := 0; ; i++ {
				if i > 12 {
					t.Fatalf("no end: %+v", s.keys())
				}
				s.awaitKeys("all nodes acknowledge", func(k api.ZoneKeys) bool { return k.Stage != "" && k.Nodes[0].Acknowledged })
				k := s.keys()
				has, _ := p.has()
				s.secure(k.Stage, has[0])
				t.Logf("%v: %s is secure with %s", at, k.Stage, has[0][:5])
				if k.Stage == "steady" && i > 0 && k.Roll == "" {
					break
				}
				if k.Stage == "change" && k.Next != nil && k.Roll != "" && !strings.Contains(row.roll, "zsk") {
					p.give(s.ds().Keys[0].DS)
					s.awaitKeys("the DS is seen", inStage("retire"))
					s.secure("retire", s.ds().Keys[0].DS)
				}
				later(2 * time.Hour)
			}
			if k := s.keys(); len(k.Keys) != 1+strings.Count(row.keys, "-") {
				t.Errorf("%+v", k.Keys)
			}
		})
	}
}
