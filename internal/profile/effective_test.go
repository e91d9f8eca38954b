package profile

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

const effectiveText = `
node: {secrets: {TOKEN: {env: TOKEN}}}
defaults:
  ttl: 10s
  monitor: {interval: 5s, headers: {X-A: "1"}}
profiles:
  - name: shop
    hostnames: [shop.example]
    compat: azure
    climb: true
    monitor: {path: /health, headers: {Authorization: {secret: TOKEN}}, checks: [{name: web, path: /web}, {name: api, host: api.example}]}
    endpoints:
      - {name: eu, target: 192.0.2.1, weight: 5}
      - {name: us, target: [192.0.2.2, 192.0.2.3], monitor: {timeout: 2s, tls: {verify: true}, headers: {Host: us.example}}}
`

// TestEffective: every value says which level it came from.
func TestEffective(t *testing.T) {
	t.Parallel()
	f, err := DecodeFile("f", []byte(effectiveText))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range f.Effective("shop") {
		if _, twice := got[s.Path]; twice {
			t.Errorf("%s stands twice", s.Path)
		}
		got[s.Path] = s.Value + " from " + s.From
	}
	for path, want := range map[string]string{
		"name":                           "shop from profile",
		"hostnames":                      "[shop.example] from profile",
		"ttl":                            "10s from defaults",
		"ttl_floor":                      "1s from built-in",
		"quorum":                         "majority from built-in",
		"all_down":                       "serve from built-in",
		"compat":                         "azure from profile",
		"checking":                       "serve from compat azure",
		"climb":                          "true from profile",
		"monitor.path":                   "/health from profile",
		"monitor.interval":               "5s from defaults",
		"monitor.timeout":                "4.5s from built-in",
		"monitor.tls.verify":             "false from compat azure",
		"monitor.headers.Authorization":  "{secret: TOKEN} from profile",
		"monitor.headers.X-A":            "1 from defaults",
		"monitor.body_limit":             "65536 from built-in",
		"monitor.expect.status":          "[200] from built-in",
		"monitor.checks[web].path":       "/web from profile",
		"endpoints[eu].target":           "192.0.2.1 from endpoint",
		"endpoints[eu].weight":           "5 from endpoint",
		"endpoints[eu].priority":         "1 from built-in",
		"endpoints[eu].monitor.path":     "/health from profile",
		"endpoints[eu].monitor.interval": "5s from defaults",
		"endpoints[eu].monitor.tolerated_failures":          "3 from compat azure",
		"endpoints[us].target":                              "[192.0.2.2, 192.0.2.3] from endpoint",
		"endpoints[us].monitor.timeout":                     "2s from endpoint",
		"endpoints[us].monitor.tls.verify":                  "true from endpoint",
		"endpoints[us].monitor.host":                        "us.example from endpoint",
		"endpoints[us].monitor.checks[web].path":            "/web from profile",
		"endpoints[us].monitor.checks[web].timeout":         "2s from endpoint",
		"endpoints[us].monitor.checks[web].host":            "us.example from endpoint",
		"endpoints[us].monitor.checks[api].host":            "api.example from profile",
		"endpoints[us].monitor.checks[api].interval":        "5s from defaults",
		"endpoints[eu].monitor.checks[api].name":            "api from profile",
		"endpoints[eu].monitor.checks[api].tls.verify":      "false from compat azure",
		"endpoints[eu].monitor.checks[api].query.rcode":     "NOERROR from built-in",
		"endpoints[eu].monitor.checks[api].path":            "/health from profile",
		"endpoints[eu].monitor.checks[web].headers.X-A":     "1 from defaults",
		"endpoints[eu].monitor.checks[web].tls.expiry_warn": "336h from built-in",
	} {
		if got[path] != want {
			t.Errorf("%s is %q, want %q", path, got[path], want)
		}
	}
	if f.Effective("nobody") != nil {
		t.Error("an unknown profile has settings")
	}
}

// TestAzureKeys: the keys that compat: azure changes are exactly those Effective tells about.
func TestAzureKeys(t *testing.T) {
	t.Parallel()
	decode := func(compat string) map[string]string {
		f, err := DecodeFile("f", []byte("profiles: [{name: p, hostnames: [p.example], compat: "+compat+"}]"))
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, s := range f.Effective("p") {
			out[s.Path] = s.Value
		}
		return out
	}
	none, azure := decode("none"), decode("azure")
	var changed []string
	for path := range none {
		if path != "compat" && none[path] != azure[path] {
			changed = append(changed, path)
		}
	}
	want := slices.Clone(azureKeys)
	slices.Sort(want)
	slices.Sort(changed)
	if !reflect.DeepEqual(changed, want) {
		t.Errorf("compat: azure changes %s", strings.Join(changed, ", "))
	}
}
