package profile

import (
	"fmt"
	"strings"
	"testing"
)

// The decisions of docs/azure.md that a document takes by itself, by number.

// wrote decodes a profile p with one host name; the rest is said in flow style.
func wrote(compat, rest string) (*Profile, error) {
	return DecodeProfile("p", []byte(fmt.Sprintf("{name: p, hostnames: [p.example], compat: %s, %s}", compat, rest)))
}

// both runs a test in both modes.
func both(t *testing.T, f func(t *testing.T, compat string)) {
	t.Helper()
	for _, compat := range []string{"none", "azure"} {
		t.Run("compat "+compat, func(t *testing.T) {
			t.Parallel()
			f(t, compat)
		})
	}
}

func mustWrite(t *testing.T, compat, rest string) *Profile {
	t.Helper()
	p, err := wrote(compat, rest)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// refusedFor demands an error that says all the words.
func refusedFor(t *testing.T, compat, rest string, words ...string) {
	t.Helper()
	_, err := wrote(compat, rest)
	if err == nil {
		t.Errorf("compat %s accepts %s", compat, rest)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %v does not say %q", rest, err, w)
		}
	}
}

func TestD1MaxReturn(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, compat string) {
		const of = "routing: multivalue, endpoints: [{name: a, target: 192.0.2.1}]"
		if p := mustWrite(t, compat, of); p.MaxReturn != 2 {
			t.Errorf("left out it is %d, want 2", p.MaxReturn)
		}
		for _, n := range []int{1, 8, 10} {
			if p := mustWrite(t, compat, fmt.Sprintf("max_return: %d, %s", n, of)); p.MaxReturn != n {
				t.Errorf("%d became %d", n, p.MaxReturn)
			}
		}
		for _, n := range []int{-1, 0, 11} {
			refusedFor(t, compat, fmt.Sprintf("max_return: %d, %s", n, of), "max_return", "1 to 10")
		}
	})
}

func TestD18VerifyIsTheDefault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		compat, monitor string
		want            bool
	}{
		{"none", "{}", true},
		{"azure", "{}", false},
		{"none", "{tls: {verify: false}}", false},
		{"azure", "{tls: {verify: true}}", true},
		{"azure", "{tls: {sni: x.example}}", false}, // another key beside it says nothing about this one
	} {
		p := mustWrite(t, c.compat, "monitor: "+c.monitor+", endpoints: [{name: a, target: x.example}, {name: b, target: y.example, monitor: {path: /b}}]")
		for _, e := range p.Endpoints {
			if e.Monitor.TLS.Verify != c.want {
				t.Errorf("compat %s, monitor %s, endpoint %s: verify is %t", c.compat, c.monitor, e.Name, e.Monitor.TLS.Verify)
			}
		}
	}
}

func TestD21ComingBack(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, compat string) {
		const of = "endpoints: [{name: a, target: 192.0.2.1}]"
		if p := mustWrite(t, compat, of); p.Failback.Mode != FailbackAuto || p.Endpoints[0].Monitor.RecoverySuccesses != 1 {
			t.Errorf("left out: %+v, %d successes", p.Failback, p.Endpoints[0].Monitor.RecoverySuccesses)
		}
		p := mustWrite(t, compat, "failback: {mode: manual}, monitor: {recovery_successes: 3}, "+of)
		if p.Failback.Mode != FailbackManual || p.Endpoints[0].Monitor.RecoverySuccesses != 3 {
			t.Errorf("written: %+v, %d successes", p.Failback, p.Endpoints[0].Monitor.RecoverySuccesses)
		}
	})
}

func TestD22ToleratedFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		compat, monitor string
		want            int
	}{
		{"none", "", 2},
		{"azure", "", 3},
		{"none", "monitor: {path: /x},", 2},
		{"azure", "monitor: {path: /x},", 3},
		{"azure", "monitor: {tolerated_failures: 0},", 0},
		{"none", "monitor: {tolerated_failures: 100},", 100},
	} {
		if got := mustWrite(t, c.compat, c.monitor+"endpoints: [{name: a, target: 192.0.2.1}]").Endpoints[0].Monitor.ToleratedFailures; got != c.want {
			t.Errorf("compat %s, %q: %d, want %d", c.compat, c.monitor, got, c.want)
		}
	}
	refusedFor(t, "none", "monitor: {tolerated_failures: 101}", "tolerated_failures", "0 to 100")
}

// Names are compared without case wherever two may not be the same, and hold 260 characters, of any alphabet.
func TestD28Names(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 260)
	both(t, func(t *testing.T, compat string) {
		if p := mustWrite(t, compat, "endpoints: [{name: "+long+", target: 192.0.2.1}, {name: e 1, target: 192.0.2.2}]"); p.Endpoints[0].Name != long || p.Endpoints[1].Name != "e 1" {
			t.Errorf("names became %q and %q", p.Endpoints[0].Name, p.Endpoints[1].Name)
		}
		refusedFor(t, compat, "endpoints: [{name: "+long+"x, target: 192.0.2.1}]", "260 characters")
		refusedFor(t, compat, "endpoints: [{name: EU, target: 192.0.2.1}, {name: eu, target: 192.0.2.2}]", `"eu" is already used`, "without case")
	})
	if _, err := DecodeFile("f", []byte("profiles: [{name: Shop, hostnames: [a.example]}, {name: shop, hostnames: [b.example]}]")); err == nil || !strings.Contains(err.Error(), "without case") {
		t.Errorf("two profiles of one file: %v", err)
	}
	apart := decodedProfiles(t, "{name: Shop, hostnames: [a.example]}", "{name: shop, hostnames: [b.example]}")
	if got := CheckTogether(apart); len(got) != 1 || !strings.Contains(got[0].String(), "without case") {
		t.Errorf("two documents: %v", got)
	}
}

// Left out, a priority is the highest that is written plus one, in the order of the list.
func TestD34AutomaticPriority(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, compat string) {
		for _, c := range []struct{ given, want string }{
			{"- - -", "1 2 3"}, {"5 - -", "5 6 7"}, {"- 3 - 1", "4 3 5 1"}, {"999 -", "999 1000"}, {"7", "7"},
		} {
			for _, method := range []string{"priority", "weighted"} {
				var list, got []string
				for i, n := range strings.Fields(c.given) {
					e := fmt.Sprintf("name: e%d, target: 192.0.2.%d", i, i+1)
					if n != "-" {
						e += ", priority: " + n
					}
					list = append(list, "{"+e+"}")
				}
				p := mustWrite(t, compat, "routing: "+method+", endpoints: ["+strings.Join(list, ", ")+"]")
				for _, e := range p.Endpoints {
					got = append(got, fmt.Sprint(e.Priority))
				}
				if strings.Join(got, " ") != c.want {
					t.Errorf("%s, %s: %s, want %s", method, c.given, strings.Join(got, " "), c.want)
				}
			}
		}
		refusedFor(t, compat, "endpoints: [{name: a, target: 192.0.2.1, priority: 4}, {name: b, target: 192.0.2.2, priority: 4}]", "4 is already used", "unique")
		refusedFor(t, compat, "endpoints: [{name: a, target: 192.0.2.1, priority: 1000}, {name: b, target: 192.0.2.2}]", "1001", "1 to 1000")
	})
}

// One address kind per profile in the service; here an endpoint may carry both families, and names stay apart from
// addresses.
func TestD36AddressLists(t *testing.T) {
	t.Parallel()
	const (
		lists    = `endpoints: [{name: a, target: [192.0.2.1, "2001:db8::1"]}, {name: b, target: [192.0.2.2, "2001:db8::2"]}]`
		families = `endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: "2001:db8::2"}]`
		beside   = "endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: b.example}]"
	)
	if p := mustWrite(t, "none", lists); len(p.Endpoints[1].Target.Addrs) != 2 {
		t.Errorf("%+v", p.Endpoints[1].Target)
	}
	mustWrite(t, "none", families)
	mustWrite(t, "azure", "endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: [192.0.2.2, 192.0.2.3]}]")
	for _, method := range []string{"priority", "weighted"} {
		for _, list := range []string{lists, families} {
			refusedFor(t, "azure", "routing: "+method+", "+list, "target", "compat: azure", "one kind")
		}
	}
	both(t, func(t *testing.T, compat string) {
		mustWrite(t, compat, "routing: multivalue, "+families)
		mustWrite(t, compat, "routing: multivalue, "+lists)
		mustWrite(t, compat, "endpoints: [{name: a, target: a.example}, {name: b, target: b.example}]")
		refusedFor(t, compat, "answer: cname, "+beside, "host name", map[string]string{"none": "poisons caches", "azure": "compat: azure"}[compat])
	})
	for _, form := range []string{"", "answer: auto, ", "answer: flatten, "} { // then a name's addresses are answered, never a CNAME
		mustWrite(t, "none", form+beside)
		refusedFor(t, "azure", form+beside, "host name", "compat: azure")
	}
}

// A threshold that the families exceed, or that the nested profile cannot reach, is told and not refused.
func TestD17OddThresholdsAreReported(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, compat string) {
		f, err := DecodeFile("f", []byte(`profiles:
  - {name: child, hostnames: [c.example], routing: multivalue, endpoints: [{name: a, target: 192.0.2.1}, {name: b, target: "2001:db8::1"}]}
  - name: p
    hostnames: [p.example]
    compat: `+compat+`
    endpoints:
      - {name: low, target: {profile: child}, min_child: 1, min_child_ipv4: 1, min_child_ipv6: 1}
      - {name: high, target: {profile: child}, min_child: 3}
      - {name: four, target: {profile: child}, min_child_ipv4: 2}
      - {name: fine, target: {profile: child}, min_child: 2}
`))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range Warnings(f) {
			if strings.Contains(w.Path, "min_child") {
				got = append(got, w.Path[strings.Index(w.Path, "endpoints"):])
			}
		}
		if want := "endpoints[0].min_child endpoints[1].min_child endpoints[2].min_child endpoints[2].min_child_ipv4"; strings.Join(got, " ") != want {
			t.Errorf("told about %q, want %s", got, want)
		}
	})
}
