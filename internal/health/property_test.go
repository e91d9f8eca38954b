package health_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// anyMonitor is a monitor that counts in a row, or k of n.
func anyMonitor(t *rapid.T) profile.Monitor {
	m := profile.Monitor{
		Interval:          10 * time.Second,
		ToleratedFailures: rapid.IntRange(0, 4).Draw(t, "tolerated"), RecoverySuccesses: rapid.IntRange(1, 4).Draw(t, "recovery"),
	}
	if rapid.Bool().Draw(t, "fast") {
		m.IntervalFast = 3 * time.Second
	}
	if rapid.Bool().Draw(t, "windowed") {
		m.Window.Size = rapid.SampledFrom([]int{1, 2, 3, 5, 8, 64}).Draw(t, "size")
		m.Window.Need = rapid.IntRange(1, m.Window.Size).Draw(t, "need")
	}
	return m
}

// anyResults are good, bad and, rarely, a change of the monitor (c) or of the target (x).
func anyResults(t *rapid.T) string {
	n := rapid.SampledFrom([]int{3, 10, 50, 150}).Draw(t, "how many") // a drawn length would be short
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(strings.Split("ggggggggggbbbbbbbbbbcx", "")), n, n).Draw(t, "results"), "")
}

// slow is a Tracker that keeps all results and counts them anew each time.
type slow struct {
	m       profile.Monitor
	results string // since the last reset or change of the monitor
	opinion health.Opinion
}

func (s *slow) step(result byte) {
	s.results += string(result)
	failures, successes, tolerated, needed := s.row('b'), s.row('g'), s.m.ToleratedFailures, s.m.RecoverySuccesses
	if w := s.m.Window; w.Size > 0 {
		failures, successes, tolerated, needed = s.last('b'), s.last('g'), w.Size-w.Need, w.Need
	}
	switch {
	case failures > tolerated:
		s.opinion = health.Down
	case s.opinion == health.Checking && successes > 0:
		s.opinion = health.Up
	case s.opinion == health.Down && successes >= needed:
		s.opinion = health.Up
	}
}

// row is how many of that result came last in a row.
func (s *slow) row(result byte) int {
	return len(s.results) - len(strings.TrimRight(s.results, string(result)))
}

// last is how many of that result are in the window.
func (s *slow) last(result byte) int {
	return strings.Count(s.results[max(0, len(s.results)-s.m.Window.Size):], string(result))
}

// suspect: a result is there that counts towards a flip.
func (s *slow) suspect() bool {
	count := s.row
	if s.m.Window.Size > 0 {
		count = s.last
	}
	return s.opinion == health.Up && count('b') > 0 || s.opinion == health.Down && count('g') > 0
}

func TestTrackerAgainstSlowOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMonitor(t)
		rule, results := health.RuleOf(&m), anyResults(t)
		var tr health.Tracker
		s, since := slow{m: m}, time.Time{}
		for i := range results {
			now := t0.Add(time.Duration(i) * time.Second)
			switch results[i] {
			case 'c':
				tr.Recount()
				s.results = ""
			case 'x':
				tr.Reset(now, "elsewhere")
				s, since = slow{m: m}, now
			default:
				before, was := tr.Vote, s.opinion
				publish := tr.Step(rule, health.Observation{At: now, OK: results[i] == 'g', Reason: "seen"})
				if s.step(results[i]); s.opinion != was {
					since = now
				}
				if tr.Opinion != s.opinion || tr.Suspect != s.suspect() || tr.Failures != s.row('b') || tr.Successes != s.row('g') || !tr.Since.Equal(since) {
					t.Fatalf("%+v %s: got %+v, want %v suspect %v since %v", rule, results[:i+1], tr.Vote, s.opinion, s.suspect(), since)
				}
				if changed := before.Opinion != tr.Opinion || before.Suspect != tr.Suspect; changed != publish {
					t.Fatalf("%+v %s: published %v, changed %v", rule, results[:i+1], publish, changed)
				}
			}
		}
	})
}

// Horizon and Recovery are promises to resolvers: no row of results flips the status sooner, probed as often as said.
func TestNoResultsFlipSoonerThanTheHorizon(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMonitor(t)
		rule, results := health.RuleOf(&m), anyResults(t)
		var tr health.Tracker
		for i := range results {
			now := t0.Add(time.Duration(i) * time.Second)
			switch results[i] {
			case 'c':
				tr.Recount()
			case 'x':
				tr.Reset(now, "elsewhere")
			default:
				tr.Step(rule, health.Observation{At: now, OK: results[i] == 'g'})
			}
			e := health.EndpointView{Config: &profile.Endpoint{Enabled: true, Monitor: m}, Votes: []health.Ballot{{Node: "a", Vote: tr.Vote}}}
			e.Verdict = health.Quorum(profile.Quorum{}, e.Votes, health.Verdict{}, now)
			health.Resolve(&profile.Profile{Enabled: true, Routing: profile.Weighted}, &e, false, now)
			promised := e.Horizon
			if tr.Opinion == health.Down {
				promised = e.Recovery
			}
			if can := soonestFlip(tr, &m); promised > can {
				t.Fatalf("%+v %s: %v suspect %v promises %v, can flip after %v", rule, results[:i+1], tr.Opinion, tr.Suspect, promised, can)
			}
		}
	})
}

// soonestFlip is how long results that all speak against the opinion take until it changes.
func soonestFlip(tr health.Tracker, m *profile.Monitor) (after time.Duration) {
	first := m.Interval
	if m.IntervalFast > 0 && (tr.Suspect || tr.Opinion == health.Checking) {
		first = m.IntervalFast
	}
	was := tr.Opinion
	for after = first; ; {
		tr.Step(health.RuleOf(m), health.Observation{OK: was != health.Up})
		if tr.Opinion != was {
			return after
		}
		if m.IntervalFast > 0 && tr.Suspect {
			after += m.IntervalFast
		} else {
			after += m.Interval
		}
	}
}

var anyRule = rapid.Custom(func(t *rapid.T) profile.Quorum {
	kind := rapid.SampledFrom([]profile.QuorumRule{profile.QuorumMajority, profile.QuorumAny, profile.QuorumAll, profile.QuorumAtLeast}).Draw(t, "rule")
	q := profile.Quorum{Rule: kind}
	if kind == profile.QuorumAtLeast {
		q.N = rapid.IntRange(1, 5).Draw(t, "n")
	}
	return q
})

// anyWord is votes of up to seven nodes in the letters of ballots: capitals are blind.
var anyWord = rapid.StringOfN(rapid.SampledFrom([]rune("uuuddcUDC")), 0, 7, -1)

func TestOrderOfVotesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule, word := anyRule.Draw(t, "quorum"), anyWord.Draw(t, "votes")
		prev := health.Verdict{
			Status: rapid.SampledFrom([]health.Status{health.CheckingEndpoint, health.Online, health.Degraded}).Draw(t, "before"),
			Since:  t0, Held: rapid.Bool().Draw(t, "held"), Stale: rapid.Bool().Draw(t, "stale"),
		}
		votes := ballots(word)
		for i := range votes {
			votes[i].Reason = fmt.Sprint("seen by ", votes[i].Node)
		}
		got := health.Quorum(rule, votes, prev, t0.Add(time.Minute))
		if want := dumb(rule, word, prev.Status); got.Status != want {
			t.Fatalf("%v %s from %v: got %v, want %v", rule, word, prev.Status, got.Status, want)
		}
		shuffled := rapid.Permutation(votes).Draw(t, "shuffled")
		if again := health.Quorum(rule, shuffled, prev, t0.Add(time.Minute)); again != got {
			t.Fatalf("%v %s: order matters: %+v, then %+v", rule, word, got, again)
		}
	})
}

// Two falls of one endpoint are at least hold_down apart, whatever the votes do; and it is held no longer than that.
func TestHoldDownSpacesFalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := anyRule.Draw(t, "quorum")
		hold := time.Duration(rapid.IntRange(0, 60).Draw(t, "hold")) * time.Second
		var v health.Verdict
		var fell time.Time
		now := t0
		for range rapid.SampledFrom([]int{3, 10, 60}).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "wait")) * time.Second)
			word := anyWord.Draw(t, "votes")
			votes := dumb(rule, word, v.Status)
			was := v
			v = health.HoldDown(was, health.Quorum(rule, ballots(word), was, now), hold, now)
			want := votes
			if was.Status == health.Degraded && votes == health.Online && now.Before(fell.Add(hold)) {
				want = health.Degraded
			}
			switch {
			case v.Status != want:
				t.Fatalf("votes %s at %v, fell at %v, hold %v: got %v, want %v", word, now, fell, hold, v.Status, want)
			case v.Held && v.Status != health.Degraded:
				t.Fatalf("held but %v", v.Status)
			case v.Held != (votes == health.Online && want == health.Degraded) && word != "":
				t.Fatalf("held %v while votes %s say %v", v.Held, word, votes)
			case v.Status == was.Status && !was.Since.IsZero() && !v.Since.Equal(was.Since):
				t.Fatalf("since moved from %v to %v without a change", was.Since, v.Since)
			}
			if v.Status == health.Degraded && was.Status != health.Degraded {
				if !fell.IsZero() && now.Before(fell.Add(hold)) {
					t.Fatalf("fell at %v and again at %v; hold_down %v", fell, now, hold)
				}
				fell = now
			}
		}
	})
}

// Several checks are one vote: whichever way they came, up means enough are, down that too few can be.
func TestMergeAgainstCounting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opinions := rapid.SliceOfN(rapid.SampledFrom([]health.Opinion{health.Checking, health.Up, health.Down}), 1, 6).Draw(t, "opinions")
		combine := profile.Combine{Rule: rapid.SampledFrom([]profile.CombineRule{profile.CombineAll, profile.CombineAny, profile.CombineAtLeast}).Draw(t, "combine")}
		combine.N = rapid.IntRange(1, len(opinions)).Draw(t, "n")
		n := map[health.Opinion]int{}
		var checks []health.Named
		for i, o := range opinions {
			n[o]++
			checks = append(checks, health.Named{Name: fmt.Sprint(i), Tracker: &health.Tracker{Vote: health.Vote{Opinion: o}}})
		}
		want := health.Checking
		switch need := map[profile.CombineRule]int{profile.CombineAll: len(opinions), profile.CombineAny: 1, profile.CombineAtLeast: combine.N}[combine.Rule]; {
		case n[health.Up] >= need:
			want = health.Up
		case len(opinions)-n[health.Down] < need:
			want = health.Down
		}
		if got, _ := health.Merge(combine, health.Vote{}, checks, t0); got.Opinion != want {
			t.Fatalf("%v of %v: got %v, want %v", combine, opinions, got.Opinion, want)
		}
	})
}
