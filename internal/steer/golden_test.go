package steer_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

var update = flag.Bool("update", false, "write testdata/*.txt anew")

// The reason trails of every method, as explain prints them.
func TestTrails(t *testing.T) {
	regions := []ep{{name: "west", state: 'u', region: "westeurope", bias: 10}, {name: "east", state: 'd', region: "eastus", weight: 3}, {name: "east2", state: 'u', region: "eastus2"}}
	ecs := near("eastus")
	ecs.ECS, ecs.Bits = true, 24
	drained := func(v *health.View) {
		v.Endpoints[2].Layer.Shown = &health.Override{Act: health.Drain, By: "ops"}
	}
	child := build(profile.Weighted, []ep{{name: "fra1", state: 'u', weight: 3}, {name: "fra2", state: 'u'}, {name: "fra3", state: 'c'}}, named("frankfurt"))
	cases := map[string]struct {
		view   *health.View
		client steer.Client
	}{
		"priority":             {build(profile.Priority, states("duu"), active("b")), in("")},
		"weighted":             {build(profile.Weighted, []ep{{state: 'u', weight: 3}, {state: 'u', fresh: true, ago: 2 * time.Minute}, {state: 'r'}}, drained, func(v *health.View) { v.Profile.RestoreRamp = 3 * time.Minute }), in("")},
		"weighted-sticky":      {build(profile.Weighted, []ep{{state: 'u', weight: 3}, {state: 'u'}}, sticky), from("2001:db8::1")},
		"performance":          {build(profile.Performance, regions), ecs},
		"performance-table":    {build(profile.Performance, regions), row(t, ecs, "westeurope 80, eastus 8.5")},
		"performance-band":     {build(profile.Performance, regions, func(v *health.View) { v.Profile.LatencyBand = 100 * time.Millisecond }), ecs},
		"performance-measured": {build(profile.Performance, []ep{{state: 'u', rtt: "westeurope 5, eastus 90"}, {state: 'u', rtt: "westeurope 80, eastus 7"}}), near("eastus2")},
		"performance-unknown":  {build(profile.Performance, regions), from("192.0.2.1")},
		"geographic":           {build(profile.Geographic, []ep{{state: 'd', geo: "US-CA"}, {state: 'o', geo: "US"}, {state: 'u', geo: "WORLD"}}), in("US-CA")},
		"geographic-azure":     {build(profile.Geographic, []ep{{state: 'd', geo: "US-CA"}, {state: 'u', geo: "WORLD"}}, azure), in("US-CA")},
		"subnet":               {build(profile.Subnet, []ep{{state: 'd', subnets: "192.0.2.0/24"}, {state: 'u'}}), from("192.0.2.9")},
		"subnet-azure":         {build(profile.Subnet, []ep{{state: 'd', subnets: "192.0.2.0/24"}, {state: 'u'}}, azure), from("192.0.2.9")},
		"multivalue":           {build(profile.Multivalue, states("umd")), in("")},
		"all-down":             {build(profile.Weighted, states("dro")), in("")},
		"all-down-target":      {build(profile.Weighted, states("dr"), onAllDown(profile.AllDownTarget)), in("")},
		"stopped":              {build(profile.Multivalue, states("oo")), in("")},
		"nested":               {build(profile.Geographic, []ep{{name: "frankfurt", state: 'u', geo: "DE", child: child}, {name: "rest", state: 'u', geo: "WORLD"}}, named("top"), func(v *health.View) { v.Profile.TTL = 15 * time.Second }), in("DE")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var trail steer.Trail
			p := steer.Compile(c.view)
			k := p.Pick(&c.client, zeros, &trail)
			got := text(&trail) + "= " + words(p, k) + ", " + string(k.Rule) + ", " + string(k.Serving) + ", ttl " + k.TTL.String() + "\n"
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Fatalf("got\n%s\nwant\n%s\ngo test -update writes it anew", got, want)
			}
		})
	}
}
