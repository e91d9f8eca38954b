package nameserver_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/alarm"
	"jurymast/internal/profile"
)

// Bursts of each odd kind are visible in the number they belong to.
func TestGauges(t *testing.T) {
	marks := profile.DNSAlarms{MinQueries: 20, UnknownTypes: 20, NXDomain: 50, Network: 80, Malformed: 10, Refused: 1}
	for kind, packet := range map[alarm.Kind]func(i int) []byte{
		alarm.UnknownTypes: func(int) []byte { return wired(t, query("www.dr.example.", 65280)) },
		alarm.NXDomain:     func(i int) []byte { return wired(t, query(fmt.Sprintf("x%d.dr.example.", i), dns.TypeA)) },
		alarm.Refused:      func(int) []byte { return wired(t, query("elsewhere.test.", dns.TypeA)) },
		alarm.Malformed: func(int) []byte {
			b := wired(t, query("www.dr.example.", dns.TypeA))
			return append(b, 0) // bytes behind the end
		},
	} {
		t.Run(string(kind), func(t *testing.T) {
			f := standardFixture(t, "127.0.0.1:0")
			at := f.serve(t)
			conn, err := net.Dial("udp", at.String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			buf := make([]byte, 4096)
			for i := range 30 {
				if _, err := conn.Write(packet(i)); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Read(buf); err != nil {
					t.Fatal(err)
				}
			}
			if kind == alarm.Refused {
				time.Sleep(1100 * time.Millisecond) // a rate needs a second
			}
			for _, g := range f.srv.Gauges(&marks, nil, time.Now()) {
				over := !g.Unread && g.Value >= g.Mark
				want := g.Kind == kind || g.Kind == alarm.Network // this test is one network
				if over != want {
					t.Errorf("%+v; over its mark: %v, want %v", g, over, want)
				}
				if want && (!strings.Contains(g.Evidence, "networks: 127.0.0.0/24 100 %") || g.Text == "") {
					t.Errorf("nothing is told: %+v", g)
				}
			}
			marks := marks
			marks.MinQueries = 31
			for _, g := range f.srv.Gauges(&marks, nil, time.Now()) {
				if g.Kind != alarm.Refused && !g.Unread {
					t.Errorf("so few questions say nothing: %+v", g)
				}
			}
		})
	}
}

func wired(t *testing.T, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
