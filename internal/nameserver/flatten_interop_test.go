//go:build interop

package nameserver_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/flatten"
	"jurymast/internal/profile"
)

// BIND as the resolver: an alias, both families, a set that fits no datagram, and names that are not there. A resolver
// that is not there is named first.
func TestInteropFlattenBIND(t *testing.T) {
	var big strings.Builder
	for i := range 100 {
		fmt.Fprintf(&big, "big 60 IN AAAA 2001:db8::%x\n", i+1)
	}
	z := &profile.Zone{Name: "cdn.test", Records: "$ORIGIN cdn.test.\n$TTL 60\n@ IN SOA ns1 h 1 2 3 4 30\n@ IN NS ns1\nns1 IN A 127.0.0.1\n" +
		"x IN CNAME y\ny 40 IN A 192.0.2.1\ny 40 IN AAAA 2001:db8::1\n" + big.String()}
	bind := startPeer(t, "named", []*profile.Zone{z}, func(dir string, port int) []string {
		text := fmt.Sprintf(`options { directory %q; listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile none;
  recursion yes; dnssec-validation no; };
controls { };
zone "." { type primary; file "zones/root"; };
zone "cdn.test" { type primary; file "zones/cdn.test"; };
`, dir, port)
		configured(t, dir, "zones/root", ". 60 IN SOA ns. h. 1 2 3 4 30\n. 60 IN NS ns.\nns. 60 IN A 127.0.0.1\n")
		return []string{"-g", "-c", configured(t, dir, "conf", text)}
	})
	b, err := flatten.New(flatten.Options{Looker: flatten.NewClient(flatten.Fixed([]netip.AddrPort{freePort(t), bind.at})), MaxStale: time.Hour, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	f := create(nameserver.Options{Targets: b})
	ps := decoded(t, `  - {name: apex, hostnames: [dr.example], ttl: 30s, endpoints: [{name: a, target: x.cdn.test}]}
  - {name: big, hostnames: [big.dr.example], answer: flatten, endpoints: [{name: a, target: big.cdn.test}]}
  - {name: none, hostnames: [none.dr.example], answer: flatten, endpoints: [{name: a, target: none.cdn.test}]}
`)
	f.publish(t, 7, []*profile.Zone{testZone("@ IN MX 10 mail\n")}, ps, []*health.View{view(ps[0], "u", nil), view(ps[1], "u", nil), view(ps[2], "u", nil)})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx, f.srv.Targets) }()
	defer func() { stop(); <-done }()
	settle, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	b.Settle(settle)
	asked := func(name, typ string) nameserver.Explanation {
		e, err := f.srv.Explain(f.hub.Load(), name, typ, t0Addr)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := asked("dr.example", "A"); len(e.Answer) != 1 || !strings.HasSuffix(e.Answer[0], " IN A 192.0.2.1") || e.TTL < 20 {
		t.Errorf("A: %+v", e)
	}
	if e := asked("dr.example", "AAAA"); len(e.Answer) != 1 || !strings.HasSuffix(e.Answer[0], " IN AAAA 2001:db8::1") {
		t.Errorf("AAAA: %+v", e)
	}
	if e := asked("big.dr.example", "AAAA"); len(e.Answer) != 64 {
		t.Errorf("a set over TCP: %d records, %+v", len(e.Answer), e.Flattened)
	}
	if e := asked("big.dr.example", "A"); e.Rcode != "NOERROR" || len(e.Answer) != 0 {
		t.Errorf("a family that is not there: %+v", e)
	}
	if e := asked("none.dr.example", "A"); e.Rcode != "SERVFAIL" {
		t.Errorf("a denial that is not confirmed yet: %+v", e)
	}
	for deadline := time.Now().Add(20 * time.Second); asked("none.dr.example", "A").Rcode != "NOERROR"; time.Sleep(50 * time.Millisecond) { // a real program, real time
		if time.Now().After(deadline) {
			t.Fatalf("a denial is never believed: %+v", asked("none.dr.example", "A"))
		}
	}
}
