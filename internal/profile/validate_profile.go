package profile

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

const maxTTL = math.MaxInt32 * time.Second // RFC 2181 section 8

func validateProfile(r *report, a *at, p *Profile) {
	r.name(a.child("name"), p.Name)
	validateHostnames(r, a.child("hostnames"), p.Hostnames)
	validateTTL(r, a, p)
	if p.Quorum.Rule == QuorumAtLeast {
		r.between(a.child("quorum").child("at_least"), p.Quorum.N, 1, 1000)
	}
	validateFailback(r, a.child("failback"), p)
	validatePolicies(r, a, p)
	shared := validateSharedMonitor(r, a.child("monitor"), p)
	validateEndpoints(r, a.child("endpoints"), p, shared)
	validateRouting(r, a, p)
	if p.HTTPS != nil {
		validateService(r, a.child("https"), p.HTTPS)
	}
	if p.Proxy != nil {
		validateProxy(r, a.child("proxy"), p)
	}
	validateSwitching(r, a, p)
}

func validateHostnames(r *report, a *at, names []string) {
	if len(names) == 0 {
		r.errorf(a, "at least one host name is needed; write the name clients use, like [www.example.org]")
		return
	}
	seen := unique{}
	for i, h := range names {
		place := a.element(i)
		r.fault(place, h, hostPatternFault(h))
		seen.add(r, place, "the host name", h)
	}
}

func validateTTL(r *report, a *at, p *Profile) {
	ttl := a.child("ttl")
	if p.TTL < 0 || p.TTL > maxTTL {
		r.errorf(ttl, "%ds is out of range; allowed: 0s to %ds", p.TTL/time.Second, maxTTL/time.Second)
	}
	if p.TTL%time.Second != 0 {
		r.errorf(ttl, "%s is not in whole seconds, which DNS counts; write %s or more", p.TTL, short(max(p.TTL.Truncate(time.Second), time.Second)))
	}
	floor := a.child("ttl_floor")
	switch {
	case p.TTLFloor < 0 || p.TTLFloor > p.TTL:
		r.errorf(floor, "%s is out of range; allowed: 0s to the ttl, which is %ds", p.TTLFloor, p.TTL/time.Second)
	case p.TTLFloor%time.Second != 0:
		r.errorf(floor, "%s is not in whole seconds, which DNS counts; write 1s", p.TTLFloor)
	}
}

// validatePolicies checks the ranges of what steers answers and orders.
func validatePolicies(r *report, a *at, p *Profile) {
	validateLabels(r, a.child("labels"), p.Labels)
	r.between(a.child("max_return"), p.MaxReturn, 1, 10)
	r.between(a.child("min_usable"), p.MinUsable, 0, 1000)
	r.lasts(a.child("min_between"), p.MinBetween, 0, 24*time.Hour)
	r.lasts(a.child("latency_band"), p.LatencyBand, 0, 10*time.Second)
	r.lasts(a.child("restore_ramp"), p.RestoreRamp, 0, 24*time.Hour)
	if p.GroupThreshold < 0 || p.GroupThreshold > 1 {
		r.errorf(a.child("group_threshold"), "%g is out of range; allowed: 0 to 1, as a share of the weight", p.GroupThreshold)
	}
}

// validateLabels checks what selectors could not name otherwise.
func validateLabels(r *report, a *at, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		place := a.child(key)
		switch {
		case strings.TrimSpace(key) != key || key == "" || strings.ContainsAny(key, "=,\""):
			r.errorf(place, "the key %q is empty or has a blank around it, a comma, a quote or an equals sign, and no selector could name it; write a word", key)
		case labels[key] == "":
			r.errorf(place, "is empty; write a word, or leave the label out")
		case headerValueFault(labels[key]) != "":
			r.errorf(place, "contains a line break or control character; remove it")
		}
	}
}

func validateFailback(r *report, a *at, p *Profile) {
	after := a.child("after")
	if p.Failback.Mode == FailbackDelayed {
		if !after.given() {
			r.errorf(a, "mode delayed needs after: how long the endpoint must be healthy, like {mode: delayed, after: 10m}")
			return
		}
		r.lasts(after, p.Failback.After, time.Second, 30*24*time.Hour)
		return
	}
	if after.given() {
		r.errorf(after, "belongs to mode delayed, and the mode is %s; write {mode: delayed, after: %s} or remove after", p.Failback.Mode, short(p.Failback.After))
	}
}

// validateSwitching checks the policies of switching against each other: rules of the proxy specification, section
// 2.3, and that fencing has a proxy to fence with.
func validateSwitching(r *report, a *at, p *Profile) {
	var s *Sessions
	if p.Proxy != nil {
		s = p.Proxy.Sessions
	}
	sessions := a.child("proxy").child("sessions")
	if p.Fencing == Strict {
		validateStrict(r, a, p, s)
	}
	// Without session keys what stays is the requests and tunnels under way.
	if p.Failback.Mode == FailbackNewSessions && s != nil && sessions.has("on_failback") && s.OnFailback == Return {
		r.errorf(sessions.child("on_failback"), "return contradicts failback mode new-sessions, which leaves bound sessions where they are; write stay-until-idle or another mode")
	}
	if s != nil && s.Presence == PresenceNeeded {
		validatePresence(r, a, p, s)
	}
}

func validateStrict(r *report, a *at, p *Profile, s *Sessions) {
	place := a.child("fencing")
	switch {
	case p.Proxy == nil:
		r.errorf(place, "strict needs the proxy: DNS clients keep what they cached, so DNS alone cannot keep two endpoints apart; write a proxy section or fencing: relaxed")
	case p.Routing != Priority:
		r.errorf(place, "strict needs routing: priority, the method with one active endpoint; %s sends to several endpoints at once by intent", p.Routing)
	case p.Failback.Mode == FailbackNewSessions:
		r.errorf(place, "strict contradicts failback mode new-sessions, which serves from two endpoints at once; allowed: auto, delayed, manual")
	case s != nil && s.OnFailback != Return:
		r.errorf(place, "strict contradicts on_failback: %s, which serves from two endpoints at once; write on_failback: return", s.OnFailback)
	case p.Proxy.Mode == ModeBalance && len(p.Endpoints) > 1:
		r.errorf(place, "strict contradicts proxy mode balance, which serves from all endpoints at once; write mode: failover")
	}
}

// validatePresence refuses whatever lets two instances hold agents at once: presence is per instance.
func validatePresence(r *report, a *at, p *Profile, s *Sessions) {
	const why = "two instances would hold agents at once and agents on one do not see those on the other"
	place := a.child("proxy").child("sessions").child("presence")
	switch {
	case p.Proxy.Mode == ModeBalance:
		r.errorf(place, "needed contradicts proxy mode balance: %s; write mode: failover", why)
	case p.Failback.Mode == FailbackNewSessions:
		r.errorf(place, "needed contradicts failback mode new-sessions: %s; write mode: manual", why)
	case s.OnFailure == Borrow:
		r.errorf(place, "needed contradicts on_failure: borrow: %s; write on_failure: rebind", why)
	case s.OnFailback != Return:
		r.errorf(place, "needed contradicts on_failback: %s: %s; write on_failback: return", s.OnFailback, why)
	}
}
