package preflight

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"jurymast/internal/geo"
	"jurymast/internal/profile"
)

// file decodes a configuration; a text without "profiles:" is one profile's keys below name and hostnames.
func file(t *testing.T, text string) *profile.File {
	t.Helper()
	if !strings.Contains(text, "profiles:") {
		text = "profiles:\n  - name: p\n    hostnames: [p.dr.example]\n" + indent(text)
	}
	f, err := profile.DecodeFile("test.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimLeft(text, "\n")) {
		b.WriteString("    " + line)
	}
	return b.String()
}

func codes(list []Finding) []Code {
	var out []Code
	for i := range list {
		out = append(out, list[i].Code)
	}
	return out
}

func with(list []Finding, c Code) *Finding {
	for i := range list {
		if list[i].Code == c {
			return &list[i]
		}
	}
	return nil
}

const two = `
endpoints:
  - {name: a, target: 192.0.2.1}
  - {name: b, target: 192.0.2.2}
`

const shared = `
node: {store: {endpoints: ["https://e1:2379", "https://e2:2379", "https://e3:2379"], seal: {file: seal.key}}}
profiles:
  - name: p
    hostnames: [p.dr.example]
`

// located gives the node of a configuration the location eu, and its monitor a vantage point.
func located(text, vantage string) string {
	return strings.Replace(text, "node: {", "node: {location: eu, ", 1) + "    monitor: {vantage: [" + vantage + "]}\n"
}

func nodes(n int) []Node {
	return []Node{{"n1", "eu"}, {"n2", "us"}, {"n3", "ap"}}[:n]
}

// TestStaticFindings: for each finding a configuration that has it, and one beside it that does not.
func TestStaticFindings(t *testing.T) {
	latency, err := geo.ParseTable(strings.NewReader("192.0.2.0/24,West Europe,10\n192.0.2.0/24,eastus,90\n"))
	if err != nil {
		t.Fatal(err)
	}
	sharedTwo := shared + indent(two)
	proxied := two + "proxy: {mode: failover}\n"
	nested := `
profiles:
  - name: parent
    hostnames: [p.dr.example]
    ttl: 60s
    endpoints:
      - {name: a, target: {profile: child}, CHILD}
      - {name: b, target: 192.0.2.9}
  - name: child
    hostnames: [c.dr.example]
    ttl: TTL
    endpoints:
      - {name: x, target: 192.0.2.1}
      - {name: y, target: 192.0.2.2}
`
	child := func(keys, ttl string) string {
		return strings.NewReplacer("CHILD", keys, "TTL", ttl).Replace(nested)
	}
	zone := func(servers string) string {
		return "zones:\n  - {name: dr.example, hostmaster: o.dr.example, nameservers: [" + servers + "]}\nprofiles: []\n"
	}
	https := "endpoints:\n  - {name: a, target: 192.0.2.1, origin: \"SCHEME://eu.tenant.example\"}\n  - {name: b, target: 192.0.2.2}\nmonitor: {protocol: SCHEME, headers: {Authorization: Basic c2VjcmV0}MORE}\n"
	credentials := func(scheme, more string) string {
		return strings.NewReplacer("SCHEME", scheme, "MORE", more).Replace(https)
	}
	sessions := func(fencing string) string {
		return shared + indent(two+"fencing: "+fencing+"\nfailback: {mode: manual}\nproxy: {sessions: {keys: [{header: soapuser}], presence: needed}}\n")
	}
	safety := func(n int) string {
		return fmt.Sprintf("safety: [{name: two, assert: {of: profile=p, at_least: %d}}]\nprofiles:\n  - name: p\n    hostnames: [p.dr.example]\n%s", n, indent(two))
	}
	signals := func(more string) string {
		return "node: {secrets: {TOKEN: {env: TOKEN}}}\nprofiles:\n  - name: p\n    hostnames: [p.dr.example]\n" + indent(two+"monitor: {external: {token: {secret: TOKEN}"+more+"}}\n")
	}
	weighted := func(more string) string { return two + "routing: weighted\n" + more }
	geographic := func(codes, database string) string {
		return "node: {geo: {database: \"" + database + "\"}}\nprofiles:\n  - name: p\n    hostnames: [p.dr.example]\n    routing: geographic\n    endpoints:\n" +
			"      - {name: a, target: 192.0.2.1, geo: [" + codes + "]}\n      - {name: b, target: 192.0.2.2, geo: [US]}\n"
	}
	performance := func(region, files string) string {
		return "node: {geo: {" + files + "}}\nprofiles:\n  - name: p\n    hostnames: [p.dr.example]\n    routing: performance\n    endpoints:\n" +
			"      - {name: a, target: 192.0.2.1, location: {region: " + region + "}}\n      - {name: b, target: 192.0.2.2, location: {region: eastus}}\n"
	}
	subnets := func(last string) string {
		return "routing: subnet\nendpoints:\n  - {name: a, target: 192.0.2.1, subnets: [10.0.0.0/8]}\n  - {name: b, target: 192.0.2.2" + last + "}\n"
	}
	ends := func(a, b string) string { return "endpoints:\n  - {" + a + "}\n  - {" + b + "}\n" }
	plainA, plainB := "name: a, target: 192.0.2.1", "name: b, target: 192.0.2.2"

	for _, c := range []struct {
		code      Code
		severity  Severity
		bad, good string
		input     Input // for both, save where goodInput is set
		goodInput *Input
		says      string // in What, Why, Remedy or Evidence
	}{
		{code: FailoverTime, severity: Info, bad: two, good: ends(plainA+", always_serve: true", plainB+", always_serve: true"), says: "detected 60s to 100s"},
		{code: TTLAboveDetection, severity: Info, bad: two + "ttl: 300s\n", good: two, says: "300s"},
		{code: NestedTTL, severity: Info, bad: child("", "10s"), good: child("", "60s"), says: "10s, instead of 60s"},
		{code: ProbeLoad, severity: Info, bad: two, good: ends(plainA+", always_serve: true", plainB+", always_serve: true"), says: "4 probes a minute in all, 2 per endpoint"},
		{code: MessageForecast, severity: Info, bad: credentials("https", ""), good: two, says: "2880 messages a day"},
		{code: MessageQuota, severity: Warning, bad: credentials("https", ", message_quota: 1000"), good: credentials("https", ", message_quota: 3000"), says: "at most every 87s"},
		{code: PlainCredentials, severity: Warning, bad: credentials("http", ""), good: credentials("https", ""), says: "header Authorization"},
		{
			code: Blind401, severity: Warning, bad: two + "monitor: {expect: {status: [\"401\"]}}\n",
			good: two + "monitor: {expect: {status: [\"401\"]}, checks: [{name: up}, {name: flow, interval: 300s, expect: {status: [\"200\"]}}]}\n",
			says: "integration flow",
		},
		{code: NeverProbed, severity: Info, bad: ends(plainA+", always_serve: true", plainB), good: two, says: "always_serve"},
		{code: ExternalSilence, severity: Warning, bad: signals(", on_silence: up"), good: signals("")},
		{code: NoEndpoint, severity: Warning, bad: ends(plainA+", enabled: false", plainB+", stopped: true"), good: two},
		{code: SingleEndpoint, severity: Warning, bad: ends(plainA, plainB+", enabled: false"), good: two, says: "only a"},
		{code: SingleNode, severity: Warning, bad: two, good: sharedTwo, input: Input{}, says: "this node's own"},
		{code: SingleNameserver, severity: Warning, bad: zone("ns1.dr.example"), good: zone("ns1.dr.example, ns2.dr.example")},
		{code: SingleStoreMember, severity: Warning, bad: strings.Replace(sharedTwo, `, "https://e2:2379", "https://e3:2379"`, "", 1), good: sharedTwo},
		{code: TwoStoreMembers, severity: Warning, bad: strings.Replace(sharedTwo, `, "https://e3:2379"`, "", 1), good: sharedTwo},
		{code: SameAddress, severity: Warning, bad: ends(plainA, "name: b, target: 192.0.2.2, origin: \"http://192.0.2.1:81\""), good: two, says: "a, b are all at 192.0.2.1"},
		{code: SameAddress, severity: Info, bad: ends(plainA+", origin: \"http://127.0.0.1:1\"", plainB+", origin: \"http://127.0.0.1:2\""), good: two, says: "lab"},
		{code: FamiliesDiffer, severity: Warning, bad: ends(plainA, "name: b, target: \"2001:db8::1\""), good: two, says: "IPv6: b"},
		{code: QuorumTie, severity: Info, bad: sharedTwo, good: sharedTwo, input: Input{Nodes: nodes(2)}, goodInput: &Input{Nodes: nodes(3)}},
		{code: QuorumUnreachable, severity: Error, bad: sharedTwo + "    quorum: {at_least: 3}\n", good: sharedTwo, input: Input{Nodes: nodes(2)}},
		{code: QuorumAnyNode, severity: Info, bad: sharedTwo + "    quorum: any\n", good: sharedTwo, input: Input{Voters: 3}},
		{
			code: NoVantage, severity: Error, bad: sharedTwo + "    monitor: {vantage: [mars]}\n", good: sharedTwo + "    monitor: {vantage: [us]}\n",
			input: Input{Nodes: nodes(3)}, says: `n2 stands at "us"`,
		},
		{
			code: NoVantage, severity: Warning, bad: sharedTwo + "    monitor: {vantage: [us, mars]}\n", good: sharedTwo + "    monitor: {vantage: [us, eu]}\n",
			input: Input{Nodes: nodes(3)}, says: "no known node stands at mars",
		},
		{
			code: NoVantage, severity: Info, bad: located(sharedTwo, "mars"), good: located(sharedTwo, "eu"), says: `stands at "eu"`,
		},
		{
			code: NoVantage, severity: Warning, bad: located("node: {data: d}\nprofiles:\n  - name: p\n    hostnames: [p.dr.example]\n"+indent(two), "mars"),
			good: located("node: {data: d}\nprofiles:\n  - name: p\n    hostnames: [p.dr.example]\n"+indent(two), "eu"),
		},
		{code: WeightSkew, severity: Info, bad: weighted(""), good: weighted("sticky: true\n")},
		{code: GeoNoDatabase, severity: Warning, bad: geographic("WORLD", ""), good: geographic("WORLD", "x.mmdb")},
		{code: GeoNoWorld, severity: Warning, bad: geographic("DE", "x.mmdb"), good: geographic("WORLD", "x.mmdb")},
		{
			code: GeoFileUnreadable, severity: Error, bad: geographic("WORLD", "x.mmdb"), good: geographic("WORLD", "x.mmdb"),
			input: Input{GeoError: "not there"}, goodInput: &Input{}, says: "x.mmdb cannot be used: not there",
		},
		{
			code: GeoFileUnreadable, severity: Error, bad: performance("westeurope", "latency: l.csv"), good: performance("westeurope", "latency: l.csv"),
			input: Input{LatencyError: "line 1: bad\nline 2: worse\nline 7: bad\nand 3 more"}, goodInput: &Input{},
			says: "l.csv cannot be used: several lines are wrong\nclients have no location then, so geographic and performance profiles answer as if they came from nowhere\nput a readable file there, or correct node.geo\nlines 1, 7: bad\nline 2: worse\nand 3 more",
		},
		{code: NoLocations, severity: Warning, bad: performance("westeurope", ""), good: performance("westeurope", "latency: l.csv")},
		{code: LatencyNoRegion, severity: Warning, bad: performance("japaneast", "latency: l.csv"), good: performance("westeurope", "latency: l.csv"), input: Input{Latency: latency}, says: "a (japaneast)"},
		{code: LatencyNoEndpoint, severity: Info, bad: performance("japaneast", "latency: l.csv"), good: performance("West Europe", "latency: l.csv"), input: Input{Latency: latency}, says: ": West Europe"},
		{code: SubnetNoFallback, severity: Warning, bad: subnets(", subnets: [192.168.0.0/16]"), good: subnets("")},
		{code: MinChildUnreachable, severity: Error, bad: child("min_child: 3", "60s"), good: child("min_child: 2", "60s"), says: "which has 2"},
		{code: MinChildUnreachable, severity: Error, bad: child("min_child_ipv6: 1", "60s"), good: child("min_child_ipv4: 1", "60s"), says: "min_child_ipv6"},
		{code: MinChildEffective, severity: Info, bad: child("min_child: 1, min_child_ipv4: 2", "60s"), good: child("min_child: 2, min_child_ipv4: 2", "60s"), says: "write min_child: 2"},
		{code: MinUsable, severity: Warning, bad: two + "min_usable: 3\n", good: two + "min_usable: 2\n"},
		{code: SafetyUnmet, severity: Warning, bad: safety(3), good: safety(2), says: "p/a, p/b"},
		{code: HoldTooSmall, severity: Warning, bad: proxied, good: proxied, input: Input{Rate: 500}, goodInput: &Input{}, says: "--rate"},
		{code: HoldTooShort, severity: Warning, bad: two + "proxy: {hold: {max_wait: 2s}}\n", good: proxied, says: "lease 3s"},
		{code: HoldHungOrigin, severity: Info, bad: proxied, good: proxied + "monitor: {interval: 5s, timeout: 2s}\n"},
		{code: PresenceRelaxed, severity: Warning, bad: sessions("relaxed"), good: sessions("strict"), says: "fencing: strict"},
	} {
		t.Run(string(c.code), func(t *testing.T) {
			bad, good := c.input, c.input
			if c.goodInput != nil {
				good = *c.goodInput
			}
			bad.File, good.File = file(t, c.bad), file(t, c.good)
			list := Static(bad)
			f := with(list, c.code)
			if f == nil {
				t.Fatalf("not found; found %v", codes(list))
			}
			if f.Severity != c.severity {
				t.Errorf("severity %s, want %s", f.Severity, c.severity)
			}
			text := strings.Join(append([]string{f.What, f.Why, f.Remedy}, f.Evidence...), "\n")
			if !strings.Contains(text, c.says) {
				t.Errorf("%q is not in\n%s", c.says, text)
			}
			if f.What == "" || f.Why == "" || (f.Remedy == "" && f.Severity > Info) {
				t.Errorf("it does not say what, why and what to do: %+v", f)
			}
			if f := with(Static(good), c.code); f != nil {
				t.Errorf("found where there is nothing: %s", f.What)
			}
		})
	}
}

// TestRulesThatCanNeverHold: validation refuses some of these in a file, but documents come from elsewhere too.
func TestRulesThatCanNeverHold(t *testing.T) {
	f := file(t, two)
	m := &f.Profiles[0].Endpoints[0].Monitor
	m.Calculated = &profile.Calculated{Of: []string{"b"}, AtLeast: 2}
	if found := with(Static(Input{File: f}), ImpossibleRule); found == nil || found.Severity != Error {
		t.Error("calculated: not found")
	}
	m.Calculated = nil
	m.Checks = []profile.Check{{Name: "x", Monitor: f.Profiles[0].Monitor}}
	m.Combine = profile.Combine{Rule: profile.CombineAtLeast, N: 2}
	if found := with(Static(Input{File: f}), ImpossibleRule); found == nil || found.Severity != Error {
		t.Error("combine: not found")
	}
	m.Combine.N = 1
	if found := with(Static(Input{File: f}), ImpossibleRule); found != nil {
		t.Error("found where there is nothing")
	}
}

func TestNothingStaticTellsASecret(t *testing.T) {
	f := file(t, "endpoints:\n  - {name: a, target: 192.0.2.1}\nmonitor: {headers: {Authorization: Basic dG9wOnNlY3JldA==}, expect: {status: [\"401\"]}}\n")
	for _, found := range Static(Input{File: f}) {
		text := strings.Join(append([]string{found.What, found.Why, found.Remedy}, found.Evidence...), "\n")
		if strings.Contains(text, "dG9wOnNlY3JldA") {
			t.Errorf("%s tells the secret: %s", found.Code, text)
		}
	}
}

func TestSortPutsTheWorstFirst(t *testing.T) {
	list := []Finding{{Severity: Info, Profile: "a"}, {Severity: Error, Profile: "z"}, {Severity: Warning, Profile: "b"}, {Severity: Warning, Profile: "a"}}
	Sort(list)
	var got []string
	for i := range list {
		got = append(got, list[i].Severity.String()+list[i].Profile)
	}
	if want := []string{"errorz", "warninga", "warningb", "infoa"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if Worst(list) != Error || Worst(nil) != Info {
		t.Error("the worst is wrong")
	}
}
