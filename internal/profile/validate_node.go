package profile

import (
	"maps"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

const minLease = 2 * time.Second

func validateNode(r *report, a *at, n *Node) {
	if a.has("name") {
		r.fault(a.child("name"), n.Name, nameFault(n.Name))
	}
	if n.Data == "" {
		r.errorf(a.child("data"), "is empty; write a directory like %s", DefaultData)
	}
	validateListeners(r, a, n)
	validateStreamLimits(r, a.child("nameserver").child("tcp"), &n.Nameserver.TCP)
	validateQueryLog(r, a.child("nameserver").child("query_log"), &n.Nameserver.QueryLog)
	validateDnstap(r, a.child("nameserver").child("dnstap"), &n.Nameserver.Dnstap)
	validateDNSAlarms(r, a.child("nameserver").child("alarms"), &n.Nameserver.Alarms)
	validateNameserver(r, a.child("nameserver"), &n.Nameserver)
	validateCertificates(r, a.child("nameserver").child("certificates"), n.Nameserver.Certificates)
	validateResolvers(r, a.child("nameserver"), &n.Nameserver)
	validateRRL(r, a.child("nameserver").child("rrl"), &n.Nameserver.RRL)
	validateXDP(r, a.child("nameserver").child("xdp"), &n.Nameserver.XDP)
	validateProxyFront(r, a.child("proxy"), &n.Proxy)
	validateStore(r, a.child("store"), &n.Store)
	validateSeal(r, a, n)
	validateCookieFiles(r, a.child("nameserver").child("cookies"), &n.Nameserver.Cookies)
	for _, name := range slices.Sorted(maps.Keys(n.Secrets)) {
		validateSecret(r, a.child("secrets").child(name), name, n.Secrets[name])
	}
	for _, name := range slices.Sorted(maps.Keys(n.Exec)) {
		validateProgram(r, a.child("exec").child(name), name, n.Exec[name])
	}
}

func validateCertificates(r *report, a *at, list []CertificateFiles) {
	for i, c := range list {
		if c.Cert == "" || c.Key == "" {
			r.errorf(a.element(i), "a certificate needs both files; write {cert: site.pem, key: site.key}")
		}
	}
}

func validateProxyFront(r *report, a *at, p *ProxyFront) {
	validateCertificates(r, a.child("tls").child("certificates"), p.TLS.Certificates)
	const remedy = "; write a network like 10.0.0.0/8 or an address"
	for i, s := range p.TrustedProxies {
		r.fault(a.child("trusted_proxies").element(i), s, prefixFault(s, remedy))
	}
	for i, s := range p.ProxyProtocol {
		r.fault(a.child("proxy_protocol").element(i), s, prefixFault(s, remedy))
	}
	validateAccessLog(r, a.child("access_log"), &p.AccessLog)
	validateProxyLimits(r, a.child("limits"), &p.Limits)
}

func validateStore(r *report, a *at, s *Store) {
	r.lasts(a.child("lease"), s.Lease, minLease, 10*time.Minute)
	renew := a.child("renew")
	if s.Renew <= 0 || s.Renew >= s.Lease/2 {
		r.errorf(renew, "%s is out of range; allowed: above 0s and below half the lease (%s), so that one lost renewal does not end it; write %s", short(s.Renew), short(s.Lease), short((s.Lease / 3).Truncate(time.Millisecond)))
	}
	for i, e := range s.Endpoints {
		u, err := url.Parse(e)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || (u.Path != "" && u.Path != "/") {
			r.errorf(a.child("endpoints").element(i), "%q is not a store address; write https://host:2379", e)
		}
	}
	members := a.child("members")
	switch n := len(s.Members); {
	case n > 0 && len(s.Endpoints) > 0:
		r.errorf(members, "stands beside endpoints; a store is either embedded (members) or external (endpoints); remove one")
	case n == 2:
		r.errorf(members, "2 members are refused: half of two is no majority, so losing either one stops both; write 3 or 5, the third may be a small witness")
	case n != 0 && n != 3 && n != 5:
		r.errorf(members, "%d members; allowed: 3 or 5, or none for a single embedded store", n)
	}
	seen := unique{}
	for i, m := range s.Members {
		if strings.TrimSpace(m) == "" {
			r.errorf(members.element(i), "is empty; write the address of a member")
		}
		seen.add(r, members.element(i), "the member", m)
	}
	if (s.TLS.Cert == "") != (s.TLS.Key == "") {
		r.errorf(a.child("tls"), "cert and key belong together; write both or none")
	}
}

func validateSecret(r *report, a *at, name string, s SecretSource) {
	switch {
	case strings.TrimSpace(name) == "":
		r.errorf(a, "a secret needs a name; write NAME: {env: VARIABLE} or NAME: {file: /path}")
	case (s.Env == "") == (s.File == ""):
		r.errorf(a, "exactly one source is needed; write {env: VARIABLE} or {file: /path}")
	case strings.ContainsAny(s.Env, "= \x00"):
		r.errorf(a.child("env"), "%q is not a name of an environment variable; write one like PROBE_TOKEN", s.Env)
	}
}

func validateProgram(r *report, a *at, name string, argv []string) {
	switch {
	case strings.TrimSpace(name) == "":
		r.errorf(a, "a program needs a name; write NAME: [/path/to/program, argument]")
	case len(argv) == 0:
		r.errorf(a, "is empty; write [/path/to/program, argument]")
	case !path.IsAbs(argv[0]):
		r.errorf(a.element(0), "%q is not an absolute path, so it would depend on where the node was started; write /usr/local/bin/%s", argv[0], path.Base(argv[0]))
	}
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
