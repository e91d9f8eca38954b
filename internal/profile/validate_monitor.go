package profile

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
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
	faults := monitorFaults{}
	for _, problem := range own.list {
		faults[[2]string{strings.TrimPrefix(problem.Path, a.path()), problem.Message}] = true
		r.adopt(problem)
	}
	return faults
}

// validateOwnMonitor checks an endpoint's monitor. What it inherited has been reported where it is written.
func validateOwnMonitor(r *report, a *at, p *Profile, m *Monitor, shared monitorFaults) {
	if !a.given() {
		return
	}
	own := &report{file: r.file}
	validateMonitor(own, a, p, m)
	for _, problem := range own.list {
		if !shared[[2]string{strings.TrimPrefix(problem.Path, a.path()), problem.Message}] {
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
	if m.TLS.SNI != "" {
		r.fault(a.child("tls").child("sni"), m.TLS.SNI, hostNameFault(m.TLS.SNI))
	}
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
		if p.PublicName() == "" && len(p.Hostnames) > 0 {
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

func validateTiming(r *report, a *at, m *Monitor) {
	r.lasts(a.child("interval"), m.Interval, 100*time.Millisecond, 24*time.Hour)
	place := a.child("timeout")
	switch {
	case m.Timeout <= 0:
		r.errorf(place, "%s is out of range; allowed: above 0s, at most 0.9 x interval", m.Timeout)
	case m.Interval > 0 && m.Interval <= 24*time.Hour && m.Timeout/9 > m.Interval/10:
		r.errorf(place, "%s is more than 0.9 x interval (%s), so probes would overlap; write at most %s or a longer interval", short(m.Timeout), short(m.Interval), short(m.Interval/10*9))
	}
	r.between(a.child("tolerated_failures"), m.ToleratedFailures, 0, 100)
	r.between(a.child("recovery_successes"), m.RecoverySuccesses, 1, 100)
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

func validateExpect(r *report, a *at, m *Monitor) {
	if len(m.Expect.Status) == 0 {
		r.errorf(a.child("status"), "is empty, so no answer would be healthy; write [\"200\"] or leave it out")
	}
	if expr := m.Expect.BodyRegex; expr != "" {
		place := a.child("body_regex")
		if len(expr) > maxRegexBytes {
			r.errorf(place, "%d bytes are too many; allowed: %d", len(expr), maxRegexBytes)
		} else if _, err := regexp.Compile(expr); err != nil {
			r.errorf(place, "does not compile: %v; allowed: RE2 syntax, without look-around and back-references", err)
		}
	}
	validateHeaders(r, a.child("header"), m.Expect.Header)
}

// validateSecretNames checks that this node allows the names a profile uses.
func validateSecretNames(r *report, a *at, p *Profile, secrets map[string]SecretSource) {
	validateValues(r, a.child("monitor"), &p.Monitor, secrets)
	for i := range p.Endpoints {
		validateValues(r, a.child("endpoints").element(i).child("monitor"), &p.Endpoints[i].Monitor, secrets)
	}
}

func validateValues(r *report, a *at, m *Monitor, secrets map[string]SecretSource) {
	allowed := slices.Sorted(maps.Keys(secrets))
	check := func(a *at, values map[string]Value) {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			place, v := a.child(name), values[name]
			if !place.given() { // inherited: reported where it is written
				continue
			}
			if _, ok := secrets[v.Secret]; v.Secret != "" && !ok {
				r.errorf(place, "%q is not a secret of this node; %s; add it to node.secrets", v.Secret, suggestNames(v.Secret, allowed))
			}
			if v.Env != "" && !allowsEnv(secrets, v.Env) {
				r.errorf(place, "no entry of node.secrets reads the environment variable %q; write node.secrets: {%s: {env: %s}}", v.Env, v.Env, v.Env)
			}
		}
	}
	check(a.child("headers"), m.Headers)
	check(a.child("expect").child("header"), m.Expect.Header)
}

func suggestNames(name string, allowed []string) string {
	if len(allowed) == 0 {
		return "node.secrets has none"
	}
	return suggest(name, allowed)
}

func allowsEnv(secrets map[string]SecretSource, name string) bool {
	for _, s := range secrets {
		if s.Env == name {
			return true
		}
	}
	return false
}

// MissingSecrets lists what the profile uses and this node does not allow, for a profile that came from the store.
// The messages have paths but no lines: a shared document has no text a person wrote on this node.
func (p *Profile) MissingSecrets(file string, secrets map[string]SecretSource) Problems {
	r := &report{file: file}
	root := &at{line: 1, column: 1}
	for _, name := range p.SecretNames() {
		if _, ok := secrets[name]; !ok {
			r.errorf(&at{up: root, key: name, line: 1, column: 1}, "is not a secret of this node; add it to node.secrets")
		}
	}
	for _, name := range p.EnvNames() {
		if !allowsEnv(secrets, name) {
			r.errorf(&at{up: root, key: name, line: 1, column: 1}, "no entry of node.secrets reads this environment variable; write {%s: {env: %s}}", name, name)
		}
	}
	return r.sorted()
}
