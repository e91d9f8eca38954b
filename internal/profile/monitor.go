package profile

import (
	"strconv"
	"time"
)

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

	IntervalFast time.Duration   `yaml:"interval_fast"` // while a result counts towards a flip, or without a verdict; 0: no faster pace
	HoldDown     time.Duration   `yaml:"hold_down"`     // shortest time an endpoint stays Degraded
	Window       Window          `yaml:"window"`        // instead of results in a row
	MaxLatency   time.Duration   `yaml:"max_latency"`   // slower is a failure; 0: only the timeout counts
	Timeouts     MonitorTimeouts `yaml:"timeouts"`
	BodyLimit    Size            `yaml:"body_limit"` // bytes of a body, or of a TCP peer's words, that are looked at
	Send         string          `yaml:"send"`       // tcp: said after connecting
	Close        CloseWith       `yaml:"close"`      // tcp: how the probe ends the connection
	Query        Query           `yaml:"query"`      // dns only
	Exec         string          `yaml:"exec"`       // exec only: the name of a program in node.exec
	Invert       bool            `yaml:"invert"`     // success and failure swap
	Assume       Assume          `yaml:"assume"`     // never probed: always up or always down
	Vantage      []string        `yaml:"vantage"`    // locations whose nodes probe; empty: all
	Shared       bool            `yaml:"shared"`     // identical checks of several endpoints run once per node
	MessageQuota int             `yaml:"message_quota"`

	Checks     []Check     `yaml:"checks"`  // several checks instead of one
	Combine    Combine     `yaml:"combine"` // how their opinions become one
	Calculated *Calculated `yaml:"calculated"`
	External   *External   `yaml:"external"`
}

// Probed reports that nodes run probes for an endpoint with this monitor.
func (m *Monitor) Probed() bool {
	return m.Assume == AssumeNothing && m.Calculated == nil && m.External == nil
}

// Check is one of several checks of an endpoint: the endpoint's monitor with its own keys on top, and a name.
type Check struct {
	Name    string  `yaml:"name"` // unique in the endpoint
	Monitor Monitor `yaml:",inline"`
}

// Window is the k-of-n rule: up while Need of the last Size probes succeeded. Size 0: the rule of results in a row.
type Window struct {
	Size int `yaml:"size"` // 1..64
	Need int `yaml:"need"` // 1..Size
}

// MonitorTimeouts bound the parts of one probe; 0 is no bound of its own. The whole is bounded by Monitor.Timeout.
type MonitorTimeouts struct {
	Connect time.Duration `yaml:"connect"` // from the start of the probe to an established connection, TLS included
	Status  time.Duration `yaml:"status"`  // from the request to the end of the response head
	Body    time.Duration `yaml:"body"`    // from there to the match, or to the end of the body
}

// Query is the question of a dns check.
type Query struct {
	Name      string   `yaml:"name"`      // "": the profile's public name
	Type      string   `yaml:"type"`      // a record type, A by default
	Transport string   `yaml:"transport"` // udp | tcp
	Rcode     string   `yaml:"rcode"`     // NOERROR by default
	Answers   []string `yaml:"answers"`   // record data that must be among the answers, in zone-file form
}

// Combine merges the checks of an endpoint: all of them up, any, or at least N.
type Combine struct {
	Rule CombineRule
	N    int // at_least only
}

// Needed is how many of n checks must be up.
func (c Combine) Needed(n int) int {
	switch c.Rule {
	case CombineAny:
		return 1
	case CombineAtLeast:
		return c.N
	case CombineAll:
	}
	return n
}

func (c Combine) String() string {
	switch c.Rule {
	case CombineAny:
		return "any"
	case CombineAtLeast:
		return "{at_least: " + strconv.Itoa(c.N) + "}"
	case CombineAll:
	}
	return "all"
}

// Calculated takes the verdict from other endpoints: up while AtLeast of them are. 0 is always up, more than there are
// is always down.
type Calculated struct {
	Of      []string `yaml:"of"`       // ENDPOINT of the same profile, or PROFILE/ENDPOINT
	AtLeast int      `yaml:"at_least"` // default: all
}

// External takes the verdict from signals that somebody sends to the API.
type External struct {
	Token     Value         `yaml:"token"`      // the bearer of it may signal
	TTL       time.Duration `yaml:"ttl"`        // a signal older than this is silence
	OnSilence OnSilence     `yaml:"on_silence"` // what silence means
}

// Expect is what a healthy answer looks like. All given rules must hold.
type Expect struct {
	Status    []StatusRange    `yaml:"status"`
	Body      string           `yaml:"body"`       // substring, case-sensitive
	BodyRegex string           `yaml:"body_regex"` // RE2
	Header    map[string]Value `yaml:"header"`     // header name -> exact value
	JSON      ExpectJSON       `yaml:"json"`
	Text      string           `yaml:"text"`     // tcp: what the peer must say
	Complete  bool             `yaml:"complete"` // the whole body must arrive within the timeout
}

// ExpectJSON is one value in a JSON body. Path names it by keys and list positions, for example
// `checks[0].state`; "" is no rule.
type ExpectJSON struct {
	Path   string `yaml:"path"`
	Equals string `yaml:"equals"` // a text compares without quotes; everything else as JSON writes it
}

// MonitorTLS is the TLS side of an https probe.
type MonitorTLS struct {
	Verify bool   `yaml:"verify"` // chain, name and expiry
	SNI    string `yaml:"sni"`    // "": follows the Host header when that is a name

	MinVersion TLSVersion    `yaml:"min_version"`
	CA         Value         `yaml:"ca"`          // PEM of the roots to trust instead of the system's
	ClientCert Value         `yaml:"client_cert"` // PEM of a chain and its key, as one secret
	ExpiryWarn time.Duration `yaml:"expiry_warn"` // a certificate that ends sooner is a finding
}
