package sign

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/miekg/dns"
)

var apex = []byte("\x02dr\x07example\x00")

// inked are a book's keys, always the same, and a clock that stands.
func inked(t testing.TB, zone string) (*Book, *Clock) {
	t.Helper()
	k, err := NewPrivate(FlagZone|FlagSEP, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	clock := new(Clock)
	clock.Set(time.Unix(1_800_000_000, 0))
	b := NewBook(zone, apex, clock)
	list := []Private{k}
	if err := b.Use(&Keys{Zone: zone, Publish: []Public{k.Public}, KSK: list, ZSK: list, Mark: "m"}); err != nil {
		t.Fatal(err)
	}
	return b, clock
}

func TestEntriesAreSmall(t *testing.T) {
	t.Parallel()
	if n := unsafe.Sizeof(entry{}); n != 256 {
		t.Errorf("%d bytes", n)
	}
}

// Two nodes make the same signatures of the same set at the same time, and in the same week.
func TestSignaturesAreEqualEverywhere(t *testing.T) {
	t.Parallel()
	set := &Set{Owner: []byte("\x01a\x02dr\x07example\x00"), Type: dns.TypeA, TTL: 30, Data: [][]byte{{192, 0, 2, 1}, {192, 0, 2, 2}}}
	turned := &Set{Owner: set.Owner, Type: set.Type, TTL: set.TTL, Data: [][]byte{set.Data[1], set.Data[0]}}
	one, _ := inked(t, "dr.example")
	two, clock := inked(t, "dr.example")
	first, changes := []byte(nil), 0
	for range 14 * 24 {
		if _, err := two.Sign(turned); err != nil {
			t.Fatal(err)
		}
		one.clock.Store(clock.Load())
		if _, err := one.Sign(set); err != nil {
			t.Fatal(err)
		}
		a, b := one.Find(turned), two.Find(set)
		if a.None() || !bytes.Equal(a.Append(nil, 5), b.Append(nil, 5)) {
			t.Fatal("they differ")
		}
		if !bytes.Equal(first, a.Append(nil, 5)) {
			first = a.Append(nil, 5)
			changes++
		}
		clock.Add(3600)
	}
	if changes != 3 {
		t.Errorf("%d different signatures in two weeks, want 3", changes)
	}
}

// A book finds what was put into it, by content alone, and nothing else; the order of records makes no difference.
func FuzzBook(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6}, uint64(1))
	f.Add(bytes.Repeat([]byte{9, 1, 4}, 40), uint64(2))
	b, _ := inked(f, "dr.example")
	cache := NewCache(64)
	f.Fuzz(func(t *testing.T, data []byte, n uint64) {
		dice := rand.New(rand.NewPCG(n, 1))
		var sets []*Set
		for len(data) > 3 && len(sets) < 20 {
			s := &Set{Owner: append([]byte{1, data[0] | 0x20}, apex...), Type: uint16(data[1] % 4), TTL: uint32(data[2] % 3)}
			for i, seen := 0, map[byte]bool{}; i < int(data[2]%5)+1 && i < len(data); i++ {
				if !seen[data[i]%40] {
					s.Data, seen[data[i]%40] = append(s.Data, bytes.Repeat(data[i:i+1], int(data[i]%40))), true
				}
			}
			sets, data = append(sets, s), data[3:]
		}
		text := func(s *Set) string {
			list := make([]string, len(s.Data))
			for i, d := range s.Data {
				list[i] = string(d)
			}
			return fmt.Sprintf("%x %d %d %x", s.Owner, s.Type, s.TTL, bytes.Join(s.Data, []byte("|")))
		}
		for _, s := range sets {
			dice.Shuffle(len(s.Data), func(i, j int) { s.Data[i], s.Data[j] = s.Data[j], s.Data[i] })
			made := b.Find(s)
			if made.None() {
				if _, err := b.Sign(s); err != nil {
					t.Fatal(err)
				}
				made = b.Find(s)
			}
			k := b.use.Load().zsk.keys
			want, _, err := signatures(k, apex, s, b.clock.Load())
			if err != nil || !bytes.Equal(want, made.Append(nil, s.TTL)) {
				t.Fatalf("%s: the signature is another set's", text(s))
			}
			c, err := cache.Sign(b, s)
			if err != nil || !bytes.Equal(c.Append(nil, s.TTL), want) {
				t.Fatalf("%s: signed on demand it is another one: %v", text(s), err)
			}
			if found := cache.Find(b, s); !bytes.Equal(found.Append(nil, s.TTL), want) {
				t.Fatalf("%s: found is another one", text(s))
			}
		}
	})
}

// Sets that are not shown any more go after the second look, and all others stay.
func TestUnusedSetsGo(t *testing.T) {
	t.Parallel()
	b, _ := inked(t, "dr.example")
	set := func(i int) *Set {
		return &Set{Owner: append([]byte{4}, append(fmt.Appendf(nil, "%04d", i), apex...)...), Type: dns.TypeA, TTL: 30, Data: [][]byte{{10, 0, byte(i >> 8), byte(i)}}}
	}
	look := func(n int) {
		b.Begin()
		for i := range n {
			if !b.Keep(set(i)) {
				if _, err := b.Sign(set(i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		b.End()
	}
	for _, c := range []struct{ shown, found int }{{500, 500}, {500, 500}, {20, 500}, {20, 20}, {300, 300}} {
		look(c.shown)
		found := 0
		for i := range 500 {
			if made := b.Find(set(i)); !made.None() {
				found++
			}
		}
		if st := b.Status(); found != c.found || st.Sets != c.shown && st.Sets != c.shown+1 {
			t.Errorf("%d shown: %d found, want %d; %+v", c.shown, found, c.found, st)
		}
	}
}

// However much is signed on demand, what is kept is bounded.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	b, clock := inked(t, "dr.example")
	c := NewCache(100)
	for i := range 2000 {
		s := &Set{Owner: append([]byte{4}, append(fmt.Appendf(nil, "%04d", i), apex...)...), Type: dns.TypeA, TTL: 30, Data: [][]byte{{1, 2, 3, 4}}}
		if _, err := c.Sign(b, s); err != nil {
			t.Fatal(err)
		}
		if found := c.Find(b, s); found.None() {
			t.Fatal("the newest is not there")
		}
		if other, _ := inked(t, "other.example"); i == 5 {
			if found := c.Find(other, s); !found.None() {
				t.Error("found for another zone")
			}
		}
		if i == 1999 {
			clock.Add(int64(8 * 24 * 3600))
			if found := c.Find(b, s); !found.None() {
				t.Error("found although it is due")
			}
		}
	}
	if sets, bytes := c.Held(); sets > 128 || sets < 100 || bytes > 128*600 {
		t.Errorf("%d sets, %d bytes", sets, bytes)
	}
}

// BenchmarkFind is looking up signatures by content.
func BenchmarkFind(b *testing.B) {
	book, _ := inked(b, "dr.example")
	s := &Set{Owner: []byte("\x05hello\x02dr\x07example\x00"), Type: dns.TypeA, TTL: 30, Data: [][]byte{{192, 0, 2, 1}, {192, 0, 2, 2}}}
	if _, err := book.Sign(s); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if made := book.Find(s); made.None() {
			b.Fatal("not found")
		}
	}
}

// A clock that was ahead and is set back leaves signatures that do not hold yet: none of them is sent, and all are made anew.
func TestSignaturesOfTheFuture(t *testing.T) {
	t.Parallel()
	b, clock := inked(t, "dr.example")
	set := &Set{Owner: apex, Type: dns.TypeA, TTL: 30, Data: [][]byte{{192, 0, 2, 1}}}
	cache := NewCache(8)
	if _, err := b.Sign(set); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Sign(b, set); err != nil {
		t.Fatal(err)
	}
	good := clock.Load()
	for back := range int64(30 * 24 * 60) {
		now := good - 60*back
		clock.Store(now)
		for what, made := range map[string]Signatures{"book": b.Find(set), "cache": cache.Find(b, set)} {
			if made.None() {
				continue
			}
			rdata := made.Data(nil)[0]
			if inception := int64(binary.BigEndian.Uint32(rdata[12:])); now < inception {
				t.Fatalf("%s, the clock %d minutes back: the signature begins in %d s", what, back, inception-now)
			}
		}
		if made := b.Find(set); made.None() && b.Keep(set) {
			t.Fatalf("the clock %d minutes back: there is no signature to send, and none is wanted", back)
		}
	}
	if made := b.Find(set); !made.None() {
		t.Error("a signature of next month is sent")
	}
	if st := b.Status(); st.Signed != 0 || st.Waiting == 0 {
		t.Errorf("%+v", st)
	}
	if _, err := b.Sign(set); err != nil {
		t.Fatal(err)
	}
	if made := b.Find(set); made.None() || !b.Keep(set) {
		t.Error("signed anew, it is not sent")
	}
}

// Once everything is said to be signed with new keys, nothing is sent with signatures of the old ones any more, although they
// are still published: who rolls keys counts on caches forgetting them from then on.
func TestOldSignaturesEndWithTheLook(t *testing.T) {
	t.Parallel()
	b, _ := inked(t, "dr.example")
	old := b.use.Load().zsk.keys[0]
	next, err := NewPrivate(FlagZone|FlagSEP, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	walked := &Set{Owner: apex, Type: dns.TypeA, TTL: 30, Data: [][]byte{{192, 0, 2, 1}}}
	forgotten := &Set{Owner: apex, Type: dns.TypeA, TTL: 30, Data: [][]byte{{192, 0, 2, 2}}}
	cache := NewCache(8)
	for _, s := range []*Set{walked, forgotten} {
		if _, err := b.Sign(s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := cache.Sign(b, walked); err != nil {
		t.Fatal(err)
	}
	if err := b.Use(&Keys{Zone: "dr.example", Publish: []Public{old.Public, next.Public}, KSK: []Private{old, next}, ZSK: []Private{next}, Mark: "2"}); err != nil {
		t.Fatal(err)
	}
	if made := cache.Find(b, walked); made.None() {
		t.Error("before the look, what was signed on demand is not sent any more")
	}
	b.Begin()
	for _, s := range append(liveSets(b), walked) {
		if !b.Keep(s) {
			if _, err := b.Sign(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.End()
	if !b.Done() {
		t.Fatal("not done")
	}
	for what, made := range map[string]Signatures{"cache": cache.Find(b, walked), "book": b.Find(forgotten)} {
		if !made.None() {
			t.Errorf("%s: a signature of the old key is sent", what)
		}
	}
	if made := b.Find(walked); made.None() {
		t.Error("nothing is sent")
	}
}

func liveSets(b *Book) (list []*Set) {
	live := b.Live()
	for i := range live {
		list = append(list, &Set{Owner: apex, Type: live[i].Type, TTL: live[i].TTL, Data: live[i].Data})
	}
	return list
}
