package profile

import (
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Every default of the configuration stands in this file: the fixed ones in the literals below, the ones that follow
// from other keys in the finish functions.

// The defaults of a node that the shell and the command line also name.
const (
	DefaultData      = "/var/lib/jurymast"
	DefaultAPIListen = "127.0.0.1:9460"
	socketName       = "api.sock" // below Data
)

func defaultFile() *File {
	return &File{Node: Node{
		Data:        DefaultData,
		Proxy:       ProxyFront{TLS: ProxyTLS{MinVersion: TLS12}, AccessLog: AccessLog{Sample: 1}},
		API:         API{Listen: DefaultAPIListen},
		Store:       Store{Lease: 3 * time.Second, Renew: time.Second},
		OnIsolation: IsolationHold,
	}}
}

func defaultProfile() *Profile {
	return &Profile{
		Enabled:  true,
		Routing:  Priority,
		TTL:      30 * time.Second,
		TTLFloor: time.Second, // at most TTL
		Quorum:   Quorum{Rule: QuorumMajority},
		Fencing:  Relaxed,
		Compat:   CompatNone,
		Monitor:  defaultMonitor(),
	}
}

// The words of monitor.host that stand for a name.
const (
	HostProfile = "profile" // the profile's PublicName
	HostTarget  = "target"  // the host name of the origin, else the target
	HostOrigin  = "origin"  // host and port of the origin
)

const (
	maxDefaultTimeout = 10 * time.Second
	defaultPath       = "/"
	defaultBodyKey    = Size(64 << 10) // max_bytes of soap and json keys
)

func defaultMonitor() Monitor {
	return Monitor{
		Protocol:          HTTP,
		Path:              defaultPath,
		Method:            "GET",
		Host:              HostProfile,
		Interval:          30 * time.Second,
		ToleratedFailures: 2,
		RecoverySuccesses: 1,
		Expect:            Expect{Status: []StatusRange{{Min: 200, Max: 200}}},
		TLS:               MonitorTLS{Verify: true},
	}
}

func defaultEndpoint(profile Monitor) *Endpoint {
	return &Endpoint{Weight: 1, Enabled: true, Monitor: profile.clone()}
}

func defaultProxy() *Proxy {
	return &Proxy{
		Mode:    ModeFailover,
		Balance: RoundRobin,
		Retry: Retry{
			Attempts:   2,
			Methods:    []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE"},
			BodyBuffer: 64 << 10,
			Budget:     20,
		},
		Hold: Hold{MaxRequests: 1000, MaxWait: 5 * time.Second},
		Timeouts: Timeouts{
			Connect:  time.Second,
			Response: time.Minute,
			Idle:     time.Minute,
			Header:   10 * time.Second,
		},
	}
}

func defaultSessions() *Sessions {
	return &Sessions{Idle: 8 * time.Hour, OnFailure: Rebind, OnFailback: Return, Presence: PresenceNotNeeded}
}

func (f *File) newElement(key string) any {
	if key == "profiles" {
		return defaultProfile()
	}
	return nil
}

func (p *Profile) newElement(key string) any {
	switch key {
	case "endpoints":
		return defaultEndpoint(p.Monitor)
	case "proxy":
		return defaultProxy()
	}
	return nil
}

func (p *Proxy) newElement(key string) any {
	if key == "sessions" {
		return defaultSessions()
	}
	return nil
}

// clone is a copy that shares nothing with m.
func (m Monitor) clone() Monitor {
	m.Headers = maps.Clone(m.Headers)
	m.Expect.Status = slices.Clone(m.Expect.Status)
	m.Expect.Header = maps.Clone(m.Expect.Header)
	return m
}

// UseData moves a node to another data directory; the API socket moves along unless it was placed elsewhere.
func (n *Node) UseData(dir string) {
	if n.API.Socket == path.Join(n.Data, socketName) {
		n.API.Socket = path.Join(dir, socketName)
	}
	n.Data = dir
}

func finishNode(a *at, n *Node) {
	if !a.child("api").has("socket") {
		n.API.Socket = path.Join(n.Data, socketName)
	}
}

func finishZone(z *Zone) {
	z.Name = CanonicalName(z.Name)
	z.Hostmaster = CanonicalName(z.Hostmaster)
	for i := range z.Nameservers {
		z.Nameservers[i] = CanonicalName(z.Nameservers[i])
	}
	if z.Hostmaster == "" && len(z.Nameservers) > 0 {
		z.Hostmaster = "hostmaster." + z.Name
	}
}

func finishProfile(a *at, p *Profile) {
	for i := range p.Hostnames {
		p.Hostnames[i] = CanonicalName(p.Hostnames[i])
	}
	if !a.has("ttl_floor") {
		p.TTLFloor = min(p.TTLFloor, p.TTL)
	}
	if p.Proxy != nil && p.Proxy.Sessions != nil {
		finishSessions(a.child("proxy").child("sessions"), p)
	}
	if p.Failback.Mode == "" {
		p.Failback.Mode = FailbackAuto
		if p.Proxy != nil && p.Proxy.Sessions != nil { // presence is a key of sessions, so it is covered too
			p.Failback.Mode = FailbackManual
		}
	}
	monitor := a.child("monitor")
	for i := range p.Endpoints {
		own := a.child("endpoints").element(i).child("monitor")
		finishMonitor(own, monitor, &p.Endpoints[i].Monitor)
	}
	finishMonitor(monitor, monitor, &p.Monitor)
	finishPriorities(a.child("endpoints"), p.Endpoints)
}

func finishSessions(a *at, p *Profile) {
	s := p.Proxy.Sessions
	for i := range s.Keys {
		k := &s.Keys[i]
		if !a.child("keys").element(i).has("max_bytes") && (k.SOAP != "" || k.JSON != "") {
			k.MaxBytes = defaultBodyKey
		}
	}
	// Under new-sessions a bound session stays until it ends, whatever on_failback says, so the value says so too.
	if p.Failback.Mode == FailbackNewSessions && !a.has("on_failback") {
		s.OnFailback = StayUntilIdle
	}
}

// finishMonitor settles what depends on other keys. own is the level this monitor was written at, shared the
// profile's level; they are the same place for the profile's own monitor.
func finishMonitor(own, shared *at, m *Monitor) {
	if !own.has("timeout") && !shared.has("timeout") {
		m.Timeout = min(maxDefaultTimeout, m.Interval/10*9)
	}
	switch m.Protocol {
	case HTTP, HTTPS:
		if m.Path == "" && !own.has("path") && !shared.has("path") {
			m.Path = defaultPath
		}
	case TCP, DNS, Exec:
		if !own.has("path") { // inherited or default: means nothing here
			m.Path = ""
		}
	}
	finishHost(own, m)
}

// finishHost folds a Host header into Host, so that probes read one field. The nearer level wins; both on the same
// level is an error that validation reports.
func finishHost(own *at, m *Monitor) {
	name, header, ok := hostHeader(m.Headers)
	if !ok {
		return
	}
	if header.Secret != "" || header.Env != "" {
		return // refused by validation
	}
	delete(m.Headers, name)
	_, _, here := hostEntry(own.child("headers"))
	if here || !own.has("host") {
		m.Host = header.Text
	}
}

func hostHeader(headers map[string]Value) (name string, v Value, ok bool) {
	for name, v := range headers {
		if strings.EqualFold(name, "Host") {
			return name, v, true
		}
	}
	return "", Value{}, false
}

func hostEntry(headers *at) (entry, *at, bool) {
	if headers.n != nil {
		for _, e := range headers.n.entries {
			if strings.EqualFold(e.key, "Host") {
				return e, headers.child(e.key), true
			}
		}
	}
	return entry{}, nil, false
}

// finishPriorities numbers the endpoints that have no priority: the highest in use plus one, in the order of the
// list; the first of a profile without any is 1.
func finishPriorities(a *at, endpoints []Endpoint) {
	highest := 0
	for i := range endpoints {
		if a.element(i).has("priority") {
			highest = max(highest, endpoints[i].Priority)
		}
	}
	for i := range endpoints {
		if !a.element(i).has("priority") {
			highest++
			endpoints[i].Priority = highest
		}
	}
}
