package trace

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// Nobody answers for the name but our node: nothing is known of what clients get, whatever the node says.
func TestNobodyButTheNodeAnswers(t *testing.T) {
	w := newTown(t)
	nobody := netip.AddrPortFrom(netip.MustParseAddr("127.0.1.77"), w.port)
	node := &Node{Name: "n1", Answer: []Record{{Name: "www.dr.example.", Type: "A", TTL: 30, Value: "192.0.2.2"}}}
	o := Options{Name: "www.dr.example", Servers: []netip.AddrPort{nobody}, Node: node}
	r := run(t, o)
	if r.Outlook.Answered || r.Outlook.Agree || !strings.Contains(r.Outlook.By.Reason, "no name server answered for www.dr.example.") {
		t.Errorf("%+v", r.Outlook)
	}
	cache := w.at(9, func(q *dns.Msg, _ bool) *dns.Msg { return said(q, "ra", "www.dr.example. 9 A 192.0.2.2") })
	o.Resolvers = []Resolver{{cache, "test"}}
	if r := run(t, o); r.Caches[0].State != Current || r.Outlook.Agree {
		t.Errorf("%+v", r)
	}
}

// draw answers 192.0.2.N for the N that turn gives.
func draw(turn func() string) answers {
	return func(q *dns.Msg, tcp bool) *dns.Msg {
		return has("dr.example.", 7, bothNames, ns1Address, ns2Address, "www.dr.example. 30 A 192.0.2."+turn())(q, tcp)
	}
}

// Without a node, a name whose answers are drawn is told from servers that disagree by asking them again.
func TestDrawnAnswersAreNoDisagreement(t *testing.T) {
	var n atomic.Int32
	dice := draw(func() string {
		// one question in three asks for the SOA, and the order is the network's: what counts is that answers return
		return []string{"1", "2", "2", "1", "1", "2", "1"}[n.Add(1)%7]
	})
	_, roots := world(t, dice, dice)
	r := run(t, Options{Name: "www.dr.example", Roots: roots})
	if l := r.Chain[0]; !l.Varies || !l.Agree || !r.Outlook.Agree || r.Outlook.Differ != 0 {
		t.Errorf("%+v", r)
	}
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "in turn") {
		t.Errorf("notes %q", notes)
	}
}

// Servers said the same when they were asked first. A cache with another answer has them asked again.
func TestCacheHoldsAnotherDrawnAnswer(t *testing.T) {
	var n atomic.Int32
	dice := draw(func() string {
		if k := n.Add(1); k > 12 && k%2 == 0 {
			return "1"
		}
		return "2"
	})
	w, roots := world(t, dice, dice)
	cache := w.at(9, func(q *dns.Msg, _ bool) *dns.Msg { return said(q, "ra", "www.dr.example. 9 A 192.0.2.1") })
	other := w.at(10, func(q *dns.Msg, _ bool) *dns.Msg { return said(q, "ra", "www.dr.example. 9 A 192.0.2.99") })
	r := run(t, Options{Name: "www.dr.example", Roots: roots, Resolvers: []Resolver{{cache, "test"}, {other, "test"}}})
	if r.Caches[0].State != Current || !r.Caches[0].Until.IsZero() || r.Caches[1].State != Old || r.Outlook.Old != 1 {
		t.Errorf("%+v", r.Caches)
	}
}

// A switch while we look is one change, and no dice.
func TestOneSwitchIsNotDrawn(t *testing.T) {
	a, b, c := []step{{owner: "x.", typ: "A", values: []string{"1"}}}, []step{{owner: "x.", typ: "A", values: []string{"2"}}}, []step{{owner: "x.", typ: "A", values: []string{"3"}}}
	for _, row := range []struct {
		said [][]step
		want bool
	}{{nil, false}, {[][]step{a, a, a}, false}, {[][]step{a, a, b, b}, false}, {[][]step{a, b, c}, false}, {[][]step{a, b, a}, true}, {[][]step{a, b, c, c, b}, true}} {
		if got := returns(row.said); got != row.want {
			t.Errorf("%v: %v", row.said, got)
		}
	}
}
