package profile

import (
	"path"
	"reflect"
	"slices"
	"strings"
)

func finishNode(a *at, n *Node) {
	if !a.child("api").has("socket") {
		n.API.Socket = path.Join(n.Data, socketName)
	}
}

func finishZone(z *Zone) {
	z.Name = CanonicalName(z.Name)
	z.Hostmaster = CanonicalName(z.Hostmaster)
	for i := range z.Nameservers {
		z.Nameservers[i] = CanonicalName(z.Nameservers[i])
	}
	finishTransfer(z.Transfer)
	if z.Hostmaster == "" && len(z.Nameservers) > 0 {
		z.Hostmaster = "hostmaster." + z.Name
	}
	finishSecondary(z.Secondary)
}

func finishProfile(d *decoder, a *at, p *Profile) {
	for i := range p.Hostnames {
		p.Hostnames[i] = CanonicalName(p.Hostnames[i])
	}
	if !a.has("ttl_floor") {
		p.TTLFloor = min(p.TTLFloor, p.TTL)
	}
	if p.Proxy != nil && p.Proxy.Sessions != nil {
		finishSessions(a.child("proxy").child("sessions"), p)
	}
	if p.Failback.Mode == "" {
		p.Failback.Mode = FailbackAuto
		if p.Proxy != nil && p.Proxy.Sessions != nil { // presence is a key of sessions, so it is covered too
			p.Failback.Mode = FailbackManual
		}
	}
	finishMonitors(d, a, p)
	for i := range p.Endpoints {
		finishEndpoint(a.child("endpoints").element(i), &p.Endpoints[i])
	}
	finishPriorities(a.child("endpoints"), p.Endpoints)
	p.Ranges = rangesOf(p)
}

func finishEndpoint(a *at, e *Endpoint) {
	if e.Target.Profile != "" {
		e.Monitor = e.Monitor.single() // computed from the child, whatever the profile's monitor says
		if !a.has("min_child") {
			e.MinChild = 1
		}
	}
	for i := range e.Geo {
		e.Geo[i] = strings.ToUpper(strings.TrimSpace(e.Geo[i]))
	}
}

func finishSessions(a *at, p *Profile) {
	s := p.Proxy.Sessions
	for i := range s.Keys {
		k := &s.Keys[i]
		if !a.child("keys").element(i).has("max_bytes") && (k.SOAP != "" || k.JSON != "") {
			k.MaxBytes = defaultBodyKey
		}
	}
	// Under new-sessions a bound session stays until it ends, whatever on_failback says, so the value says so too.
	if p.Failback.Mode == FailbackNewSessions && !a.has("on_failback") {
		s.OnFailback = StayUntilIdle
	}
}

// finishMonitors settles the monitors of a profile: its own last, because the endpoints' checks are read onto what they
// inherited.
func finishMonitors(d *decoder, a *at, p *Profile) {
	shared := levels{a.child("monitor")}
	for i := range p.Endpoints {
		m, own := &p.Endpoints[i].Monitor, a.child("endpoints").element(i).child("monitor")
		finishSource(own, m)
		checks := own.child("checks")
		if !checks.given() && len(m.Checks) > 0 { // inherited: read again onto this endpoint's monitor
			checks = shared[0].child("checks")
			m.Checks = nil
			d.into(checks, reflect.ValueOf(m).Elem().FieldByName("Checks"), func(a *at) any { return m.newElement("checks", a) })
		}
		finishRule(own, m)
		finishLevels(levels{own, shared[0]}, checks, m)
	}
	finishLevels(shared, shared[0].child("checks"), &p.Monitor)
}

// verdictKeys say where a verdict comes from; an endpoint that writes one has none of the others from its profile.
var verdictKeys = []string{"checks", "calculated", "external", "assume"}

func finishSource(own *at, m *Monitor) {
	if !slices.ContainsFunc(verdictKeys, own.has) {
		return
	}
	if !own.has("checks") {
		m.Checks = nil
	}
	if !own.has("calculated") {
		m.Calculated = nil
	}
	if !own.has("external") {
		m.External = nil
	}
	if !own.has("assume") {
		m.Assume = AssumeNothing
	}
}

// finishRule drops an inherited window where the nearer level counts failures in a row.
func finishRule(own *at, m *Monitor) {
	if own.has("tolerated_failures") && !own.has("window") {
		m.Window = Window{}
	}
}

// levels are the places a monitor was written at, the nearest first.
type levels []*at

// nearest is the first level that has one of the keys, or nil.
func (l levels) nearest(keys ...string) *at {
	for _, a := range l {
		if slices.ContainsFunc(keys, a.has) {
			return a
		}
	}
	return nil
}

// finishLevels settles a monitor and its checks, which were written at the place checks.
func finishLevels(l levels, checks *at, m *Monitor) {
	for i := range m.Checks {
		own := checks.element(i)
		finishRule(own, &m.Checks[i].Monitor)
		finishMonitor(append(levels{own}, l...), &m.Checks[i].Monitor)
	}
	if m.Calculated != nil && l.nearest("calculated") != nil && !l.nearest("calculated").child("calculated").has("at_least") {
		m.Calculated.AtLeast = len(m.Calculated.Of)
	}
	finishMonitor(l, m)
}

// finishMonitor settles what depends on other keys.
func finishMonitor(l levels, m *Monitor) {
	if l.nearest("timeout") == nil {
		m.Timeout = min(maxDefaultTimeout, m.Interval/10*9)
	}
	switch m.Protocol {
	case HTTP, HTTPS:
		if m.Path == "" && l.nearest("path") == nil {
			m.Path = defaultPath
		}
	case TCP, DNS, Exec:
		if !l[0].has("path") { // inherited or default: means nothing here
			m.Path = ""
		}
	}
	if at := l.nearest("port", "protocol"); m.Protocol == DNS && at != nil && !at.has("port") {
		m.Port = defaultDNSPort // a port written further away is that of another protocol
	}
	m.Query.Type, m.Query.Rcode = strings.ToUpper(m.Query.Type), strings.ToUpper(m.Query.Rcode)
	m.Query.Name = CanonicalName(m.Query.Name)
	finishHost(l, m)
}

// finishHost folds a Host header into Host, so that probes read one field. The nearer level wins; both on the same
// level is an error that validation reports.
func finishHost(l levels, m *Monitor) {
	name, header, ok := hostHeader(m.Headers)
	if !ok || header.Secret != "" || header.Env != "" { // a secret is refused by validation
		return
	}
	delete(m.Headers, name)
	for _, a := range l {
		if _, _, here := hostEntry(a.child("headers")); here {
			m.Host = header.Text
			return
		}
		if a.has("host") {
			return
		}
	}
}

func hostHeader(headers map[string]Value) (name string, v Value, ok bool) {
	for name, v := range headers {
		if strings.EqualFold(name, "Host") {
			return name, v, true
		}
	}
	return "", Value{}, false
}

func hostEntry(headers *at) (entry, *at, bool) {
	if headers.n != nil {
		for _, e := range headers.n.entries {
			if strings.EqualFold(e.key, "Host") {
				return e, headers.child(e.key), true
			}
		}
	}
	return entry{}, nil, false
}

// finishPriorities numbers the endpoints that have no priority: the highest in use plus one, in the order of the
// list; the first of a profile without any is 1.
func finishPriorities(a *at, endpoints []Endpoint) {
	highest := 0
	for i := range endpoints {
		if a.element(i).has("priority") {
			highest = max(highest, endpoints[i].Priority)
		}
	}
	for i := range endpoints {
		if !a.element(i).has("priority") {
			highest++
			endpoints[i].Priority = highest
		}
	}
}
