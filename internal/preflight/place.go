package preflight

import (
	"net/netip"
	"net/url"
	"strings"

	"jurymast/internal/profile"
)

// originOf is the parsed origin, nil without one.
func originOf(e *profile.Endpoint) *url.URL {
	if e.Origin == "" {
		return nil
	}
	u, err := url.Parse(e.Origin)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	return u
}

// isLoopback reports that an address or name is this machine.
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// localOnly reports that probes of the endpoint never leave this machine.
func localOnly(e *profile.Endpoint) bool {
	if u := originOf(e); u != nil {
		return isLoopback(u.Hostname())
	}
	for _, a := range e.Target.Addrs {
		if !isLoopback(a) {
			return false
		}
	}
	return e.Target.Host == "" || isLoopback(e.Target.Host)
}

// familiesOf is IPv4, IPv6, "IPv4 and IPv6", or "" without an address.
func familiesOf(addrs []string) string {
	v4, v6 := false, false
	for _, text := range addrs {
		if a, err := netip.ParseAddr(text); err == nil {
			v4, v6 = v4 || a.Unmap().Is4(), v6 || !a.Unmap().Is4()
		}
	}
	switch {
	case v4 && v6:
		return "IPv4 and IPv6"
	case v4:
		return "IPv4"
	case v6:
		return "IPv6"
	}
	return ""
}
