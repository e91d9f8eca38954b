package nameserver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/batch"
	"jurymast/internal/nameserver/cookie"
	"jurymast/internal/profile"
)

// NXDOMAIN is never said of a name above another zone of ours, delegated or not: resolvers would take it for that, too.
func TestNamesAboveOurZonesExist(t *testing.T) {
	f := create(nameserver.Options{})
	below := &profile.Zone{Name: "a.b.c.dr.example", Nameservers: []string{"ns1.dr.example"}, Hostmaster: "ops.dr.example"}
	f.publish(t, 1, []*profile.Zone{testZone("*.wild TXT any"), below}, nil, nil)
	for name, want := range map[string]int{"b.c.dr.example": dns.RcodeSuccess, "c.dr.example": dns.RcodeSuccess, "d.c.dr.example": dns.RcodeNameError} {
		m := new(dns.Msg)
		if err := m.Unpack(f.srv.Raw(packet(plainHead, "name:"+name, "0001 0001"), false)); err != nil {
			t.Fatal(err)
		}
		if m.Rcode != want || len(m.Answer) > 0 {
			t.Errorf("%s: %v", name, m)
		}
	}
}

// Without a secret there are no cookies, on neither way.
func TestEmptyJarMakesNoCookies(t *testing.T) {
	f := create(nameserver.Options{Cookies: &cookie.Jar{}})
	ps := standard()
	f.publish(t, 7, []*profile.Zone{testZone(records)}, ps, standardViews(ps))
	quick, long, ok := f.srv.Ways(packet(opt, "name:dr.example", "0001 0001", "00 0029 04d0 00000000 000c 000a 0008 0102030405060708"), t0Addr)
	if !ok || string(quick) != string(long) {
		t.Errorf("%v\nquick % x\nlong  % x", ok, quick, long)
	}
}

// Old configurations are freed, although some alias was asked for while they were in force.
func TestOldConfigurationsAreFreed(t *testing.T) {
	f := create(nameserver.Options{})
	const reloads = 40
	var ps []*profile.Profile
	var vs []*health.View
	for i := range reloads {
		p := service(fmt.Sprintf("p%d", i), names(fmt.Sprintf("p%d.dr.example", i)), host("x.elsewhere.test"))
		ps, vs = append(ps, p), append(vs, view(p, "u", nil))
	}
	var text strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&text, "n%d 600 A 192.0.2.1\n", i)
	}
	zones := []*profile.Zone{testZone(text.String())}
	f.publish(t, 1, zones, ps, vs)
	before := heap()
	for i, p := range ps { // each time, somebody asks for one other alias
		f.publish(t, uint64(i+2), zones, ps, nil)
		if _, _, ok := f.srv.Ways(packet(plainHead, "name:"+p.Hostnames[0], "0001 0001"), t0Addr); !ok {
			t.Fatal("not quick")
		}
	}
	if after := heap(); after > 3*before {
		t.Errorf("%d KiB before, %d KiB after %d reloads", before>>10, after>>10, reloads)
	}
	runtime.KeepAlive(f)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A Close that has no time ends all the same, whatever else the program opens meanwhile.
func TestCloseEndsWithoutTime(t *testing.T) {
	for _, shape := range []batch.Shape{batch.Polite, batch.Raw, batch.Portable} {
		f := create(nameserver.Options{Listen: []string{"127.0.0.1:0"}, Loops: 1, Batch: batch.Options{Shape: shape}})
		if err := f.srv.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.srv.Serve()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		closed := make(chan error, 1)
		go func() { closed <- f.srv.Close(ended) }()
		for waiting := true; waiting; {
			file, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-closed:
				if waiting = false; !errors.Is(err, context.Canceled) && err != nil {
					t.Error(err)
				}
			case <-time.After(time.Millisecond):
			}
			_ = file.Close() // nothing was written
		}
	}
}

// Answers on every address of a machine need to know where a question came to.
func TestPortableListensOnOneAddress(t *testing.T) {
	f := create(nameserver.Options{Listen: []string{"0.0.0.0:0"}, Batch: batch.Options{Shape: batch.Portable}})
	if err := f.srv.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "list the addresses") {
		t.Errorf("error %v", err)
	}
}
