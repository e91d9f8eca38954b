package secondary

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
)

var quickLimits = Limits{Answer: 300 * time.Millisecond, Quiet: time.Second, Total: 5 * time.Second, Records: 5000, Bytes: 1 << 20}

func fetch(t testing.TB, p *primary, have *Content, change ...func(*Job)) (Outcome, error) {
	t.Helper()
	j := Job{Zone: testZone, Server: p.addr, Have: have, Check: Check{profile.ZONEMDAuto}}
	for _, f := range change {
		f(&j)
	}
	return NewClient(quickLimits).Look(t.Context(), j)
}

func must(t testing.TB, p *primary, have *Content, change ...func(*Job)) Outcome {
	t.Helper()
	out, err := fetch(t, p, have, change...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// address is what www has.
func address(c *Content) string {
	name, _ := zone.PackName("www." + testZone)
	var n wire.Name
	n.Set(name)
	m := c.Tree.Find(&n)
	if m.Node == nil || m.Node.Set(dns.TypeA) == nil {
		return "none"
	}
	return fmt.Sprint(m.Node.Set(dns.TypeA).Data)
}

func TestTransfers(t *testing.T) {
	t.Parallel()
	p := newPrimary(t, 1)
	first := must(t, p, nil)
	if first.How != Whole || first.Content.Serial != 1 || len(first.Content.Records) != 4 || address(first.Content) != "[[192 0 2 1]]" {
		t.Fatalf("%+v", first)
	}
	if same := must(t, p, first.Content); same.How != Same || same.Content != nil {
		t.Fatalf("%+v", same)
	}
	p.set(7)
	p.forget()
	second := must(t, p, first.Content)
	if second.How != Differences || second.Content.Serial != 7 || address(second.Content) != "[[192 0 2 7]]" || len(second.Content.Records) != 4 {
		t.Fatalf("%+v", second)
	}
	if got := strings.Join(p.questions(), ", "); got != "udp SOA, tcp IXFR" {
		t.Errorf("asked %s", got)
	}
	if address(first.Content) != "[[192 0 2 1]]" {
		t.Error("differences have changed the content they were applied to")
	}
	p.set(3)
	if older := must(t, p, second.Content); older.How != Older || older.Content != nil {
		t.Fatalf("%+v", older)
	}
	forced := must(t, p, second.Content, func(j *Job) { j.Force = true })
	if forced.How != Whole || forced.Content.Serial != 3 {
		t.Fatalf("%+v", forced)
	}
	p.mu.Lock()
	p.mute = true
	p.mu.Unlock()
	p.set(8)
	if over := must(t, p, forced.Content); over.Content.Serial != 8 {
		t.Fatalf("%+v", over)
	}
}

func TestSigned(t *testing.T) {
	t.Parallel()
	p := newPrimary(t, 1)
	p.mu.Lock()
	p.key = testKey(t)
	p.text = func(serial uint32) string { return "@ 60 NS ns1\n" + many(1500, serial) }
	p.mu.Unlock()
	with := func(j *Job) { j.Key = testKey(t) }
	first := must(t, p, nil, with)
	if len(first.Content.Records) != 1502 {
		t.Fatalf("%d records", len(first.Content.Records))
	}
	p.set(2)
	if out := must(t, p, first.Content, with); out.How != Differences {
		t.Fatalf("%+v", out)
	}
	_, err := fetch(t, p, nil)
	wants(t, "unsigned question", err, "REFUSED")
	p.mu.Lock()
	p.key = nil
	p.mu.Unlock()
	_, err = fetch(t, p, nil, with)
	wants(t, "unsigned answer", err, "not signed")
}

func many(n int, serial uint32) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "h%d 60 A 10.%d.%d.%d\n", i, serial%200, i/250, i%250)
	}
	return b.String()
}

func wants(t testing.TB, what string, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("%s: %v, want %q in it", what, err, part)
	}
}

// TestBadTransfers: nothing of this is taken, and each says what is wrong.
func TestBadTransfers(t *testing.T) {
	t.Parallel()
	type reply = func(p *primary, q *dns.Msg) [][]byte
	records := func(texts ...string) reply {
		return func(p *primary, q *dns.Msg) [][]byte {
			var list []dns.RR
			for _, text := range texts {
				if text == "SOA" {
					soa, _ := p.zone(p.serial)
					list = append(list, soa)
					continue
				}
				list = append(list, rr(t, text))
			}
			return [][]byte{p.message(q, list...), nil}
		}
	}
	bent := func(bend func(pkt []byte) []byte) reply {
		return func(p *primary, q *dns.Msg) [][]byte {
			list := p.transfer(q)
			list[1] = bend(list[1])
			return list
		}
	}
	for _, c := range []struct {
		name, want string
		script     reply
	}{
		{"interrupted", "before the end of the zone", func(p *primary, q *dns.Msg) [][]byte { return append(p.transfer(q)[:2], nil) }},
		{"no answer at all", "before the end of the zone", func(*primary, *dns.Msg) [][]byte { return [][]byte{nil} }},
		{"no last SOA", "before the end of the zone", records("SOA", "@ NS ns1", "ns1 A 192.0.2.1")},
		{"another last SOA", "has changed on the way", records("SOA", "@ NS ns1", "@ 60 SOA ns1 h 99 1 1 1 1")},
		{"no first SOA", "begins with NS", records("@ NS ns1", "SOA")},
		{"outside the zone", "outside the zone", records("SOA", "@ NS ns1", "www.example.com. A 192.0.2.1", "SOA")},
		{"a name that only ends alike", "outside the zone", records("SOA", "@ NS ns1", "notexample.org. A 192.0.2.1", "SOA")},
		{"SOA of another zone", "another zone", records("SOA", "@ NS ns1", "sub SOA ns1 h 1 1 1 1 1", "SOA")},
		{"another class", "class CH", records("SOA", "@ NS ns1", "www CH TXT x", "SOA")},
		{"a type for questions", "not a type that a zone can have", records("SOA", "@ NS ns1", "www TYPE250 \\# 1 00", "SOA")},
		{"behind the end", "behind the end", records("SOA", "@ NS ns1", "SOA", "www A 192.0.2.1")},
		{"CNAME at the apex", "at the apex", records("SOA", "@ NS ns1", "@ CNAME x", "SOA")},
		{"refused", "REFUSED", func(_ *primary, q *dns.Msg) [][]byte {
			return [][]byte{packed(new(dns.Msg).SetRcode(q, dns.RcodeRefused))}
		}},
		{"no records", "without records", func(p *primary, q *dns.Msg) [][]byte { return [][]byte{p.message(q)} }},
		{"another id", "no answer to the question", bent(func(pkt []byte) []byte { pkt[0] ^= 1; return pkt })},
		{"a question", "no answer to the question", bent(func(pkt []byte) []byte { pkt[2] &^= 0x80; return pkt })},
		{"truncated", "truncated", bent(func(pkt []byte) []byte { pkt[2] |= 2; return pkt })},
		{"an error in the middle", "SERVFAIL", bent(func(pkt []byte) []byte { pkt[3] |= 2; return pkt })},
		{"cut message", "cannot be read", bent(func(pkt []byte) []byte { return pkt[:len(pkt)-3] })},
		{"another question", "another question", bent(func(pkt []byte) []byte { pkt[wire.HeaderLen+1] ^= 1; return pkt })},
		{"nothing", "cannot be read", bent(func([]byte) []byte { return []byte{} })},
		{"too many records", "more than 5000 records", func(p *primary, q *dns.Msg) [][]byte {
			p.text = func(serial uint32) string { return "@ NS ns1\n" + many(5000, serial) } // a script has mu
			return p.transfer(q)
		}},
		{"too many bytes", "more than 1048576 bytes", func(p *primary, q *dns.Msg) [][]byte {
			soa, _ := p.zone(p.serial)
			list := [][]byte{p.message(q, soa)}
			big := rr(t, "big TXT "+strings.Repeat(`"`+strings.Repeat("x", 200)+`" `, 200))
			for range 40 {
				list = append(list, p.message(q, big))
			}
			return list
		}},
		{"silence", "no answer in time", func(p *primary, q *dns.Msg) [][]byte { return p.transfer(q)[:1] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPrimary(t, 5)
			p.mu.Lock()
			p.script = c.script
			p.mu.Unlock()
			out, err := fetch(t, p, nil)
			wants(t, c.name, err, c.want)
			if out.Content != nil {
				t.Error("there is content")
			}
		})
	}
}

// TestBadDifferences: what does not fit has the whole zone fetched.
func TestBadDifferences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		texts      []string
	}{
		{"gone and not there", "is not there", []string{"7", "1", "nobody A 192.0.2.9", "7", "www A 192.0.2.9", "7"}},
		{"comes and is there", "is there already", []string{"7", "1", "7", "www A 192.0.2.1", "7"}},
		{"from another serial", "begins at serial 3", []string{"7", "3", "www A 192.0.2.1", "7", "www A 192.0.2.9", "7"}},
		{"a gap between the steps", "begins at serial 5", []string{"7", "1", "4", "5", "7", "7"}},
		{"not the announced serial", "before the end", []string{"7", "1", "www A 192.0.2.1", "6"}},
		{"interrupted", "before the end", []string{"7", "1", "www A 192.0.2.1"}},
		{"not implemented", "NOTIMP", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPrimary(t, 1)
			have := must(t, p, nil).Content
			p.set(7)
			p.mu.Lock()
			p.script = func(p *primary, q *dns.Msg) [][]byte {
				if q.Question[0].Qtype == dns.TypeAXFR {
					return p.transfer(q)
				}
				if c.texts == nil {
					return [][]byte{packed(new(dns.Msg).SetRcode(q, dns.RcodeNotImplemented))}
				}
				var list []dns.RR
				for _, text := range c.texts {
					if !strings.Contains(text, " ") {
						var serial uint32
						_, _ = fmt.Sscan(text, &serial)
						soa, _ := p.zone(serial)
						list = append(list, soa)
						continue
					}
					list = append(list, rr(t, strings.Replace(text, " A", " 60 A", 1)))
				}
				return [][]byte{p.message(q, list...), nil}
			}
			p.mu.Unlock()
			out := must(t, p, have)
			if out.How != Whole || out.Content.Serial != 7 || address(out.Content) != "[[192 0 2 7]]" {
				t.Errorf("%+v", out)
			}
			if !strings.Contains(out.Refused, c.want) {
				t.Errorf("refused because %q, want %q in it", out.Refused, c.want)
			}
		})
	}
}

// TestSteps applies several at once, and IXFR that is answered with the whole zone or with one record per message.
func TestSteps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		how  How
		make func(p *primary, q *dns.Msg) []dns.RR
	}{
		{"steps", Differences, func(p *primary, _ *dns.Msg) []dns.RR {
			last, _ := p.zone(7)
			list := []dns.RR{last}
			for serial := uint32(1); serial < 7; serial++ {
				was, gone := p.zone(serial)
				is, come := p.zone(serial + 1)
				list = append(append(append(append(list, was), without(gone, come)...), is), without(come, gone)...)
			}
			return append(list, last)
		}},
		{"whole", Whole, func(p *primary, _ *dns.Msg) []dns.RR {
			soa, rest := p.zone(7)
			return slices.Concat([]dns.RR{soa}, rest, []dns.RR{soa})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPrimary(t, 1)
			have := must(t, p, nil).Content
			p.set(7)
			p.mu.Lock()
			p.script = func(p *primary, q *dns.Msg) [][]byte {
				var list [][]byte
				for _, rec := range c.make(p, q) {
					list = append(list, p.message(q, rec))
				}
				return list
			}
			p.mu.Unlock()
			out := must(t, p, have)
			if out.How != c.how || address(out.Content) != "[[192 0 2 7]]" || len(out.Content.Records) != 4 || out.Refused != "" {
				t.Errorf("%+v", out)
			}
		})
	}
}

func TestBadSOA(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		soa        func(q *dns.Msg) *dns.Msg
	}{
		{"refused", "REFUSED", func(q *dns.Msg) *dns.Msg { return new(dns.Msg).SetRcode(q, dns.RcodeRefused) }},
		{"no authority", "no authority", func(q *dns.Msg) *dns.Msg {
			m := new(dns.Msg).SetReply(q)
			m.Answer = []dns.RR{rr(t, "@ SOA a b 1 1 1 1 1")}
			return m
		}},
		{"none", "no SOA of the zone", func(q *dns.Msg) *dns.Msg {
			m := new(dns.Msg).SetReply(q)
			m.Authoritative = true
			return m
		}},
		{"another question", "no answer in time", func(q *dns.Msg) *dns.Msg {
			m := new(dns.Msg).SetReply(q)
			m.Question[0].Name = "example.com."
			return m
		}},
		{"another id", "no answer in time", func(q *dns.Msg) *dns.Msg {
			m := new(dns.Msg).SetReply(q)
			m.Id++
			return m
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPrimary(t, 1)
			p.mu.Lock()
			p.soa = c.soa
			p.mu.Unlock()
			_, err := fetch(t, p, nil)
			wants(t, c.name, err, c.want)
		})
	}
}

func TestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p := newPrimary(t, 1)
	p.mu.Lock()
	p.script = func(p *primary, q *dns.Msg) [][]byte { return p.transfer(q)[:1] }
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := NewClient(Limits{}).Look(ctx, Job{Zone: testZone, Server: p.addr})
	if err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

// FuzzReader: whatever comes, nothing breaks, and nothing outside the zone is taken.
func FuzzReader(f *testing.F) {
	q := new(dns.Msg).SetQuestion(testZone+".", dns.TypeAXFR)
	p := &primary{serial: 1, expire: 60, text: func(uint32) string { return "@ NS ns1\nns1 A 192.0.2.1\nm MX 10 ns1\n* TXT x\n" }}
	for _, pkt := range p.transfer(q) {
		f.Add(pkt[wire.HeaderLen:], binary.BigEndian.Uint16(pkt[6:]), true)
	}
	apex, err := ownerOf(testZone)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, records uint16, differs bool) {
		pkt := append(make([]byte, wire.HeaderLen), data...)
		r := &reader{apex: apex, have: 1, differs: differs, most: 1000}
		for range 2 {
			if r.take(pkt, wire.HeaderLen, int(records)) != nil {
				return
			}
		}
		for _, rec := range r.records {
			if !rec.Owner.Within(apex) {
				t.Fatalf("%q is outside", rec.Owner.Name)
			}
		}
		if r.done && r.shape == whole {
			_, _ = NewContent(testZone, r.records, Check{profile.ZONEMDAuto})
		}
	})
}
