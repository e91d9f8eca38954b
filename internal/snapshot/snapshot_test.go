package snapshot_test

import (
	"errors"
	"fmt"
	"slices"
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
		Part:   func(v *health.View) any { compiled++; return fmt.Sprint(v.Profile.Name, v.Revision) },
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
		if want := fmt.Sprint(d.Profiles[last].Name, 9); after.Part(last).Compiled(slot) != want {
			t.Fatalf("compiled %v, want %s", after.Part(last).Compiled(slot), want)
		}
		select {
		case <-before.Replaced():
		default:
			t.Fatal("waiters of the old snapshot are not woken")
		}
	}
}

// New documents keep the parts of the profiles they do not change, wherever those stand now; a changed or a new one has
// no part before its view comes, and one that is gone leaves none behind.
func TestUnchangedProfilesKeepTheirParts(t *testing.T) {
	h := snapshot.NewHub()
	compiled := map[string]int{}
	slot := h.Register(snapshot.Compiler{Name: "front", Part: func(v *health.View) any { compiled[v.Profile.Name]++; return v }})
	d := docs(1, 4)
	p, _ := h.Prepare(d)
	h.Publish(p, views(d)...)
	before := h.Load()

	next := docs(2, 5) // p0, p1 and p4 are new objects, p1 is renamed away
	next.Profiles[3], next.Profiles[2] = d.Profiles[2], d.Profiles[3]
	next.Profiles[1].Name = "other"
	p, _ = h.Prepare(next)
	h.Publish(p, &health.View{Profile: next.Profiles[4]})
	after := h.Load()
	for i, want := range []*snapshot.Part{nil, nil, before.Part(3), before.Part(2)} {
		if after.Part(i) != want {
			t.Errorf("part %d (%s) is %v, want %v", i, next.Profiles[i].Name, after.Part(i), want)
		}
	}
	if after.View("p2") != before.View("p2") || after.View("p1") != nil || after.View("p0") != nil || after.View("other") != nil {
		t.Error("views do not follow the parts")
	}
	if part := after.Part(4); part == nil || part.Compiled(slot) != part.View {
		t.Error("the new profile's view has no part")
	}
	for name, n := range map[string]int{"p0": 1, "p1": 1, "p2": 1, "p3": 1, "p4": 1, "other": 0} {
		if compiled[name] != n {
			t.Errorf("%s was compiled %d times, want %d", name, compiled[name], n)
		}
	}
	if before.Part(1) == nil || before.Documents() != d {
		t.Error("the old snapshot changed")
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

func TestChangedNamesWhatIsOther(t *testing.T) {
	h := snapshot.NewHub()
	for _, n := range []int{1, 255, 256, 257, 1000} {
		d := docs(uint64(n), n)
		p, _ := h.Prepare(d)
		h.Publish(p, views(d)...)
		before := h.Load()
		want := []int{0, n / 2, n - 1}
		for rev, i := range want {
			h.Publish(nil, &health.View{Profile: d.Profiles[i], Revision: uint64(rev + 1)})
		}
		want = slices.Compact(want)
		if got := slices.Collect(h.Load().Changed(before)); !slices.Equal(got, want) {
			t.Errorf("%d profiles: %v changed, want %v", n, got, want)
		}
		for i := range h.Load().Changed(before) {
			if i != 0 {
				t.Errorf("%d profiles: %d after the end", n, i)
			}
			break
		}
		if got := slices.Collect(before.Changed(before)); len(got) != 0 {
			t.Errorf("%d profiles: %v changed from itself", n, got)
		}
		if got := slices.Collect(before.Changed(snapshot.NewHub().Load())); len(got) != n {
			t.Errorf("%d profiles: %d are new", n, len(got))
		}
	}
}

func TestPublishedSeesTheNewOne(t *testing.T) {
	h := snapshot.NewHub()
	var seen []uint64
	h.Register(snapshot.Compiler{Name: "without"})
	h.Register(snapshot.Compiler{Name: "with", Published: func() { seen = append(seen, h.Load().Documents().Generation) }})
	for gen := range uint64(3) {
		p, err := h.Prepare(docs(gen+1, 1))
		if err != nil {
			t.Fatal(err)
		}
		h.Publish(p)
		if len(seen) != int(gen)+1 || seen[gen] != gen+1 {
			t.Fatalf("saw %v after generation %d", seen, gen+1)
		}
	}
}

// TestReconfigure: one front's configuration of the documents in force is replaced, and nothing else.
func TestReconfigure(t *testing.T) {
	h := snapshot.NewHub()
	published := 0
	slot := h.Register(snapshot.Compiler{
		Name:      "front",
		Config:    func(d *snapshot.Documents) (any, error) { return fmt.Sprint("first of ", d.Generation), nil },
		Part:      func(v *health.View) any { return v.Revision },
		Published: func() { published++ },
	})
	other := h.Register(snapshot.Compiler{Name: "other", Config: func(d *snapshot.Documents) (any, error) { return d.Generation, nil }})
	if h.Reconfigure(h.Load().Documents(), slot, "too early") {
		t.Error("there was nothing to replace")
	}
	d := docs(1, 40)
	p, err := h.Prepare(d)
	if err != nil {
		t.Fatal(err)
	}
	h.Publish(p, views(d)...)
	before := h.Load()
	if !h.Reconfigure(d, slot, "second") {
		t.Fatal("refused")
	}
	after := h.Load()
	select {
	case <-before.Replaced():
	default:
		t.Error("who waits for a change is not told")
	}
	if published != 2 || before.Config(slot) != "first of 1" || after.Config(slot) != "second" || after.Config(other) != uint64(1) || after.Documents() != d {
		t.Errorf("published %d times, %v then %v beside %v", published, before.Config(slot), after.Config(slot), after.Config(other))
	}
	for i := range d.Profiles {
		if after.Part(i) != before.Part(i) || after.Index(d.Profiles[i].Name) != i {
			t.Fatalf("part %d is another one", i)
		}
	}
	h.Publish(nil, &health.View{Profile: d.Profiles[3], Revision: 9})
	if s := h.Load(); s.Config(slot) != "second" || s.Part(3).View.Revision != 9 {
		t.Error("health undoes it, or is not published into it")
	}
	next := docs(2, 40)
	if p, err = h.Prepare(next); err != nil {
		t.Fatal(err)
	}
	h.Publish(p)
	if h.Reconfigure(d, slot, "of documents gone by") || h.Load().Config(slot) != "first of 2" {
		t.Error("documents that are not in force any more replace those that are")
	}
	if h.Reconfigure(next, slot+5, "nobody's") {
		t.Error("a front that is not there has a configuration")
	}
}
