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
	"testing"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/testbed"
)

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
		delv := exec.CommandContext(ctx, testbed.Tool(s.t, "delv"), "@"+host, "-p", port, "-a", anchors, "+root=dr.example", q[0], q[1])
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
