package profile

import (
	"maps"
	"slices"
	"strings"
)

const (
	maxHeaders    = 64
	maxRegexBytes = 1000
)

// monitorFaults are the problems of a profile's own monitor, by path below it and message.
type monitorFaults map[[2]string]bool

func validateSharedMonitor(r *report, a *at, p *Profile) monitorFaults {
	own := &report{file: r.file}
	validateMonitor(own, a, p, &p.Monitor)
	faults := faultsOf(own.list, a)
	if len(own.list) > 0 {
		// What is written beside a wrong value can hide it here and nowhere below: look at the values alone too.
		bare := &report{file: r.file}
		validateMonitor(bare, &at{up: a.up, key: a.key, line: a.line, column: a.column}, p, &p.Monitor)
		maps.Copy(faults, faultsOf(bare.list, a))
	}
	for _, problem := range own.list {
		r.adopt(problem)
	}
	validateChecks(r, a, a, p, &p.Monitor, faults)
	return faults
}

func faultsOf(list Problems, a *at) monitorFaults {
	faults := monitorFaults{}
	for _, problem := range list {
		faults[[2]string{below(problem.Path, a), problem.Message}] = true
	}
	return faults
}

// below is a path as seen from the monitor at a, also when the value was written under the file's defaults.
func below(path string, a *at) string {
	if rest, ok := strings.CutPrefix(path, a.path()); ok {
		return rest
	}
	return strings.TrimPrefix(path, "defaults.monitor")
}

// validateOwnMonitor checks an endpoint's monitor. What it inherited has been reported where it is written.
func validateOwnMonitor(r *report, a *at, p *Profile, m *Monitor, shared monitorFaults) {
	if !a.given() {
		return
	}
	own := &report{file: r.file}
	validateMonitor(own, a, p, m)
	r.adoptOwn(own.list, a, shared)
}

// adoptOwn takes over what a level adds to the mistakes of the level it inherits from.
func (r *report) adoptOwn(list Problems, a *at, shared monitorFaults) {
	for _, problem := range list {
		if !shared[[2]string{below(problem.Path, a), problem.Message}] {
			r.adopt(problem)
		}
	}
}

// validateMonitor checks one level: the profile's monitor, or an endpoint's with the inherited keys in it.
func validateMonitor(r *report, a *at, p *Profile, m *Monitor) {
	r.between(a.child("port"), m.Port, 0, 65535)
	validateRequest(r, a, m)
	validateHost(r, a, p, m)
	validateTiming(r, a, m)
	validateHeaders(r, a.child("headers"), m.Headers)
	validateExpect(r, a.child("expect"), m)
	validateMonitorTLS(r, a.child("tls"), &m.TLS)
	validateKind(r, a, p, m)
	validateSource(r, a, m)
}

func validateRequest(r *report, a *at, m *Monitor) {
	place := a.child("path")
	switch m.Protocol {
	case HTTP, HTTPS:
		switch {
		case !strings.HasPrefix(m.Path, "/"):
			r.errorf(place, "%q does not begin with a slash; write a path like /health", m.Path)
		case strings.ContainsAny(m.Path, " #\t\r\n"):
			r.errorf(place, "%q contains a blank or #; escape them as %%20 and %%23", m.Path)
		}
	case TCP, DNS, Exec:
		if m.Path != "" {
			r.errorf(place, "protocol %s asks no path; remove it, or write protocol: http", m.Protocol)
		}
	}
	why := tokenFault(m.Method)
	switch {
	case why == "" && strings.ToUpper(m.Method) != m.Method:
		why = "is not in capitals, as methods are; write " + strings.ToUpper(m.Method)
	case m.Method == "CONNECT":
		why = "opens a tunnel and asks nothing; write GET or HEAD"
	}
	r.fault(a.child("method"), m.Method, why)
}

// validateHost checks which name a probe says. The profile's own level counts when some endpoint uses it.
func validateHost(r *report, a *at, p *Profile, m *Monitor) {
	place := a.child("host")
	if e, header, ok := hostEntry(a.child("headers")); ok {
		switch {
		case a.has("host"):
			r.errorf(a.child("headers").keyOf(e), "says the same as monitor.host in line %d; keep one of them", place.line)
			return
		case header.n.kind == kindMap:
			r.errorf(header, "the Host header cannot be a secret; write the name")
			return
		}
		place = header
		if m.Host == HostProfile || m.Host == HostTarget || m.Host == HostOrigin {
			r.errorf(place, "%q is a word of monitor.host, not a host name; write host: %s instead of the header", m.Host, m.Host)
			return
		}
	}
	switch m.Host {
	case HostTarget, HostOrigin:
	case HostProfile:
		if p.PublicName() == "" && len(p.Hostnames) > 0 && saysName(p, m) {
			r.errorf(place, "profile means the first host name without a wildcard, and there is none; write the name probes should say")
		}
	default:
		host, port, ok := cutPort(m.Host)
		if _, isAddr := parseAddr(host); isAddr && (!ok || validPort(port)) {
			return
		}
		why := hostNameFault(host)
		if strings.Contains(m.Host, "*") {
			why = "is a wildcard, and a probe must say one name"
		}
		if ok && !validPort(port) {
			why = "has no valid port"
		}
		if why != "" {
			r.errorf(place, "%q %s; allowed: profile, target, origin or a host name", m.Host, why)
		}
	}
}

// saysName reports that a probe with this monitor says a host name, as HTTP does.
func saysName(p *Profile, m *Monitor) bool {
	nested := len(p.Endpoints) > 0 && !slices.ContainsFunc(p.Endpoints, func(e Endpoint) bool { return e.Target.Profile == "" })
	return m.Probed() && !nested && (m.Protocol == HTTP || m.Protocol == HTTPS)
}

func validateHeaders(r *report, a *at, headers map[string]Value) {
	if len(headers) > maxHeaders {
		r.errorf(a, "%d headers; allowed: at most %d", len(headers), maxHeaders)
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		place := a.child(name)
		if why := tokenFault(name); why != "" {
			r.errorf(place, "the header name %q %s", name, why)
			continue
		}
		if why := headerValueFault(headers[name].Text); why != "" {
			r.errorf(place, "the value %s", why)
		}
	}
}
