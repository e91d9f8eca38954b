package nameserver_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
)

// kernel is a plug that remembers.
type kernel struct {
	*pretended

	mu       sync.Mutex
	refuses  map[string]error // to load ("") or to attach, by interface
	attached []string
	closed   bool
	counts   [4]uint64 // v4, v6, edns, do
	slots    map[uint32]uint64
	panics   bool
}

func (k *kernel) Find([]netip.AddrPort) ([]nameserver.DriverInterface, error) {
	return []nameserver.DriverInterface{{Name: "eth0"}, {Name: "eth1"}, {Name: "lo", Reason: "it is loopback"}}, nil
}

func (k *kernel) Load() error { return k.refuses[""] }

func (k *kernel) Attach(name string) error {
	if err := k.refuses[name]; err != nil {
		return err
	}
	k.attached = append(k.attached, name)
	return nil
}

func (k *kernel) Close() { k.locked(func() { k.closed = true }) }

func (k *kernel) locked(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

func (k *kernel) Offer(name []byte, typ uint16, records []byte, count uint16, slot uint32) (done bool, err error) {
	k.locked(func() {
		if k.panics {
			panic("driver")
		}
		if done, err = k.pretended.Offer(name, typ, records, count, slot); questionOf(name, typ) == "dr.example. A" {
			k.slots[slot] += 3 // asked thrice, at once
			k.counts[0] += 3
			k.counts[2] += 2
			k.counts[3]++
		}
	})
	return done, err
}

func (k *kernel) Withdraw(name []byte, typ uint16) (err error) {
	k.locked(func() { err = k.pretended.Withdraw(name, typ) })
	return err
}

func (k *kernel) Clear() (err error) {
	k.locked(func() { err = k.pretended.Clear() })
	return err
}

func (k *kernel) Settle() (err error) {
	k.locked(func() { err = k.pretended.Settle() })
	return err
}

func (k *kernel) Counted() (out [4]uint64) {
	k.locked(func() { out = k.counts })
	return out
}

func (k *kernel) Slot(n uint32) (out uint64) {
	k.locked(func() { out = k.slots[n] })
	return out
}

func plugged(t *testing.T, k *kernel, edns nameserver.EDNS) *fixture {
	t.Helper()
	k.pretended, k.slots = pretend(t, 1000), map[uint32]uint64{}
	f := create(nameserver.Options{Listen: []string{"127.0.0.1:0"}, XDP: nameserver.XDP{On: true}, EDNS: edns})
	f.srv.Plug(k)
	return f
}

func (f *fixture) driverBecomes(t *testing.T, state string) (st nameserver.DriverStatus) {
	t.Helper()
	eventually(t, "the driver's part is "+state, func() bool { st = f.srv.Driver(); return st.State == state })
	return st
}

// The driver's part begins with the first documents, follows flips, is counted like a loop, and ends before the sockets.
func TestDriverFollows(t *testing.T) {
	k := &kernel{refuses: map[string]error{"eth1": errors.New("its driver has no XDP")}}
	f := plugged(t, k, nameserver.EDNS{})
	at := f.serve(t)
	f.driverBecomes(t, nameserver.DriverWaits)
	ps := standard()
	f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
	st := f.driverBecomes(t, nameserver.DriverOn)
	want := []nameserver.DriverInterface{{Name: "eth0", Attached: true}, {Name: "eth1", Reason: "its driver has no XDP"}, {Name: "lo", Reason: "it is loopback"}}
	for i := range want {
		if st.Interfaces[i] != want[i] {
			t.Errorf("interface %+v, want %+v", st.Interfaces[i], want[i])
		}
	}
	ask(t, "udp", at, query("dr.example.", dns.TypeA))
	for name, n := range map[string]float64{
		"queries_total family=ipv4 transport=udp": 4, "responses_total rcode=NOERROR": 4, "edns_total kind=any": 2, "edns_total kind=do": 1,
		"answers_total endpoint=a profile=top reason=lowest-number": 4, "driver_answers_total": 3,
		"driver_on": 1, "driver_attached interface=eth0": 1, "driver_attached interface=lo": 0, "driver_entries state=answered": float64(st.Entries),
	} {
		if got := f.counter(t, name); got != n {
			t.Errorf("%s is %v, want %v", name, got, n)
		}
	}
	f.hub.Publish(nil, view(ps[2], "du", nil))
	var answer string
	eventually(t, "the flip has arrived", func() bool {
		k.locked(func() { answer = k.answers["dr.example. A"] })
		return strings.HasSuffix(answer, "c0000203")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.srv.Close(ctx); err != nil {
		t.Fatal(err)
	}
	st = f.srv.Driver()
	if !k.closed || len(k.answers) > 0 || st.State != nameserver.DriverOff || st.Reason != "" || st.Interfaces[0].Attached {
		t.Errorf("closed %v, %d answers, %+v", k.closed, len(k.answers), st)
	}
	if n := f.counters(t)["answers_total endpoint=b profile=top reason=lowest-number"]; n != 3 {
		t.Errorf("what was counted last is %v", n)
	}
}

// Whatever is wrong with the driver, the sockets answer, and the reason is told.
func TestDriverRefused(t *testing.T) {
	for want, c := range map[string]struct {
		refuses map[string]error
		edns    nameserver.EDNS
		fail    error
		panics  bool
		state   string
	}{
		"CAP_BPF":                {refuses: map[string]error{"": errors.New("no CAP_BPF")}, state: nameserver.DriverRefused},
		"eth1: no XDP":           {refuses: map[string]error{"eth0": errors.New("no XDP"), "eth1": errors.New("no XDP")}, state: nameserver.DriverRefused},
		"cookies.require":        {edns: nameserver.EDNS{RequireCookies: true}, state: nameserver.DriverRefused},
		"kernel says no":         {fail: errors.New("kernel says no"), state: nameserver.DriverRefused},
		"it failed inside: driv": {panics: true, state: nameserver.DriverFailed},
	} {
		t.Run(want, func(t *testing.T) {
			k := &kernel{refuses: c.refuses, panics: c.panics}
			f := plugged(t, k, c.edns)
			k.fail = c.fail
			ps := standard()
			f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
			at := f.serve(t)
			if st := f.driverBecomes(t, c.state); !strings.Contains(st.Reason, want) {
				t.Errorf("%+v", st)
			}
			if r := ask(t, "tcp", at, query("dr.example.", dns.TypeA)); len(r.Answer) == 0 {
				t.Errorf("%v", r)
			}
		})
	}
}

// A table that fails later is taken out of the kernel.
func TestDriverFails(t *testing.T) {
	k := &kernel{}
	f, ps := plugged(t, k, nameserver.EDNS{}), standard()
	f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
	f.serve(t)
	f.driverBecomes(t, nameserver.DriverOn)
	k.locked(func() { k.fail = errors.New("kernel says no") })
	f.hub.Publish(nil, view(ps[2], "du", nil))
	st := f.driverBecomes(t, nameserver.DriverFailed)
	if !strings.Contains(st.Reason, "kernel says no") || st.Interfaces[0].Attached || !k.closed {
		t.Errorf("closed %v, %+v", k.closed, st)
	}
}

// Without a plug of the test: loopback has no driver that answers.
func TestDriverOnLoopback(t *testing.T) {
	f, ps := create(nameserver.Options{Listen: []string{"127.0.0.1:0"}, XDP: nameserver.XDP{On: true}}), standard()
	f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
	at := f.serve(t)
	if st := f.driverBecomes(t, nameserver.DriverRefused); !strings.Contains(st.Reason, "xdp: off") {
		t.Errorf("%+v", st)
	}
	ask(t, "udp", at, query("dr.example.", dns.TypeA))
}

// A server that is closed before it has anything to answer, or was never asked for a driver, has none.
func TestDriverWithoutDocuments(t *testing.T) {
	f := plugged(t, &kernel{}, nameserver.EDNS{})
	f.serve(t)
	if st := create(nameserver.Options{}).srv.Driver(); st.State != nameserver.DriverOff {
		t.Errorf("%+v", st)
	}
}
