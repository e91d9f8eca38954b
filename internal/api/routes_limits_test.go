package api

import "testing"

type fixedLimits struct{}

func (fixedLimits) Limits(most int) DNSLimits {
	l := DNSLimits{Mode: "on", Rate: 200, Suppressed: map[string]uint64{"drop": 7}}
	if most > 1 {
		l.Limited = []LimitLine{{Network: "192.0.2.0/24", Kind: "error", Suppressed: 7}}
	}
	return l
}

func TestLimits(t *testing.T) {
	r := newRig(t)
	const path = "/api/v1/dns/limits"
	if res := r.do(r.unix, "GET", path, ""); res.status != 404 {
		t.Errorf("without DNS: %d", res.status)
	}
	r.server.o.Limits = fixedLimits{}
	if l := into[DNSLimits](t, r.do(r.unix, "GET", path, "")); l.Mode != "on" || len(l.Limited) != 1 || l.Suppressed["drop"] != 7 {
		t.Errorf("%+v", l)
	}
	if l := into[DNSLimits](t, r.do(r.unix, "GET", path+"?limit=1", "")); l.Limited == nil || len(l.Limited) != 0 {
		t.Errorf("%+v", l)
	}
	if res := r.do(r.unix, "GET", path+"?limit=0", ""); res.status != 422 {
		t.Errorf("no lines: %d", res.status)
	}
}
