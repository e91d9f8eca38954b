package steer_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// view builds a profile with one endpoint per letter of word, in priority order:
// u Online, c Checking, d Degraded, x disabled, r drained, s stopped by configuration (enabled: false), m unmonitored.
func view(word, active string, change func(*health.View)) *health.View {
	p := &profile.Profile{Name: "p", Routing: profile.Priority, TTL: 30 * time.Second, TTLFloor: time.Second, Failback: profile.Failback{Mode: profile.FailbackAuto}}
	v := &health.View{Profile: p, Ready: true}
	for i := range word {
		p.Endpoints = append(p.Endpoints, profile.Endpoint{
			Name: string(rune('a' + i)), Priority: i + 1, Enabled: word[i] != 's', AlwaysServe: word[i] == 'm',
			Monitor: profile.Monitor{Interval: 10 * time.Second, ToleratedFailures: 1, RecoverySuccesses: 1},
		})
	}
	if active != "" {
		v.Decision = health.Decision{Active: active, Epoch: 7, Reason: "initial", Since: t0}
	}
	for i := range word {
		e := health.EndpointView{Config: &p.Endpoints[i]}
		e.Verdict = health.Verdict{Since: t0, Status: map[byte]health.Status{'u': health.Online, 'd': health.Degraded, 'x': health.Online, 'r': health.Online, 's': health.Online}[word[i]]}
		e.Layer = health.Layer{Disabled: word[i] == 'x', Drained: word[i] == 'r'}
		v.Endpoints = append(v.Endpoints, e)
	}
	if change != nil {
		change(v)
	}
	for i := range v.Endpoints {
		health.Resolve(p, &v.Endpoints[i], v.Disabled, t0.Add(time.Minute))
	}
	return v
}

func mode(m profile.FailbackMode, after time.Duration) func(*health.View) {
	return func(v *health.View) { v.Profile.Failback = profile.Failback{Mode: m, After: after} }
}

func TestDecideTable(t *testing.T) {
	cases := []struct {
		name, word, active string
		change             func(*health.View)
		want               string // endpoint, "" for none
		serving            steer.Serving
		ttl                time.Duration
		agreed             bool
	}{
		{"preferred", "uu", "a", nil, "a", steer.ServingPreferred, 20 * time.Second, true},
		{"fallback, TTL is the recovery of the better one", "du", "b", nil, "b", steer.ServingFallback, 10 * time.Second, true},
		{"fallback under manual is not bound by the better one", "du", "b", mode(profile.FailbackManual, 0), "b", steer.ServingFallback, 20 * time.Second, true},
		{"decision lags: the candidate answers, not agreed", "du", "a", nil, "b", steer.ServingFallback, 10 * time.Second, false},
		{"stays on the decision although a better one is usable", "uu", "b", mode(profile.FailbackManual, 0), "b", steer.ServingFallback, 20 * time.Second, true},
		{"checking is second choice (D6)", "cu", "a", nil, "b", steer.ServingFallback, 10 * time.Second, false},
		{"checking serves when nothing is better", "cd", "a", nil, "a", steer.ServingPreferred, 10 * time.Second, true},
		{"all down: preferred", "dd", "b", nil, "a", steer.ServingAllDown, time.Second, false},
		{"all down under manual: the active", "dd", "b", mode(profile.FailbackManual, 0), "b", steer.ServingAllDown, time.Second, true},
		{"drained is never a new answer", "ru", "a", nil, "b", steer.ServingFallback, 20 * time.Second, false},
		{"all down but one drained", "rd", "a", nil, "b", steer.ServingAllDown, time.Second, false},
		{"all disabled", "xs", "a", nil, "", steer.ServingNone, 30 * time.Second, false},
		{"no endpoint", "", "", nil, "", steer.ServingNone, 30 * time.Second, false},
		{"unmonitored", "m", "a", nil, "a", steer.ServingPreferred, 30 * time.Second, true},
		{"profile disabled", "uu", "a", func(v *health.View) { v.Disabled = true }, "", steer.ServingNone, 30 * time.Second, false},
		{"not ready", "cc", "", func(v *health.View) { v.Ready = false }, "", steer.ServingNotReady, 0, false},
		{"stale answers at the floor", "uu", "a", func(v *health.View) { v.Stale = true }, "a", steer.ServingPreferred, time.Second, true},
		{"ttl 0 stays 0", "uu", "a", func(v *health.View) { v.Profile.TTL, v.Profile.TTLFloor = 0, 0 }, "a", steer.ServingPreferred, 0, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var trail steer.Trail
			v := view(c.word, c.active, c.change)
			a := steer.Decide(v, steer.Client{}, nil, &trail)
			got := ""
			if len(a.Order) > 0 {
				got = v.Endpoints[a.Order[0]].Config.Name
			}
			if got != c.want || a.Serving != c.serving || a.TTL != c.ttl || a.Agreed != c.agreed {
				t.Fatalf("got %q %+v, want %q %s %v agreed %v\n%+v", got, a, c.want, c.serving, c.ttl, c.agreed, trail.Steps)
			}
			if len(trail.Steps) < 2 {
				t.Fatalf("the trail explains nothing: %+v", trail.Steps)
			}
		})
	}
}

func TestElectTable(t *testing.T) {
	now := t0.Add(time.Minute)
	order := &health.Override{Act: health.FailbackNow, By: "ops"}
	cases := []struct {
		name, word, active string
		change             func(*health.View)
		failback           *health.Override
		want, reason       string // "" = the decision stands
	}{
		{"initial", "uu", "", nil, nil, "a", "initial"},
		{"initial waits for the better one", "cu", "", func(v *health.View) { v.Ready = false }, nil, "", ""},
		{"failover", "du", "a", nil, nil, "b", "probe-quorum"},
		{"nobody usable: stands", "dd", "a", nil, nil, "", ""},
		{"initial with everybody down: none is written", "dd", "", nil, nil, "", ""},
		{"active left the configuration", "uu", "gone", nil, nil, "a", "config"},
		{"active disabled", "xu", "a", nil, nil, "b", "operator-override"},
		{"active drained", "ru", "a", nil, nil, "b", "drain"},
		{"forced down", "uu", "a", func(v *health.View) { v.Endpoints[0].Layer.Forced = health.Down }, nil, "b", "operator-override"},
		{"auto returns", "uu", "b", nil, nil, "a", "failback-auto"},
		{"manual waits", "uu", "b", mode(profile.FailbackManual, 0), nil, "", ""},
		{"manual, ordered", "uu", "b", mode(profile.FailbackManual, 0), order, "a", "failback-manual"},
		{"delayed waits", "uu", "b", mode(profile.FailbackDelayed, time.Hour), nil, "", ""},
		{"delayed is due", "uu", "b", mode(profile.FailbackDelayed, time.Minute), nil, "a", "failback-delayed"},
		{"new sessions return", "uu", "b", mode(profile.FailbackNewSessions, 0), nil, "a", "failback-new-sessions"},
		{"takeover ignores failback rules", "ud", "b", mode(profile.FailbackManual, 0), nil, "a", "probe-quorum"},
		{"a checking better one is no reason to leave", "cu", "b", nil, nil, "", ""},
		{"not ready never switches", "cu", "a", func(v *health.View) { v.Ready = false }, nil, "", ""},
		{"disabled profile", "du", "a", func(v *health.View) { v.Disabled = true }, nil, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := view(c.word, c.active, c.change)
			d, changed := steer.Elect(v, c.failback, now)
			if c.want == "" {
				if d.Active != v.Decision.Active || d.Epoch != v.Decision.Epoch {
					t.Fatalf("switched to %+v", d)
				}
				return
			}
			if !changed || d.Active != c.want || d.Reason != c.reason || d.Epoch != v.Decision.Epoch+1 || d.Previous != v.Decision.Active {
				t.Fatalf("got %+v changed %v, want %s for %s", d, changed, c.want, c.reason)
			}
			if d.Evidence == "" || !d.Since.Equal(now) {
				t.Fatalf("a decision says why and when: %+v", d)
			}
		})
	}
}

// The time of a delayed failback is anchored at recovery and kept in the decision, so a new leader does not start over.
func TestDelayedFailbackKeepsItsAnchor(t *testing.T) {
	v := view("uu", "b", mode(profile.FailbackDelayed, 10*time.Minute))
	d, changed := steer.Elect(v, nil, t0.Add(time.Minute))
	if !changed || d.Epoch != 7 || d.Pending != "a" || !d.PendingSince.Equal(t0) {
		t.Fatalf("got %+v, want pending a since its verdict, same epoch", d)
	}
	v.Decision = d
	if _, changed = steer.Elect(v, nil, t0.Add(2*time.Minute)); changed {
		t.Fatal("nothing new, nothing to write")
	}
	if due := steer.FailbackDue(v); !due.Equal(t0.Add(10 * time.Minute)) {
		t.Fatalf("due %v", due)
	}
	if d, _ = steer.Elect(v, nil, t0.Add(10*time.Minute)); d.Active != "a" || d.Pending != "" {
		t.Fatalf("got %+v, want the return", d)
	}
	broken := view("du", "b", mode(profile.FailbackDelayed, 10*time.Minute))
	broken.Decision.Pending, broken.Decision.PendingSince = "a", t0
	if d, changed = steer.Elect(broken, nil, t0.Add(3*time.Minute)); !changed || d.Pending != "" {
		t.Fatalf("a new failure removes the pending return: %+v", d)
	}
}

// Properties over random views: a down or excluded endpoint is never chosen while a candidate exists, the answer is
// never empty while somebody is eligible, and the TTL never exceeds ttl or the chosen one's horizon.
func TestDecideProperties(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		word := make([]byte, dice.IntN(5))
		for i := range word {
			word[i] = "ucdxrsm"[dice.IntN(7)]
		}
		active := []string{"", "a", "b", "c", "gone"}[dice.IntN(5)]
		v := view(string(word), active, nil)
		a := steer.Decide(v, steer.Client{}, nil, nil)
		usable := slices.ContainsFunc(word, func(b byte) bool { return b == 'u' || b == 'm' })
		eligible := usable || slices.ContainsFunc(word, func(b byte) bool { return b == 'c' || b == 'd' })
		if eligible != (len(a.Order) > 0) {
			t.Fatalf("%s active %q: eligible %v, answer %+v", word, active, eligible, a)
		}
		if len(a.Order) == 0 {
			continue
		}
		chosen := &v.Endpoints[a.Order[0]]
		if usable && chosen.Tier != health.TierUsable {
			t.Fatalf("%s active %q: chose %s", word, active, chosen.Config.Name)
		}
		if a.TTL > v.Profile.TTL || a.TTL > max(v.Profile.TTLFloor, chosen.Horizon) {
			t.Fatalf("%s: ttl %v above ttl or horizon %v", word, a.TTL, chosen.Horizon)
		}
	}
}

func TestReady(t *testing.T) {
	for word, want := range map[string]bool{"uc": true, "cu": false, "du": true, "dc": false, "dd": true, "xu": true, "xc": false, "": true} {
		if got := steer.Ready(view(word, "", nil)); got != want {
			t.Errorf("%q without a decision: ready %v", word, got)
		}
	}
	if !steer.Ready(view("cu", "b", nil)) || steer.Ready(view("uc", "b", nil)) {
		t.Error("with a decision its active endpoint must have been looked at, and is enough")
	}
}
