package nameserver_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/flatten"
	"jurymast/internal/nameserver/sign"
	"jurymast/internal/profile"
)

// signingNow makes a server that signs ahead until the test ends.
func (f *fixture) signingNow(t testing.TB) {
	t.Helper()
	f.srv.RunSigning()
	t.Cleanup(func() {
		if err := f.srv.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// wholly waits in a bubble until a zone is signed with keys of that mark.
func (f *fixture) wholly(t testing.TB, zone, mark string) sign.Status {
	t.Helper()
	var st sign.Status
	for range 100 {
		synctest.Wait()
		if st = f.srv.SigningStatus(zone); st.Mark == mark && st.Waiting == 0 {
			return st
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("zone %s is not signed: %+v", zone, st)
	return st
}

// Whatever the health of a profile's endpoints is, its answers stand signed before anybody asks.
func TestSignedAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ps := standard()
		ps[2].HTTPS = &profile.Service{ALPN: []string{"h2"}}
		f := build(t, []*profile.Zone{signedZone(records, profile.DenialCompact)}, ps, standardViews(ps))
		f.signingNow(t)
		k := newCSK(t, "dr.example", sign.ECDSAP256)
		f.srv.UseKeys(k)
		st, v := f.wholly(t, "dr.example", "first"), newValidator(k)
		if st.Sets < 50 || st.Signed != st.Sets || st.Failing != 0 || st.LongestTTL != time.Hour || !st.Oldest.Before(st.Newest) || time.Until(st.Oldest) < 8*24*time.Hour {
			t.Errorf("%+v", st)
		}
		for _, word := range []string{"uu", "du", "dd", "ud"} {
			f.hub.Publish(nil, view(ps[2], word, nil), view(ps[0], word, nil), view(ps[3], word, nil))
			for _, q := range []string{
				"dr.example. A", "dr.example. AAAA", "dr.example. HTTPS", "dr.example. SOA", "svc.dr.example. A", "down.dr.example. A", "mail.dr.example. A", "web.dr.example. A",
				"www.dr.example. A", "host.moved.dr.example. A", "mail.dr.example. TXT", "down.dr.example. AAAA", "dr.example. DNSKEY", "x.sub.dr.example. A", "ent.dr.example. A",
			} {
				name, typ, _ := strings.Cut(q, " ")
				m := unpacked(t, f.srv.Raw(wanting(name, dns.StringToType[typ]), false))
				if good, err := v.check(m); err != nil || good == 0 {
					t.Errorf("%s: %s: %d signatures: %v", word, q, good, err)
				}
				if n := f.srv.SignedOnDemand(); n > 0 {
					t.Fatalf("%s: %s was signed on demand", word, q)
				}
			}
		}
	})
}

// The answers of every routing method are signed ahead: each target, and each window of a multivalue profile.
func TestMethodsSignedAhead(t *testing.T) {
	t.Parallel()
	for _, d := range []profile.Denial{profile.DenialCompact, profile.DenialNSEC} {
		f := methods(t)
		docs := f.hub.Load().Documents()
		for i := range docs.Profiles {
			docs.Profiles[i].MaxReturn = 2
		}
		var views []*health.View
		for _, p := range docs.Profiles {
			views = append(views, f.hub.Load().View(p.Name))
		}
		f.publish(t, 8, []*profile.Zone{signedZone(records, d)}, docs.Profiles, views)
		k := newCSK(t, "dr.example", sign.Ed25519)
		f.srv.UseKeys(k)
		f.signingNow(t)
		for range 500 {
			if st := f.srv.SigningStatus("dr.example"); st.Mark == "first" {
				break
			}
			runtime.Gosched()
			<-time.After(5 * time.Millisecond)
		}
		v := newValidator(k)
		for _, name := range methodNames {
			for range 20 {
				for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeANY} {
					q := wanting(name+".dr.example.", typ)
					for _, from := range []string{"203.0.113.9", "192.0.2.200"} {
						m := unpacked(t, f.srv.RawFrom(q, false, mustAddr(from)))
						if good, err := v.check(m); err != nil || good == 0 {
							t.Errorf("%s %s: %d signatures: %v", name, dns.Type(typ), good, err)
						}
					}
				}
			}
			if n := f.srv.SignedOnDemand(); n > 0 && name != "denied" { // as a name that is not there
				t.Fatalf("%s: %d sets were signed on demand", name, n)
			}
		}
	}
}

// Addresses that resolvers tell are signed when they come.
func TestFlattenedSignedAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{book: map[string]string{"x.test": "192.0.2.2 192.0.2.1 2001:db8::1"}}
		ps := profiles(service("apex", names("dr.example"), host("x.test")))
		b, err := flatten.New(flatten.Options{Looker: p, MaxStale: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		f := create(nameserver.Options{Targets: b})
		f.publish(t, 7, []*profile.Zone{signedZone("@ IN TXT beside\n", profile.DenialCompact)}, ps, []*health.View{view(ps[0], "u", nil)})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); b.Run(ctx, f.srv.Targets) }()
		t.Cleanup(func() { stop(); <-done })
		f.signingNow(t)
		k := newCSK(t, "dr.example", sign.ECDSAP256)
		f.srv.UseKeys(k)
		f.wholly(t, "dr.example", "first")
		v := newValidator(k)
		for _, address := range []string{"192.0.2.1", "192.0.2.77"} {
			p.set("x.test", address)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			m := unpacked(t, f.srv.Raw(wanting("dr.example.", dns.TypeA), false))
			if good, err := v.check(m); err != nil || good != 1 || !strings.Contains(m.String(), address) {
				t.Errorf("%d: %v: %v", good, err, m)
			}
			if n := f.srv.SignedOnDemand(); n > 0 {
				t.Errorf("%d sets were signed on demand", n)
			}
		}
	})
}

// Signatures are made anew a week later, each at its own moment, and are never within a week of their end.
func TestSignaturesAreRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var offset time.Duration
		ps := standard()
		f := create(nameserver.Options{Clock: func() time.Time { return time.Now().Add(offset) }})
		f.publish(t, 7, []*profile.Zone{signedZone(records, profile.DenialCompact)}, ps, standardViews(ps))
		offset = 400 * 24 * time.Hour
		f.srv.SetSigningTick(time.Minute)
		f.signingNow(t)
		k := newCSK(t, "dr.example", sign.Ed25519)
		f.srv.UseKeys(k)
		f.wholly(t, "dr.example", "first")
		first, v := f.srv.Signings(), newValidator(k)
		for day := range 15 {
			time.Sleep(24 * time.Hour)
			f.wholly(t, "dr.example", "first")
			st, now := f.srv.SigningStatus("dr.example"), time.Now().Add(offset)
			if st.Oldest.Sub(now) < 8*24*time.Hour-20*time.Minute || st.Newest.Sub(now) > 15*24*time.Hour {
				t.Fatalf("day %d: from %v to %v", day, st.Oldest.Sub(now), st.Newest.Sub(now))
			}
			v.now = now
			for _, q := range []string{"dr.example.", "mail.dr.example.", "svc.dr.example."} {
				if good, err := v.check(unpacked(t, f.srv.Raw(wanting(q, dns.TypeA), false))); err != nil || good != 1 {
					t.Fatalf("day %d: %s: %v", day, q, err)
				}
			}
		}
		again := f.srv.Signings()
		if sets := f.srv.SigningStatus("dr.example").Sets; again[1] < uint64(2*sets) || again[1] > uint64(3*sets) || again[0] != first[0] || again[2] != 0 {
			t.Errorf("%d sets, signed %v, then %v", sets, first, again)
		}
	})
}

// mute is a key that can be made to fail.
type mute struct {
	crypto.Signer
	silent atomic.Bool
}

func (m *mute) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if m.silent.Load() {
		return nil, errors.New("the device does not answer")
	}
	return m.Signer.Sign(r, digest, opts)
}

// What cannot be renewed keeps its signature until that expires; then it is SERVFAIL, and never an answer without one.
func TestSignaturesExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := build(t, []*profile.Zone{signedZone(records, profile.DenialCompact)}, nil, nil)
		m := &mute{Signer: newSigner(t, sign.ECDSAP256)}
		key, err := sign.NewPrivate(sign.FlagZone|sign.FlagSEP, m)
		if err != nil {
			t.Fatal(err)
		}
		k := csk("dr.example", "first", key)
		f.srv.SetSigningTick(time.Minute)
		f.signingNow(t)
		f.srv.UseKeys(k)
		f.wholly(t, "dr.example", "first")
		m.silent.Store(true)
		v, failed := newValidator(k), false
		for day := range 16 {
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			v.now = time.Now()
			r := unpacked(t, f.srv.Raw(wanting("mail.dr.example.", dns.TypeA), false))
			good, err := v.check(r)
			switch {
			case r.Rcode == dns.RcodeServerFailure && len(r.Answer) == 0 && day >= 8:
				failed = true
			case failed, err != nil, good != 1:
				t.Fatalf("day %d: %v: %v", day, err, r)
			}
		}
		st := f.srv.SigningStatus("dr.example")
		if !failed || st.Signed != 0 || st.Failing == 0 || !strings.Contains(st.Trouble, "does not answer") {
			t.Errorf("%v %+v", failed, st)
		}
		m.silent.Store(false)
		time.Sleep(20 * time.Minute)
		if st = f.wholly(t, "dr.example", "first"); st.Failing != 0 || st.Trouble != "" {
			t.Errorf("%+v", st)
		}
	})
}

// While keys change, every answer has signatures that hold for the keys published then.
func TestKeysChangeUnderQuestions(t *testing.T) {
	t.Parallel()
	ps := standard()
	f := build(t, []*profile.Zone{signedZone(records, profile.DenialCompact)}, ps, standardViews(ps))
	old, next := newKey(t, 13, sign.FlagZone|sign.FlagSEP), newKey(t, 15, sign.FlagZone|sign.FlagSEP)
	both := []sign.Public{old.Public, next.Public}
	states := []*sign.Keys{
		csk("dr.example", "0", old),
		{Zone: "dr.example", Publish: both, KSK: []sign.Private{old}, ZSK: []sign.Private{old}, Mark: "1"},
		{Zone: "dr.example", Publish: both, KSK: []sign.Private{old, next}, ZSK: []sign.Private{next}, Mark: "2"},
		csk("dr.example", "3", next),
	}
	v := newValidator(&sign.Keys{Zone: "dr.example", Publish: both})
	f.srv.UseKeys(states[0])
	f.signingNow(t)
	stop, asked := make(chan struct{}), atomic.Int64{}
	var askers sync.WaitGroup
	for i := range 2 {
		askers.Go(func() {
			answer := f.srv.RawLoop()
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				name := []string{"dr.example.", "mail.dr.example.", "svc.dr.example.", "www.dr.example.", fmt.Sprintf("no%d.dr.example.", n)}[n%5]
				m := new(dns.Msg)
				if err := m.Unpack(answer(wanting(name, dns.TypeA), t0Addr)); err != nil {
					t.Error(err)
					return
				}
				if good, err := v.check(m); err != nil || good == 0 {
					t.Errorf("%s: %v\n%v", name, err, m)
					return
				}
				asked.Add(1)
			}
		})
	}
	for i := range states {
		f.srv.UseKeys(states[i])
		deadline := time.After(20 * time.Second)
		for mark := fmt.Sprint(i); ; {
			if i == 0 {
				mark = "0"
			}
			if f.srv.SigningStatus("dr.example").Mark == mark {
				break
			}
			select {
			case <-deadline:
				t.Fatalf("%+v", f.srv.SigningStatus("dr.example"))
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	close(stop)
	askers.Wait()
	if asked.Load() < 100 {
		t.Errorf("only %d questions", asked.Load())
	}
	only := newValidator(states[3])
	for _, name := range []string{"dr.example.", "mail.dr.example.", "gone.dr.example."} {
		if good, err := only.check(unpacked(t, f.srv.Raw(wanting(name, dns.TypeA), false))); err != nil || good == 0 {
			t.Errorf("%s is still signed with the key that is gone: %v", name, err)
		}
	}
}

// Over UDP, what nobody signed ahead is signed by workers and answered through the same socket.
func TestSignedOnDemand(t *testing.T) {
	t.Parallel()
	ps := standard()
	f := build(t, []*profile.Zone{signedZone(records, profile.DenialCompact)}, ps, standardViews(ps), "127.0.0.1:0")
	k := newCSK(t, "dr.example", sign.ECDSAP256)
	f.srv.UseKeys(k)
	at, v := f.serve(t), newValidator(k)
	var askers sync.WaitGroup
	for i := range 8 {
		askers.Go(func() {
			for n := range 20 {
				q := new(dns.Msg)
				if err := q.Unpack(wanting(fmt.Sprintf("no%d-%d.dr.example.", i, n/2), dns.TypeA)); err != nil {
					t.Error(err)
					return
				}
				m := ask(t, []string{"udp", "tcp"}[n%2], at, q)
				if good, err := v.check(m); err != nil || good != 2 || m.Truncated {
					t.Errorf("%d signatures: %v\n%v", good, err, m)
				}
			}
		})
	}
	askers.Wait()
	if n := f.srv.SignedOnDemand(); n < 80 || n > 100 {
		t.Errorf("%d sets were signed on demand, want 80: the second question finds the first one's", n)
	}
}

// Whoever keeps the signers busy over TCP delays nobody who asks over UDP.
func TestStreamsDelayNoDatagram(t *testing.T) {
	t.Parallel()
	ps := standard()
	f := build(t, []*profile.Zone{signedZone(records, profile.DenialCompact)}, ps, standardViews(ps), "127.0.0.1:0")
	k := newCSK(t, "dr.example", sign.ECDSAP256)
	f.srv.UseKeys(k)
	at := f.serve(t)
	end := f.srv.BusyStreams()
	defer end()
	q := new(dns.Msg)
	if err := q.Unpack(wanting("nobody.dr.example.", dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	if good, err := newValidator(k).check(ask(t, "udp", at, q)); err != nil || good != 2 {
		t.Errorf("%d signatures: %v", good, err)
	}
}

// A clock that was years ahead and is set right while questions come: no answer has a signature that does not hold yet, and
// what stands ready is made anew at once.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var offset atomic.Int64
		ps := standard()
		f := create(nameserver.Options{Clock: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }})
		f.publish(t, 7, []*profile.Zone{signedZone(records, profile.DenialCompact)}, ps, standardViews(ps))
		f.signingNow(t)
		k := newCSK(t, "dr.example", sign.Ed25519)
		v := newValidator(k)
		for _, days := range []int{700, 0, -700, 20, 19, -3} {
			offset.Store(int64(time.Duration(days) * 24 * time.Hour))
			if days == 700 {
				f.srv.UseKeys(k)
				f.wholly(t, "dr.example", "first")
			}
			time.Sleep(3 * time.Second)
			synctest.Wait()
			v.now = time.Now().Add(time.Duration(offset.Load()))
			before := f.srv.SignedOnDemand()
			for _, q := range []string{"dr.example.", "mail.dr.example.", "svc.dr.example.", "web.dr.example.", "gone.dr.example."} {
				m := unpacked(t, f.srv.Raw(wanting(q, dns.TypeA), false))
				if good, err := v.check(m); err != nil || good == 0 {
					t.Errorf("the clock %d days off: %s: %d signatures: %v\n%v", days, q, good, err, m)
				}
			}
			if n := f.srv.SignedOnDemand() - before; n > 1 {
				t.Errorf("the clock %d days off: %d sets were signed on demand, want gone.dr.example alone", days, n)
			}
		}
	})
}

// A signed question that waits for a signature of ours is counted once, and its answer is signed.
func TestSignedQuestionOnDemand(t *testing.T) {
	t.Parallel()
	ps := standard()
	f := build(t, []*profile.Zone{signedZone(records, profile.DenialCompact)}, ps, standardViews(ps), "127.0.0.1:0")
	f.srv.UseKeys(newCSK(t, "dr.example", sign.ECDSAP256))
	f.srv.UseTSIG(transferRing(t))
	at := f.serve(t)
	const questions = 5
	for i := range questions {
		q := new(dns.Msg)
		if err := q.Unpack(wanting(fmt.Sprintf("no%d.dr.example.", i), dns.TypeA)); err != nil {
			t.Fatal(err)
		}
		q.SetTsig("xfr.test.", dns.HmacSHA256, 300, time.Now().Unix())
		c := dns.Client{Timeout: 5 * time.Second, UDPSize: 4096, TsigSecret: map[string]string{"xfr.test.": transferSecret}}
		if m, _, err := c.Exchange(q, at.String()); err != nil || m.IsTsig() == nil || len(m.Ns) != 4 {
			t.Fatalf("%v\n%v", err, m)
		}
	}
	if n := f.counter(t, "tsig_total result=valid"); n != questions {
		t.Errorf("%v signed questions are counted, want %d", n, questions)
	}
}
