package profile

import (
	"maps"
	"slices"
)

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
	collect := func(v Value, _ ...string) {
		if name := of(v); name != "" {
			names = append(names, name)
		}
	}
	all := func(m *Monitor) {
		m.values(collect)
		for i := range m.Checks {
			m.Checks[i].Monitor.values(collect)
		}
	}
	all(&p.Monitor)
	for i := range p.Endpoints {
		all(&p.Endpoints[i].Monitor)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// values calls see with every value of a monitor that may be secret and the keys that lead to it; its checks are
// monitors of their own.
func (m *Monitor) values(see func(v Value, steps ...string)) {
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		see(m.Headers[name], "headers", name)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Expect.Header)) {
		see(m.Expect.Header[name], "expect", "header", name)
	}
	see(m.TLS.CA, "tls", "ca")
	see(m.TLS.ClientCert, "tls", "client_cert")
	if m.External != nil {
		see(m.External.Token, "external", "token")
	}
}

// validateSecretNames checks that this node allows the names a profile uses.
func validateSecretNames(r *report, a *at, p *Profile, secrets map[string]SecretSource) {
	validateValues(r, a.child("monitor"), &p.Monitor, secrets)
	for i := range p.Endpoints {
		validateValues(r, a.child("endpoints").element(i).child("monitor"), &p.Endpoints[i].Monitor, secrets)
	}
}

// validateValues checks the values that are written at a; what is inherited is reported where it is written.
func validateValues(r *report, a *at, m *Monitor, secrets map[string]SecretSource) {
	if !a.given() {
		return
	}
	allowed := slices.Sorted(maps.Keys(secrets))
	m.values(func(v Value, steps ...string) {
		place := a
		for _, step := range steps {
			place = place.child(step)
		}
		if !place.given() {
			return
		}
		if _, ok := secrets[v.Secret]; v.Secret != "" && !ok {
			r.errorf(place, "%q is not a secret of this node; %s; add it to node.secrets", v.Secret, suggestNames(v.Secret, allowed))
		}
		if v.Env != "" && !allowsEnv(secrets, v.Env) {
			r.errorf(place, "no entry of node.secrets reads the environment variable %q; write node.secrets: {%s: {env: %s}}", v.Env, v.Env, v.Env)
		}
	})
	for i := range m.Checks {
		validateValues(r, a.child("checks").element(i), &m.Checks[i].Monitor, secrets)
	}
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
