package profile

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxSend      = 64 << 10 // bytes of what a tcp probe says
	maxBodyLimit = Size(16 << 20)
	maxChecks    = 32 // of one endpoint
)

// validateChecks checks the checks of one level against the monitor they start from. profile is the place of the
// profile's monitor, where the checks of an endpoint without its own are written.
func validateChecks(r *report, profile, a *at, p *Profile, m *Monitor, shared monitorFaults) {
	list := a.child("checks")
	if !a.has("checks") {
		list = profile.child("checks")
	}
	if len(m.Checks) > maxChecks {
		r.errorf(list, "%d checks; allowed: at most %d", len(m.Checks), maxChecks)
	}
	written := a.has("combine") || a.has("checks") // else it was reported at the profile
	if n := m.Combine.N; m.Combine.Rule == CombineAtLeast && written && (n < 1 || len(m.Checks) > 0 && n > len(m.Checks)) {
		r.errorf(a.child("combine").child(atLeast), "%d is out of range; allowed: 1 to the number of checks, which is %d", n, len(m.Checks))
	}
	base := &report{}
	if len(m.Checks) > 0 {
		around := m.single()
		validateMonitor(base, a, p, &around)
	}
	inherited := faultsOf(base.list, a)
	for key := range shared {
		inherited[key] = true
	}
	names := unique{}
	for i := range m.Checks {
		place := list.element(i)
		if !place.mapping() {
			continue
		}
		r.name(place.child("name"), m.Checks[i].Name)
		names.add(r, place.child("name"), "the check", m.Checks[i].Name)
		own := &report{file: r.file}
		validateMonitor(own, place, p, &m.Checks[i].Monitor)
		r.adoptOwn(own.list, place, inherited)
		validateProgramName(r, place, &m.Checks[i].Monitor)
	}
	if a != profile && len(m.Checks) == 0 && m.Probed() || a == profile && len(p.Endpoints) == 0 {
		validateProgramName(r, a, m)
	}
}

// validateProgramName: an exec check names its program. It is asked of what is really run.
func validateProgramName(r *report, a *at, m *Monitor) {
	if m.Protocol == Exec && m.Exec == "" {
		r.errorf(a.child("exec"), "is missing, and protocol exec runs a program; write the name it has in node.exec")
	}
}

// onlyFor refuses keys that are written at a level whose protocol does not look at them.
func (r *report) onlyFor(a *at, m *Monitor, keys []string, protocols ...Protocol) {
	if slices.Contains(protocols, m.Protocol) {
		return
	}
	words := make([]string, len(protocols))
	for i, p := range protocols {
		words[i] = string(p)
	}
	for _, key := range keys {
		if a.has(key) {
			r.errorf(a.child(key), "belongs to protocol %s, and this one is %s; remove it, or write protocol: %s", strings.Join(words, " or "), m.Protocol, words[0])
		}
	}
}

// validateKind checks the keys that belong to one kind of check.
func validateKind(r *report, a *at, p *Profile, m *Monitor) {
	r.onlyFor(a, m, []string{"send", "close"}, TCP)
	r.onlyFor(a.child("expect"), m, []string{"text"}, TCP)
	r.onlyFor(a.child("expect"), m, []string{"json", "complete"}, HTTP, HTTPS)
	r.onlyFor(a, m, []string{"query"}, DNS)
	r.onlyFor(a, m, []string{"exec"}, Exec)
	if m.Protocol == Exec {
		for _, key := range []string{"headers", "expect"} {
			if a.has(key) {
				r.errorf(a.child(key), "has no meaning for protocol exec, where exit code 0 is healthy; remove it")
			}
		}
	}
	if m.Exec != "" {
		r.fault(a.child("exec"), m.Exec, programNameFault(m.Exec))
	}
	if len(m.Send) > maxSend {
		r.errorf(a.child("send"), "%d bytes are too many; allowed: at most %d", len(m.Send), maxSend)
	}
	if m.BodyLimit < 1 || m.BodyLimit > maxBodyLimit {
		r.errorf(a.child("body_limit"), "%d bytes are out of range; allowed: 1B to 16MiB", m.BodyLimit)
	}
	if m.Protocol == DNS {
		validateQuery(r, a.child("query"), p, &m.Query)
	}
	seen := unique{}
	for i, where := range m.Vantage {
		place := a.child("vantage").element(i)
		if strings.TrimSpace(where) == "" {
			r.errorf(place, "is empty; write the location of a node")
		}
		seen.add(r, place, "the location", where)
	}
}

// programNameFault says what is wrong with the name of a program, or "". It is a word, never a path.
func programNameFault(name string) string {
	for _, c := range name {
		if c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return "contains " + strconv.QuoteRune(c) + "; allowed: letters, digits, dots, hyphens and underscores; write the name of a program in node.exec"
		}
	}
	if name[0] == '.' || name[0] == '-' || len(name) > 64 {
		return "is not the name of a program; allowed: 1 to 64 characters, a letter or digit in front"
	}
	return ""
}

var (
	recordTypes = []string{"A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT", "CAA", "DS", "DNSKEY", "HTTPS", "SVCB", "NAPTR", "TLSA"}
	rcodes      = []string{"NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED", "FORMERR", "NOTIMP", "NOTAUTH", "NOTZONE"}
	transports  = []string{"udp", "tcp"}
)

func validateQuery(r *report, a *at, p *Profile, q *Query) {
	if q.Name != "" {
		r.fault(a.child("name"), q.Name, hostNameFault(q.Name))
	} else if p.PublicName() == "" {
		r.errorf(a.child("name"), "is missing, and the profile has no host name without a wildcard to ask for; write one")
	}
	word := func(key, value string, allowed []string) {
		if !slices.Contains(allowed, value) {
			r.errorf(a.child(key), "%q is not allowed; %s", value, suggest(value, allowed))
		}
	}
	word("type", q.Type, recordTypes)
	word("rcode", q.Rcode, rcodes)
	word("transport", q.Transport, transports)
	for i, answer := range q.Answers {
		if strings.TrimSpace(answer) == "" {
			r.errorf(a.child("answers").element(i), "is empty; write record data as it stands in a zone file")
		}
	}
}

// validateSource checks that a verdict has one source, and that source.
func validateSource(r *report, a *at, m *Monitor) {
	given := map[string]bool{"checks": len(m.Checks) > 0, "calculated": m.Calculated != nil, "external": m.External != nil, "assume": m.Assume != AssumeNothing}
	first := ""
	for _, key := range verdictKeys {
		switch {
		case !given[key]:
		case first == "":
			first = key
		default:
			r.errorf(a.child(key), "stands beside %s; a verdict has one source; allowed: one of checks, calculated, external, assume; remove the others", first)
		}
	}
	if m.Calculated != nil {
		validateCalculated(r, a.child("calculated"), m.Calculated)
	}
	if m.External != nil {
		validateExternal(r, a.child("external"), m.External)
	}
}

func validateCalculated(r *report, a *at, c *Calculated) {
	if len(c.Of) == 0 {
		r.errorf(a.child("of"), "is missing; write the endpoints to count: ENDPOINT of this profile, or PROFILE/ENDPOINT")
	}
	seen := unique{}
	for i, of := range c.Of {
		place := a.child("of").element(i)
		owner, name, foreign := strings.Cut(of, "/")
		if !foreign {
			name = owner
		}
		if nameFault(owner) != "" || nameFault(name) != "" {
			r.errorf(place, "%q names no endpoint; write ENDPOINT of this profile, or PROFILE/ENDPOINT", of)
		}
		seen.add(r, place, "the endpoint", of)
	}
	r.between(a.child(atLeast), c.AtLeast, 0, 1000)
}

func validateExternal(r *report, a *at, e *External) {
	token := a.child("token")
	switch {
	case e.Token.Text != "":
		r.errorf(token, "stands in the open, and whoever knows it decides where clients go; write {secret: NAME} or {env: VARIABLE}")
	case e.Token.Secret == "" && e.Token.Env == "":
		r.errorf(token, "is missing; write {secret: NAME} or {env: VARIABLE}: whoever shows it may report up or down")
	}
	r.lasts(a.child("ttl"), e.TTL, time.Second, 365*day)
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
	json := a.child("json")
	switch path := m.Expect.JSON.Path; {
	case path == "" && m.Expect.JSON.Equals != "":
		r.errorf(json.child("path"), "is missing; name the value by keys and list positions, like checks[0].state")
	case path != "" && !jsonPath.MatchString(path):
		r.errorf(json.child("path"), "%q is no path; write keys and list positions, like checks[0].state", path)
	case path != "" && json.given() && m.Expect.JSON.Equals == "" && !json.has("equals"):
		r.errorf(json, "says no value; write what it must be, like {path: %s, equals: up}", path)
	}
	if Size(len(m.Expect.Text)) > m.BodyLimit {
		r.errorf(a.child("text"), "has %d bytes, and only the first %d are looked at; write less, or a larger body_limit", len(m.Expect.Text), m.BodyLimit)
	}
}

// jsonPath is keys with dots between them, each with list positions behind it; the first key may be left out.
var jsonPath = regexp.MustCompile(`^(?:[^.\[\]]+(?:\[[0-9]{1,9}\])*|(?:\[[0-9]{1,9}\])+)(?:\.[^.\[\]]+(?:\[[0-9]{1,9}\])*)*$`)

func validateMonitorTLS(r *report, a *at, t *MonitorTLS) {
	if t.SNI != "" {
		r.fault(a.child("sni"), t.SNI, hostNameFault(t.SNI))
	}
	if text := t.CA.Text; text != "" && !strings.Contains(text, "-----BEGIN CERTIFICATE-----") {
		r.errorf(a.child("ca"), "is no certificate; write its PEM text, or {secret: NAME} for a file of this node")
	}
	if t.ClientCert.Text != "" {
		r.errorf(a.child("client_cert"), "carries a private key, which must not stand in a shared document; write {secret: NAME} for a file with chain and key")
	}
	r.lasts(a.child("expiry_warn"), t.ExpiryWarn, 0, 365*day)
}
