package nameserver_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/geo"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/querylog"
	"jurymast/internal/nameserver/traffic"
	"jurymast/internal/profile"
)

// watched is the standard fixture with a query log of everything.
func watched(t testing.TB, out *buffer) *fixture {
	t.Helper()
	log, err := querylog.Open(querylog.Options{Out: out, Sample: 1, Errors: true})
	if err != nil {
		t.Fatal(err)
	}
	f, ps := create(nameserver.Options{Listen: []string{"127.0.0.1:0"}, QueryLog: log, Locator: german{}, Places: true}), standard()
	f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
	return f
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Split(strings.TrimSpace(b.b.String()), "\n")
}

// german says that everybody is in Germany.
type german struct{}

func (german) Place(netip.Addr) geo.Place {
	code, _ := geo.ParseCode("DE")
	return geo.Place{Code: code, Known: true}
}
func (german) Row(netip.Addr) *geo.Row { return nil }

// Everything that was answered over either transport is in the lists and in the log, with what is known of it.
func TestAnswersAreSeen(t *testing.T) {
	var out buffer
	f := watched(t, &out)
	at := f.serve(t)
	ask(t, "udp", at, query("svc.dr.example.", dns.TypeA))
	ask(t, "tcp", at, query("svc.dr.example.", dns.TypeA))
	ask(t, "udp", at, query("nothing.dr.example.", dns.TypeAAAA))
	ask(t, "tcp", at, query("other.test.", dns.TypeA))
	if _, err := f.srv.Explain(f.hub.Load(), "svc.dr.example", "A", t0Addr); err != nil { // nobody asked
		t.Fatal(err)
	}
	for by, want := range map[traffic.By]string{
		traffic.ByPrefix: "127.0.0.0/24 4", traffic.ByType: "A 3, AAAA 1", traffic.ByRcode: "NOERROR 2, NXDOMAIN 1, REFUSED 1",
		traffic.ByName: "svc.dr.example. 2, nothing.dr.example. 1, other.test. 1", traffic.ByPlace: "DE 2",
	} {
		var got []string
		for _, l := range f.srv.Traffic().Top(by, "", traffic.Lately, 10).Lines {
			got = append(got, l.Value+" "+string(rune('0'+l.Queries)))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("by %s: %s, want %s", by, strings.Join(got, ", "), want)
		}
	}
	if n := f.counter(t, "client_queries_total place=DE profile=svc"); n != 2 {
		t.Errorf("%v from Germany", n)
	}
	eventually(t, "four lines", func() bool { return len(out.lines()) == 4 })
	var got []string
	for _, text := range out.lines() {
		var l struct {
			Transport, Client, Name, Type, Rcode, Flags, Profile, Endpoint, Reason, Why string
			Size, TTL                                                                   int
			Duration                                                                    float64 `json:"duration_us"`
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if l.Client != "127.0.0.0/24" || l.Size < 12 || l.Duration <= 0 || l.TTL == 0 && l.Rcode != "REFUSED" {
			t.Error(text)
		}
		got = append(got, strings.Join([]string{l.Why, l.Transport, l.Name, l.Type, l.Rcode, l.Flags, l.Profile, l.Endpoint, l.Reason}, " "))
	}
	slices.Sort(got)
	if want := []string{
		"error tcp other.test. A REFUSED    ",
		"sample tcp svc.dr.example. A NOERROR aa svc b lowest-number",
		"sample udp nothing.dr.example. AAAA NXDOMAIN aa   ",
		"sample udp svc.dr.example. A NOERROR aa svc b lowest-number",
	}; !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What is no readable question is seen as such, and knows nothing of the question before.
func TestBrokenQuestionsAreSeen(t *testing.T) {
	var out buffer
	f := watched(t, &out)
	f.serve(t)
	f.srv.Raw(packet(head, "name:svc.dr.example", "0001 0001"), false)
	f.srv.Raw(packet("1234 0100 0000 0000 0000 0000"), false)
	f.srv.Break("dr.example")
	f.srv.Raw(packet(head, "name:nothing.dr.example", "0001 0001"), false)
	eventually(t, "three lines", func() bool { return len(out.lines()) == 3 })
	lines := out.lines()
	if strings.Contains(lines[1], "svc") || !strings.Contains(lines[1], `"name":"","rcode":"FORMERR"`) {
		t.Error(lines[1])
	}
	if strings.Contains(lines[2], "svc") || !strings.Contains(lines[2], `"rcode":"SERVFAIL"`) {
		t.Error(lines[2])
	}
}

// What was answered before the end is in the log after it.
func TestLastLinesAreWritten(t *testing.T) {
	var out buffer
	f := watched(t, &out)
	if err := f.srv.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.srv.Serve()
	for range 100 {
		f.srv.Raw(packet(head, "name:svc.dr.example", "0001 0001"), false)
	}
	if err := f.srv.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(out.lines()); n != 100 {
		t.Errorf("%d lines", n)
	}
}
