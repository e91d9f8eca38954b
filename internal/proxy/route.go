package proxy

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/proxy/figures"
	"jurymast/internal/snapshot"
)

// table is what the proxy compiles from the documents: names to profiles.
type table struct {
	exact  map[string]*route
	wild   map[string]*route // "*.example.com" under "example.com"
	byName map[string]*route
}

// route is one profile as the proxy carries it.
type route struct {
	index   int // in Documents().Profiles
	profile *profile.Profile
	service atomic.Pointer[service]         // found by the first request
	counts  atomic.Pointer[figures.Profile] // found by the first request
}

// destination is where an endpoint's requests go.
type destination struct {
	secure bool
	addr   string // host:port
	header uint8  // version of the PROXY protocol header that begins each connection; 0: none
	none   string // why there is no destination; "" when there is one
}

// match finds the profile of a host name: exactly, then with its first label as a wildcard.
func (t *table) match(name string) *route {
	if t == nil {
		return nil
	}
	if r := t.exact[name]; r != nil {
		return r
	}
	if _, rest, ok := strings.Cut(name, "."); ok {
		return t.wild[rest]
	}
	return nil
}

// matchHost is match for a Host field as it came.
func (t *table) matchHost(host []byte) *route {
	var room [253 + len(".:65535")]byte
	if len(host) == 0 || len(host) > len(room) || host[0] == '[' {
		return t.match(hostName(string(host)))
	}
	n := 0
	for n < len(host) && host[n] != ':' {
		c := host[n]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		room[n] = c
		n++
	}
	name := bytes.TrimSuffix(room[:n], []byte{'.'})
	if t == nil {
		return nil
	}
	if r := t.exact[string(name)]; r != nil {
		return r
	}
	if _, rest, ok := bytes.Cut(name, []byte{'.'}); ok {
		return t.wild[string(rest)]
	}
	return nil
}

// hostName is a Host field as the table knows it: no port, no brackets, lower case, no trailing dot.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return profile.CanonicalName(host)
}

// compiler is how the proxy takes part in every snapshot.
func compiler() snapshot.Compiler {
	return snapshot.Compiler{
		Name:   "proxy",
		Config: func(d *snapshot.Documents) (any, error) { return compile(d) },
		Part:   func(v *health.View) any { return look(v) },
	}
}

func compile(d *snapshot.Documents) (*table, error) {
	t := &table{exact: map[string]*route{}, wild: map[string]*route{}, byName: map[string]*route{}}
	for i, p := range d.Profiles {
		r := &route{index: i, profile: p}
		if p.Proxy != nil {
			for j := range p.Endpoints {
				if _, err := destinationOf(&p.Endpoints[j]); err != nil {
					return nil, fmt.Errorf("profile %s, endpoint %s: %w", p.Name, p.Endpoints[j].Name, err)
				}
			}
		}
		t.byName[p.Name] = r
		for _, h := range p.Hostnames {
			if err := t.claim(profile.CanonicalName(h), r); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

func (t *table) claim(name string, r *route) error {
	names, key := t.exact, name
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		names, key = t.wild, rest
	}
	if old := names[key]; old != nil && old != r {
		return fmt.Errorf("host name %s is in profiles %s and %s: a name belongs to one profile, take it out of the other", name, old.profile.Name, r.profile.Name)
	}
	names[key] = r
	return nil
}

// labels are the names that the endpoints of a profile, and of those nested in it, have in metrics and logs.
func (t *table) labels(r *route) map[string]bool {
	out := map[string]bool{}
	t.collect(r, "", out, map[string]bool{})
	return out
}

func (t *table) collect(r *route, prefix string, out, seen map[string]bool) {
	if r == nil || seen[r.profile.Name] {
		return
	}
	seen[r.profile.Name] = true
	for i := range r.profile.Endpoints {
		e := &r.profile.Endpoints[i]
		if child := e.Target.Profile; child != "" {
			t.collect(t.byName[child], child+"/", out, seen)
		} else {
			out[prefix+e.Name] = true
		}
	}
}

// destinationOf reads endpoint.origin, else http://target.
func destinationOf(e *profile.Endpoint) (destination, error) {
	d, err := placeOf(e)
	d.header = e.ProxyProtocol.Version()
	return d, err
}

func placeOf(e *profile.Endpoint) (destination, error) {
	if e.Origin != "" {
		return parseOrigin(e.Origin)
	}
	switch {
	case e.Target.Host != "":
		return destination{addr: net.JoinHostPort(e.Target.Host, "80")}, nil
	case len(e.Target.Addrs) > 0:
		a, err := netip.ParseAddr(e.Target.Addrs[0])
		if err != nil {
			return destination{}, fmt.Errorf("target: %w; give an IP address or a host name, or set origin", err)
		}
		return destination{addr: netip.AddrPortFrom(a, 80).String()}, nil
	}
	return destination{none: "it stands for another profile and has no target of its own"}, nil
}

func parseOrigin(origin string) (destination, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return destination{}, fmt.Errorf("origin: %w; write http://host:port or https://host:port", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return destination{}, fmt.Errorf("origin %q: write http://host:port or https://host:port, without a path", origin)
	}
	d := destination{secure: u.Scheme == "https"}
	port := u.Port()
	switch {
	case port != "":
	case d.secure:
		port = "443"
	default:
		port = "80"
	}
	d.addr = net.JoinHostPort(u.Hostname(), port)
	return d, nil
}
