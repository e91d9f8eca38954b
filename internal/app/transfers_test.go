//go:build linux

package app_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// handedOn is the text of a site whose zone is signed and may be fetched.
func (s *site) handedOn() string {
	return strings.Replace(s.text(), "hostmaster: ops.dr.example\n", "hostmaster: ops.dr.example\n"+
		"    dnssec: {enabled: true, denial: nsec}\n    transfer: {to: [{prefix: 127.0.0.0/8}]}\n", 1)
}

// serial is what DNS tells, 0 while it tells none.
func (s *site) serial() uint32 {
	c := dns.Client{Timeout: 300 * time.Millisecond}
	r, _, err := c.Exchange(new(dns.Msg).SetQuestion("dr.example.", dns.TypeSOA), s.dns)
	if err != nil || len(r.Answer) != 1 {
		return 0
	}
	soa, ok := r.Answer[0].(*dns.SOA)
	if !ok {
		return 0
	}
	return soa.Serial
}

// whole is the zone as it is fetched, one record a line, "" while it is not given.
func (s *site) whole() string {
	tr := &dns.Transfer{DialTimeout: time.Second, ReadTimeout: 5 * time.Second}
	c, err := tr.In(new(dns.Msg).SetAxfr("dr.example."), s.dns)
	if err != nil {
		return ""
	}
	var list []string
	for e := range c {
		for _, rr := range e.RR {
			list = append(list, rr.String())
		}
		if e.Error != nil {
			list = nil
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// kept is the serial in the node's copy.
func (s *site) kept() uint32 {
	text, err := os.ReadFile(filepath.Join(s.data, "serials.json"))
	var all map[string]struct {
		Serial uint32 `json:"serial"`
	}
	if err != nil || json.Unmarshal(text, &all) != nil {
		return 0
	}
	return all["dr.example"].Serial
}

// TestSerialOutlivesKill: a node that is killed just when a new serial is written, before anybody was told, never tells an
// older one than before, and one serial is not used for two contents.
func TestSerialOutlivesKill(t *testing.T) {
	t.Parallel()
	s, _ := sealed(t)
	s.startTenants()
	s.write(s.handedOn())
	s.startNode()
	s.awaitReady(20 * time.Second)
	eventually(t, 20*time.Second, "a serial is told", func() bool { return s.serial() > 0 && s.serial() == s.kept() && s.whole() != "" })
	contents := map[uint32]string{}
	last := s.serial()
	for round, act := range []string{"drain", "undrain", "drain"} {
		contents[last] = s.whole()
		s.order(act, "eu20")
		eventually(t, 10*time.Second, "a new serial is written", func() bool { return s.kept() != last })
		s.node.kill()
		written := s.kept()
		s.startNode()
		var first uint32
		eventually(t, 20*time.Second, "a serial is told again", func() bool { first = s.serial(); return first > 0 })
		if written <= last || first < written {
			t.Fatalf("round %d: %d before, %d written, %d told after the restart", round, last, written, first)
		}
		eventually(t, 20*time.Second, "the zone can be fetched again", func() bool {
			if now := s.serial(); now != 0 && now < first {
				t.Fatalf("round %d: serial %d after %d", round, now, first)
			}
			return s.ready() && s.whole() != ""
		})
		last = s.serial()
		if was, ok := contents[last]; ok && was != s.whole() {
			t.Errorf("serial %d has two contents", last)
		}
	}
}

// TestSerialsOfTwoNodes: both tell the same serial with the same bytes, signatures included, through a change of health, the
// end of the leader and its return.
func TestSerialsOfTwoNodes(t *testing.T) {
	t.Parallel()
	address := startEtcd(t)
	a := newSite(t)
	a.head = storeText("http://" + address)
	a.startTenants()
	a.write(a.handedOn())
	a.startNode()
	a.awaitReady(20 * time.Second)
	b := a.beside("n2")
	b.write(b.handedOn())
	b.startNode()
	b.awaitReady(20 * time.Second)
	var last uint32
	told := map[*site]uint32{} // a node that comes back begins where it ended, for a moment
	agree := func(what string, newer bool, sites ...*site) {
		t.Helper()
		eventually(t, 30*time.Second, what, func() bool {
			serial, zone := sites[0].serial(), sites[0].whole()
			for _, s := range sites {
				now := s.serial()
				if now != 0 && now < told[s] {
					t.Fatalf("%s tells serial %d after %d", s.name, now, told[s])
				}
				told[s] = max(now, told[s])
				if now == 0 || now != serial || newer && now == last || zone == "" || s.whole() != zone || !strings.Contains(zone, "RRSIG") {
					return false
				}
			}
			last = serial
			return true
		})
	}
	agree("both agree", false, a, b)
	a.euTenant.kill()
	agree("both agree after a change of health", true, a, b)
	leader, other := a, b
	if b.nodeStatus().Leads {
		leader, other = b, a
	}
	leader.node.kill()
	eventually(t, 10*time.Second, "the other leads", func() bool { return other.nodeStatus().Leads })
	a.restartPrimary()
	agree("the new leader goes on", true, other)
	leader.startNode()
	agree("who comes back agrees", false, other, leader)
}

// TestOlderSerialIsRefused: a text whose SOA has an older serial than the one before changes nothing, and says why.
func TestOlderSerialIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := sealed(t)
	s.startTenants()
	text := func(serial string) string {
		return strings.NewReplacer(
			"    nameservers: [ns1.dr.example]\n", "", "    hostmaster: ops.dr.example\n", "",
			"      ns1 300 A", "      @ 300 SOA ns1 ops "+serial+" 3600 600 604800 60\n      @ 300 NS ns1\n      ns1 300 A",
		).Replace(s.handedOn())
	}
	s.write(text("100"))
	s.startNode()
	s.awaitReady(20 * time.Second)
	eventually(t, 20*time.Second, "the written serial is told", func() bool { return s.serial() >= 100 })
	before := s.serial()
	s.write(strings.Replace(text("99"), "ns1 300 A", "more 300 A 192.0.2.1\n      ns1 300 A", 1))
	s.hangup()
	eventually(t, 10*time.Second, "the older serial is refused", func() bool { return s.node.said("serial 99 is not after 100") })
	if got := askFor(s.dns, "more.dr.example"); got != "NXDOMAIN" || s.serial() != before {
		t.Errorf("%s, serial %d after %d", got, s.serial(), before)
	}
	s.write(text("200"))
	s.hangup()
	eventually(t, 20*time.Second, "a newer one is taken", func() bool { return s.serial() == 200 })
}
