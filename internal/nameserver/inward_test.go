package nameserver_test

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	fetch "jurymast/internal/nameserver/secondary"
	"jurymast/internal/nameserver/tsig"
	"jurymast/internal/profile"
)

// inward is a server whose zones are fetched from others.
type inward struct {
	*fixture
	book *fetch.Book
	at   netip.AddrPort
	stop func() // ends all of it, as a node ends
}

// fetchedZone is a secondary zone of these primaries, "address" or "address key". It looks as often as SOAs want, from a
// second up.
func fetchedZone(name string, primaries ...profile.Primary) *profile.Zone {
	return &profile.Zone{Name: name, Order: profile.OrderFixed, Secondary: &profile.Secondary{
		From: primaries, ZONEMD: profile.ZONEMDAuto, MinRefresh: time.Second, MaxRefresh: time.Hour,
	}}
}

// newInward starts one at an address, with its copies in dir.
func newInward(t testing.TB, dir, listen string, keys *tsig.Ring, zones []*profile.Zone, ps []*profile.Profile, views ...*health.View) *inward {
	t.Helper()
	in := &inward{}
	var err error
	in.book, err = fetch.New(fetch.Options{Dir: dir, Keys: func(name string) *tsig.Key {
		if keys == nil {
			return nil
		}
		return keys.Find(name)
	}})
	if err != nil {
		t.Fatal(err)
	}
	in.fixture = create(nameserver.Options{Listen: []string{listen}, Fetched: in.book})
	if keys != nil {
		in.srv.UseTSIG(keys)
	}
	in.publish(t, 7, zones, ps, views)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { in.srv.FollowSecondaries(ctx) })
	running.Go(func() { in.book.Run(ctx) })
	if err := in.srv.Listen(ctx); err != nil {
		cancel()
		t.Fatal(err)
	}
	in.srv.Serve()
	in.at = in.srv.Addrs()[0]
	in.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := in.srv.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(in.stop)
	return in
}

// status of one of its zones.
func (in *inward) status(zone string) fetch.Status {
	if e := in.srv.Secondaries()[zone]; e != nil {
		return e.Status(time.Now())
	}
	return fetch.Status{}
}

// answers reports that it answers a question with this data, alone.
func (in *inward) answers(t testing.TB, name string, typ uint16, want string) func() bool {
	return func() bool {
		r := ask(t, "udp", in.at, query(name, typ))
		return len(r.Answer) == 1 && dns.Field(r.Answer[0], 1) == want
	}
}

// rcode of its answer for the name's address.
func (in *inward) rcode(t testing.TB, name string) int {
	t.Helper()
	return ask(t, "udp", in.at, query(name, dns.TypeA)).Rcode
}
