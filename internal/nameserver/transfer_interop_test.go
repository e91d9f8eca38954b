//go:build interop && linux

package nameserver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
)

// secondaries are the programs with the configuration that makes each a secondary of the server at primary.
var secondaries = map[string]func(dir string, port, primary int) string{
	"nsd": func(dir string, port, primary int) string {
		return fmt.Sprintf(`server:
  ip-address: 127.0.0.1@%d
  server-count: 1
  username: ""
  database: ""
  zonesdir: %q
  pidfile: ""
  xfrdir: %[2]q
  xfrdfile: ""
  verbosity: 3
  zonelistfile: "%[2]s/list"
remote-control:
  control-enable: no
key:
  name: xfr.test
  algorithm: hmac-sha256
  secret: %q
zone:
  name: dr.example
  zonefile: dr.example.axfr
  request-xfr: 127.0.0.1@%d xfr.test
  allow-notify: 127.0.0.1 xfr.test
`, port, dir, transferSecret, primary)
	},
	"knotd": func(dir string, port, primary int) string {
		return fmt.Sprintf(`server:
  rundir: %q
  listen: 127.0.0.1@%d
log:
  - target: stderr
    any: info
database:
  storage: %[1]q
key:
  - id: xfr.test
    algorithm: hmac-sha256
    secret: %[3]s
remote:
  - id: primary
    address: 127.0.0.1@%[4]d
    key: xfr.test
acl:
  - id: primary
    address: 127.0.0.1
    key: xfr.test
    action: notify
zone:
  - domain: dr.example
    storage: %[1]q
    file: dr.example.axfr
    master: primary
    acl: primary
`, dir, port, transferSecret, primary)
	},
	"named": func(dir string, port, primary int) string {
		return fmt.Sprintf(`options {
  directory %q;
  listen-on port %d { 127.0.0.1; };
  listen-on-v6 { none; };
  pid-file none;
  session-keyfile none;
  recursion no;
  notify no;
};
controls { };
logging { channel err { stderr; severity info; }; category default { err; }; category xfer-in { err; }; category notify { err; }; };
key xfr.test { algorithm hmac-sha256; secret %q; };
zone "dr.example" { type secondary; file "dr.example.axfr"; primaries { 127.0.0.1 port %d key xfr.test; }; allow-notify { key xfr.test; }; };
`, dir, port, transferSecret, primary)
	},
}

// TestInteropSecondaries: NSD, Knot and BIND fetch the zone, hear of a change of health at once, and take it as a difference.
func TestInteropSecondaries(t *testing.T) {
	said := map[string]string{"nsd": "", "knotd": "IXFR", "named": "11 records"}
	for name, conf := range secondaries {
		t.Run(name, func(t *testing.T) {
			tr := byKey()
			o := newOutward(t, transferable(records, tr))
			p := startPeer(t, name, nil, func(dir string, port int) []string {
				file := configured(t, dir, "conf", conf(dir, port, int(o.at.Port())))
				switch name {
				case "nsd":
					return []string{"-d", "-c", file}
				case "knotd":
					return []string{"-c", file}
				}
				return []string{"-g", "-c", file}
			})
			answers := func(want string) func() bool {
				return func() bool {
					c := dns.Client{Timeout: 300 * time.Millisecond}
					r, _, err := c.Exchange(query("shop.dr.example.", dns.TypeA), p.at.String())
					return err == nil && len(r.Answer) == 1 && strings.HasSuffix(r.Answer[0].String(), "\t"+want)
				}
			}
			within(t, 20*time.Second, name+" has the zone", answers("192.0.2.1"))
			tr.Notify = []profile.NotifyTo{{Address: p.at.String(), Key: "xfr.test"}}
			o.health(t, "du")
			within(t, 10*time.Second, name+" has the answer of now", answers("192.0.2.2"))
			within(t, 10*time.Second, "it has acknowledged", func() bool {
				st, _ := o.srv.TransferStatus("dr.example")
				return len(st.Secondaries) == 1 && st.Secondaries[0].Knows && st.Secondaries[0].Acknowledged == st.Serial
			})
			st, _ := o.srv.TransferStatus("dr.example")
			if len(st.Fetches) != 1 || st.Fetches[0].Kind != "ixfr" {
				t.Errorf("the change was fetched as %+v", st.Fetches)
			}
			if want := said[name]; want != "" && !strings.Contains(p.said(), want) {
				t.Errorf("its log does not tell of %s", want)
			}
		})
	}
}

func within(t *testing.T, d time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !is(); time.Sleep(50 * time.Millisecond) { // a real program, real time
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}
