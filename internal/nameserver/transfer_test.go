package nameserver_test

import (
	"encoding/base64"
	"fmt"
	gomaps "maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/tsig"
	"jurymast/internal/nameserver/xfr"
	"jurymast/internal/profile"
)

var transferSecret = base64.StdEncoding.EncodeToString([]byte("the secret of transfers in tests"))

func transferRing(t testing.TB) *tsig.Ring {
	t.Helper()
	k, err := tsig.NewKey("xfr.test", "hmac-sha256", transferSecret)
	if err != nil {
		t.Fatal(err)
	}
	return tsig.NewRing(k)
}

// leader gives contents their serials, as the leader of a cluster does, only faster.
type leader struct {
	mu     sync.Mutex
	states map[string]xfr.State
}

// lead runs until the test ends. pace is what stands for xfr.MinBetween.
func (l *leader) lead(t testing.TB, s *nameserver.Server) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-s.ContentsChanged():
			}
			l.mu.Lock()
			for _, c := range s.Contents() {
				var was *xfr.State
				if state, ok := l.states[c.Zone]; ok {
					state.At = time.Time{}
					was = &state
				}
				if next, _, changed := xfr.Next(was, c.Content, time.Now()); changed {
					l.states[c.Zone] = next
				}
			}
			all := map[string]xfr.State{}
			gomaps.Copy(all, l.states)
			l.mu.Unlock()
			s.UseSerials(all)
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
}

// outward is a server whose zone may be fetched, with a profile and two endpoints of which eu is answered first.
type outward struct {
	*fixture
	*leader
	at    netip.AddrPort
	zones []*profile.Zone
	ps    []*profile.Profile
	gen   uint64
}

func transferable(text string, t *profile.Transfer) *profile.Zone {
	z := testZone(text)
	z.Transfer = t
	return z
}

func byKey() *profile.Transfer {
	return &profile.Transfer{To: []profile.TransferTo{{Key: "xfr.test"}}, Dynamic: profile.DynamicCurrent}
}

func newOutward(t testing.TB, z *profile.Zone) *outward {
	t.Helper()
	o := &outward{
		fixture: create(nameserver.Options{Listen: []string{"127.0.0.1:0"}}), leader: &leader{states: map[string]xfr.State{}},
		zones: []*profile.Zone{z}, gen: 7,
		ps: profiles(
			service("svc", names("svc.dr.example", "*.svcwild.dr.example"), host("one.elsewhere.test"), host("two.elsewhere.test")),
			service("shop", names("shop.dr.example"), addrs("192.0.2.1", "2001:db8::1"), addrs("192.0.2.2")),
		),
	}
	o.health(t, "uu")
	o.srv.UseTSIG(transferRing(t))
	o.at = o.serve(t)
	o.lead(t, o.srv)
	o.await(t, 7)
	eventually(t, "there is something to fetch", func() bool { st, _ := o.srv.TransferStatus("dr.example"); return st.Version })
	return o
}

// health publishes the state of both profiles' endpoints.
func (o *outward) health(t testing.TB, word string) {
	t.Helper()
	o.publish(t, o.gen, o.zones, o.ps, []*health.View{view(o.ps[0], word, nil), view(o.ps[1], word, nil)})
}

// unmoved publishes a state that changes nothing of what is transferred.
func (o *outward) unmoved(t testing.TB, word string) {
	t.Helper()
	was := o.srv.Contents()[0].Digest
	o.health(t, word)
	eventually(t, "it was looked at", o.srv.Looked)
	if o.srv.Contents()[0].Digest != was {
		t.Error("the content is another one")
	}
	o.await(t, 7)
}

// await waits until a serial is told, over UDP.
func (o *outward) await(t testing.TB, serial uint32) {
	t.Helper()
	var last uint32
	eventually(t, fmt.Sprintf("serial %d", serial), func() bool {
		r := ask(t, "udp", o.at, query("dr.example.", dns.TypeSOA))
		if len(r.Answer) == 1 {
			last = r.Answer[0].(*dns.SOA).Serial //nolint:errcheck // a panic fails the test
		}
		return last == serial
	})
}

// fetch transfers the zone with a library's client.
func (o *outward) fetch(t testing.TB, m *dns.Msg) []dns.RR {
	t.Helper()
	m.SetTsig("xfr.test.", dns.HmacSHA256, 300, time.Now().Unix())
	tr := &dns.Transfer{TsigSecret: map[string]string{"xfr.test.": transferSecret}}
	c, err := tr.In(m, o.at.String())
	if err != nil {
		t.Fatal(err)
	}
	var list []dns.RR
	for e := range c {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		list = append(list, e.RR...)
	}
	return list
}

func axfr() *dns.Msg { return new(dns.Msg).SetAxfr("dr.example.") }
func ixfr(serial uint32) *dns.Msg {
	return new(dns.Msg).SetIxfr("dr.example.", serial, "ns1.dr.example.", "ops.dr.example.")
}

// TestTransferIsWhatIsAnswered: a zone that was fetched says of every name what a question gets, with the profile's ttl.
func TestTransferIsWhatIsAnswered(t *testing.T) {
	o := newOutward(t, transferable(records, byKey()))
	list := o.fetch(t, axfr())
	if len(list) < 30 || list[0].Header().Rrtype != dns.TypeSOA || !dns.IsDuplicate(list[0], list[len(list)-1]) {
		t.Fatalf("%d records, from %v to %v", len(list), list[0], list[len(list)-1])
	}
	sets := map[string][]string{}
	for _, rr := range list[:len(list)-1] {
		h := rr.Header()
		key := h.Name + " " + dns.TypeToString[h.Rrtype]
		sets[key] = append(sets[key], strings.TrimPrefix(rr.String(), h.String()))
		for _, p := range []string{"svc.dr.example.", "shop.dr.example.", "*.svcwild.dr.example."} {
			if h.Name == p && h.Ttl != 30 {
				t.Errorf("%v: not with the profile's ttl of 30", rr)
			}
		}
	}
	for key, want := range sets {
		name, typ, _ := strings.Cut(key, " ")
		if strings.HasPrefix(name, "ns.sub.") {
			continue // below a delegation
		}
		m := query(name, dns.StringToType[typ])
		if dns.StringToType[typ] == 0 {
			m.Question[0].Qtype = 65280
		}
		r := ask(t, "tcp", o.at, m)
		var got []string
		for _, rr := range slices.Concat(r.Answer, r.Ns) {
			if h := rr.Header(); strings.EqualFold(h.Name, name) && h.Rrtype == m.Question[0].Qtype {
				got = append(got, strings.TrimPrefix(rr.String(), h.String()))
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: transferred %q, answered %q", key, want, got)
		}
	}
	for _, key := range []string{"svc.dr.example. CNAME", "shop.dr.example. A", "shop.dr.example. AAAA", "*.svcwild.dr.example. CNAME", "ns.sub.dr.example. A", `odd\.dot.dr.example. A`} {
		if sets[key] == nil {
			t.Errorf("%s is not transferred", key)
		}
	}
}

// TestTransferFollowsHealth: serials grow with answers, differences lead there, and names whose profile is not ready keep
// what they had.
func TestTransferFollowsHealth(t *testing.T) {
	o := newOutward(t, transferable(records, byKey()))
	o.health(t, "du")
	o.await(t, 8)
	list := o.fetch(t, ixfr(7))
	var texts []string
	for _, rr := range list {
		texts = append(texts, strings.Join(strings.Fields(rr.String()), " "))
	}
	serial := func(n int) string { return "SOA " + fmt.Sprint(n) }
	want := []string{
		serial(8), serial(7),
		"shop.dr.example. 30 IN A 192.0.2.1", "shop.dr.example. 30 IN AAAA 2001:db8::1",
		"svc.dr.example. 30 IN CNAME one.elsewhere.test.", "*.svcwild.dr.example. 30 IN CNAME one.elsewhere.test.",
		serial(8),
		"shop.dr.example. 30 IN A 192.0.2.2",
		"svc.dr.example. 30 IN CNAME two.elsewhere.test.", "*.svcwild.dr.example. 30 IN CNAME two.elsewhere.test.",
		serial(8),
	}
	for i, rr := range list {
		if soa, ok := rr.(*dns.SOA); ok {
			texts[i] = serial(int(soa.Serial))
		}
	}
	slices.Sort(texts)
	slices.Sort(want)
	if !slices.Equal(texts, want) {
		t.Errorf("the difference is\n%s\nwant\n%s", strings.Join(texts, "\n"), strings.Join(want, "\n"))
	}
	if list := o.fetch(t, ixfr(8)); len(list) != 1 {
		t.Errorf("a secondary that has everything gets %d records", len(list))
	}
	if list := o.fetch(t, ixfr(3)); len(list) < 30 {
		t.Errorf("a secondary of long ago gets %d records, not the whole zone", len(list))
	}
	o.publish(t, o.gen, o.zones, o.ps, []*health.View{view(o.ps[0], "cc", unready), view(o.ps[1], "uu", nil)})
	o.await(t, 9)
	for _, rr := range o.fetch(t, axfr()) {
		if rr.Header().Name == "svc.dr.example." {
			if got := rr.(*dns.CNAME).Target; got != "two.elsewhere.test." { //nolint:errcheck // a panic fails the test
				t.Errorf("a profile that is not ready is transferred as %s", got)
			}
			return
		}
	}
	t.Error("a profile that is not ready is left out")
}

// TestTransferAfterDocuments: a change of the zone's text comes as a difference too, and an unchanged one has its serial.
func TestTransferAfterDocuments(t *testing.T) {
	o := newOutward(t, transferable(records, byKey()))
	o.gen = 12 // another document was changed
	o.unmoved(t, "uu")
	o.zones = []*profile.Zone{transferable(records+"more IN A 192.0.2.77\n", byKey())}
	o.gen = 13
	o.health(t, "uu")
	o.await(t, 13)
	if list := o.fetch(t, ixfr(7)); len(list) != 5 {
		t.Errorf("one record more is told with %d records: %v", len(list), list)
	}
}

func TestWhoMayTransfer(t *testing.T) {
	const here = "127.0.0.0/8"
	for _, c := range []struct {
		name string
		to   []profile.TransferTo
		key  bool
		want int
	}{
		{"key, signed", []profile.TransferTo{{Key: "xfr.test"}}, true, dns.RcodeSuccess},
		{"key, not signed", []profile.TransferTo{{Key: "xfr.test"}}, false, dns.RcodeRefused},
		{"another key", []profile.TransferTo{{Key: "other.test"}}, true, dns.RcodeRefused},
		{"prefix", []profile.TransferTo{{Prefix: here}}, false, dns.RcodeSuccess},
		{"prefix, signed", []profile.TransferTo{{Prefix: here}}, true, dns.RcodeSuccess},
		{"another prefix", []profile.TransferTo{{Prefix: "192.0.2.0/24"}}, false, dns.RcodeRefused},
		{"both", []profile.TransferTo{{Prefix: here, Key: "xfr.test"}}, true, dns.RcodeSuccess},
		{"both, not signed", []profile.TransferTo{{Prefix: here, Key: "xfr.test"}}, false, dns.RcodeRefused},
		{"both, from elsewhere", []profile.TransferTo{{Prefix: "192.0.2.1", Key: "xfr.test"}}, true, dns.RcodeRefused},
		{"one of several", []profile.TransferTo{{Prefix: "192.0.2.1"}, {Key: "xfr.test"}}, true, dns.RcodeSuccess},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOutward(t, transferable(records, &profile.Transfer{To: c.to, Dynamic: profile.DynamicCurrent}))
			m := axfr()
			m.SetEdns0(1232, false)
			if c.key {
				m.SetTsig("xfr.test.", dns.HmacSHA256, 300, time.Now().Unix())
			}
			client := dns.Client{Net: "tcp", TsigSecret: map[string]string{"xfr.test.": transferSecret}}
			r, _, err := client.Exchange(m, o.at.String())
			if err != nil {
				t.Fatal(err)
			}
			if r.Rcode != c.want {
				t.Errorf("%s", dns.RcodeToString[r.Rcode])
			}
			if c.want == dns.RcodeRefused && !hasEDE(r, 18) {
				t.Errorf("refused without saying that it is prohibited: %v", r.Extra)
			}
		})
	}
}

func hasEDE(r *dns.Msg, code uint16) bool {
	opt := r.IsEdns0()
	return opt != nil && slices.ContainsFunc(opt.Option, func(o dns.EDNS0) bool {
		e, ok := o.(*dns.EDNS0_EDE)
		return ok && e.InfoCode == code
	})
}

// TestTransferOverDatagrams: IXFR gets the SOA to come again, AXFR is no question for a datagram.
func TestTransferOverDatagrams(t *testing.T) {
	o := newOutward(t, transferable(records, &profile.Transfer{To: []profile.TransferTo{{Prefix: "127.0.0.1"}}, Dynamic: profile.DynamicCurrent}))
	if r := ask(t, "udp", o.at, axfr()); r.Rcode != dns.RcodeFormatError {
		t.Errorf("AXFR: %s", dns.RcodeToString[r.Rcode])
	}
	if r := ask(t, "udp", o.at, ixfr(3)); r.Rcode != dns.RcodeSuccess || len(r.Answer) != 1 || serialOf(r) != 7 || !r.Authoritative {
		t.Errorf("IXFR: %v", r)
	}
	broken := new(dns.Msg).SetQuestion("dr.example.", dns.TypeIXFR)
	for _, network := range []string{"udp", "tcp"} {
		if r := ask(t, network, o.at, broken); r.Rcode != dns.RcodeFormatError {
			t.Errorf("IXFR without a serial over %s: %s", network, dns.RcodeToString[r.Rcode])
		}
	}
	for _, name := range []string{"www.dr.example.", "other.test."} {
		if r := ask(t, "tcp", o.at, new(dns.Msg).SetAxfr(name)); r.Rcode != dns.RcodeRefused {
			t.Errorf("AXFR of %s, which is no zone of ours: %s", name, dns.RcodeToString[r.Rcode])
		}
	}
}

// TestStaticTransfer leaves the names of profiles out.
func TestStaticTransfer(t *testing.T) {
	o := newOutward(t, transferable(records, &profile.Transfer{To: []profile.TransferTo{{Key: "xfr.test"}}, Dynamic: profile.DynamicStatic}))
	for _, rr := range o.fetch(t, axfr()) {
		if name := rr.Header().Name; name == "shop.dr.example." || name == "svc.dr.example." {
			t.Errorf("%v is transferred", rr)
		}
	}
	o.unmoved(t, "du")
}

// TestSignedQuestions: any question may be signed, over every transport, and gets a signed answer.
func TestSignedQuestions(t *testing.T) {
	o := newOutward(t, transferable(records, byKey()))
	for _, network := range []string{"udp", "tcp"} {
		for _, typ := range []uint16{dns.TypeA, dns.TypeMX, dns.TypeSOA, dns.TypeTXT} {
			for _, name := range []string{"dr.example.", "shop.dr.example.", "missing.dr.example.", "other.test."} {
				m := query(name, typ)
				m.SetTsig("xfr.test.", dns.HmacSHA256, 300, time.Now().Unix())
				client := dns.Client{Net: network, TsigSecret: map[string]string{"xfr.test.": transferSecret}}
				r, _, err := client.Exchange(m, o.at.String())
				if err != nil || r.IsTsig() == nil {
					t.Errorf("%s %s over %s: %v, %v", name, dns.TypeToString[typ], network, err, r)
				}
			}
		}
	}
	m := query("big.dr.example.", dns.TypeTXT)
	m.SetTsig("xfr.test.", dns.HmacSHA256, 300, time.Now().Unix())
	client := dns.Client{Net: "udp", UDPSize: 4096, TsigSecret: map[string]string{"xfr.test.": transferSecret}}
	if r, _, err := client.Exchange(m, o.at.String()); err != nil || !r.Truncated || r.IsTsig() == nil {
		t.Errorf("a long answer: %v, %v", err, r)
	}
}

// TestLargeTransfer: 50,000 records are told in many signed messages, and other questions on the connection do not wait
// for them.
func TestLargeTransfer(t *testing.T) {
	var b strings.Builder
	b.WriteString(records)
	for i := range 50_000 {
		fmt.Fprintf(&b, "h%d A 10.%d.%d.%d\n", i, i>>16, i>>8&255, i&255)
	}
	o := newOutward(t, transferable(b.String(), &profile.Transfer{To: []profile.TransferTo{{Prefix: "127.0.0.1"}, {Key: "xfr.test"}}, Dynamic: profile.DynamicCurrent}))
	began := time.Now()
	if list := o.fetch(t, axfr()); len(list) < 50_000 {
		t.Fatalf("%d records", len(list))
	}
	t.Logf("signed, in %v", time.Since(began).Round(time.Millisecond))
	raw, err := net.Dial("tcp", o.at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn := &dns.Conn{Conn: raw}
	if err := conn.WriteMsg(axfr()); err != nil {
		t.Fatal(err)
	}
	q := query("shop.dr.example.", dns.TypeA)
	if err := conn.WriteMsg(q); err != nil {
		t.Fatal(err)
	}
	tcp, ok := raw.(*net.TCPConn)
	if !ok {
		t.Fatalf("%T", raw)
	}
	_ = tcp.CloseWrite() // a client that has said everything still gets all of it
	soas, count, between := 0, 0, -1
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	_ = raw.SetReadDeadline(time.Now().Add(20 * time.Second))
	for messages := 0; soas < 2 || between < 0; messages++ {
		r, err := conn.ReadMsg()
		if err != nil {
			t.Fatalf("after %d records: %v", count, err)
		}
		if r.Id == q.Id {
			between = messages
			continue
		}
		for _, rr := range r.Answer {
			count++
			if rr.Header().Rrtype == dns.TypeSOA {
				soas++
			}
		}
		<-pace.C // so that the transfer has to wait for us
	}
	t.Logf("%d records, the other answer came after %d messages", count, between)
	if between > 60 {
		t.Errorf("the other answer came after %d messages", between)
	}
}

// TestNotify tells secondaries of a change, signed, until they answer.
func TestNotify(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	type told struct {
		serial uint32
		signed bool
	}
	seen := make(chan told, 100)
	deaf := make(chan struct{}, 1)
	deaf <- struct{}{} // the first message gets no answer
	started := make(chan struct{})
	secondary := &dns.Server{
		PacketConn: pc, TsigSecret: map[string]string{"xfr.test.": transferSecret}, NotifyStartedFunc: func() { close(started) },
		MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
			seen <- told{serialOf(m), m.IsTsig() != nil && w.TsigStatus() == nil && m.Opcode == dns.OpcodeNotify}
			select {
			case <-deaf:
				return
			default:
			}
			r := new(dns.Msg).SetReply(m)
			r.SetTsig("xfr.test.", dns.HmacSHA256, 300, time.Now().Unix())
			_ = w.WriteMsg(r)
		}),
	}
	go func() { _ = secondary.ActivateAndServe() }()
	<-started
	defer secondary.Shutdown() //nolint:errcheck // the end of the test
	tr := byKey()
	tr.Notify = []profile.NotifyTo{{Address: pc.LocalAddr().String(), Key: "xfr.test"}}
	o := newOutward(t, transferable(records, tr))
	for range 2 {
		if got := <-seen; got != (told{7, true}) {
			t.Fatalf("told %+v", got)
		}
	}
	acknowledged := func(serial uint32) {
		t.Helper()
		eventually(t, "it is acknowledged", func() bool {
			st, ok := o.srv.TransferStatus("dr.example")
			return ok && len(st.Secondaries) == 1 && st.Secondaries[0].Knows && st.Secondaries[0].Acknowledged == serial && !st.Secondaries[0].Pending
		})
	}
	acknowledged(7)
	o.health(t, "du")
	if got := <-seen; got != (told{8, true}) {
		t.Fatalf("told %+v", got)
	}
	acknowledged(8)
	if n, err := o.srv.NotifyNow("dr.example"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if got := <-seen; got != (told{8, true}) {
		t.Fatalf("told %+v", got)
	}
	if _, err := o.srv.NotifyNow("other.test"); err == nil {
		t.Error("secondaries of a zone that is none were told")
	}
}

// TestSerialsAreKept: an older serial is not taken, whatever the store says, and no serial is told before one is known.
func TestSerialsAreKept(t *testing.T) {
	f := create(nameserver.Options{Listen: []string{"127.0.0.1:0"}})
	ps := profiles(service("shop", names("shop.dr.example"), addrs("192.0.2.1")))
	f.publish(t, 7, []*profile.Zone{transferable(records, byKey())}, ps, []*health.View{view(ps[0], "u", nil)})
	at := f.serve(t)
	if r := ask(t, "udp", at, query("dr.example.", dns.TypeSOA)); r.Rcode != dns.RcodeServerFailure {
		t.Errorf("a serial is told before it is known: %v", r)
	}
	told := func(serial uint32) bool {
		r := ask(t, "udp", at, query("dr.example.", dns.TypeSOA))
		return len(r.Answer) == 1 && serialOf(r) == serial
	}
	f.srv.UseSerials(map[string]xfr.State{"dr.example": {Serial: 50, Digest: "of another life"}})
	if !told(50) {
		t.Error("the agreed serial is not told")
	}
	f.srv.UseSerials(map[string]xfr.State{"dr.example": {Serial: 40}})
	if !told(50) {
		t.Error("an older serial was taken")
	}
	r := ask(t, "udp", at, query("missing.dr.example.", dns.TypeA))
	if soa, ok := r.Ns[0].(*dns.SOA); !ok || soa.Serial != 50 {
		t.Errorf("a negative answer has another serial: %v", r.Ns)
	}
}

// serialOf is the serial of the SOA record that an answer begins with, 0 without one.
func serialOf(m *dns.Msg) uint32 {
	if len(m.Answer) == 0 {
		return 0
	}
	return soaOf(m.Answer[0]).Serial
}

// soaOf is the record if it is an SOA, else an empty one.
func soaOf(rr dns.RR) *dns.SOA {
	if soa, ok := rr.(*dns.SOA); ok {
		return soa
	}
	return new(dns.SOA)
}
