package preflight

import (
	"math"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
)

// The shares of a failover that no key sets.
const (
	Propagation = 50 * time.Millisecond  // store write and watch, from the last vote needed to every front
	Election    = time.Second            // until a new leader leads, after the lease of the lost one has ended
	stall       = 300 * time.Millisecond // until the proxy takes a silent origin for one that hangs
	confirmStep = 100 * time.Millisecond // longest pause between two starts of a confirm run
	confirmFast = 5 * time.Millisecond   // pause of a confirm run after a probe that failed at once
)

// Unbounded stands for a time that the settings do not bound.
const Unbounded = time.Duration(math.MaxInt64)

// Bracket is how long a failover takes, from the fault on. Published formulas give one number and disagree; this is the
// interval in which every measured value must lie, and a value outside is a finding. With interval I, timeout T, N
// tolerated failures, fast interval F and t, the time one failing probe takes (0 refused ... T timeout):
//
//	detection               N*I + t        ... (N+1)*I + T
//	with interval_fast      N*max(F,t) + t ... I + N*max(F,T) + T
//	several checks          the smallest lower and the largest upper bound of them
//	signals from outside    0 ... the life of a signal
type Bracket struct {
	DetectMin time.Duration // fault to vote down, every failing probe refused at once
	DetectMax time.Duration // fault to vote down, every failing probe running into its timeout; may be Unbounded

	UserVisible time.Duration // DetectMax and the TTL: the longest a client of DNS that obeys TTLs waits

	// ConfirmMin and ConfirmMax replace the detection where the proxy carries requests: its failures start a confirm run.
	ConfirmMin time.Duration // connections are refused
	ConfirmMax time.Duration // the origin accepts and hangs

	RecoverMax time.Duration // mend to vote up; the failback rule and the TTL come on top; may be Unbounded
}

// Predict computes the bracket of an endpoint with this monitor at one vantage point. Of voters that must agree the last
// one counts: see Agreed. A healthy probe that is under way when the fault begins may fail too, so DetectMin may be
// undercut by the time such a probe takes.
func Predict(m *profile.Monitor, ttl time.Duration) Bracket {
	b := detection(m)
	b.UserVisible = plus(b.DetectMax, ttl)
	return b
}

// Agreed adds what a verdict of needed voters costs: their probes start at different times, up to one interval apart,
// and the vote travels through the store.
func (b Bracket) Agreed(m *profile.Monitor, needed int) time.Duration {
	if needed < 2 {
		return plus(b.DetectMax, Propagation)
	}
	return plus(b.DetectMax, slowest(m)+Propagation)
}

// SiteLoss is the largest detection when the leader is lost together with the endpoint.
func (b Bracket) SiteLoss(lease time.Duration) time.Duration {
	return plus(b.DetectMax, lease+Election+Propagation)
}

func detection(m *profile.Monitor) Bracket {
	switch {
	case m.Assume != profile.AssumeNothing, m.Calculated != nil:
		return Bracket{DetectMax: Unbounded, RecoverMax: Unbounded}
	case m.External != nil && m.External.OnSilence == profile.SilenceDown:
		return Bracket{DetectMax: m.External.TTL, RecoverMax: Unbounded}
	case m.External != nil:
		return Bracket{DetectMax: Unbounded, RecoverMax: Unbounded}
	case len(m.Checks) == 0:
		return single(m)
	}
	b := single(&m.Checks[0].Monitor)
	for i := 1; i < len(m.Checks); i++ {
		c := single(&m.Checks[i].Monitor)
		b.DetectMin, b.DetectMax = min(b.DetectMin, c.DetectMin), max(b.DetectMax, c.DetectMax)
		b.ConfirmMin, b.ConfirmMax = min(b.ConfirmMin, c.ConfirmMin), max(b.ConfirmMax, c.ConfirmMax)
		b.RecoverMax = max(b.RecoverMax, c.RecoverMax)
	}
	return b
}

func single(m *profile.Monitor) Bracket {
	rule := health.RuleOf(m)
	n, again := rule.Tolerated, rule.Recovery-1
	b := Bracket{
		DetectMin:  times(n, m.Interval),
		DetectMax:  times(n+1, m.Interval) + m.Timeout,
		ConfirmMin: times(n, confirmFast) + Propagation,
		ConfirmMax: stall + times(n, min(m.Timeout/3, confirmStep)) + m.Timeout + Propagation,
		RecoverMax: times(again+1, m.Interval) + m.Timeout,
	}
	if f := m.IntervalFast; f > 0 {
		b.DetectMin = times(n, f)
		b.DetectMax = m.Interval + times(n, max(f, m.Timeout)) + m.Timeout
		b.RecoverMax = m.Interval + times(again, max(f, m.Timeout)) + m.Timeout
	}
	b.RecoverMax = max(b.RecoverMax, m.HoldDown)
	return b
}

func times(n int, d time.Duration) time.Duration { return time.Duration(n) * d }

// slowest is the longest interval of a monitor's checks.
func slowest(m *profile.Monitor) time.Duration {
	if len(m.Checks) == 0 {
		return m.Interval
	}
	var longest time.Duration
	for i := range m.Checks {
		longest = max(longest, m.Checks[i].Monitor.Interval)
	}
	return longest
}

// plus adds without passing Unbounded.
func plus(a, b time.Duration) time.Duration {
	if a == Unbounded || b == Unbounded || a > Unbounded-b {
		return Unbounded
	}
	return a + b
}
