package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"jurymast/internal/profile"
)

// hostOf is the Host header of a probe. First match:
//
//	the endpoint's own monitor.host or Host header
//	the profile's monitor.host or Host header
//	the profile's public name
//
// The monitor is decoded with both levels and a Host header merged into its host.
func hostOf(p *profile.Profile, e *profile.Endpoint, m *profile.Monitor, origin *url.URL) (string, error) {
	switch host := m.Host; host {
	case "", profile.HostProfile:
		if name := p.PublicName(); name != "" {
			return name, nil
		}
		return "", errors.New("monitor.host: the profile has no host name without a wildcard; name one in monitor.host")
	case profile.HostTarget:
		return targetHost(e, origin), nil
	case profile.HostOrigin:
		if origin == nil {
			return "", errors.New("monitor.host is origin, but the endpoint has no origin; allowed: profile, target, a name")
		}
		return origin.Host, nil
	default:
		return checkedHost(host)
	}
}

// targetHost is the host name of the origin, else the target if it is a name, else the address.
func targetHost(e *profile.Endpoint, origin *url.URL) string {
	if origin != nil {
		if _, err := netip.ParseAddr(origin.Hostname()); err != nil {
			return origin.Hostname()
		}
	}
	switch {
	case e.Target.Host != "":
		return e.Target.Host
	case origin != nil:
		return bracketed(origin.Hostname())
	default:
		return bracketed(e.Target.Addrs[0])
	}
}

// bracketed writes a bare IPv6 address as a Host header does.
func bracketed(host string) string {
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		return "[" + host + "]"
	}
	return host
}

func checkedHost(host string) (string, error) {
	if strings.ContainsAny(host, "*/@?#\\") || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("monitor.host %q is no host; allowed: profile, target, origin, or one name without a wildcard", host)
	}
	return bracketed(host), nil
}
