package profile

import (
	"net/netip"
	"strings"
	"time"
)

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

	Labels         map[string]string `yaml:"labels"`
	MaxReturn      int               `yaml:"max_return"`      // multivalue: addresses per answer, 1..10
	AllDown        AllDown           `yaml:"all_down"`        // what DNS answers while every eligible endpoint is down
	Checking       CheckingRule      `yaml:"checking"`        // where endpoints without a verdict stand
	Climb          bool              `yaml:"climb"`           // geographic, subnet: the next level when the mapped endpoint is no candidate
	Answer         AnswerForm        `yaml:"answer"`          // form of the answer for a host-name target
	DNS            DNSDuty           `yaml:"dns"`             // whether every host name must be in a zone of ours
	HTTPS          *Service          `yaml:"https"`           // nil: no HTTPS records
	Sticky         bool              `yaml:"sticky"`          // weighted: the client's network chooses instead of dice
	MinUsable      int               `yaml:"min_usable"`      // an order that leaves fewer is refused, 0..
	MinBetween     time.Duration     `yaml:"min_between"`     // between the begins of two operator orders
	LatencyBand    time.Duration     `yaml:"latency_band"`    // performance: regions this close to the best share by weight
	RestoreRamp    time.Duration     `yaml:"restore_ramp"`    // weighted, performance: a recovered endpoint's weight grows over this time
	GroupThreshold float64           `yaml:"group_threshold"` // share of the weight, 0..1, below which a parent sees this profile as Degraded

	// Ranges are the endpoints' subnets in address order, parsed and free of overlaps between endpoints.
	Ranges []SubnetRange `yaml:"-"`
}

// Service is what HTTPS records [RFC 9460] tell of a profile's endpoints.
type Service struct {
	ALPN []string `yaml:"alpn"` // protocols by their TLS names, the preferred first; clients assume http/1.1 beside them
}

// SubnetRange is the addresses From..To, both included and of one family, that belong to the endpoint with that number.
type SubnetRange struct {
	From, To netip.Addr
	Endpoint int
}

// AllDown is the answer while no endpoint is better than down: serve, last-active, none, or a fixed target.
type AllDown struct {
	Rule   AllDownRule
	Target Target // rule target only: one host name, or addresses
}

func (a AllDown) String() string {
	if a.Rule == AllDownTarget {
		return "{target: " + a.Target.String() + "}"
	}
	return string(a.Rule)
}

// Azure reports that the profile answers as Azure Traffic Manager does where the two differ.
func (p *Profile) Azure() bool { return p.Compat == CompatAzure }

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

	ProxyProtocol OriginHeader `yaml:"proxy_protocol"` // begins each connection of proxy and monitor to the origin

	Stopped      bool              `yaml:"stopped"` // the resource is known to be off
	Labels       map[string]string `yaml:"labels"`
	Bias         int               `yaml:"bias"`           // performance: -99..99 percent; above 0 draws clients nearer
	MinChild     int               `yaml:"min_child"`      // nested: endpoints of the child that must be Online
	MinChildIPv4 int               `yaml:"min_child_ipv4"` // nested: of those with an IPv4 target
	MinChildIPv6 int               `yaml:"min_child_ipv6"` // nested: of those with an IPv6 target
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

// String is the target as an operator writes it.
func (t Target) String() string {
	switch {
	case t.Profile != "":
		return "{profile: " + t.Profile + "}"
	case len(t.Addrs) == 1:
		return t.Addrs[0]
	case len(t.Addrs) > 1:
		return "[" + strings.Join(t.Addrs, ", ") + "]"
	}
	return t.Host
}

// Location is where an endpoint stands: a region name, or coordinates in degrees.
type Location struct {
	Region string   `yaml:"region"`
	Lat    *float64 `yaml:"lat"` // -90..90
	Lon    *float64 `yaml:"lon"` // -180..180
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

	Limits RequestLimits `yaml:"limits"`
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
	Tunnel   time.Duration `yaml:"tunnel"` // without a byte in either direction after an upgrade
}
