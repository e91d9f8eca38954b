package tap_test

import (
	"runtime"
	"sync"
	"testing"

	"jurymast/internal/nameserver/tap"
)

func TestRingIsFullAtItsSize(t *testing.T) {
	r := tap.NewRing[int](5)
	n := 0
	for p := r.Next(); p != nil; p = r.Next() {
		*p = n
		r.Put()
		n++
	}
	if n != 8 {
		t.Errorf("%d fit", n)
	}
	want := 0
	r.Drain(func(v *int) {
		if *v != want {
			t.Errorf("got %d, want %d", *v, want)
		}
		want++
	})
	if want != 8 || r.Next() == nil {
		t.Errorf("%d came out, room: %v", want, r.Next() != nil)
	}
}

// One writer and one reader at once: everything arrives, in order, once.
func TestRingHandsOver(t *testing.T) {
	type pair struct{ a, b int }
	r := tap.NewRing[pair](16)
	const n = 20_000
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; i < n; {
			if p := r.Next(); p != nil {
				p.a, p.b = i, -i
				r.Put()
				i++
				continue
			}
			runtime.Gosched()
		}
	})
	for want := 0; want < n; {
		r.Drain(func(p *pair) {
			if p.a != want || p.b != -want {
				t.Fatalf("got %v, want %d", *p, want)
			}
			want++
		})
		runtime.Gosched()
	}
	writer.Wait()
}

func BenchmarkRing(b *testing.B) {
	r := tap.NewRing[[64]byte](1024)
	b.ReportAllocs()
	for b.Loop() {
		if p := r.Next(); p != nil {
			p[0] = 1
			r.Put()
			continue
		}
		r.Drain(func(*[64]byte) {})
	}
}

// A writer that never stops does not keep the reader: it has other rings to look at, and a file to flush.
func TestDrainEndsBesideABusyWriter(t *testing.T) {
	r := tap.NewRing[int](4)
	put := func() {
		if r.Next() != nil {
			r.Put()
		}
	}
	put()
	put()
	n := 0
	r.Drain(func(*int) {
		if n++; n > 2 {
			t.Fatal("what is put meanwhile is taken at once")
		}
		put()
	})
	left := 0
	if r.Drain(func(*int) { left++ }); left != 2 {
		t.Errorf("%d are left", left)
	}
}
