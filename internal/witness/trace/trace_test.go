package trace

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// world is root, example. and two servers of dr.example.
func world(t *testing.T, first, second answers) (w *town, roots []Root) {
	t.Helper()
	w = newTown(t)
	root := w.at(1, refers("example.", "ns.example. 3600 A 127.0.1.2"))
	w.at(2, refers("dr.example.", "ns1.dr.example. 3600 A 127.0.1.3", "ns2.dr.example. 3600 A 127.0.1.4"))
	w.at(3, first)
	w.at(4, second)
	return w, []Root{{"root.", root}}
}

var bothNames = []string{"ns1.dr.example.", "ns2.dr.example."}

const (
	ns1Address = "ns1.dr.example. 60 A 127.0.1.3"
	ns2Address = "ns2.dr.example. 60 A 127.0.1.4"
)

func TestFromTheRootDown(t *testing.T) {
	zone := has("dr.example.", 7, bothNames, ns1Address, ns2Address, "www.dr.example. 30 A 192.0.2.2")
	_, roots := world(t, zone, zone)
	r := run(t, Options{Name: "www.DR.example", Roots: roots, NSIDs: map[string]string{"n1": "node one"}})
	l := r.Chain[0]
	var hops []string
	for _, h := range l.Hops {
		hops = append(hops, h.Zone+">"+h.Refers)
	}
	if want := []string{".>example.", "example.>dr.example.", "dr.example.>"}; !slices.Equal(hops, want) {
		t.Errorf("hops %v, want %v", hops, want)
	}
	if len(l.Servers) != 4 || l.Zone != "dr.example." || !l.Agree || !r.Outlook.Agree {
		t.Fatalf("%+v", r)
	}
	for _, s := range l.Servers {
		if !s.AA || s.Serial != 7 || s.TTL != 30 || s.NSID != "n1" || s.Node != "node one" || s.Rcode != "NOERROR" || s.Trouble != "" {
			t.Errorf("%+v", s)
		}
	}
	if len(l.Records) != 1 || l.Records[0] != (Record{"www.dr.example.", "A", 30, "192.0.2.2"}) {
		t.Errorf("%+v", l.Records)
	}
}

// Two servers differ, one refuses TCP, one zone names a server the other does not, and serials differ.
func TestServersDiffer(t *testing.T) {
	good := has("dr.example.", 8, []string{"ns1.dr.example."}, ns1Address, "www.dr.example. 30 A 192.0.2.2")
	late := has("dr.example.", 7, bothNames, "www.dr.example. 30 A 192.0.2.1")
	_, roots := world(t, good, func(q *dns.Msg, tcp bool) *dns.Msg {
		if tcp {
			return said(q, "REFUSED")
		}
		return late(q, tcp)
	})
	r := run(t, Options{Name: "www.dr.example", Roots: roots})
	differ, refused := 0, 0
	for _, s := range r.Chain[0].Servers {
		if s.Differs {
			differ++
		}
		if s.Trouble == "it answers REFUSED" {
			refused++
		}
	}
	if differ != 1 || refused != 1 || r.Outlook.Agree || r.Outlook.Differ != 1 || r.Chain[0].Records[0].Value != "192.0.2.2" {
		t.Errorf("differ %d, refused %d: %+v", differ, refused, r)
	}
	notes := strings.Join(r.Notes, "\n")
	if !strings.Contains(notes, "different serials") || !strings.Contains(notes, "the zone above dr.example. names ns1.dr.example. ns2.dr.example.") {
		t.Errorf("notes %q", notes)
	}
	if got := r.Outlook.By.Seconds; got < 30 || got > 31 {
		t.Errorf("by %+v", r.Outlook.By)
	}
}

// Where dice decide, answers that differ are no fault.
func TestAnswersThatVary(t *testing.T) {
	_, roots := world(t, has("dr.example.", 7, bothNames, ns1Address, ns2Address, "www.dr.example. 30 A 192.0.2.2"),
		has("dr.example.", 7, bothNames, ns1Address, ns2Address, "www.dr.example. 30 A 192.0.2.1"))
	w := newTown(t)
	cache := w.at(9, func(q *dns.Msg, _ bool) *dns.Msg { return said(q, "ra", "www.dr.example. 9 A 192.0.2.3") })
	o := Options{Name: "www.dr.example", Roots: roots, Varies: true, Also: []string{"192.0.2.3"}, Resolvers: []Resolver{{cache, "test"}}}
	if r := run(t, o); !r.Outlook.Agree || r.Caches[0].State != Current {
		t.Errorf("%+v", r)
	}
	o.Also = nil
	if r := run(t, o); r.Outlook.Agree || r.Caches[0].State != Old {
		t.Errorf("an endpoint that is down counts: %+v", r)
	}
}

// An alias leads into a zone of other servers, which are found from the root again.
func TestAliasIntoAnotherZone(t *testing.T) {
	w := newTown(t)
	root := w.at(1, func(q *dns.Msg, tcp bool) *dns.Msg {
		if dns.IsSubDomain("other.test.", q.Question[0].Name) {
			return refers("other.test.", "ns.other.test. 60 A 127.0.1.4")(q, tcp)
		}
		return refers("dr.example.", "ns1.dr.example. 60 A 127.0.1.3")(q, tcp)
	})
	w.at(3, has("dr.example.", 1, bothNames[:1], ns1Address, "www.dr.example. 30 CNAME x.other.test.", "x.other.test. 5 A 192.0.2.66"))
	w.at(4, has("other.test.", 1, []string{"ns.other.test."}, "ns.other.test. 60 A 127.0.1.4", "x.other.test. 300 A 192.0.2.9"))
	cache := w.at(5, func(q *dns.Msg, _ bool) *dns.Msg {
		return said(q, "ra", "www.dr.example. 11 CNAME x.other.test.", "x.other.test. 250 A 192.0.2.8")
	})
	r := run(t, Options{Name: "www.dr.example", Roots: []Root{{"root.", root}}, Resolvers: []Resolver{{cache, "test"}}})
	if len(r.Chain) != 2 || len(r.Chain[0].Records) != 1 || r.Chain[1].Zone != "other.test." || r.Chain[1].Records[0].Value != "192.0.2.9" {
		t.Fatalf("%+v", r.Chain)
	}
	if h := r.Caches[0]; h.State != Old || h.Left != 250 || h.Differs != "A 192.0.2.8" {
		t.Errorf("the record that differs counts, not the smallest TTL: %+v", h)
	}
	if s := r.Outlook.By.Seconds; s < 250 || s > 252 {
		t.Errorf("%+v", r.Outlook)
	}
}

func TestCachesAreAskedWithoutFillingThem(t *testing.T) {
	const present, before = "www.dr.example. 30 A 192.0.2.2", "www.dr.example. 17 A 192.0.2.1"
	stale := func(q *dns.Msg) *dns.Msg {
		m := said(q, "ra", before)
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeStaleAnswer}}
		return m
	}
	for name, c := range map[string]struct {
		still, asks func(*dns.Msg) *dns.Msg // without and with recursion; nil: must not be asked
		want        Holder
	}{
		"old":     {func(q *dns.Msg) *dns.Msg { return said(q, "ra ad", before) }, nil, Holder{State: Old, Cached: "yes", AD: true, Left: 17, Differs: "A 192.0.2.1"}},
		"present": {func(q *dns.Msg) *dns.Msg { return said(q, "ra", "www.dr.example. 4 A 192.0.2.2") }, nil, Holder{State: Current, Cached: "yes"}},
		"empty":   {func(q *dns.Msg) *dns.Msg { return said(q, "ra") }, nil, Holder{State: Empty, Cached: "no"}},
		"root":    {func(q *dns.Msg) *dns.Msg { return said(q, "ra", "--", ". 60 NS a.") }, nil, Holder{State: Empty, Cached: "no"}},
		"denial": {func(q *dns.Msg) *dns.Msg {
			return said(q, "ra NXDOMAIN", "--", "dr.example. 21 SOA ns. h. 1 2 3 4 300")
		}, nil, Holder{State: Old, Cached: "yes", Left: 21, Differs: "www.dr.example: no such name"}},
		"no such records": {
			func(q *dns.Msg) *dns.Msg { return said(q, "ra", "--", "dr.example. 900 SOA ns. h. 1 2 3 4 22") }, nil,
			Holder{State: Old, Cached: "yes", Left: 22, Differs: "www.dr.example: no such records"},
		},
		"refuses, fresh": {
			func(q *dns.Msg) *dns.Msg { return said(q, "REFUSED") }, func(q *dns.Msg) *dns.Msg { return said(q, "ra", present) },
			Holder{State: Current, Cached: "fresh"},
		},
		"refuses, held": {
			func(q *dns.Msg) *dns.Msg { return said(q, "REFUSED") }, func(q *dns.Msg) *dns.Msg { return said(q, "ra", "www.dr.example. 29 A 192.0.2.2") },
			Holder{State: Current, Cached: "yes"},
		},
		"refuses, old": {
			func(q *dns.Msg) *dns.Msg { return said(q, "SERVFAIL") }, func(q *dns.Msg) *dns.Msg { return said(q, "ra", before) },
			Holder{State: Old, Cached: "yes", Left: 17, Differs: "A 192.0.2.1"},
		},
		"silent, then old": {
			func(*dns.Msg) *dns.Msg { return nil }, func(q *dns.Msg) *dns.Msg { return said(q, "ra", before) },
			Holder{State: Old, Cached: "yes", Left: 17, Differs: "A 192.0.2.1"},
		},
		"keeps too long": {
			func(q *dns.Msg) *dns.Msg { return said(q, "ra", "www.dr.example. 300 A 192.0.2.2") }, nil,
			Holder{State: Current, Cached: "yes", Note: "it keeps answers longer than they may be kept: 300 s are left of 30 s"},
		},
		"broken": {
			func(q *dns.Msg) *dns.Msg { return said(q, "REFUSED") }, func(q *dns.Msg) *dns.Msg { return said(q, "SERVFAIL") },
			Holder{State: Unknown, Cached: "unknown", Trouble: "it answers SERVFAIL", Left: 30},
		},
		"stale": {stale, nil, Holder{State: Old, Cached: "yes", Stale: true, Differs: "a stale answer, given because the name servers do not answer the resolver"}},
	} {
		t.Run(name, func(t *testing.T) {
			zone := has("dr.example.", 7, bothNames[:1], ns1Address, present)
			w := newTown(t)
			server := w.at(3, zone)
			cache := w.at(5, func(q *dns.Msg, _ bool) *dns.Msg {
				switch {
				case q.Question[0].Name != "www.dr.example.":
					return said(q, "ra") // an address of a server
				case !q.RecursionDesired:
					return c.still(q)
				case c.asks == nil:
					t.Error("asked with recursion: that fills the cache")
					return nil
				}
				return c.asks(q)
			})
			o := Options{Name: "www.dr.example", Servers: []netip.AddrPort{server}, Resolvers: []Resolver{{cache, "test"}}}
			if name == "silent, then old" {
				o.Patience = brief
			}
			r := run(t, o)
			h := r.Caches[0]
			if !h.Until.IsZero() && (h.Until.Before(r.At.Add(time.Duration(h.Left)*time.Second-time.Second)) || h.Until.After(r.At.Add(time.Duration(h.Left+1)*time.Second))) {
				t.Errorf("until %v at %v with %d s left", h.Until, r.At, h.Left)
			}
			got := Holder{State: h.State, Cached: h.Cached, AD: h.AD, Stale: h.Stale, Left: h.Left, Differs: h.Differs, Note: h.Note, Trouble: h.Trouble}
			if got.State != c.want.State || got.Cached != c.want.Cached || got.AD != c.want.AD || got.Stale != c.want.Stale || got.Left != c.want.Left ||
				got.Differs != c.want.Differs || got.Note != c.want.Note || got.Trouble != c.want.Trouble {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if agree := c.want.State != Old; r.Outlook.Agree != agree {
				t.Errorf("agree %v, want %v", r.Outlook.Agree, agree)
			}
		})
	}
}

// Nothing answers: the report says so in time, and a node's word is what caches are compared with.
func TestNobodyAnswers(t *testing.T) {
	w := newTown(t)
	silence := func(*dns.Msg, bool) *dns.Msg { return nil }
	root := w.at(1, silence)
	cache := w.at(5, func(q *dns.Msg, _ bool) *dns.Msg {
		if q.Question[0].Qtype != dns.TypeA {
			return said(q, "SERVFAIL")
		}
		return said(q, "ra", "www.dr.example. 9 A 192.0.2.1")
	})
	o := Options{Name: "www.dr.example", Roots: []Root{{"root.", root}}, Resolvers: []Resolver{{cache, "test"}}, Patience: brief}
	r := run(t, o)
	if r.Outlook.Agree || r.Chain[0].Trouble == "" || r.Caches[0].State != Unknown {
		t.Errorf("%+v", r)
	}
	o.Node = &Node{Name: "n1", Answer: []Record{{"www.dr.example.", "A", 20, "192.0.2.2"}}}
	if r = run(t, o); r.Caches[0].State != Old || r.Outlook.By.Seconds < 9 {
		t.Errorf("%+v", r)
	}
	o.Node = nil
	o.Patience = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	o.NoSystem, o.NoLocal = true, true
	if r, err := Run(ctx, o); err != nil || time.Since(start) > 5*time.Second || len(r.Notes) == 0 || !strings.Contains(r.Notes[0], "three quarters of the time") {
		t.Errorf("%v after %v: %+v", err, time.Since(start), r)
	}
}

// A host that may not ask the root finds the name servers through its resolver.
func TestThroughAResolver(t *testing.T) {
	w := newTown(t)
	root := w.at(1, func(q *dns.Msg, _ bool) *dns.Msg { return said(q, "REFUSED") })
	w.at(3, has("dr.example.", 7, bothNames[:1], ns1Address, "www.dr.example. 30 A 192.0.2.2"))
	cache := w.at(5, func(q *dns.Msg, _ bool) *dns.Msg {
		switch q.Question[0].Qtype {
		case dns.TypeSOA:
			return said(q, "ra", "--", "dr.example. 60 SOA ns. h. 1 2 3 4 5")
		case dns.TypeNS:
			return said(q, "ra", "dr.example. 60 NS ns1.dr.example.")
		}
		if q.Question[0].Name == "ns1.dr.example." && q.Question[0].Qtype == dns.TypeA {
			return said(q, "ra", ns1Address)
		}
		return said(q, "ra")
	})
	r := run(t, Options{Name: "www.dr.example", Roots: []Root{{"root.", root}}, Resolvers: []Resolver{{cache, "test"}}})
	if !r.Outlook.Agree || len(r.Chain[0].Servers) != 2 || r.Caches[0].State != Empty || !strings.Contains(strings.Join(r.Notes, ""), "through a resolver") {
		t.Errorf("%+v", r)
	}
}

// Servers that refer to themselves, upwards or in a circle end the walk.
func TestWalksEnd(t *testing.T) {
	for name, say := range map[string]answers{
		"itself":   refers(".", "root. 60 A 127.0.1.1"),
		"resolver": func(q *dns.Msg, _ bool) *dns.Msg { return said(q, "ra", "www.dr.example. 60 A 192.0.2.1") },
		"nowhere":  func(q *dns.Msg, _ bool) *dns.Msg { return said(q, "") },
		"no glue":  refers("dr.example.", "ns1.dr.example."),
		"circle":   has(".", 1, nil, "www.dr.example. 60 CNAME b.dr.example.", "b.dr.example. 60 CNAME www.dr.example."),
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t)
			r := run(t, Options{Name: "www.dr.example", Roots: []Root{{"root.", w.at(1, say)}}})
			if name != "circle" && (r.Outlook.Agree || r.Chain[0].Trouble == "") {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestOutlookOfUnknownCaches(t *testing.T) {
	w := newTown(t)
	server := w.at(3, has("dr.example.", 7, bothNames[:1], ns1Address, "www.dr.example. 10 A 192.0.2.2"))
	absent := netip.AddrPortFrom(netip.MustParseAddr("127.0.1.5"), w.port) // nobody listens there
	o := Options{Name: "www.dr.example", Servers: []netip.AddrPort{server}, Resolvers: []Resolver{{absent, "test"}}}
	if r := run(t, o); !r.Outlook.Agree || r.Outlook.Unknown != 1 || r.Outlook.By.Seconds != 10 || r.Outlook.Others.Seconds != 10 {
		t.Errorf("the TTL bounds it: %+v", r.Outlook)
	}
	o.Cap = time.Minute
	if r := run(t, o); r.Outlook.By.Seconds != 60 {
		t.Errorf("the cap bounds it: %+v", r.Outlook)
	}
	o.Cap, o.Node = 0, &Node{Since: time.Now().Add(-15 * time.Second), MaxTTL: 30}
	if r := run(t, o); r.Outlook.By.Seconds < 14 || r.Outlook.By.Seconds > 15 {
		t.Errorf("the switch and the longest TTL of an endpoint bound it: %+v", r.Outlook)
	}
	o.Node.Since = time.Now().Add(-time.Hour)
	if r := run(t, o); r.Outlook.By.Seconds != 0 || r.Outlook.Others.Seconds != 0 {
		t.Errorf("that is over: %+v", r.Outlook)
	}
}
