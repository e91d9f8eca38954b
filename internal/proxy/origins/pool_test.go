package origins

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const somewhere = "127.0.0.1:1"

func TestTakeIsLastInFirstOut(t *testing.T) {
	s := newPools(t, Options{Shards: 1})
	p := s.For(Key{Addr: newOrigin(t).Addr})
	a, b, c := dial(t, p), dial(t, p), dial(t, p)
	for _, x := range []*Conn{a, b, c} {
		if x.Reused {
			t.Error("a new connection says it was used")
		}
		p.Put(x)
	}
	for i, want := range []*Conn{c, b, a} {
		got := p.Take(Any)
		if got != want || !got.Reused || got.Requests() != 1 {
			t.Errorf("take %d: %p, want %p, reused after 1 request", i, got, want)
		}
	}
	if c := p.Take(Any); c != nil {
		t.Errorf("a fourth of three: %p", c)
	}
	if f := figures(t, s); f.Busy != 3 || f.Idle != 0 || f.Dials["ok"] != 3 {
		t.Errorf("%+v", f)
	}
}

// Whatever shard a connection lies in, a Take on any other finds it.
func TestTakeLooksIntoOtherShards(t *testing.T) {
	s := newPools(t, Options{Shards: 8})
	p := s.For(Key{Addr: newOrigin(t).Addr})
	for i := range p.shards {
		c := dial(t, p)
		if !p.shards[i].push(p, c, 1) {
			t.Fatal("no room")
		}
		if got := p.Take(Any); got != c {
			t.Errorf("in shard %d: %p, want %p", i, got, c)
		}
	}
}

func TestIdleLimitHoldsOverAllShards(t *testing.T) {
	for _, limit := range []int{1, 5, 7, 16} {
		s := newPools(t, Options{Shards: 4, Idle: limit})
		p := s.For(Key{Addr: newOrigin(t).Addr})
		var all []*Conn
		for range limit + 3 {
			all = append(all, dial(t, p))
		}
		for _, c := range all {
			p.Put(c)
		}
		if f := figures(t, s); f.Idle != limit || f.Busy != 0 {
			t.Errorf("limit %d: %+v", limit, f)
		}
	}
}

// A request that cannot be sent again takes a connection that was used less than a second ago, or none.
func TestUnsafeTakesOnlyFreshConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPools(t, Options{Shards: 1})
		p := s.For(Key{Addr: somewhere})
		c := pipe(t, p)
		p.Put(c)
		time.Sleep(Unsafe - 10*time.Millisecond)
		if got := p.Take(Unsafe); got != c {
			t.Fatalf("used 990 ms ago: %p, want %p", got, c)
		}
		p.Put(c)
		time.Sleep(Unsafe + 10*time.Millisecond)
		if got := p.Take(Unsafe); got != nil {
			t.Error("used 1010 ms ago, and taken")
		}
		if got := p.Take(0); got != nil {
			t.Error("taken although no age is trusted")
		}
		if got := p.Take(Any); got != c {
			t.Error("it should still be there for others")
		}
	})
}

func TestConnectionsRetire(t *testing.T) {
	cases := []struct {
		name    string
		o       Options
		keepFor time.Duration
		last    time.Duration // still lent after
		over    time.Duration // not any more after
	}{
		{name: "idle", last: 59 * time.Second, over: 62 * time.Second},
		{name: "the origin's own limit", keepFor: 4 * time.Second, last: 3900 * time.Millisecond, over: 5100 * time.Millisecond},
		{name: "an origin that keeps longer", keepFor: time.Hour, last: 59 * time.Second, over: 62 * time.Second},
		{name: "age", o: Options{IdleTimeout: time.Hour}, last: 9*time.Minute - time.Second, over: 11*time.Minute + time.Second},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newPools(t, tt.o)
				p := s.For(Key{Addr: somewhere})
				for _, after := range []time.Duration{tt.last, tt.over} {
					c := pipe(t, p)
					c.KeepFor = tt.keepFor
					p.Put(c)
					time.Sleep(after)
					if got, want := p.Take(Any) == c, after == tt.last; got != want {
						t.Errorf("after %s: lent %v, want %v", after, got, want)
					}
					if over := figures(t, s).Busy == 0; over != (after == tt.over) {
						t.Errorf("after %s: closed %v", after, over)
					}
					discard(c)
				}
			})
		})
	}
}

func TestRequestsPerConnectionAreLimited(t *testing.T) {
	s := newPools(t, Options{MaxRequests: 100})
	p := s.For(Key{Addr: newOrigin(t).Addr})
	c, n := dial(t, p), 0
	for ; c != nil && n < 1000; n++ {
		p.Put(c)
		c = p.Take(Any)
	}
	if n < 90 || n > 110 {
		t.Errorf("%d requests on a connection with a limit of 100, want 90 to 110", n)
	}
}

func TestOriginThatKeepsNothing(t *testing.T) {
	s := newPools(t, Options{})
	p := s.For(Key{Addr: newOrigin(t).Addr})
	c := dial(t, p)
	c.KeepFor = -time.Second // Keep-Alive: timeout=0
	p.Put(c)
	if f := figures(t, s); f.Idle+f.Busy != 0 {
		t.Errorf("%+v", f)
	}
}

// The sweeper works while something is idle, and not a moment longer.
func TestSweeperRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPools(t, Options{})
		for round := range 3 {
			p := s.For(Key{Addr: fmt.Sprintf("127.0.0.1:%d", 1+round)})
			for range 40 {
				p.Put(pipe(t, p))
			}
			time.Sleep(2 * DefaultIdleTimeout)
			if n := p.idle(); n != 0 {
				t.Errorf("%d idle after twice the idle timeout", n)
			}
			rest := s.swept.Load()
			time.Sleep(time.Hour)
			if now := s.swept.Load(); now != rest || now == 0 {
				t.Errorf("%d sweeps with nothing idle, %d before", now-rest, rest)
			}
		}
	})
}

// The sweep finds connections that the origin has ended, however many are idle.
func TestSweepClosesWhatTheOriginEnded(t *testing.T) {
	o := newOrigin(t)
	s := newPools(t, Options{Shards: 1})
	p := s.For(Key{Addr: o.Addr})
	var all []*Conn
	for range 3 * perSweep {
		all = append(all, dial(t, p))
		c := o.accepted(1)
		if len(all)%2 == 0 {
			end(t, all[len(all)-1], c)
		}
	}
	for _, c := range all {
		p.Put(c)
	}
	for range 6 {
		s.sweepAll()
	}
	if f := figures(t, s); f.Idle != len(all)/2 || f.Busy != 0 || int(f.Stale) != len(all)/2 {
		t.Errorf("%+v, want %d idle and as many stale", f, len(all)/2)
	}
}

func TestTakePassesByWhatIsStale(t *testing.T) {
	o := newOrigin(t)
	s := newPools(t, Options{Shards: 1})
	p := s.For(Key{Addr: o.Addr})
	good := dial(t, p)
	o.accepted(1)
	ended := dial(t, p)
	endedPeer := o.accepted(1)
	talks := dial(t, p)
	talksPeer := o.accepted(1)
	for _, c := range []*Conn{good, ended, talks} {
		p.Put(c)
	}
	end(t, ended, endedPeer)
	if _, err := talksPeer.Write([]byte("HTTP/1.1 408 Request Timeout\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	settled(t, func() bool { return !talks.Alive() })
	if got := p.Take(Any); got != good {
		t.Errorf("got %p, want %p", got, good)
	}
	if f := figures(t, s); f.Stale != 2 || f.Busy != 1 {
		t.Errorf("%+v, want 2 stale", f)
	}
}

func TestDropForgetsIdleAndLentConnections(t *testing.T) {
	o := newOrigin(t)
	s := newPools(t, Options{})
	plain, named := s.For(Key{Addr: o.Addr}), s.For(Key{Addr: o.Addr, ServerName: "other"})
	idle, lent := dial(t, plain), dial(t, named)
	plain.Put(idle)
	s.Drop("127.0.0.1:9") // another one
	if f := figures(t, s); f.Idle != 1 {
		t.Fatalf("%+v", f)
	}
	s.Drop(o.Addr)
	if f := figures(t, s); f.Idle != 0 || f.Busy != 1 {
		t.Errorf("%+v, want the lent one only", f)
	}
	named.Put(lent)
	if f := figures(t, s); f.Idle+f.Busy != 0 {
		t.Errorf("%+v after the lent one came back", f)
	}
	after := dial(t, plain)
	plain.Put(after)
	if got := plain.Take(Any); got != after {
		t.Error("a connection made after the drop is not kept")
	}
}

// Whoever takes, puts, drops and sweeps at the same time: what was out at the last Drop does not come back.
func TestDropWhileEverythingMoves(t *testing.T) {
	o := newOrigin(t)
	s := newPools(t, Options{Shards: 4, Idle: 8})
	p := s.For(Key{Addr: o.Addr})
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 300 {
				c := p.Take(Any)
				if c == nil {
					var err error
					if c, err = p.Dial(t.Context(), 10*time.Second); err != nil {
						t.Error(err)
						return
					}
				}
				switch rand.IntN(20) {
				case 0:
					s.Drop(o.Addr)
				case 1:
					s.sweepAll()
				}
				p.Put(c)
			}
		})
	}
	work.Wait()
	s.Drop(o.Addr)
	if f := figures(t, s); f.Idle != 0 || f.Busy != 0 {
		t.Errorf("%+v, want nothing open", f)
	}
}

func TestKeepAndCloseForgetPools(t *testing.T) {
	a, b := newOrigin(t), newOrigin(t)
	s := newPools(t, Options{})
	pa, pb := s.For(Key{Addr: a.Addr}), s.For(Key{Addr: b.Addr})
	ca, cb, out := dial(t, pa), dial(t, pb), dial(t, pa)
	pa.Put(ca)
	pb.Put(cb)
	s.Keep(func(k Key) bool { return k.Addr == b.Addr })
	if !pa.Gone() || pb.Gone() {
		t.Error("Keep forgot the wrong one")
	}
	if f := figures(t, s); f.Addr != b.Addr || f.Idle != 1 {
		t.Errorf("%+v", f)
	}
	pa.Put(out)
	if got := pa.Take(Any); got != nil {
		t.Error("a pool that is gone keeps connections")
	}
	if again := s.For(Key{Addr: a.Addr}); again == pa || again.Gone() {
		t.Error("the same key again gets the pool that is gone")
	}
	s.Close()
	if !pb.Gone() || pb.idle() != 0 {
		t.Error("Close left connections")
	}
	if _, err := s.For(Key{Addr: b.Addr}).Dial(t.Context(), time.Second); err == nil {
		t.Error("dialled after Close")
	}
}

// A client that chooses the server name cannot make pools without end: the one that was not used for longest goes.
func TestPoolsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPools(t, Options{})
		key := func(i int) Key { return Key{Secure: true, Addr: somewhere, ServerName: fmt.Sprint(i, ".example")} }
		first := s.For(key(0))
		second := s.For(key(1))
		c := pipe(t, second)
		second.Put(c)
		for i := 2; i < maxPools; i++ {
			s.For(key(i))
		}
		time.Sleep(2 * time.Second)
		if s.For(key(0)) != first || second.Gone() {
			t.Fatal("forgotten too early")
		}
		for i := maxPools; i < maxPools+100; i++ {
			time.Sleep(time.Second)
			s.For(key(i))
		}
		if n := len(*s.byKey.Load()); n != maxPools {
			t.Errorf("%d pools, want %d", n, maxPools)
		}
		if first.Gone() {
			t.Error("the one used last of the old ones is gone")
		}
		forgotten := 0
		for i := 1; i < maxPools; i++ {
			if (*s.byKey.Load())[key(i)] == nil {
				forgotten++
			}
		}
		if forgotten != 100 {
			t.Errorf("%d of the unused ones are gone, want 100", forgotten)
		}
	})
}

func TestPrivateConnectionsAreNotShared(t *testing.T) {
	s := newPools(t, Options{})
	p := s.For(Key{Addr: newOrigin(t).Addr})
	c := dial(t, p)
	p.Put(c)
	c = p.Take(Any)
	c.Private() // the answer was 401 with NTLM
	c.Private()
	if f := figures(t, s); f.Private != 1 || f.Busy != 1 {
		t.Errorf("%+v", f)
	}
	c.Rest()
	if !c.Usable(Any) || !c.IsPrivate() || c.Requests() != 2 {
		t.Error("its owner could go on using it")
	}
	p.Put(c)
	if got := p.Take(Any); got != nil {
		t.Error("a private connection was lent to somebody")
	}
	if f := figures(t, s); f.Private != 0 || f.Busy+f.Idle != 0 {
		t.Errorf("%+v", f)
	}
}

// What its owner keeps for himself has the limits of pooled ones.
func TestPrivateConnectionsRetire(t *testing.T) {
	o := newOrigin(t)
	s := newPools(t, Options{})
	p := s.For(Key{Addr: o.Addr})
	dropped, ended := dial(t, p), dial(t, p)
	peer := o.accepted(2)
	if ended.NetConn().LocalAddr().String() != peer.RemoteAddr().String() {
		t.Fatal("accepted in another order") // one after the other on loopback
	}
	dropped.Private()
	ended.Private()
	end(t, ended, peer)
	if ended.Usable(Any) {
		t.Error("usable although the origin closed it")
	}
	if !dropped.Usable(Any) {
		t.Error("not usable before the drop")
	}
	s.Drop(o.Addr)
	if dropped.Usable(Any) {
		t.Error("usable although the endpoint was dropped")
	}
}

func TestPutOfAnotherPool(t *testing.T) {
	s := newPools(t, Options{})
	o := newOrigin(t)
	p, q := s.For(Key{Addr: o.Addr}), s.For(Key{Addr: o.Addr, ServerName: "q"})
	c := dial(t, p)
	q.Put(c)
	if p.idle()+q.idle() != 0 || figures(t, s).Busy != 0 {
		t.Error("a connection went into a pool of another key")
	}
}

// A wake that arrives after the exchange has ended must not hit the next one.
func TestTakeForgetsWakes(t *testing.T) {
	s := newPools(t, Options{})
	p := s.For(Key{Addr: newOrigin(t).Addr})
	c := dial(t, p)
	p.Put(c)
	c.Wake(nil)
	if got := p.Take(Any); got != c {
		t.Fatal("gone")
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Error(err)
	}
}

func TestTakeAndPutDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the calls that the race detector sees allocate")
	}
	s := newPools(t, Options{})
	k := Key{Addr: newOrigin(t).Addr}
	p := s.For(k)
	for range 4 {
		p.Put(dial(t, p))
	}
	if n := testing.AllocsPerRun(1000, func() {
		c := s.For(k).Take(Any)
		c.Pool().Put(c)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
