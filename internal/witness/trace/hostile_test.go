package trace

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/miekg/dns"
)

// A server that names hundreds of servers whose addresses must be looked for makes a trace ask nobody hundreds of times.
func TestManyNamesWithoutAddresses(t *testing.T) {
	w := newTown(t)
	var asked atomic.Int32
	lie := func(q *dns.Msg, tcp bool) *dns.Msg {
		asked.Add(1)
		m := new(dns.Msg).SetReply(q)
		if !tcp {
			m.Truncated = true
			return m
		}
		zone := q.Question[0].Name
		if n := dns.CountLabel(zone); n > 2 {
			zone = strings.Join(dns.SplitDomainName(zone)[n-2:], ".") + "."
		}
		for i := range 400 {
			m.Ns = append(m.Ns, &dns.NS{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 60}, Ns: fmt.Sprintf("ns.z%d.victim%d.", i, asked.Load())})
		}
		return m
	}
	r := run(t, Options{Name: "www.dr.example", Roots: []Root{{"root.", w.at(1, lie)}}, Patience: brief})
	if len(r.Notes) == 0 || r.Chain[0].Trouble == "" || asked.Load() > 2*maxQuestions+100 { // some are sent twice
		t.Errorf("%d packets, notes %q, %+v", asked.Load(), r.Notes, r.Chain[0].Trouble)
	}
}

// A firewall that drops questions to the root leaves time for the resolvers.
func TestSilentServersLeaveTime(t *testing.T) {
	w := newTown(t)
	silence := func(*dns.Msg, bool) *dns.Msg { return nil }
	var roots []Root
	for n := range 6 {
		roots = append(roots, Root{fmt.Sprintf("%d.root.", n), w.at(10+n, silence)})
	}
	cache := w.at(5, func(q *dns.Msg, _ bool) *dns.Msg {
		switch q.Question[0].Qtype {
		case dns.TypeSOA:
			return said(q, "ra", "--", "dr.example. 60 SOA ns. h. 1 2 3 4 5")
		case dns.TypeNS:
			return said(q, "ra", "dr.example. 60 NS ns1.dr.example.", "++", "ns1.dr.example. 60 A 127.0.1.10")
		}
		return said(q, "ra", "www.dr.example. 9 A 192.0.2.1")
	})
	const packet, all = 150 * time.Millisecond, 2 * time.Second // a tenth of the command's
	ctx, cancel := context.WithTimeout(t.Context(), all)
	defer cancel()
	o := Options{Name: "www.dr.example", Roots: roots, Resolvers: []Resolver{{cache, "test"}}, NoSystem: true, NoLocal: true, Patience: packet}
	r, err := Run(ctx, o)
	if err != nil || len(r.Caches[0].Records) != 1 {
		t.Errorf("%v: %+v", err, r)
	}
}

// What servers write beside an answer cannot drive a terminal or fill it.
func TestTextOfServers(t *testing.T) {
	m := new(dns.Msg).SetEdns0(1232, false)
	for range 30 {
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: 3, ExtraText: "a\x1b[31m\u009b2J\u202eb\nc\xff " + strings.Repeat("long ", 900)})
	}
	list, stale := extended(m)
	if !stale || len(list) == 0 || len(strings.Join(list, "")) > 8000 {
		t.Fatalf("%v, %d errors", stale, len(list))
	}
	if strings.IndexFunc(list[0], func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 || !strings.HasPrefix(list[0], "3 Stale Answer: a?[31m?2J?b?c") {
		t.Errorf("%q", list[0])
	}
}

// Files a stranger's process names are neither waited for nor read without end.
func TestFilesOfStrangers(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "proc", "7"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]func(string) error{
		"/pipe": func(n string) error { return syscall.Mkfifo(n, 0o600) },
		"/huge": func(n string) error {
			return os.WriteFile(n, []byte(securityTTL+"=1\n"+strings.Repeat("#", maxFile)), 0o600)
		},
	} {
		if err := kind(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
		args := "java\x00-Djava.security.properties=" + name + "\x00Main\x00"
		if err := os.WriteFile(filepath.Join(root, "proc", "7", "cmdline"), []byte(args), 0o600); err != nil {
			t.Fatal(err)
		}
		got := make(chan []JVM, 1)
		go func() { got <- (&tracer{o: Options{Root: root}}).java() }()
		select {
		case list := <-got:
			if len(list) != 1 || list[0].TTL != javaDefault {
				t.Errorf("%s: %+v", name, list)
			}
		case <-time.After(time.Minute): // a pipe is waited for without end
			t.Fatalf("%s: it is waited for", name)
		}
	}
}

// A TTL above 2^31-1 counts as 0, in denials too.
func TestHugeTTLOfADenial(t *testing.T) {
	w := newTown(t)
	server := w.at(3, has("dr.example.", 7, bothNames[:1], ns1Address, "www.dr.example. 10 A 192.0.2.2"))
	cache := w.at(5, func(q *dns.Msg, _ bool) *dns.Msg {
		return said(q, "ra NXDOMAIN", "--", "dr.example. 4294967295 SOA ns. h. 1 2 3 4 4294967295")
	})
	r := run(t, Options{Name: "www.dr.example", Servers: []netip.AddrPort{server}, Resolvers: []Resolver{{cache, "test"}}})
	if h := r.Caches[0]; h.State != Old || h.Left != 0 {
		t.Errorf("%+v", h)
	}
}
