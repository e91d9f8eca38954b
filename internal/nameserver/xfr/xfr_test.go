package xfr_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"jurymast/internal/nameserver/xfr"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestNewer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b uint32
		want bool
	}{
		{1, 0, true},
		{0, 1, false},
		{5, 5, false},
		{0, 1<<32 - 1, true},
		{44, 1<<32 - 100, true},
		{1<<31 - 1, 0, true},
		{1 << 31, 0, false}, // no order [RFC 1982 3.2]
		{0, 1 << 31, false},
		{1<<31 + 1, 0, false},
		{2026010101, 2026010100, true},
	} {
		if got := xfr.Newer(c.a, c.b); got != c.want {
			t.Errorf("Newer(%d, %d) = %t", c.a, c.b, got)
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	old := t0.Add(-time.Hour)
	for _, c := range []struct {
		name    string
		was     *xfr.State
		c       xfr.Content
		want    uint32
		wait    time.Duration
		changed bool
	}{
		{"first", nil, xfr.Content{Base: 7, Digest: "a"}, 7, 0, true},
		{"the same", &xfr.State{Serial: 9, Digest: "a", At: old}, xfr.Content{Base: 7, Digest: "a"}, 9, 0, false},
		{"health", &xfr.State{Serial: 9, Digest: "a", At: old}, xfr.Content{Base: 7, Digest: "b"}, 10, 0, true},
		{"too soon", &xfr.State{Serial: 9, Digest: "a", At: t0.Add(-time.Second)}, xfr.Content{Base: 7, Digest: "b"}, 10, 4 * time.Second, true},
		{"a clock that was ahead", &xfr.State{Serial: 9, Digest: "a", At: t0.Add(time.Hour)}, xfr.Content{Base: 7, Digest: "b"}, 10, 0, true},
		{"raised by hand", &xfr.State{Serial: 9, Digest: "a", At: old}, xfr.Content{Base: 100, Digest: "b"}, 100, 0, true},
		{"raised by hand below what health made", &xfr.State{Serial: 9, Digest: "a", At: old}, xfr.Content{Base: 8, Digest: "b"}, 10, 0, true},
		{"from text to a generation", &xfr.State{Serial: 2026010101, Digest: "a", At: old}, xfr.Content{Base: 17, Digest: "b"}, 2026010102, 0, true},
		{"round the end, not 0", &xfr.State{Serial: 1<<32 - 1, Digest: "a", At: old}, xfr.Content{Base: 1<<32 - 1, Digest: "b"}, 1, 0, true},
		{"a base exactly opposite", &xfr.State{Serial: 5, Digest: "a", At: old}, xfr.Content{Base: 5 + 1<<31, Digest: "b"}, 6, 0, true},
	} {
		next, at, changed := xfr.Next(c.was, c.c, t0)
		if next.Serial != c.want || changed != c.changed || changed && at.Sub(t0) != c.wait {
			t.Errorf("%s: %d at +%v, changed %t", c.name, next.Serial, at.Sub(t0), changed)
		}
	}
}

// TestNextOfSigned: signatures that are due make a serial at most once an hour, any other change takes what is due along,
// and a moment that cannot be is not believed.
func TestNextOfSigned(t *testing.T) {
	t.Parallel()
	const now, hour = int64(1_000_000_000), int64(3600)
	for _, c := range []struct {
		name    string
		epoch   int64
		c       xfr.Content
		want    uint32
		moment  int64
		changed bool
	}{
		{"nothing due", now - 5*hour, xfr.Content{Digest: "a", Now: now, Renew: now + 1}, 9, now - 5*hour, false},
		{"due", now - 5*hour, xfr.Content{Digest: "a", Now: now, Renew: now}, 10, now, true},
		{"due, but signed within the hour", now - hour + 1, xfr.Content{Digest: "a", Now: now, Renew: now - 9}, 9, now - hour + 1, false},
		{"not known yet", now - 5*hour, xfr.Content{Digest: "a", Now: now}, 9, now - 5*hour, false},
		{"another content", now - 5*hour, xfr.Content{Digest: "b", Now: now, Renew: now + 1}, 10, now, true},
		{"another content within the hour", now - 60, xfr.Content{Digest: "b", Now: now, Renew: now - 1}, 10, now - 60, true},
		{"signed in the future", now + 2*hour, xfr.Content{Digest: "a", Now: now, Renew: now + 9*hour}, 10, now, true},
		{"a clock that is a little behind", now + 60, xfr.Content{Digest: "a", Now: now, Renew: now + 9*hour}, 9, now + 60, false},
		{"not signed before", 0, xfr.Content{Digest: "b", Now: now}, 10, now, true},
		{"not signed any more", now - 60, xfr.Content{Digest: "b"}, 10, 0, true},
		{"never signed", 0, xfr.Content{Digest: "a"}, 9, 0, false},
	} {
		was := &xfr.State{Serial: 9, Digest: "a", At: t0.Add(-time.Minute), Epoch: c.epoch}
		next, _, changed := xfr.Next(was, c.c, t0)
		if next.Serial != c.want || next.Epoch != c.moment || changed != c.changed {
			t.Errorf("%s: serial %d, moment %d, changed %t", c.name, next.Serial, next.Epoch-now, changed)
		}
	}
}

// TestSerialsOnlyGrow: whatever contents come, from whichever leader and clock, no serial is before the last one.
func TestSerialsOnlyGrow(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var state *xfr.State
		now := t0
		for step := range 200 {
			c := xfr.Content{Base: r.Uint32(), Digest: fmt.Sprint(r.IntN(4))}
			if r.IntN(3) > 0 {
				c.Base = uint32(step)
			}
			now = now.Add(time.Duration(r.IntN(20)-5) * time.Second)
			next, at, changed := xfr.Next(state, c, now)
			if !changed || at.After(now) {
				continue
			}
			if state != nil && !xfr.Newer(next.Serial, state.Serial) {
				t.Fatalf("seed %d: %d after %d", seed, next.Serial, state.Serial)
			}
			state = &next
		}
	}
}

func name(i int) []byte { return append([]byte{4}, fmt.Sprintf("h%03d\x07example\x00", i)...) }

func a(i, value int) xfr.Record {
	return xfr.Record{Owner: name(i), Type: 1, TTL: 60, Data: binary.BigEndian.AppendUint32(nil, uint32(value))}
}

func soa() []byte {
	return append([]byte{0, 0}, make([]byte, 20)...)
}

func body(fixed *xfr.List, moving ...xfr.Record) *xfr.Body {
	return &xfr.Body{Apex: []byte("\x07example\x00"), SOA: soa(), SOATTL: 3600, Fixed: fixed, Moving: xfr.NewList(moving)}
}

// applied follows an answer as a secondary does, and fails where it cannot.
func applied(t *testing.T, have []xfr.Record, serial uint32, answer *xfr.Answer) ([]xfr.Record, uint32) {
	t.Helper()
	records := []xfr.Record{}
	for r := range answer.Records {
		records = append(records, *r)
	}
	at := func(i int) uint32 { return binary.BigEndian.Uint32(records[i].Data[len(records[i].Data)-20:]) }
	end := at(0)
	if len(records) == 1 {
		return have, serial
	}
	if records[1].Type != 6 { // the whole zone
		if at(len(records)-1) != end {
			t.Fatal("the whole zone does not end with the SOA it began with")
		}
		return xfr.NewList(slices.Clone(records[1 : len(records)-1])).Records, end
	}
	for i := 1; i < len(records)-1; {
		if at(i) != serial {
			t.Fatalf("a step from %d, the secondary has %d", at(i), serial)
		}
		for i++; records[i].Type != 6; i++ {
			j := slices.IndexFunc(have, func(r xfr.Record) bool { return same(r, records[i]) })
			if j < 0 {
				t.Fatalf("a step removes %v, which is not there", records[i])
			}
			have = slices.Delete(slices.Clone(have), j, j+1)
		}
		serial = at(i)
		for i++; records[i].Type != 6; i++ {
			have = append(have, records[i])
		}
	}
	if serial != end {
		t.Fatalf("the steps lead to %d, not %d", serial, end)
	}
	return xfr.NewList(slices.Clone(have)).Records, serial
}

func same(a, b xfr.Record) bool {
	return string(a.Owner) == string(b.Owner) && a.Type == b.Type && a.TTL == b.TTL && string(a.Data) == string(b.Data)
}

// TestJournal: secondaries of any age come to the current zone, whatever has happened to it.
func TestJournal(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	static := func(n int) *xfr.List {
		var list []xfr.Record
		for i := range n {
			list = append(list, a(i, i))
		}
		return xfr.NewList(list)
	}
	fixed := static(300)
	var j xfr.Journal
	type past struct {
		serial  uint32
		records []xfr.Record
	}
	var pasts []past
	kinds := map[xfr.Kind]int{}
	for step := range 180 {
		if step%50 == 49 {
			fixed = static(250 + r.IntN(100))
		}
		v := xfr.NewVersion(body(fixed, a(900, r.IntN(3)), a(901+r.IntN(2), step)), 1<<32-90+uint32(step))
		j.Put(v, step == 100)
		want := xfr.NewList(slices.Concat(v.Body.Fixed.Records, v.Body.Moving.Records)).Records
		pasts = append(pasts, past{v.Serial, want})
		for range 5 {
			p := pasts[r.IntN(len(pasts))]
			answer := j.Since(p.serial)
			kinds[answer.Kind]++
			got, serial := applied(t, p.records, p.serial, answer)
			if serial != v.Serial || !slices.EqualFunc(got, want, same) {
				t.Fatalf("step %d: from %d to %d: %d records, want %d", step, p.serial, serial, len(got), len(want))
			}
		}
	}
	if j.Steps() > xfr.MaxSteps || kinds[xfr.Steps] == 0 || kinds[xfr.Whole] == 0 || kinds[xfr.Nothing] == 0 {
		t.Errorf("%d steps, answers %v: not everything was tried", j.Steps(), kinds)
	}
	if ahead := j.Since(j.Current().Serial + 5); ahead.Kind != xfr.Nothing {
		t.Errorf("a secondary that is ahead gets %v", ahead.Kind)
	}
}

// TestJournalIsBounded: large steps push out old ones.
func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	var j xfr.Journal
	for step := range 10 {
		var moving []xfr.Record
		for i := range 5000 {
			moving = append(moving, a(i%1000, i*100+step))
		}
		j.Put(xfr.NewVersion(body(xfr.NewList(nil), moving...), uint32(step+1)), false)
	}
	if j.Steps() == 0 || j.Steps() > 4 {
		t.Errorf("%d steps of about 270 KiB are kept; allowed together: 1 MiB", j.Steps())
	}
	if got := j.Since(1); got.Kind != xfr.Whole {
		t.Errorf("a forgotten serial is answered with %v", got.Kind)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	one := body(xfr.NewList([]xfr.Record{a(1, 1), a(2, 2)}), a(3, 3))
	two := body(xfr.NewList([]xfr.Record{a(2, 2), a(1, 1), a(1, 1)}), a(3, 3))
	if one.Digest() != two.Digest() {
		t.Error("the order of records is in the digest")
	}
	two.SOA = xfr.WithSerial(two.SOA, 9)
	if one.Digest() != two.Digest() {
		t.Error("a generated serial is in the digest")
	}
	two.Text = true
	if one.Digest() == two.Digest() {
		t.Error("a written serial is not in the digest")
	}
	if body(one.Fixed, a(3, 4)).Digest() == one.Digest() {
		t.Error("an answer is not in the digest")
	}
}

func TestNotifier(t *testing.T) {
	t.Parallel()
	var n xfr.Notifier
	now := t0
	n.Changed(5, now)
	n.Changed(6, now.Add(50*time.Millisecond)) // told once
	var tries []time.Duration
	for {
		at, due := n.Due()
		if !due {
			break
		}
		now = at
		if n.Last() {
			n.GiveUp()
			continue
		}
		n.Sent(now)
		n.Failed("no answer")
		tries = append(tries, now.Sub(t0))
	}
	want := []time.Duration{150 * time.Millisecond, 2150 * time.Millisecond, 6150 * time.Millisecond, 14150 * time.Millisecond, 30150 * time.Millisecond}
	if !slices.Equal(tries, want) || !n.Given || n.Knows || now.Sub(t0) != 32150*time.Millisecond {
		t.Errorf("tries at %v, given up %t after %v", tries, n.Given, now.Sub(t0))
	}
	n.Changed(7, now)
	n.Sent(now)
	n.Acknowledged(6, now) // of a message from before
	if _, due := n.Due(); !due || n.Told != 6 {
		t.Error("an answer to an older serial ended the tries")
	}
	n.Acknowledged(7, now)
	if _, due := n.Due(); due || n.Told != 7 || n.Failing != "" || n.Given {
		t.Errorf("acknowledged, and still %+v", n)
	}
	n.Again(7, now)
	if at, due := n.Due(); !due || !at.Equal(now) {
		t.Error("told again, and not due at once")
	}
}
