package profile

import (
	"math"
	"net/netip"
	"net/url"
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
	shared := validateSharedMonitor(r, a.child("monitor"), p)
	validateEndpoints(r, a.child("endpoints"), p, shared)
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

func validateEndpoints(r *report, a *at, p *Profile, shared monitorFaults) {
	names, priorities := unique{}, map[int]*at{}
	for i := range p.Endpoints {
		e, place := &p.Endpoints[i], a.element(i)
		if !place.mapping() {
			continue
		}
		r.name(place.child("name"), e.Name)
		names.add(r, place.child("name"), "the endpoint", e.Name)
		number := place.child("priority")
		r.between(number, e.Priority, 1, 1000)
		if first, twice := priorities[e.Priority]; twice && number.given() {
			r.errorf(number, "%d is already used in line %d; priorities are unique in a profile; write another, or leave it out for the next free one", e.Priority, first.line)
		} else {
			priorities[e.Priority] = number
		}
		validateEndpoint(r, place, e)
		validateOwnMonitor(r, place.child("monitor"), p, &e.Monitor, shared)
	}
}

func validateEndpoint(r *report, a *at, e *Endpoint) {
	if !a.has("target") {
		r.errorf(a.child("target"), "is missing; write what DNS answers: a host name, an address, a list of addresses or {profile: NAME}")
	}
	if a.has("origin") {
		r.fault(a.child("origin"), e.Origin, originFault(e.Origin))
	}
	r.between(a.child("weight"), e.Weight, 0, 1000)
	validateLocation(r, a.child("location"), e.Location)
	seen := unique{}
	for i, code := range e.Geo {
		place := a.child("geo").element(i)
		if strings.TrimSpace(code) == "" {
			r.errorf(place, "is empty; write a geographic code like DE or GEO-EU")
		}
		seen.add(r, place, "the code", code)
	}
	for i, s := range e.Subnets {
		_, _, why := parseSubnet(s)
		r.fault(a.child("subnets").element(i), s, why)
	}
	if e.Target.Profile != "" && e.AlwaysServe {
		r.errorf(a.child("always_serve"), "is not possible with target {profile: %s}, whose health is computed; remove one of them", e.Target.Profile)
	}
}

func validateLocation(r *report, a *at, l Location) {
	if (l.Lat == nil) != (l.Lon == nil) {
		r.errorf(a, "lat and lon belong together; write {lat: 50.1, lon: 8.7} or {region: NAME}")
		return
	}
	if l.Lat != nil && (*l.Lat < -90 || *l.Lat > 90) {
		r.errorf(a.child("lat"), "%g is out of range; allowed: -90 to 90 degrees", *l.Lat)
	}
	if l.Lon != nil && (*l.Lon < -180 || *l.Lon > 180) {
		r.errorf(a.child("lon"), "%g is out of range; allowed: -180 to 180 degrees", *l.Lon)
	}
}

// originFault says what is wrong with http(s)://host[:port], or "".
func originFault(origin string) string {
	const remedy = "; write http://host:port or https://host"
	u, err := url.Parse(origin)
	if err != nil {
		return "is not a URL" + remedy
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "has no scheme http or https" + remedy
	case u.User != nil:
		return "carries a user name or password, which must not stand in a shared document; send it as a header with {secret: NAME}"
	case u.Hostname() == "":
		return "has no host" + remedy
	case u.Path != "" && u.Path != "/":
		return "has a path; requests keep their own path and a probe's stands in monitor.path; remove it"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(origin, "#"):
		return "has a query or fragment; remove it"
	}
	if port := u.Port(); strings.HasSuffix(u.Host, ":") || port != "" && !validPort(port) {
		return "has no valid port; allowed: 1 to 65535" + remedy
	}
	if _, ok := parseAddr(u.Hostname()); ok {
		return ""
	}
	return hostNameFault(u.Hostname())
}

func validPort(port string) bool {
	addr, err := netip.ParseAddrPort("127.0.0.1:" + port)
	return err == nil && addr.Port() > 0
}

func prefixFault(s, remedy string) string {
	if _, err := netip.ParseAddr(s); err == nil {
		return ""
	}
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return "is not a network" + remedy
	case prefix.Masked() != prefix:
		return "has bits set behind its length; write " + prefix.Masked().String()
	}
	return ""
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
	if p.Failback.Mode == FailbackNewSessions {
		mode := a.child("failback").child("mode")
		switch {
		case s == nil || len(s.Keys) == 0:
			r.errorf(mode, "new-sessions needs proxy.sessions.keys, or there is no session to tell apart; write the keys or another mode: auto, delayed, manual")
		case sessions.has("on_failback") && s.OnFailback == Return:
			r.errorf(sessions.child("on_failback"), "return contradicts failback mode new-sessions, which leaves bound sessions where they are; write stay-until-idle or another mode")
		}
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

// SecretNames are the names of node.secrets this profile uses, sorted: a node must allow all of them.
func (p *Profile) SecretNames() []string {
	return p.valueNames(func(v Value) string { return v.Secret })
}

// EnvNames are the environment variables this profile uses, sorted: some entry of node.secrets must name each.
func (p *Profile) EnvNames() []string {
	return p.valueNames(func(v Value) string { return v.Env })
}

func (p *Profile) valueNames(of func(Value) string) []string {
	var names []string
	collect := func(m *Monitor) {
		for _, values := range []map[string]Value{m.Headers, m.Expect.Header} {
			for _, v := range values {
				if name := of(v); name != "" {
					names = append(names, name)
				}
			}
		}
	}
	collect(&p.Monitor)
	for i := range p.Endpoints {
		collect(&p.Endpoints[i].Monitor)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
