package profile

import "time"

// Profile is one service: the names it answers to, how it is monitored, the endpoints that can serve it, and the
// policies of switching. A decoded Profile is complete: every default is filled in and every endpoint's Monitor is
// the profile's with the endpoint's own keys on top.
type Profile struct {
	Name      string        `yaml:"name"`
	Enabled   bool          `yaml:"enabled"`
	Hostnames []string      `yaml:"hostnames"` // lower case, no trailing dot; "*." wildcards allowed
	Routing   Routing       `yaml:"routing"`
	TTL       time.Duration `yaml:"ttl"`       // ceiling of DNS answers, whole seconds, 0..2147483647s
	TTLFloor  time.Duration `yaml:"ttl_floor"` // lower bound of the health-derived TTL, 0..TTL
	Quorum    Quorum        `yaml:"quorum"`
	Failback  Failback      `yaml:"failback"`
	Fencing   Fencing       `yaml:"fencing"`
	Compat    Compat        `yaml:"compat"`
	Monitor   Monitor       `yaml:"monitor"`
	Endpoints []Endpoint    `yaml:"endpoints"`
	Proxy     *Proxy        `yaml:"proxy"` // nil: DNS only
}

// Endpoint returns the endpoint with that name and its index, or nil and -1.
func (p *Profile) Endpoint(name string) (*Endpoint, int) {
	for i := range p.Endpoints {
		if p.Endpoints[i].Name == name {
			return &p.Endpoints[i], i
		}
	}
	return nil, -1
}

// PublicName is the first host name that is no wildcard: what clients say in Host and SNI, and so what a probe says.
// It is "" when the profile has wildcards only.
func (p *Profile) PublicName() string {
	for _, h := range p.Hostnames {
		if len(h) < 2 || h[:2] != "*." {
			return h
		}
	}
	return ""
}

// Failback says when the decision returns to a better endpoint that is healthy again.
type Failback struct {
	Mode  FailbackMode  `yaml:"mode"`
	After time.Duration `yaml:"after"` // delayed only: healthy for this long without a break
}

// Endpoint is one place that can serve the profile.
type Endpoint struct {
	Name        string   `yaml:"name"`
	Target      Target   `yaml:"target"`   // what DNS answers
	Origin      string   `yaml:"origin"`   // http(s)://host[:port], where the proxy sends and the monitor probes; "" = the target
	Priority    int      `yaml:"priority"` // 1..1000, lower first, unique in the profile; left out: highest + 1
	Weight      int      `yaml:"weight"`   // 0..1000
	Location    Location `yaml:"location"`
	Geo         []string `yaml:"geo"`
	Subnets     []string `yaml:"subnets"`
	Enabled     bool     `yaml:"enabled"`
	AlwaysServe bool     `yaml:"always_serve"` // not probed, always eligible (Unmonitored)
	Monitor     Monitor  `yaml:"monitor"`
}

// Target is what DNS answers for an endpoint: one host name (a CNAME), or addresses (A and AAAA), or another profile.
// Exactly one of the three is set.
type Target struct {
	Host    string   // lower case, no trailing dot
	Addrs   []string // canonical textual addresses, either family
	Profile string   // nested profile
}

// IsZero reports that no target was given.
func (t Target) IsZero() bool { return t.Host == "" && len(t.Addrs) == 0 && t.Profile == "" }

// Location is where an endpoint stands: a region name, or coordinates in degrees.
type Location struct {
	Region string   `yaml:"region"`
	Lat    *float64 `yaml:"lat"` // -90..90
	Lon    *float64 `yaml:"lon"` // -180..180
}

// Monitor says how an endpoint is probed and how results become a vote.
type Monitor struct {
	Protocol          Protocol         `yaml:"protocol"`
	Port              int              `yaml:"port"` // 0: the origin's port, else 80 or 443
	Path              string           `yaml:"path"` // http and https only
	Method            string           `yaml:"method"`
	Host              string           `yaml:"host"` // profile | target | origin | a name
	Headers           map[string]Value `yaml:"headers"`
	Interval          time.Duration    `yaml:"interval"`           // 100ms..24h
	Timeout           time.Duration    `yaml:"timeout"`            // above 0, at most 0.9 x Interval
	ToleratedFailures int              `yaml:"tolerated_failures"` // 0..100; down on failure N+1 in a row
	RecoverySuccesses int              `yaml:"recovery_successes"` // 1..100
	Expect            Expect           `yaml:"expect"`
	TLS               MonitorTLS       `yaml:"tls"`
}

// Expect is what a healthy answer looks like. All given rules must hold.
type Expect struct {
	Status    []StatusRange    `yaml:"status"`
	Body      string           `yaml:"body"`       // substring, case-sensitive
	BodyRegex string           `yaml:"body_regex"` // RE2
	Header    map[string]Value `yaml:"header"`     // header name -> exact value
}

// MonitorTLS is the TLS side of an https probe.
type MonitorTLS struct {
	Verify bool   `yaml:"verify"` // chain, name and expiry
	SNI    string `yaml:"sni"`    // "": follows the Host header when that is a name
}

// Proxy says how the HTTP front carries the profile.
type Proxy struct {
	Mode         ProxyMode `yaml:"mode"`
	Balance      Balance   `yaml:"balance"`
	Sessions     *Sessions `yaml:"sessions"` // nil: no affinity
	Retry        Retry     `yaml:"retry"`
	Hold         Hold      `yaml:"hold"`
	Timeouts     Timeouts  `yaml:"timeouts"`
	DebugHeaders bool      `yaml:"debug_headers"`
}

// Sessions is affinity: what identifies a session and what happens to it at a switch.
type Sessions struct {
	Keys       []SessionKey  `yaml:"keys"`
	Idle       time.Duration `yaml:"idle"`
	OnFailure  OnFailure     `yaml:"on_failure"`
	OnFailback OnFailback    `yaml:"on_failback"`
	Presence   Presence      `yaml:"presence"`
}

// SessionKey is one extractor; exactly one of the names is set.
type SessionKey struct {
	Cookie   string `yaml:"cookie"`
	Header   string `yaml:"header"`
	SOAP     string `yaml:"soap"`
	JSON     string `yaml:"json"`
	Query    string `yaml:"query"`
	Client   string `yaml:"client"`
	Insert   string `yaml:"insert"`
	MaxBytes Size   `yaml:"max_bytes"`
}

// Retry says when a request may be sent again.
type Retry struct {
	Attempts   int      `yaml:"attempts"` // further tries after the first, 0..10
	Methods    []string `yaml:"methods"`  // idempotent methods only
	BodyBuffer Size     `yaml:"body_buffer"`
	Budget     Percent  `yaml:"budget"` // repeated attempts per 100 exchanges of the last 10 s
}

// Hold bounds the requests that wait while no endpoint may be used.
type Hold struct {
	MaxRequests int           `yaml:"max_requests"`
	MaxWait     time.Duration `yaml:"max_wait"`
}

// Timeouts of the proxy, per request.
type Timeouts struct {
	Connect  time.Duration `yaml:"connect"`
	Response time.Duration `yaml:"response"` // to the first byte of the answer, all attempts together
	Idle     time.Duration `yaml:"idle"`
	Header   time.Duration `yaml:"header"` // request head complete within
}
