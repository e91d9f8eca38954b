//go:build interop && linux

package nameserver_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
)

// startSecondary starts a program as a secondary of o.
func startSecondary(t *testing.T, name string, o *outward, secret string) *peer {
	t.Helper()
	return startPeer(t, name, nil, func(dir string, port int) []string {
		file := configured(t, dir, "conf", strings.ReplaceAll(secondaries[name](dir, port, int(o.at.Port())), transferSecret, secret))
		switch name {
		case "nsd":
			return []string{"-d", "-c", file}
		case "knotd":
			return []string{"-c", file}
		}
		return []string{"-g", "-c", file}
	})
}

// verified has the signers' own tools judge a whole zone.
func verified(t *testing.T, list []dns.RR) {
	t.Helper()
	var text bytes.Buffer
	for _, rr := range list[:len(list)-1] {
		fmt.Fprintln(&text, rr)
	}
	dir := t.TempDir()
	file := configured(t, dir, "dr.example", text.String())
	if out, err := run(t, "ldns-verify-zone", file); err != nil {
		t.Errorf("ldns-verify-zone: %v\n%s", err, out)
	}
	if out, err := run(t, "dnssec-verify", "-z", "-o", "dr.example", file); err != nil {
		t.Errorf("dnssec-verify: %v\n%s", err, out)
	}
}

// TestInteropSignedSecondaries: NSD, Knot and BIND fetch a signed zone, serve what validates, hear of a change of health and
// serve that, signed, as a difference.
func TestInteropSignedSecondaries(t *testing.T) {
	for name := range secondaries {
		t.Run(name, func(t *testing.T) {
			tr := byKey()
			o, keys := newSignedOutward(t, signedTransferable(records, tr), nil)
			verified(t, o.fetch(t, axfr()))
			p := startSecondary(t, name, o, transferSecret)
			answers := func(want string) func() bool {
				return func() bool {
					c := dns.Client{Timeout: 300 * time.Millisecond}
					r, _, err := c.Exchange(query("shop.dr.example.", dns.TypeA), p.at.String())
					return err == nil && len(r.Answer) == 1 && strings.HasSuffix(r.Answer[0].String(), "\t"+want)
				}
			}
			within(t, 20*time.Second, name+" has the zone", answers("192.0.2.1"))
			key := dnskey("dr.example", &keys.Publish[0])
			anchor := configured(t, t.TempDir(), "anchor", fmt.Sprintf("trust-anchors { \"dr.example.\" static-key %d %d %d %q; };\n", key.Flags, key.Protocol, key.Algorithm, key.PublicKey))
			delved := func(list ...string) {
				t.Helper()
				for _, q := range list {
					word := strings.Fields(q)
					out, _ := run(t, "delv", "@127.0.0.1", "-p", port(p.at), "-a", anchor, "+root=dr.example", "-t", word[1], word[0])
					if want := "; " + strings.Join(word[2:], " "); !strings.Contains(out, want) {
						t.Errorf("%s: want %q in\n%s", q, want, out)
					}
				}
			}
			delved("shop.dr.example. A fully validated", "shop.dr.example. AAAA fully validated", "shop.dr.example. TXT negative response, fully validated",
				"dr.example. SOA fully validated", "dr.example. DNSKEY fully validated", "dr.example. CDS fully validated", "x.wild.dr.example. TXT fully validated",
				"nothing.dr.example. A negative response, fully validated", "a.ent.dr.example. A fully validated", "ent.dr.example. A negative response, fully validated")
			tr.Notify = []profile.NotifyTo{{Address: p.at.String(), Key: "xfr.test"}}
			o.health(t, "du")
			within(t, 10*time.Second, name+" has the answer of now", answers("192.0.2.2"))
			delved("shop.dr.example. A fully validated", "shop.dr.example. AAAA negative response, fully validated", "dr.example. SOA fully validated")
			within(t, 10*time.Second, "it has acknowledged", func() bool {
				st, _ := o.srv.TransferStatus("dr.example")
				return len(st.Secondaries) == 1 && st.Secondaries[0].Knows && st.Secondaries[0].Acknowledged == st.Serial
			})
			if st, _ := o.srv.TransferStatus("dr.example"); len(st.Fetches) != 1 || st.Fetches[0].Kind != "ixfr" {
				t.Errorf("the change was fetched as %+v", st.Fetches)
			}
			verified(t, o.fetch(t, axfr()))
		})
	}
}

// TestInteropWrongKey: a secondary with another secret gets nothing, and says nothing of the zone; its questions are counted.
func TestInteropWrongKey(t *testing.T) {
	for name := range secondaries {
		t.Run(name, func(t *testing.T) {
			o := newOutward(t, transferable(records, byKey()))
			p := startSecondary(t, name, o, "d3JvbmcgYnkgYSBsb25nIHdheSwgYnV0IGxvbmcgZW5vdWdo")
			within(t, 20*time.Second, name+" was refused", func() bool { return o.srv.TSIGCount("badsig") > 0 })
			c := dns.Client{Timeout: 300 * time.Millisecond}
			within(t, 10*time.Second, name+" has nothing", func() bool {
				r, _, err := c.Exchange(query("shop.dr.example.", dns.TypeA), p.at.String())
				return err == nil && len(r.Answer) == 0 && r.Rcode != dns.RcodeSuccess
			})
			if st, _ := o.srv.TransferStatus("dr.example"); len(st.Fetches) > 0 {
				t.Errorf("the zone was fetched: %+v", st.Fetches)
			}
		})
	}
}
