package app

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// TestStepsOfNames: explain says what of a zone has a name, and what its answer means.
func TestStepsOfNames(t *testing.T) {
	t.Parallel()
	hub := snapshot.NewHub()
	srv := nameserver.New(nameserver.Options{Hub: hub, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	docs := &snapshot.Documents{Generation: 1, Zones: []*profile.Zone{{
		Name: "dr.example", Nameservers: []string{"ns1.dr.example"},
		Records: "ns1 A 192.0.2.1\nsub NS ns1\n*.w A 192.0.2.2\na CNAME b\nb CNAME ns1\nlost CNAME no\nd DNAME w\nq TYPE65280 \\# 1 00\nout CNAME x.test.\n",
	}}}
	prepared, err := hub.Prepare(docs)
	if err != nil {
		t.Fatal(err)
	}
	hub.Publish(prepared)
	for _, c := range []struct{ name, typ, want string }{
		{"x.sub.dr.example", "A", "zone>dr.example name>delegation sub.dr.example. type>referral to ns1.dr.example."},
		{"sub.dr.example", "DS", "zone>dr.example name>delegation sub.dr.example. type>NODATA: "},
		{"ns1.dr.example", "TXT", "zone>dr.example name>exact type>NODATA: "},
		{"no.dr.example", "A", "zone>dr.example name>nothing has this name: NXDOMAIN"},
		{"x.w.dr.example", "A", "zone>dr.example name>wildcard *.w.dr.example."},
		{"a.dr.example", "A", "zone>dr.example name>exact alias>b.dr.example. alias>ns1.dr.example."},
		{"a.dr.example", "CNAME", "zone>dr.example name>exact"},
		{"lost.dr.example", "A", "zone>dr.example name>exact alias>no.dr.example."},
		{"out.dr.example", "A", "zone>dr.example name>exact"},
		{"x.d.dr.example", "A", "zone>dr.example name>dname d.dr.example. alias>w.dr.example. alias>x.w.dr.example."},
		{"dr.example", "AXFR", "zone>dr.example type>REFUSED, 18 Prohibited"},
		{"dr.example", "OPT", "zone>dr.example type>FORMERR, 30"},
		{"else.test", "A", "zone>no zone encloses the name: REFUSED"},
	} {
		e, err := srv.Explain(hub.Load(), c.name, c.typ, netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range dnsSteps(e) {
			got = append(got, s.Step+">"+s.Result)
		}
		text := strings.Join(got, " ")
		if text != c.want && (!strings.HasPrefix(text, c.want) || len(strings.Split(text, ">")) != len(strings.Split(c.want, ">"))) {
			t.Errorf("%s %s: %s, want %s", c.name, c.typ, text, c.want)
		}
	}
	if e, err := srv.Explain(hub.Load(), "q.dr.example", "TYPE65280", netip.Addr{}); err != nil || len(e.Answer) != 1 || !strings.Contains(e.Answer[0], " IN TYPE65280 ") {
		t.Errorf("unknown type: %v %q", err, e.Answer)
	}
}
