package health_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// The chart of Tracker, row by row: g is a good probe, b a bad one; the word behind is the opinion after it.
func TestTrackerChart(t *testing.T) {
	cases := []struct {
		name   string
		rule   health.Rule
		probes string
		want   string // u up, d down, c checking; upper case: suspect
	}{
		{"first success ends checking", health.Rule{Tolerated: 2, Recovery: 3}, "g", "u"},
		{"a failed first probe leaves checking", health.Rule{Tolerated: 2, Recovery: 1}, "bb", "cc"},
		{"down on failure N+1 from checking", health.Rule{Tolerated: 2, Recovery: 1}, "bbb", "ccd"},
		{"zero tolerated is down on the first", health.Rule{Recovery: 1}, "gb", "ud"},
		{"down on failure N+1 from up", health.Rule{Tolerated: 1, Recovery: 1}, "gbb", "uUd"},
		{"a success resets the failures", health.Rule{Tolerated: 1, Recovery: 1}, "gbgbg", "uUuUu"},
		{"recovery in a row", health.Rule{Tolerated: 0, Recovery: 3}, "bggbggg", "dDDdDDu"},
		{"checking after one success is up whatever recovery says", health.Rule{Tolerated: 1, Recovery: 5}, "bg", "cu"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var tr health.Tracker
			for i, p := range c.probes {
				before := tr.Vote
				published := tr.Step(c.rule, health.Observation{At: t0.Add(time.Duration(i) * time.Second), OK: p == 'g', Reason: string(p)})
				if got := letter(tr.Vote); got != c.want[i] {
					t.Fatalf("after %s: got %c, want %c", c.probes[:i+1], got, c.want[i])
				}
				if changed := before.Opinion != tr.Opinion || before.Suspect != tr.Suspect; changed != published {
					t.Fatalf("after %s: published %v, changed %v", c.probes[:i+1], published, changed)
				}
			}
		})
	}
}

func letter(v health.Vote) byte {
	b := "cud"[v.Opinion]
	if v.Suspect {
		b -= 'a' - 'A'
	}
	return b
}

func ballots(word string) []health.Ballot {
	var out []health.Ballot
	for i, r := range word {
		b := health.Ballot{Node: string(rune('a' + i))}
		switch r {
		case 'u', 'U':
			b.Opinion = health.Up
		case 'd', 'D':
			b.Opinion = health.Down
		}
		b.Blind = r == 'D' || r == 'U' || r == 'C'
		out = append(out, b)
	}
	return out
}

func TestQuorumTable(t *testing.T) {
	maj, anyOf, all := profile.Quorum{}, profile.Quorum{Rule: profile.QuorumAny}, profile.Quorum{Rule: profile.QuorumAll}
	atLeast2 := profile.Quorum{Rule: profile.QuorumAtLeast, N: 2}
	cases := []struct {
		name  string
		rule  profile.Quorum
		votes string // capital: blind
		prev  health.Status
		want  health.Status
		stale bool
	}{
		{"one node decides alone", maj, "d", health.Online, health.Degraded, false},
		{"tie is up (D4)", maj, "ud", health.Online, health.Online, false},
		{"both of two", maj, "dd", health.Online, health.Degraded, false},
		{"two of three", maj, "udd", health.Online, health.Degraded, false},
		{"one of three", maj, "uud", health.Degraded, health.Online, false},
		{"any", anyOf, "uud", health.Online, health.Degraded, false},
		{"all, one disagrees", all, "udd", health.Online, health.Online, false},
		{"all", all, "ddd", health.Online, health.Degraded, false},
		{"at least two", atLeast2, "uudd", health.Online, health.Degraded, false},
		{"at least two of one voter never goes down", atLeast2, "d", health.Online, health.Online, true},
		{"nobody votes", maj, "", health.Online, health.Online, true},
		{"only checking keeps down", maj, "cc", health.Degraded, health.Degraded, false},
		{"only checking from nothing", maj, "cc", health.CheckingEndpoint, health.CheckingEndpoint, false},
		{"too few downs keep the verdict", maj, "cdc", health.Online, health.Online, false},
		{"too few downs, never known", maj, "cdc", health.CheckingEndpoint, health.CheckingEndpoint, false},
		{"a blind node does not count", maj, "uD", health.Online, health.Online, false},
		{"a blind majority does not count", maj, "uDD", health.Online, health.Online, false},
		{"all blind: it is the targets", maj, "DD", health.Online, health.Degraded, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := health.Quorum(c.rule, ballots(c.votes), health.Verdict{Status: c.prev, Since: t0}, t0.Add(time.Minute))
			if got.Status != c.want || got.Stale != c.stale {
				t.Fatalf("got %v stale %v, want %v stale %v", got.Status, got.Stale, c.want, c.stale)
			}
			if moved := got.Status != c.prev; moved != got.Since.Equal(t0.Add(time.Minute)) {
				t.Fatalf("since %v does not mark the change %v -> %v", got.Since, c.prev, got.Status)
			}
		})
	}
}

// A second, deliberately dumb quorum, and the property that the order of ballots does not matter.
func TestQuorumAgainstDumbOne(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	rules := []profile.Quorum{{}, {Rule: profile.QuorumAny}, {Rule: profile.QuorumAll}, {Rule: profile.QuorumAtLeast, N: 1}, {Rule: profile.QuorumAtLeast, N: 3}}
	for range 20_000 {
		word := make([]byte, dice.IntN(6))
		for i := range word {
			word[i] = "udcUDC"[dice.IntN(6)]
		}
		rule := rules[dice.IntN(len(rules))]
		prev := health.Verdict{Status: health.Status(dice.IntN(3)), Since: t0}
		b := ballots(string(word))
		got := health.Quorum(rule, b, prev, t0)
		if want := dumb(rule, string(word), prev.Status); got.Status != want {
			t.Fatalf("%v %s from %v: got %v, want %v", rule, word, prev.Status, got.Status, want)
		}
		dice.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
		if again := health.Quorum(rule, b, prev, t0); again != got {
			t.Fatalf("%v %s: order matters: %+v, then %+v", rule, word, got, again)
		}
	}
}

func dumb(rule profile.Quorum, word string, prev health.Status) health.Status {
	seeing := ""
	for _, r := range word {
		if r >= 'a' {
			seeing += string(r)
		}
	}
	if seeing == "" {
		for _, r := range word {
			seeing += string(r - 'A' + 'a')
		}
	}
	n := map[rune]int{}
	for _, r := range seeing {
		n[r]++
	}
	down := n['d'] > 0 && map[profile.QuorumRule]bool{
		profile.QuorumMajority: 2*n['d'] > len(seeing),
		profile.QuorumAny:      true,
		profile.QuorumAll:      n['d'] == len(seeing),
		profile.QuorumAtLeast:  n['d'] >= rule.N,
	}[rule.Rule]
	switch {
	case down:
		return health.Degraded
	case n['u'] > 0:
		return health.Online
	}
	return prev
}

func TestLayerOfOrders(t *testing.T) {
	at := func(id string, act health.Act, sec int, until time.Time) health.Override {
		return health.Override{ID: id, Act: act, Profile: "p", Endpoint: "eu", At: t0.Add(time.Duration(sec) * time.Second), Until: until}
	}
	now := t0.Add(time.Minute)
	l := health.LayerOf([]health.Override{
		at("1", health.ForceDown, 1, time.Time{}),
		at("2", health.ForceUp, 2, now.Add(time.Hour)),
		at("3", health.Drain, 3, now.Add(-time.Second)), // expired
		{ID: "4", Act: health.Disable, Profile: "p", Endpoint: "eu2", At: t0},
	}, "eu", now)
	if l.Forced != health.Up || l.Disabled || l.Drained || l.Shown.ID != "2" || !l.Ends.Equal(now.Add(time.Hour)) {
		t.Fatalf("got %+v, want forced up by 2 alone, whole names only", l)
	}
}

func TestHorizonsFollowPublishedVotes(t *testing.T) {
	cfg := &profile.Endpoint{Name: "eu", Enabled: true, Monitor: profile.Monitor{Interval: 10 * time.Second, ToleratedFailures: 2, RecoverySuccesses: 3}}
	cases := []struct {
		name              string
		failback          profile.Failback
		status            health.Status
		suspect           bool
		layer             health.Layer
		horizon, recovery time.Duration
	}{
		{"online clean", profile.Failback{}, health.Online, false, health.Layer{}, 30 * time.Second, 0},
		{"online suspect", profile.Failback{}, health.Online, true, health.Layer{}, 10 * time.Second, 0},
		{"checking", profile.Failback{}, health.CheckingEndpoint, false, health.Layer{}, 10 * time.Second, 10 * time.Second},
		{"down", profile.Failback{}, health.Degraded, false, health.Layer{}, 30 * time.Second, 30 * time.Second},
		{"down, failback delayed", profile.Failback{Mode: profile.FailbackDelayed, After: time.Minute}, health.Degraded, false, health.Layer{}, 30 * time.Second, 90 * time.Second},
		{"up, part of the delay served", profile.Failback{Mode: profile.FailbackDelayed, After: time.Minute}, health.Online, false, health.Layer{}, 30 * time.Second, 40 * time.Second},
		{"down, failback manual", profile.Failback{Mode: profile.FailbackManual}, health.Degraded, false, health.Layer{}, 30 * time.Second, health.Unlimited},
		{"forced up", profile.Failback{}, health.Degraded, true, health.Layer{Forced: health.Up}, health.Unlimited, 0},
		{"forced down for 5s more", profile.Failback{}, health.Online, false, health.Layer{Forced: health.Down, Ends: t0.Add(25 * time.Second)}, 5 * time.Second, 5 * time.Second},
		{"drained for 15s more", profile.Failback{}, health.Online, false, health.Layer{Drained: true, Ends: t0.Add(35 * time.Second)}, 15 * time.Second, 15 * time.Second},
		{"drained", profile.Failback{}, health.Online, false, health.Layer{Drained: true}, 30 * time.Second, health.Unlimited},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := health.EndpointView{
				Config: cfg, Verdict: health.Verdict{Status: c.status, Since: t0}, Layer: c.layer,
				Votes: []health.Ballot{{Node: "a", Vote: health.Vote{Suspect: c.suspect}}},
			}
			p := &profile.Profile{Routing: profile.Priority, Failback: c.failback}
			health.Resolve(p, &e, false, t0.Add(20*time.Second))
			if e.Horizon != c.horizon || e.Return != c.recovery {
				t.Fatalf("got %v/%v, want %v/%v", e.Horizon, e.Return, c.horizon, c.recovery)
			}
		})
	}
}

func TestStatusWords(t *testing.T) {
	for s := health.CheckingEndpoint; s <= health.Unmonitored; s++ {
		b, _ := s.MarshalText()
		var back health.Status
		if err := back.UnmarshalText(b); err != nil || back != s {
			t.Fatalf("%s does not come back: %v %v", b, back, err)
		}
	}
	var s health.Status
	if err := s.UnmarshalText([]byte("degraded")); err == nil {
		t.Fatal("words are case-sensitive: they are the field's")
	}
}
