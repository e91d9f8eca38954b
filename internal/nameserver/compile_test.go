package nameserver_test

import (
	"strings"
	"testing"

	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

func TestNamesInEachOthersWay(t *testing.T) {
	text := "web IN A 192.0.2.1\nmail IN MX 10 web\nalias IN CNAME web\nround IN CNAME mail\none IN CNAME two\ntwo IN CNAME one\nsub IN NS ns.sub\nns.sub IN A 192.0.2.2\nmoved IN DNAME web\n"
	cases := []struct {
		name string
		list []*profile.Profile
		want string // "" is accepted
	}{
		{"addresses at the apex", profiles(service("p", names("dr.example"), addrs("192.0.2.9"))), ""},
		{"host at the apex", profiles(service("p", names("dr.example"), host("x.test"))), ""},
		{"a CNAME at the apex", profiles(cname(service("p", names("dr.example"), host("x.test")))), "it is the apex of zone dr.example, where no CNAME may stand"},
		{"addresses beside MX", profiles(service("p", names("mail.dr.example"), addrs("192.0.2.9"))), ""},
		{"host beside MX", profiles(service("p", names("mail.dr.example"), host("x.test"))), ""},
		{"a CNAME beside MX", profiles(cname(service("p", names("mail.dr.example"), host("x.test")))), "zone dr.example has MX records at the same name (records line 2), beside which no CNAME may stand"},
		{"host beside A", profiles(service("p", names("web.dr.example"), host("x.test"))), "zone dr.example has A records at the same name"},
		{"host beside CNAME", profiles(service("p", names("alias.dr.example"), host("x.test"))), "zone dr.example has CNAME records"},
		{"addresses beside A", profiles(service("p", names("web.dr.example"), addrs("192.0.2.9"))), "zone dr.example has A records at the same name"},
		{"beside CNAME", profiles(service("p", names("alias.dr.example"), addrs("192.0.2.9"))), "zone dr.example has CNAME records"},
		{"below a delegation", profiles(service("p", names("x.sub.dr.example"), host("x.test"))), "delegates sub.dr.example."},
		{"at a delegation", profiles(service("p", names("sub.dr.example"), addrs("192.0.2.9"))), "delegates sub.dr.example."},
		{"below a DNAME", profiles(service("p", names("x.moved.dr.example"), host("x.test"))), "with a DNAME"},
		{"wildcard beside names", profiles(service("p", names("*.dr.example"), host("x.test"))), ""},
		{
			"the same name twice", profiles(service("p", names("s.dr.example"), host("x.test")), service("q", names("S.dr.example"), host("x.test"))),
			"profile q: host name S.dr.example: another profile answers it already",
		},
		{
			"a mixture", profiles(cname(service("p", names("s.dr.example"), host("x.test"), addrs("192.0.2.9")))),
			"endpoint a answers the host name x.test and endpoint b answers addresses; with answer: cname one profile answers the one or the other",
		},
		{
			"a nested mixture", profiles(cname(service("p", names("s.dr.example"), nested("q"), addrs("192.0.2.9"))), service("q", nil, addrs("192.0.2.8"), nested("r")), service("r", nil, host("x.test"))),
			"endpoint a (nested profile r, endpoint a) answers the host name x.test and endpoint a (nested profile q, endpoint a) answers addresses",
		},
		{"nested addresses at the apex", profiles(service("p", names("dr.example"), nested("q")), service("q", nil, addrs("192.0.2.8"))), ""},
		{"a mixture without a say", profiles(service("p", names("s.dr.example"), host("x.test"), nested("q")), service("q", nil, addrs("192.0.2.9"))), ""},
		{"a nested CNAME at the apex", profiles(cname(service("p", names("dr.example"), nested("q"))), service("q", nil, host("x.test"))), "it is the apex of zone dr.example"},
		{"a nested CNAME beside MX", profiles(cname(service("p", names("mail.dr.example"), nested("q"))), service("q", nil, host("x.test"))), "zone dr.example has MX records"},
		{"a nested host at the apex", profiles(service("p", names("dr.example"), nested("q")), cname(service("q", nil, host("x.test")))), ""},
		{"a nested host that is the name", profiles(service("p", names("s.dr.example"), nested("q")), service("q", nil, host("S.dr.example."))), "(nested profile q, endpoint a): its target is this very name"},
		{"a host of last resort", profiles(resort(service("p", names("s.dr.example"), addrs("192.0.2.9")), host("sorry.test"))), ""},
		{"a host of last resort at the apex", profiles(resort(service("p", names("dr.example"), addrs("192.0.2.9")), host("sorry.test"))), ""},
		{"a CNAME of last resort at the apex", profiles(cname(resort(service("p", names("dr.example"), addrs("192.0.2.9")), host("sorry.test")))), "it is the apex of zone dr.example"},
		{"a CNAME of last resort beside addresses", profiles(cname(resort(service("p", names("s.dr.example"), addrs("192.0.2.9")), host("sorry.test")))), ""},
		{"a nested host of last resort at the apex", profiles(service("p", names("dr.example"), nested("q")), resort(service("q", nil, addrs("192.0.2.9")), host("sorry.test"))), ""},
		{
			"a circle of profiles", profiles(service("p", names("dr.example"), host("s.dr.example")), service("q", names("s.dr.example"), host("dr.example"))),
			"profile p: host name dr.example: endpoint a: target s.dr.example leads back to itself through names of ours",
		},
		{
			"a circle through a record", profiles(service("p", names("mail.dr.example"), host("round.dr.example"))),
			"leads back to itself through names of ours",
		},
		{"a circle of records", profiles(service("p", names("dr.example"), host("one.dr.example"))), "target one.dr.example is an alias of more than 16 others, or of itself"},
		{"a circle through a wildcard", profiles(service("p", names("*.w.dr.example", "mail.dr.example"), host("a.w.dr.example"))), "leads back to itself"},
		{"a target in a zone of ours", profiles(service("p", names("dr.example"), host("web.dr.example"))), ""},
		{"a bad name of last resort", profiles(resort(service("p", names("s.dr.example"), addrs("192.0.2.9")), host("a..b"))), "all_down: name"},
		{"nested in a loop", profiles(service("p", names("s.dr.example"), nested("q")), service("q", nil, nested("p"), addrs("192.0.2.9"))), ""}, // refused elsewhere, but no endless walk
		{"nested in nobody", profiles(service("p", names("s.dr.example"), nested("q"))), ""},
		{"bad address", profiles(service("p", names("s.dr.example"), addrs("1.2.3"))), "not an IP address"},
		{"itself", profiles(service("p", names("s.dr.example"), host("s.dr.example"))), "would point to itself"},
		{"outside", profiles(service("p", names("s.other.test"), host("x.test"))), ""},
	}
	for _, c := range cases {
		docs := &snapshot.Documents{Generation: 1, Zones: []*profile.Zone{testZone(text)}, Profiles: c.list}
		warnings, err := nameserver.Warnings(docs)
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "profile ")):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		case (c.name == "outside") != (len(warnings) > 0):
			t.Errorf("%s: warnings %q", c.name, warnings)
		}
	}
	twice := &snapshot.Documents{Zones: []*profile.Zone{testZone(text), testZone("")}}
	if _, err := nameserver.Warnings(twice); err == nil || !strings.Contains(err.Error(), "zone dr.example is there twice") {
		t.Errorf("zone twice: %v", err)
	}
}

func nested(name string) profile.Target { return profile.Target{Profile: name} }

func cname(p *profile.Profile) *profile.Profile {
	p.Answer = profile.AnswerCNAME
	return p
}

func resort(p *profile.Profile, t profile.Target) *profile.Profile {
	p.AllDown = profile.AllDown{Rule: profile.AllDownTarget, Target: t}
	return p
}

// A child zone takes the names below it, and the parent keeps the DS of the child's apex.
func TestParentAndChildZone(t *testing.T) {
	child := &profile.Zone{Name: "kid.dr.example", Nameservers: []string{"ns.test"}, Records: "a IN A 192.0.2.1\n"}
	parent := testZone("kid IN NS ns.test.\nkid IN DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000\n")
	f := build(t, []*profile.Zone{parent, child}, nil, nil)
	for q, want := range map[string]string{"a.kid.dr.example A": "kid.dr.example", "kid.dr.example DS": "dr.example", "kid.dr.example NS": "kid.dr.example", "b.dr.example A": "dr.example"} {
		name, typ, _ := strings.Cut(q, " ")
		e, err := f.srv.Explain(f.hub.Load(), name, typ, t0Addr)
		if err != nil || e.Zone != want || !e.AA {
			t.Errorf("%s: %+v %v", q, e, err)
		}
	}
}

// Before the first documents nothing is known, and that is not the same as not being responsible.
func TestBeforeTheFirstDocuments(t *testing.T) {
	hub := snapshot.NewHub()
	srv := nameserver.New(nameserver.Options{Hub: hub})
	e, err := srv.Explain(hub.Load(), "dr.example", "SOA", t0Addr)
	if err != nil || e.Rcode != "SERVFAIL" || len(e.Errors) != 1 || !strings.HasPrefix(e.Errors[0], "14 ") {
		t.Errorf("%+v %v", e, err)
	}
}

func TestExplainTellsTheTrail(t *testing.T) {
	f := standardFixture(t)
	e, err := f.srv.Explain(f.hub.Load(), "svc.dr.example", "a", t0Addr)
	if err != nil || e.Profile != "svc" || e.Endpoint != "b" || e.TTL != 10 || len(e.Trail) < 4 {
		t.Errorf("%+v %v", e, err)
	}
	for _, bad := range [][2]string{{"a..b", "A"}, {"dr.example", "NOPE"}, {strings.Repeat("a.", 200), "A"}} {
		if _, err := f.srv.Explain(f.hub.Load(), bad[0], bad[1], t0Addr); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
