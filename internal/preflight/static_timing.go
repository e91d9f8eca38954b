package preflight

import (
	"fmt"
	"strings"
	"time"

	"jurymast/internal/profile"
)

// timing predicts how long a failover lasts. Endpoints with equal brackets share a finding.
func (s *static) timing(place at, p *profile.Profile) {
	var order []Bracket
	group := map[Bracket][]*profile.Endpoint{}
	for _, e := range eligible(p) {
		if e.Target.Profile != "" {
			s.nestedTTL(place, p, e)
			continue
		}
		if b := Predict(&e.Monitor, p.TTL); b.DetectMax != Unbounded && !e.AlwaysServe {
			if group[b] == nil {
				order = append(order, b)
			}
			group[b] = append(group[b], e)
		}
	}
	var longest time.Duration
	for _, b := range order {
		s.bracket(place, p, group[b], b, len(order) > 1)
		longest = max(longest, b.DetectMax)
	}
	if len(order) > 0 && p.TTL > longest {
		s.add(Info, TTLAboveDetection, place,
			fmt.Sprintf("the TTL (%s) is longer than the detection (at most %s)", span(p.TTL), span(longest)),
			ttlWhy(p), "lower ttl, or accept that old answers outlive the verdict; the proxy does not wait for caches")
	}
}

func (s *static) bracket(place at, p *profile.Profile, list []*profile.Endpoint, b Bracket, several bool) {
	m := &list[0].Monitor
	lease := s.in.File.Node.Store.Lease
	what := fmt.Sprintf("predicted failover: detected %s to %s after the fault, clients of DNS follow within %s", span(b.DetectMin), span(b.DetectMax), span(b.UserVisible))
	if several {
		what = strings.Join(endpointNames(list), ", ") + ": " + what
	}
	f := s.add(Info, FailoverTime, place, what,
		"this bracket follows from the settings; a measured failover outside it is a fault", "")
	f.and("%s", settings(m, p.TTL))
	voters := s.votersFor(m)
	if needed := p.Quorum.Needed(voters); needed > 1 {
		f.and("%d of %d nodes must agree: up to %s", needed, voters, span(b.Agreed(m, needed)))
	}
	if s.voters > 1 {
		f.and("leader lost together with the endpoint: up to %s (lease %s and one election)", span(b.SiteLoss(lease)), span(lease))
	}
	if p.Proxy != nil && b.ConfirmMax > 0 {
		f.and("through the proxy: %s when connections are refused, up to %s when the origin hangs, then no TTL counts", span(b.ConfirmMin), span(b.ConfirmMax))
	}
	if b.RecoverMax != Unbounded {
		f.and("return: healthy again within %s of the mend, then failback %s, then the TTL", span(b.RecoverMax), p.Failback.Mode)
	}
}

func ttlWhy(p *profile.Profile) string {
	if p.Azure() {
		return "most of a failover is waiting for caches: compat: azure answers with the full TTL"
	}
	return "most of a failover may be waiting for caches; answers carry less than ttl only as far as the verdict can change sooner"
}

// settings are the words of the formula.
func settings(m *profile.Monitor, ttl time.Duration) string {
	if m.External != nil {
		return fmt.Sprintf("signals from outside, each good for %s; silence means down; ttl %s", span(m.External.TTL), span(ttl))
	}
	if len(m.Checks) > 0 {
		return fmt.Sprintf("%d checks, the bracket covers all of them; ttl %s", len(m.Checks), span(ttl))
	}
	text := fmt.Sprintf("interval %s, timeout %s, ", span(m.Interval), span(m.Timeout))
	if m.IntervalFast > 0 {
		text = fmt.Sprintf("interval %s (%s while in doubt), timeout %s, ", span(m.Interval), span(m.IntervalFast), span(m.Timeout))
	}
	if m.Window.Size > 0 {
		text += fmt.Sprintf("up while %d of %d probes succeed", m.Window.Need, m.Window.Size)
	} else {
		text += fmt.Sprintf("down on failure %d in a row", m.ToleratedFailures+1)
	}
	return text + ", ttl " + span(ttl)
}

func (s *static) nestedTTL(place at, p *profile.Profile, e *profile.Endpoint) {
	child := s.profiles[e.Target.Profile]
	if child == nil || child.TTL >= p.TTL {
		return
	}
	place.endpoint = e.Name
	s.add(Info, NestedTTL, place, fmt.Sprintf("answers from %s carry its TTL, %s, instead of %s", child.Name, span(child.TTL), span(p.TTL)),
		"the smallest TTL on the way through nested profiles counts", "")
}

// hold compares the waiting room of the proxy with what would wait in it.
func (s *static) hold(place at, p *profile.Profile) {
	h, lease := p.Proxy.Hold, s.in.File.Node.Store.Lease
	var refused, hung time.Duration
	for _, e := range eligible(p) {
		if e.Target.Profile == "" && e.Monitor.Probed() && !e.AlwaysServe {
			b := Predict(&e.Monitor, 0)
			refused, hung = max(refused, b.ConfirmMin), max(hung, b.ConfirmMax)
		}
	}
	if hung == 0 {
		return
	}
	switchover := lease + Election + refused
	arithmetic := fmt.Sprintf("lease %s + election %s + decision %s", span(lease), span(Election), span(refused))
	waiting := s.in.Rate * min(switchover, h.MaxWait).Seconds()
	if waiting > float64(h.MaxRequests) {
		s.add(Warning, HoldTooSmall, place,
			fmt.Sprintf("about %.0f requests would wait in a failover, and hold.max_requests is %d", waiting, h.MaxRequests),
			"those that find no place are answered 503 at once",
			fmt.Sprintf("raise hold.max_requests to at least %.0f", waiting*2)).
			and("%s at %g requests per second (state yours with --rate)", arithmetic, s.in.Rate)
	}
	if h.MaxWait < switchover {
		s.add(Warning, HoldTooShort, place,
			fmt.Sprintf("requests wait at most %s, and a failover with a lost leader takes %s", span(h.MaxWait), span(switchover)),
			"every waiting request is answered 503 before the new endpoint may be used",
			"raise hold.max_wait above "+span(switchover)).and("%s", arithmetic)
		return
	}
	if h.MaxWait < hung {
		s.add(Info, HoldHungOrigin, place,
			fmt.Sprintf("requests wait at most %s, and an origin that accepts and never answers is found out after up to %s", span(h.MaxWait), span(hung)),
			"a dead process refuses and is seen in milliseconds; a hung one costs a probe's timeout, and requests of that time get 503",
			"shorten monitor.timeout, or raise hold.max_wait")
	}
}

func (s *static) presence(place at, p *profile.Profile) {
	sessions := p.Proxy.Sessions
	if sessions == nil || sessions.Presence != profile.PresenceNeeded || p.Fencing == profile.Strict || (s.certain && s.voters < 2) {
		return
	}
	s.add(Warning, PresenceRelaxed, place, fmt.Sprintf("presence is needed, fencing is relaxed, and there is more than one node (%s)", s.votersText()),
		"at a switch one node may already send to the new endpoint while another still sends to the old one: agents are then spread over two instances and do not see each other",
		"write fencing: strict")
}

func (s *static) votersText() string {
	if s.certain {
		return fmt.Sprintf("%d, %s", s.voters, s.source)
	}
	return "the store is shared"
}

func endpointNames(list []*profile.Endpoint) []string {
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.Name
	}
	return names
}
