package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
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
	origins []destination // by endpoint; nil for a DNS-only profile
}

// destination is where an endpoint's requests go.
type destination struct {
	secure bool
	addr   string // host:port
	none   string // why there is no destination; "" when there is one
}

func (d destination) scheme() string {
	if d.secure {
		return "https"
	}
	return "http"
}

// choice is where a profile's requests may go under one view. It is made once per published view.
type choice struct {
	route    *route
	view     *health.View
	ok       bool
	gone     bool // the profile is not carried any more: nobody needs to wait
	endpoint string
	dest     destination
	epoch    uint64
	why      string // !ok: said to the client
	reason   Reason // !ok: the code when waiting was in vain
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
		Part: func(config any, v *health.View) any {
			t, ok := config.(*table)
			if !ok {
				return (*choice)(nil)
			}
			return choose(t.byName[v.Profile.Name], v)
		},
	}
}

func compile(d *snapshot.Documents) (*table, error) {
	t := &table{exact: map[string]*route{}, wild: map[string]*route{}, byName: map[string]*route{}}
	for i, p := range d.Profiles {
		r := &route{index: i, profile: p}
		if p.Proxy != nil {
			for j := range p.Endpoints {
				dest, err := destinationOf(&p.Endpoints[j])
				if err != nil {
					return nil, fmt.Errorf("profile %s, endpoint %s: %w", p.Name, p.Endpoints[j].Name, err)
				}
				r.origins = append(r.origins, dest)
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

// destinationOf reads endpoint.origin, else http://target.
func destinationOf(e *profile.Endpoint) (destination, error) {
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
	return destination{none: "it stands for another profile and has no origin"}, nil
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

// choose says where requests may go under this view: to the agreed active endpoint, or nowhere yet and why.
func choose(r *route, v *health.View) *choice {
	if r == nil || r.profile.Proxy == nil {
		return nil
	}
	c := &choice{route: r, view: v, epoch: v.Decision.Epoch, reason: ReasonHoldTime}
	a := steer.Decide(v, steer.Client{}, nil, nil)
	switch {
	case v.Held != nil:
		c.why = "an operator holds this profile"
	case a.Serving == steer.ServingNotReady:
		c.why = "the first health verdicts are missing"
	case a.Serving == steer.ServingNone:
		c.why, c.reason = "every endpoint, or the whole profile, is switched off", ReasonNoEndpoint
	case a.Serving == steer.ServingAllDown:
		c.why, c.reason = "all endpoints are down", ReasonNoEndpoint
	case !a.Agreed || len(a.Order) == 0:
		c.why = "the nodes have not agreed on an active endpoint yet"
	default:
		c.pick(a.Order[0])
	}
	return c
}

func (c *choice) pick(i int) {
	if i >= len(c.route.origins) || i >= len(c.view.Endpoints) {
		c.why, c.reason = "the active endpoint is not in the configuration", ReasonNoEndpoint
		return
	}
	c.endpoint, c.dest = c.view.Endpoints[i].Config.Name, c.route.origins[i]
	if c.dest.none != "" {
		c.why, c.reason = "the active endpoint cannot be proxied: "+c.dest.none, ReasonNoEndpoint
		return
	}
	c.ok = true
}

// choiceOf is the current choice for a route, never nil.
func choiceOf(s *snapshot.Snapshot, slot snapshot.Slot, r *route) *choice {
	if part := s.Part(r.index); part != nil {
		if c, ok := part.Compiled(slot).(*choice); ok && c != nil {
			return c
		}
	}
	return &choice{route: r, why: "the first health verdicts are missing", reason: ReasonHoldTime}
}
