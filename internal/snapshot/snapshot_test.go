package snapshot_test

import (
	"errors"
	"fmt"
	"testing"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

func docs(gen uint64, n int) *snapshot.Documents {
	d := &snapshot.Documents{Generation: gen}
	for i := range n {
		d.Profiles = append(d.Profiles, &profile.Profile{Name: fmt.Sprintf("p%d", i)})
	}
	return d
}

func views(d *snapshot.Documents) (out []*health.View) {
	for _, p := range d.Profiles {
		out = append(out, &health.View{Profile: p})
	}
	return out
}

func TestOneChangeSharesTheRest(t *testing.T) {
	h := snapshot.NewHub()
	compiled := 0
	slot := h.Register(snapshot.Compiler{
		Name:   "front",
		Config: func(d *snapshot.Documents) (any, error) { return d.Generation, nil },
		Part:   func(c any, v *health.View) any { compiled++; return fmt.Sprint(c, v.Profile.Name, v.Revision) },
	})
	for _, n := range []int{1, 32, 33, 1025, 40_000} {
		d := docs(uint64(n), n)
		p, err := h.Prepare(d)
		if err != nil {
			t.Fatal(err)
		}
		h.Publish(p, views(d)...)
		before := h.Load()
		compiled = 0
		last := n - 1
		h.Publish(nil, &health.View{Profile: d.Profiles[last], Revision: 9})
		after := h.Load()
		if compiled != 1 {
			t.Fatalf("%d profiles: one change compiled %d parts", n, compiled)
		}
		if before.Part(last).View.Revision != 0 || after.Part(last).View.Revision != 9 {
			t.Fatal("the old snapshot changed, or the new one did not")
		}
		for i := range last {
			if before.Part(i) != after.Part(i) || after.Part(i).View.Profile != d.Profiles[i] {
				t.Fatalf("%d profiles: part %d is not shared", n, i)
			}
		}
		if want := fmt.Sprint(n, d.Profiles[last].Name, 9); after.Part(last).Compiled(slot) != want {
			t.Fatalf("compiled %v, want %s", after.Part(last).Compiled(slot), want)
		}
		select {
		case <-before.Replaced():
		default:
			t.Fatal("waiters of the old snapshot are not woken")
		}
	}
}

func TestRefusedDocumentsChangeNothing(t *testing.T) {
	h := snapshot.NewHub()
	refuse := false
	h.Register(snapshot.Compiler{Name: "nameserver", Config: func(*snapshot.Documents) (any, error) {
		if refuse {
			return nil, errors.New("zone dr.example: no SOA")
		}
		return 1, nil
	}})
	d := docs(1, 2)
	p, _ := h.Prepare(d)
	h.Publish(p, views(d)...)
	refuse = true
	if _, err := h.Prepare(docs(2, 3)); err == nil || err.Error() != "nameserver: zone dr.example: no SOA" {
		t.Fatalf("got %v", err)
	}
	if h.Load().Documents() != d || h.Load().View("p1") == nil || h.Load().View("p2") != nil {
		t.Fatal("the running snapshot changed")
	}
}

func TestUnknownProfileIsNoPanic(t *testing.T) {
	s := snapshot.NewHub().Load()
	if s.View("x") != nil || s.Part(-1) != nil || s.Part(3) != nil || s.Config(0) != nil {
		t.Fatal("an empty snapshot answers nil")
	}
}

func BenchmarkPublishOneOf10000(b *testing.B) {
	h := snapshot.NewHub()
	d := docs(1, 10_000)
	p, _ := h.Prepare(d)
	h.Publish(p, views(d)...)
	v := &health.View{Profile: d.Profiles[5000]}
	for b.Loop() {
		h.Publish(nil, v)
	}
}
