package nameserver_test

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// TestHalted: a profile that may not be answered gives SERVFAIL with its reason, never an old address and never nothing;
// what is static beside it is answered as ever.
func TestHalted(t *testing.T) {
	for halt, text := range map[health.Halt]string{
		health.HaltIsolated:    "lost its store",
		health.HaltUnconfirmed: "not confirmed yet",
		health.HaltPreparing:   "switch",
	} {
		ps := standard()
		views := standardViews(ps)
		views[2].Halt = halt // top, at the zone's own name
		f := build(t, []*profile.Zone{testZone(records)}, ps, views, "127.0.0.1:0")
		at := f.serve(t)
		for _, network := range []string{"udp", "tcp"} {
			m := query("dr.example.", dns.TypeA)
			m.SetEdns0(1232, false)
			r := ask(t, network, at, m)
			if r.Rcode != dns.RcodeServerFailure || len(r.Answer) != 0 {
				t.Errorf("%v over %s: %v", halt, network, r)
			}
			if e := haltError(r); e == nil || e.InfoCode != dns.ExtendedErrorCodeNotReady || !strings.Contains(e.ExtraText, text) {
				t.Errorf("%v over %s: extended error %v, want %q", halt, network, e, text)
			}
		}
		if r := ask(t, "udp", at, query("dr.example.", dns.TypeNS)); r.Rcode != dns.RcodeSuccess || len(r.Answer) == 0 {
			t.Errorf("%v: static records at the same name: %v", halt, r)
		}
	}
}

func haltError(m *dns.Msg) *dns.EDNS0_EDE {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				return e
			}
		}
	}
	return nil
}
