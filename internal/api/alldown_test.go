package api

import (
	"testing"

	"jurymast/internal/health"
	"jurymast/internal/steer"
)

// TestAnswered says what is answered while all are down, from the trails that steer really writes.
func TestAnswered(t *testing.T) {
	child := viewOf(decoded(t, `{"name":"emea","hostnames":["emea.example"],"endpoints":[{"name":"eu-1","target":"127.0.0.11"},{"name":"eu-2","target":"127.0.0.12"}]}`), activeAt("eu-1", 2), nil, down, down)
	weighted := viewOf(decoded(t, `{"name":"emea","hostnames":["emea.example"],"routing":"weighted","endpoints":[{"name":"eu-1","target":"127.0.0.11"},{"name":"eu-2","target":"127.0.0.12"}]}`), health.Decision{}, nil, down, down)
	single := viewOf(decoded(t, `{"name":"one","routing":"weighted","hostnames":["x.example"],"endpoints":[{"name":"eu-1","target":"127.0.0.11"}]}`), health.Decision{}, nil, down)
	several := viewOf(decoded(t, `{"name":"all","routing":"multivalue","hostnames":["x.example"],"endpoints":[{"name":"eu-1","target":"127.0.0.11"},{"name":"eu-2","target":"127.0.0.12"}]}`), health.Decision{}, nil, down, down)
	top := func(below *health.View) *health.View {
		p := decoded(t, `{"name":"top","hostnames":["x.example"],"endpoints":[{"name":"eu","target":{"profile":"emea"}},{"name":"us","target":"127.0.0.21"}]}`)
		v := viewOf(p, activeAt("eu", 3), nil, down, down)
		v.Endpoints[0].Child = below
		health.Resolve(p, &v.Endpoints[0], false, at)
		return v
	}
	for name, c := range map[string]struct {
		view *health.View
		want string
	}{
		"one":             {child, "eu-1, A 127.0.0.11"},
		"nested":          {top(child), "eu > eu-1, A 127.0.0.11"},
		"drawn":           {weighted, "one of them, drawn by weight"},
		"nothing to draw": {single, "eu-1, A 127.0.0.11"},
		"drawn below":     {top(weighted), "eu > one of its endpoints, drawn by weight"},
		"several":         {several, "some of them, from a random one on"},
	} {
		t.Run(name, func(t *testing.T) {
			var trail steer.Trail
			d := steer.Decide(c.view, steer.Client{}, func() uint64 { return 0 }, &trail)
			if d.Serving != steer.ServingAllDown {
				t.Fatalf("serving %s", d.Serving)
			}
			e := &Explanation{Answer: []string{"x.example.\t1\tIN\tA\t127.0.0.11"}, Trail: append([]steer.Step{{Step: "zone", Result: "example"}}, trail.Steps...)}
			if got := e.Answered(); got != c.want {
				t.Errorf("%q, want %q; the trail is %+v", got, c.want, trail.Steps)
			}
		})
	}
}
