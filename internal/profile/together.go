package profile

import (
	"fmt"
	"slices"
	"strings"
)

// maxNesting is how many nested profiles may hang below each other.
const maxNesting = 10

// CheckTogether checks what no profile can know alone: names differ in more than case, a host name belongs to one
// profile, nested profiles and the parts of calculated verdicts exist, nothing is built on itself, and nesting is at most
// 10 levels deep. The profiles are all there are. Problems name the document, profiles/NAME, in place of a file.
func CheckTogether(profiles []*Profile) Problems {
	t := newTogether(profiles, func(i int) (*report, *at) {
		return &report{file: string(KindProfile) + "/" + profiles[i].Name}, &at{line: 1, column: 1}
	})
	t.whole = true
	t.sameNames()
	t.hostnames()
	t.references()
	t.loops()
	return t.found
}

// togetherIn checks the profiles of one file. What they name may be in the store, so only what is wrong whatever the
// store holds is an error.
func togetherIn(r *report, list *at, profiles []Profile) {
	all := make([]*Profile, len(profiles))
	for i := range profiles {
		all[i] = &profiles[i]
	}
	t := newTogether(all, func(i int) (*report, *at) { return &report{file: r.file}, list.element(i) })
	t.references()
	t.loops()
	for _, problem := range t.found {
		r.adopt(problem)
	}
}

// together is the graph of profiles: who nests whom, and who counts whose endpoints.
type together struct {
	profiles []*Profile
	place    func(i int) (*report, *at)
	number   map[string]int // of the profile with that name
	edges    [][]edge
	whole    bool // there are no other profiles
	found    Problems
}

// edge leads to another profile, from a place below the profile's own.
type edge struct {
	to     int
	nested bool
	steps  []any
}

func newTogether(profiles []*Profile, place func(i int) (*report, *at)) *together {
	t := &together{profiles: profiles, place: place, number: map[string]int{}, edges: make([][]edge, len(profiles))}
	for i, p := range profiles {
		t.number[p.Name] = i
	}
	for i, p := range profiles {
		for j := range p.Endpoints {
			if to, ok := t.number[p.Endpoints[j].Target.Profile]; ok && to != i {
				t.edges[i] = append(t.edges[i], edge{to, true, []any{"endpoints", j, "target"}})
			}
			for k, of := range calculatedOf(&p.Endpoints[j]) {
				owner, _, foreign := strings.Cut(of, "/")
				if to, ok := t.number[owner]; foreign && ok && to != i {
					t.edges[i] = append(t.edges[i], edge{to, false, calculatedPlace(t, i, j, k)})
				}
			}
		}
	}
	return t
}

func calculatedOf(e *Endpoint) []string {
	if e.Monitor.Calculated == nil {
		return nil
	}
	return e.Monitor.Calculated.Of
}

// problem reports at a place of a profile.
func (t *together) problem(i int, steps []any, format string, args ...any) {
	r, a := t.place(i)
	for _, step := range steps {
		switch step := step.(type) {
		case string:
			a = a.child(step)
		case int:
			a = a.element(step)
		}
	}
	r.errorf(a, format, args...)
	t.found = append(t.found, r.list...)
}

// sameNames: profiles of one name are compared without case everywhere, so two that differ in nothing else are refused
// (D28 of docs/azure.md). Within one file this is found earlier, with its line.
func (t *together) sameNames() {
	owner := map[string]string{}
	for i, p := range t.profiles {
		fold := strings.ToLower(p.Name)
		if other, taken := owner[fold]; taken && other != p.Name {
			t.problem(i, []any{"name"}, "there is a profile %q already, and names are compared without case; choose another name", other)
		}
		owner[fold] = p.Name
	}
}

func (t *together) hostnames() {
	owner := map[string]string{}
	for i, p := range t.profiles {
		for _, h := range p.Hostnames {
			if other, taken := owner[h]; taken && other != p.Name {
				t.problem(i, []any{"hostnames"}, "%s already belongs to profile %q; a host name is answered by one profile", h, other)
			}
			owner[h] = p.Name
		}
	}
}

// references checks that what is named exists.
func (t *together) references() {
	for i, p := range t.profiles {
		for j := range p.Endpoints {
			e := &p.Endpoints[j]
			if name := e.Target.Profile; name != "" {
				if _, ok := t.number[name]; !ok && t.whole {
					t.problem(i, []any{"endpoints", j, "target"}, "there is no profile %q%s; add it, or correct the name", name, didYouMean(name, t.names()))
				}
			}
			for k, of := range calculatedOf(e) {
				if why := t.missing(p, of); why != "" {
					t.problem(i, calculatedPlace(t, i, j, k), "%s; add it, or correct the name", why)
				}
			}
		}
	}
}

// missing says which part of a reference does not exist, or "".
func (t *together) missing(p *Profile, of string) string {
	owner, name, foreign := strings.Cut(of, "/")
	if !foreign {
		owner, name = p.Name, owner
	}
	i, ok := t.number[owner]
	if !ok && !t.whole {
		return ""
	}
	if !ok {
		return fmt.Sprintf("there is no profile %q%s", owner, didYouMean(owner, t.names()))
	}
	target := t.profiles[i]
	if e, _ := target.Endpoint(name); e == nil {
		var names []string
		for k := range target.Endpoints {
			names = append(names, target.Endpoints[k].Name)
		}
		return fmt.Sprintf("profile %q has no endpoint %q%s", owner, name, didYouMean(name, names))
	}
	return ""
}

// names are the words for a suggestion; comparing with thousands would cost more than it helps.
func (t *together) names() []string {
	if len(t.profiles) > 1000 {
		return nil
	}
	out := make([]string, len(t.profiles))
	for i, p := range t.profiles {
		out[i] = p.Name
	}
	return out
}

// loops reports what is built on itself: profiles on profiles, and calculated endpoints on each other inside one
// profile; and nesting that is too deep.
func (t *together) loops() {
	w := &walk{
		size:  len(t.profiles),
		next:  func(i int) []edge { return t.edges[i] },
		label: func(i int) string { return t.profiles[i].Name },
		loop: func(i int, e edge, names string) {
			t.problem(i, e.steps, "closes a loop, in which each waits for the next: %s; take one of them out", names)
		},
	}
	w.run()
	if !w.looped {
		t.depths()
	}
	for i, p := range t.profiles {
		t.loopsInside(i, p)
	}
}

func (t *together) loopsInside(i int, p *Profile) {
	edges := make([][]edge, len(p.Endpoints))
	found := false
	for j := range p.Endpoints {
		for k, of := range calculatedOf(&p.Endpoints[j]) {
			owner, name, foreign := strings.Cut(of, "/")
			if !foreign {
				name = owner
			} else if owner != p.Name {
				continue
			}
			if _, to := p.Endpoint(name); to >= 0 {
				found = true
				edges[j] = append(edges[j], edge{to: to, steps: calculatedPlace(t, i, j, k)})
			}
		}
	}
	if !found {
		return
	}
	w := &walk{
		size:  len(p.Endpoints),
		next:  func(j int) []edge { return edges[j] },
		label: func(j int) string { return p.Endpoints[j].Name },
		loop: func(_ int, e edge, names string) {
			t.problem(i, e.steps, "closes a loop, in which each endpoint waits for the next: %s; take one of them out", names)
		},
	}
	w.run()
}

// calculatedPlace is where the k-th part of an endpoint's calculated verdict is written: at the endpoint, or in the
// monitor of the profile it comes from.
func calculatedPlace(t *together, i, j, k int) []any {
	_, a := t.place(i)
	own := []any{"endpoints", j, "monitor", "calculated", "of", k}
	if a.n != nil && !a.child("endpoints").element(j).child("monitor").has("calculated") {
		return own[2:]
	}
	return own
}

// depths reports profiles with more than maxNesting levels below them.
func (t *together) depths() {
	below := make([]int, len(t.profiles))
	known := make([]bool, len(t.profiles))
	var depth func(i int) int
	depth = func(i int) int {
		if known[i] {
			return below[i]
		}
		known[i] = true
		for _, e := range t.edges[i] {
			if e.nested {
				below[i] = max(below[i], depth(e.to)+1)
			}
		}
		return below[i]
	}
	for i := range t.profiles {
		if depth(i) <= maxNesting {
			continue
		}
		deepest := slices.IndexFunc(t.edges[i], func(e edge) bool { return e.nested && below[e.to]+1 == below[i] })
		t.problem(i, t.edges[i][deepest].steps, "nests profiles %d levels deep; allowed: at most %d; name a lower profile here", below[i], maxNesting)
	}
}

// walk finds the loops of a graph, each once, at the edge that closes it.
type walk struct {
	size   int
	next   func(i int) []edge
	label  func(i int) string
	loop   func(i int, e edge, names string)
	looped bool

	state []uint8 // 0 not seen, 1 on the path, 2 done
	path  []int
}

func (w *walk) run() {
	w.state = make([]uint8, w.size)
	for i := range w.size {
		w.visit(i)
	}
}

func (w *walk) visit(i int) {
	if w.state[i] != 0 {
		return
	}
	w.state[i] = 1
	w.path = append(w.path, i)
	for _, e := range w.next(i) {
		switch w.state[e.to] {
		case 0:
			w.visit(e.to)
		case 1:
			w.looped = true
			var names []string
			for _, j := range w.path[slices.Index(w.path, e.to):] {
				names = append(names, w.label(j))
			}
			w.loop(i, e, strings.Join(append(names, w.label(e.to)), " -> "))
		}
	}
	w.path = w.path[:len(w.path)-1]
	w.state[i] = 2
}
