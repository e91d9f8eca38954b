package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/proxy/body"
	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/origins"
	"jurymast/internal/snapshot"
)

// still is a proxy that nobody has started, with a profile of two endpoints.
func still(t *testing.T) (p *Proxy, activate func(name string, epoch uint64)) {
	t.Helper()
	hub := snapshot.NewHub()
	p, err := New(Options{Hub: hub, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	pr := &profile.Profile{
		Name: "p", Hostnames: []string{"a.example"}, Routing: profile.Priority, Proxy: &profile.Proxy{},
		Endpoints: []profile.Endpoint{{Name: "eu", Origin: "http://10.0.0.1"}, {Name: "us", Origin: "http://10.0.0.2"}},
	}
	prepared, err := hub.Prepare(&snapshot.Documents{Profiles: []*profile.Profile{pr}})
	if err != nil {
		t.Fatal(err)
	}
	activate = func(name string, epoch uint64) {
		v := &health.View{Profile: pr, Ready: true, Decision: health.Decision{Active: name, Epoch: epoch}}
		for i := range pr.Endpoints {
			v.Endpoints = append(v.Endpoints, health.EndpointView{Config: &pr.Endpoints[i], Tier: health.TierUsable})
		}
		hub.Publish(prepared, v)
		prepared = nil
	}
	activate("eu", 1)
	return p, activate
}

func exchangeOf(p *Proxy) *exchange {
	x := &exchange{p: p, lap: &lap{}, door: &door{shard: p.figures.Shard()}, svc: p.service("p")}
	x.outlook()
	return x
}

// A decision that changes between the choice and the entry into the list is seen at both looks.
func TestSwitchBetweenChoiceAndSend(t *testing.T) {
	for name, look := range map[string]func(*service, *attempt) bool{
		"called off at the entry": func(s *service, a *attempt) bool { s.enter(a); return a.called.Load() == calledMoved },
		"refused before the write": func(s *service, a *attempt) bool {
			a.phase.Store(phaseSending) // past the point where the entry could call it off
			s.enter(a)
			return !a.mayWrite()
		},
	} {
		p, activate := still(t)
		x := exchangeOf(p)
		a := &attempt{x: x, c: &x.seen.all, under: x.seen}
		activate("us", 2)
		if !look(x.svc, a) {
			t.Errorf("not %s: the old endpoint would have got the request", name)
		}
		x.svc.leave(a)
	}
}

// A piece that comes between two attempts must not cost the beginning of the body that the next attempt sends.
func TestPieceBetweenAttemptsIsKept(t *testing.T) {
	u := &upload{max: 4}
	u.change = sync.NewCond(&u.mu)
	u.keep([]byte("head"))
	u.keep([]byte(" and more"))
	if !u.complete() || string(u.kept) != "head and more" {
		t.Errorf("kept %q, complete %v", u.kept, u.complete())
	}
	u.target = &body.Writer{}
	if u.keep([]byte("x")); u.complete() || u.kept != nil {
		t.Error("while somebody takes the body, what is over the limit is not kept")
	}
}

// panicky is a body under which the proxy itself fails.
type panicky struct{}

func (panicky) next() ([]byte, error)        { panic("a fault of our own") }
func (panicky) ready() ([]byte, bool, error) { return nil, false, nil }
func (panicky) tail() []byte                 { return nil }
func (panicky) halt()                        {}

func TestFaultUnderABodyIsContained(t *testing.T) {
	p, _ := still(t)
	x := exchangeOf(p)
	x.source = panicky{}
	a := &attempt{x: x, c: &x.seen.all, under: x.seen}
	x.svc.enter(a)
	u := x.up()
	u.x, u.target, u.current = x, &body.Writer{}, a
	u.start()
	<-u.done
	if !errors.Is(u.failed(), errFault) || a.called.Load() != calledUpload {
		t.Errorf("%v, called off %d", u.failed(), a.called.Load())
	}
	if f := classify(facts{called: calledUpload, connected: true, clientBody: u.failed()}, errCalledOff); f.outcome != outcomeClientBody {
		t.Errorf("the client would not be answered: %v", f.outcome)
	}
	x.svc.leave(a)
}

// A connection that got a part of a request only is not lent again, whatever was answered.
func TestTornRequestIsNotPooled(t *testing.T) {
	p, _ := still(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, torn := range []bool{false, true} {
		pool := p.pools.For(origins.Key{Addr: ln.Addr().String()})
		conn, err := pool.Dial(t.Context(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		x := exchangeOf(p)
		x.lap.a = attempt{x: x, conn: conn, torn: torn}
		x.up().over.Store(true)
		x.lap.answered.Reset(conn, nil, 0, 0, http1.BodyNone, 0)
		x.lap.resp.KeepFor = -1
		x.recycle(&x.lap.a)
		if again := pool.Take(origins.Any); (again != nil) == torn {
			t.Errorf("torn %v, lent again %v", torn, again != nil)
		} else if again != nil {
			_ = again.Close()
		}
	}
}
