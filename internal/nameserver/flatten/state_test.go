package flatten

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var (
	t0    = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	one   = netip.MustParseAddrPort("192.0.2.53:53")
	other = netip.MustParseAddrPort("192.0.2.54:53")
)

func has(ttl time.Duration, addrs ...string) Reply {
	r := Reply{outcome: found, ttl: ttl, resolver: one}
	for _, a := range addrs {
		r.addrs = append(r.addrs, netip.MustParseAddr(a))
	}
	return r
}

func hasNot(by netip.AddrPort) Reply { return Reply{outcome: denied, ttl: time.Minute, resolver: by} }
func fails() Reply                   { return Reply{err: errors.New("SERVFAIL")} }
func silence() Reply                 { return Reply{silent: true, err: errors.New("no answer in time")} }

// told is one family in a few words.
func told(f *Family, now time.Time) string {
	known, ttl, stale := f.At(now)
	out := [...]string{"unknown", "none", "addresses"}[known]
	if known == Addresses {
		out = strings.Join(addresses(f.Set), " ")
	}
	if known != Unknown {
		out += fmt.Sprint(" ", ttl)
	}
	if stale {
		out += " stale"
	}
	return out
}

// What a series of looks leaves known, and when the next one is due.
func TestLearn(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	type look struct {
		at     time.Duration // after the one before
		v4, v6 Reply
		want4  string
		want6  string
		next   time.Duration
	}
	a, b, six := has(minute, "192.0.2.2", "192.0.2.1", "192.0.2.2"), has(minute, "192.0.2.9"), has(2*minute, "2001:db8::1")
	both := look{0, a, six, "192.0.2.1 192.0.2.2 60", "2001:db8::1 120", minute}
	first := look{0, a, hasNot(one), "192.0.2.1 192.0.2.2 60", "none 60", minute}
	cases := map[string][]look{
		"both families":                             {both, {minute, b, six, "192.0.2.9 60", "2001:db8::1 120", minute}},
		"one family is there, the other is not":     {first},
		"short TTLs are asked for at most every 5s": {{0, has(0, "192.0.2.1"), hasNot(one), "192.0.2.1 1", "none 60", 5 * time.Second}},
		"long ones at least every hour":             {{0, has(24*time.Hour, "192.0.2.1"), has(24*time.Hour, "2001:db8::1"), "192.0.2.1 3600", "2001:db8::1 3600", time.Hour}},
		"nothing is known of the name: asked again before it is believed": {
			{0, hasNot(one), hasNot(one), "unknown", "unknown", time.Second},
			{time.Second, hasNot(other), hasNot(other), "none 60", "none 60", minute},
		},
		"never resolved: unknown, not none": {
			{0, fails(), fails(), "unknown", "unknown", time.Second},
			{time.Second, silence(), silence(), "unknown", "unknown", 2 * time.Second},
			{2 * time.Second, silence(), silence(), "unknown", "unknown", 4 * time.Second},
			{4 * time.Second, a, hasNot(one), "192.0.2.1 192.0.2.2 60", "none 60", minute},
		},
		"SERVFAIL and silence take nothing": {
			both,
			{minute, fails(), fails(), "192.0.2.1 192.0.2.2 30 stale", "2001:db8::1 60", time.Second},
			{minute, silence(), silence(), "192.0.2.1 192.0.2.2 30 stale", "2001:db8::1 30 stale", 2 * time.Second},
			{time.Hour - minute/2, silence(), silence(), "unknown", "2001:db8::1 30 stale", 4 * time.Second},
			{2 * minute, silence(), silence(), "unknown", "unknown", 8 * time.Second},
			{minute, b, six, "192.0.2.9 60", "2001:db8::1 120", minute},
		},
		"a known absence outlives the resolver too": {
			first, {minute, silence(), silence(), "192.0.2.1 192.0.2.2 30 stale", "none 30 stale", time.Second},
		},
		"one denial takes nothing": {
			both,
			{minute, hasNot(other), hasNot(other), "192.0.2.1 192.0.2.2 30 stale", "2001:db8::1 60", time.Second},
			{time.Second, a, six, "192.0.2.1 192.0.2.2 60", "2001:db8::1 120", minute},
			{minute, hasNot(other), six, "192.0.2.1 192.0.2.2 30 stale", "2001:db8::1 120", time.Second},
		},
		"two in a row do": {
			both,
			{minute, hasNot(other), hasNot(other), "192.0.2.1 192.0.2.2 30 stale", "2001:db8::1 60", time.Second},
			{time.Second, hasNot(one), hasNot(one), "none 60", "none 60", minute},
		},
		"a failure between two denials": {
			both,
			{minute, hasNot(other), six, "192.0.2.1 192.0.2.2 30 stale", "2001:db8::1 120", time.Second},
			{time.Second, fails(), six, "192.0.2.1 192.0.2.2 30 stale", "2001:db8::1 120", time.Second},
			{time.Second, hasNot(other), six, "192.0.2.1 192.0.2.2 30 stale", "2001:db8::1 120", time.Second},
		},
	}
	for name, looks := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s state
			now := t0
			for i, l := range looks {
				now = now.Add(l.at)
				next := s.learn(&l.v4, &l.v6, time.Hour, now, 0)
				if got := told(&s.v4.Family, now); got != l.want4 {
					t.Errorf("look %d: A is %q, want %q", i, got, l.want4)
				}
				if got := told(&s.v6.Family, now); got != l.want6 {
					t.Errorf("look %d: AAAA is %q, want %q", i, got, l.want6)
				}
				if got := next.Sub(now); got != l.next {
					t.Errorf("look %d: next in %v, want %v", i, got, l.next)
				}
			}
		})
	}
}

// That there are no addresses is told as long as a stale set only beside addresses of the other family, never longer than
// those; otherwise until the look that should have confirmed it.
func TestHowLongADenialHolds(t *testing.T) {
	t.Parallel()
	const stale = 2 * time.Hour
	a := has(time.Minute, "192.0.2.1")
	type look struct{ v4, v6 Reply }
	for name, c := range map[string]struct {
		before []look        // a second apart, then silence every ten minutes
		v4, v6 time.Duration // after the last of them it is told for so long
	}{
		"no address at all":         {[]look{{hasNot(one), hasNot(one)}, {hasNot(other), hasNot(other)}}, time.Minute + grace, time.Minute + grace},
		"beside addresses":          {[]look{{a, hasNot(one)}}, time.Minute + stale, time.Minute + stale},
		"beside addresses of old":   {[]look{{a, hasNot(one)}, {fails(), hasNot(one)}}, time.Minute + stale - time.Second, time.Minute + stale - time.Second},
		"the other one is not told": {[]look{{fails(), hasNot(one)}, {fails(), hasNot(other)}}, 0, time.Minute + grace},
		"addresses that went away":  {[]look{{a, hasNot(one)}, {hasNot(one), fails()}, {hasNot(other), fails()}}, time.Minute + grace, time.Minute + grace - 2*time.Second},
	} {
		var s state
		now, end := t0, t0
		for _, l := range c.before {
			s.learn(&l.v4, &l.v6, stale, now, 0)
			end, now = now, now.Add(time.Second)
		}
		for now = end.Add(c.v4 / 2); now.Sub(end) < 2*stale; now = now.Add(10 * time.Minute) {
			f, g := silence(), silence()
			s.learn(&f, &g, stale, now, 0)
		}
		for i, f := range []*Family{&s.v4.Family, &s.v6.Family} {
			want := []time.Duration{c.v4, c.v6}[i]
			if got := max(f.Dead.Sub(end), 0); got != want {
				t.Errorf("%s, family %d: told for %v, want %v", name, i, got, want)
			}
		}
	}
}

// Without any time for stale addresses there is still enough to look again.
func TestNoStaleTimeIsNoGap(t *testing.T) {
	t.Parallel()
	var s state
	a, none := has(time.Second, "192.0.2.1"), hasNot(one)
	next := s.learn(&a, &none, 0, t0, uint64(spread)-1)
	for now := t0; now.Before(next.Add(lookLimit)); now = now.Add(100 * time.Millisecond) {
		if known, ttl, _ := s.v4.At(now); known != Addresses || ttl != 1 {
			t.Fatalf("%v after the look: %v, TTL %d", now.Sub(t0), known, ttl)
		}
	}
	if known, _, _ := s.v4.At(next.Add(time.Minute)); known != Unknown {
		t.Error("kept for ever")
	}
}

// The TTL is whole seconds and never 0.
func TestRemainingTTL(t *testing.T) {
	t.Parallel()
	var s state
	a, none := has(10*time.Second, "192.0.2.1"), hasNot(one)
	s.learn(&a, &none, time.Hour, t0, 0)
	for after, want := range map[time.Duration]uint32{0: 10, 100 * time.Millisecond: 9, 9 * time.Second: 1, 9500 * time.Millisecond: 1, 12 * time.Second: 1} {
		if _, ttl, stale := s.v4.At(t0.Add(after)); ttl != want || stale {
			t.Errorf("after %v: TTL %d, want %d", after, ttl, want)
		}
	}
}

func TestLeadsBack(t *testing.T) {
	t.Parallel()
	via := []string{"a.cdn.test", "x.dr.example"}
	for owner, want := range map[string]bool{"dr.example": false, "x.dr.example": true, "*.dr.example": true, "*.x.dr.example": false, "*.example": true} {
		if _, got := leadsBack(via, []string{"other.test", owner}); got != want {
			t.Errorf("%s: %v", owner, got)
		}
	}
}
