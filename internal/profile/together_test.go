package profile

import (
	"fmt"
	"strings"
	"testing"
)

func decodedProfiles(t *testing.T, texts ...string) []*Profile {
	t.Helper()
	var out []*Profile
	for i, text := range texts {
		p, err := DecodeProfile(fmt.Sprint(i), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// nesting is a profile whose endpoints are other profiles.
func nesting(name string, children ...string) string {
	endpoints := make([]string, len(children))
	for i, c := range children {
		endpoints[i] = fmt.Sprintf("{name: to %s, target: {profile: %s}}", c, c)
	}
	return fmt.Sprintf("{name: %s, hostnames: [%s.example], endpoints: [%s]}", name, name, strings.Join(endpoints, ", "))
}

func TestCheckTogether(t *testing.T) {
	t.Parallel()
	const leaf = "{name: leaf, hostnames: [leaf.example], endpoints: [{name: x, target: 192.0.2.1}]}"
	calculated := func(name, of string) string {
		return fmt.Sprintf("{name: %s, hostnames: [%s.example], endpoints: [{name: x, target: 192.0.2.1, monitor: {calculated: {of: [%s]}}}]}", name, name, of)
	}
	for name, c := range map[string]struct {
		profiles []string
		want     []string
	}{
		"fine":           {[]string{nesting("a", "b", "leaf"), nesting("b", "leaf"), leaf, calculated("c", "a/to b")}, nil},
		"host name":      {[]string{leaf, "{name: other, hostnames: [x.example, leaf.example]}"}, []string{`profiles/other:1:1: hostnames: leaf.example already belongs to profile "leaf"; a host name is answered by one profile`}},
		"no child":       {[]string{nesting("a", "leav"), leaf}, []string{`profiles/a:1:1: endpoints[0].target: there is no profile "leav" (did you mean "leaf"?); add it, or correct the name`}},
		"loop":           {[]string{nesting("a", "b"), nesting("b", "c"), nesting("c", "a")}, []string{"profiles/c:1:1: endpoints[0].target: closes a loop, in which each waits for the next: a -> b -> c -> a; take one of them out"}},
		"mixed loop":     {[]string{nesting("a", "b"), calculated("b", "a/to b")}, []string{"profiles/b:1:1: endpoints[0].monitor.calculated.of[0]: closes a loop, in which each waits for the next: a -> b -> a; take one of them out"}},
		"no part":        {[]string{calculated("a", "leaf/y"), calculated("b", "nobody/x"), calculated("c", "gone"), leaf}, []string{`profiles/a:1:1: endpoints[0].monitor.calculated.of[0]: profile "leaf" has no endpoint "y" (did you mean "x"?); add it, or correct the name`, `profiles/b:1:1: endpoints[0].monitor.calculated.of[0]: there is no profile "nobody"; add it, or correct the name`, `profiles/c:1:1: endpoints[0].monitor.calculated.of[0]: profile "c" has no endpoint "gone"; add it, or correct the name`}},
		"inside":         {[]string{calculated("a", "x")}, []string{"profiles/a:1:1: endpoints[0].monitor.calculated.of[0]: closes a loop, in which each endpoint waits for the next: x -> x; take one of them out"}},
		"two loops, one": {[]string{nesting("a", "b"), nesting("b", "a", "c"), nesting("c", "b")}, []string{"profiles/b:1:1: endpoints[0].target: closes a loop, in which each waits for the next: a -> b -> a; take one of them out", "profiles/c:1:1: endpoints[0].target: closes a loop, in which each waits for the next: b -> c -> b; take one of them out"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range CheckTogether(decodedProfiles(t, c.profiles...)) {
				got = append(got, p.String())
			}
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// TestNestingDepth: ten levels are fine, eleven are not, and the message stands where the tower begins.
func TestNestingDepth(t *testing.T) {
	t.Parallel()
	tower := func(levels int) []*Profile {
		texts := []string{"{name: p0, hostnames: [p0.example]}", "{name: low, hostnames: [low.example]}"}
		for i := 1; i <= levels; i++ {
			texts = append(texts, nesting(fmt.Sprintf("p%d", i), fmt.Sprintf("p%d", i-1), "low"))
		}
		return decodedProfiles(t, texts...)
	}
	if got := CheckTogether(tower(10)); got != nil {
		t.Errorf("ten levels: %v", got)
	}
	got := CheckTogether(tower(11))
	if want := "profiles/p11:1:1: endpoints[0].target: nests profiles 11 levels deep; allowed: at most 10; name a lower profile here"; len(got) != 1 || got[0].String() != want {
		t.Errorf("eleven levels: %v", got)
	}
}

// BenchmarkCheckTogether: the cost grows with the profiles, not with their pairs.
func BenchmarkCheckTogether(b *testing.B) {
	var profiles []*Profile
	for i := range 10_000 {
		p := defaultProfile()
		p.Name, p.Hostnames = fmt.Sprint(i), []string{fmt.Sprintf("p%d.example", i)}
		for j := range 10 {
			e := defaultEndpoint(p.Monitor)
			e.Name = fmt.Sprint(j)
			if j == 0 && i%10 != 0 {
				e.Target.Profile = fmt.Sprint(i - 1)
			}
			p.Endpoints = append(p.Endpoints, *e)
		}
		profiles = append(profiles, p)
	}
	b.ResetTimer()
	for b.Loop() {
		if got := CheckTogether(profiles); got != nil {
			b.Fatal(got)
		}
	}
}
