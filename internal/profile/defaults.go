package profile

import (
	"maps"
	"path"
	"slices"
	"time"
)

// Every fixed default of the configuration stands in the literals of this file; those that follow from other keys stand
// in finish.go.

// The defaults of a node that the shell and the command line also name.
const (
	DefaultData      = "/var/lib/jurymast"
	DefaultAPIListen = "127.0.0.1:9460"
	socketName       = "api.sock" // below Data
)

func defaultFile() *File {
	return &File{Node: Node{
		Data:        DefaultData,
		Nameserver:  defaultNameserver(),
		Proxy:       ProxyFront{TLS: ProxyTLS{MinVersion: TLS12}, AccessLog: defaultAccessLog(), Limits: defaultProxyLimits()},
		API:         API{Listen: DefaultAPIListen},
		Store:       Store{Lease: 3 * time.Second, Renew: time.Second},
		OnIsolation: IsolationHold,
	}}
}

// DefaultUDPSize of DNS answers in bytes: what passes every path without fragments [RFC 9715].
const DefaultUDPSize = 1232

func defaultNameserver() NameserverFront {
	return NameserverFront{
		UDPSize: DefaultUDPSize,
		Cookies: Cookies{Enabled: true, Require: RequirePressure},
		ECS:     ECSPolicy{Rule: ECSOn},
		NSID:    NSIDAuto,
		EDE:     On,
		EDEText: On,
		XDP:     XDPPolicy{Rule: XDPOff},
		RRL:     defaultRRL(),

		UDP:      UDP{Batch: 16, Wait: WaitRaw, Spread: SpreadClient},
		TCP:      defaultStreamLimits(),
		QueryLog: defaultQueryLog(),
		Dnstap:   Dnstap{Messages: []string{AuthQuery, AuthResponse}},
		Alarms:   defaultDNSAlarms(),

		FlattenMaxStale: time.Hour,
	}
}

func defaultZone() *Zone { return &Zone{Order: OrderRotate, DNSSEC: defaultDNSSEC()} }

func defaultDNSSEC() DNSSEC {
	return DNSSEC{Algorithm: ECDSAP256, Keys: KeysCSK, Denial: DenialCompact, Propagation: 5 * time.Minute, ZSKLifetime: 90 * 24 * time.Hour}
}

// defaultService offers what nearly every web server speaks.
func defaultService() *Service { return &Service{ALPN: []string{"h2", "http/1.1"}} }

func defaultProfile() *Profile {
	return &Profile{
		Enabled:   true,
		Routing:   Priority,
		TTL:       30 * time.Second,
		TTLFloor:  time.Second, // at most TTL
		Quorum:    Quorum{Rule: QuorumMajority},
		Fencing:   Relaxed,
		Compat:    CompatNone,
		Monitor:   defaultMonitor(),
		MaxReturn: 2,
		AllDown:   AllDown{Rule: AllDownServe},
		Checking:  CheckingSecond,
		Climb:     true,
		Answer:    AnswerAuto,
		DNS:       DNSAnywhere,
		MinUsable: 1,
	}
}

// startingProfile is what the profile at a starts from: the defaults, or where compat: azure says so Azure Traffic
// Manager's own.
func startingProfile(a *at) *Profile {
	p := defaultProfile()
	if n := a.child("compat").n; n != nil && n.kind == kindText && n.text == string(CompatAzure) {
		p.Checking = CheckingServe
		p.Climb = false
		p.Monitor.TLS.Verify = false
		p.Monitor.Host = HostTarget
		p.Monitor.ToleratedFailures = 3
	}
	return p
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
		TLS:               MonitorTLS{Verify: true, MinVersion: TLS12, ExpiryWarn: 14 * 24 * time.Hour},
		BodyLimit:         64 << 10,
		Close:             CloseFIN,
		Query:             Query{Type: "A", Transport: "udp", Rcode: "NOERROR"},
		Shared:            true,
		Combine:           Combine{Rule: CombineAll},
	}
}

func defaultExternal() *External { return &External{TTL: time.Minute, OnSilence: SilenceDown} }

// defaultDNSPort is where a dns check asks unless a port is written for it.
const defaultDNSPort = 53

func defaultEndpoint(profile Monitor) *Endpoint {
	return &Endpoint{ProxyProtocol: ProxyProtocolOff, Weight: 1, Enabled: true, Monitor: profile.clone()}
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
			Tunnel:   time.Hour,
		},
	}
}

func defaultSessions() *Sessions {
	return &Sessions{Idle: 8 * time.Hour, OnFailure: Rebind, OnFailback: Return, Presence: PresenceNotNeeded}
}

func (f *File) newElement(key string, a *at) any {
	switch key {
	case "profiles":
		return startingProfile(a)
	case "zones":
		return defaultZone()
	case "tsig":
		return defaultTSIG()
	}
	return nil
}

func (z *Zone) newElement(key string, _ *at) any {
	switch key {
	case "secondary":
		return defaultSecondary()
	case "transfer":
		return defaultTransfer()
	}
	return nil
}

func (p *Profile) newElement(key string, _ *at) any {
	switch key {
	case "endpoints":
		return defaultEndpoint(p.Monitor)
	case "proxy":
		return defaultProxy()
	case "https":
		return defaultService()
	}
	return nil
}

// newElement: a check starts from the monitor around it, calculated and external from what was inherited.
func (m *Monitor) newElement(key string, _ *at) any {
	switch key {
	case "checks":
		return &Check{Monitor: m.single()}
	case "calculated":
		if m.Calculated != nil {
			return m.clone().Calculated
		}
	case "external":
		if m.External != nil {
			return m.clone().External
		}
		return defaultExternal()
	}
	return nil
}

func (p *Proxy) newElement(key string, _ *at) any {
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
	m.Query.Answers = slices.Clone(m.Query.Answers)
	m.Vantage = slices.Clone(m.Vantage)
	m.Checks = slices.Clone(m.Checks)
	for i := range m.Checks {
		m.Checks[i].Monitor = m.Checks[i].Monitor.clone()
	}
	if m.Calculated != nil {
		m.Calculated = &Calculated{Of: slices.Clone(m.Calculated.Of), AtLeast: m.Calculated.AtLeast}
	}
	if m.External != nil {
		external := *m.External
		m.External = &external
	}
	return m
}

// single is a copy without what only a whole endpoint has: what one of its checks starts from.
func (m Monitor) single() Monitor {
	m.Checks, m.Calculated, m.External, m.Assume = nil, nil, nil, AssumeNothing
	m.Combine = Combine{Rule: CombineAll}
	m.Vantage, m.HoldDown, m.MessageQuota = nil, 0, 0
	return m.clone()
}

// UseData moves a node to another data directory; the API socket moves along unless it was placed elsewhere.
func (n *Node) UseData(dir string) {
	if n.API.Socket == path.Join(n.Data, socketName) {
		n.API.Socket = path.Join(dir, socketName)
	}
	n.Data = dir
}
