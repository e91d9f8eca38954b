package profile

import (
	"net/netip"
	"net/url"
	"strings"
)

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
		if e.Target.Profile != "" {
			validateNested(r, place, p, e)
			continue
		}
		validateOwnMonitor(r, place.child("monitor"), p, &e.Monitor, shared)
		validateChecks(r, a.up.child("monitor"), place.child("monitor"), p, &e.Monitor, shared)
		for _, key := range []string{"min_child", "min_child_ipv4", "min_child_ipv6"} {
			if place.has(key) {
				r.errorf(place.child(key), "counts the endpoints of a nested profile, and the target is none; write target: {profile: NAME} or remove it")
			}
		}
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
	r.between(a.child("bias"), e.Bias, -99, 99)
	validateLabels(r, a.child("labels"), e.Labels)
	validateLocation(r, a.child("location"), e.Location)
	for i, s := range e.Subnets {
		_, _, why := parseSubnet(s)
		r.fault(a.child("subnets").element(i), s, why)
	}
}

// validateNested refuses what has no meaning for an endpoint whose health is computed from another profile.
func validateNested(r *report, a *at, p *Profile, e *Endpoint) {
	if strings.EqualFold(e.Target.Profile, p.Name) {
		r.errorf(a.child("target"), "names the profile itself; write the name of another one")
	}
	for _, key := range []string{"origin", "proxy_protocol", "always_serve", "stopped", "monitor"} {
		if a.has(key) {
			r.errorf(a.child(key), "is not possible with target {profile: %s}, whose own endpoints are probed and chosen; remove one of them", e.Target.Profile)
		}
	}
	r.between(a.child("min_child"), e.MinChild, 0, 1000)
	r.between(a.child("min_child_ipv4"), e.MinChildIPv4, 0, 1000)
	r.between(a.child("min_child_ipv6"), e.MinChildIPv6, 0, 1000)
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
