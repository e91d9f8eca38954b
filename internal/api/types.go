package api

import (
	"encoding/json"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/steer"
)

// ProfileStatus is GET /api/v1/profiles/NAME/status.
type ProfileStatus struct {
	Name          string           `json:"name"`
	Hostnames     []string         `json:"hostnames"`
	Routing       string           `json:"routing"`
	MonitorStatus string           `json:"monitorStatus" doc:"Online, Degraded, CheckingEndpoints, Disabled or Inactive"`
	Serving       string           `json:"serving" doc:"what is really answered: preferred, partial, fallback, all-down, none, not-ready, halted"`
	Halt          string           `json:"halt,omitempty" doc:"why nothing is answered and nothing sent: isolated, unconfirmed, preparing"`
	Awaits        []string         `json:"awaits,omitempty" doc:"preparing: live nodes that have not acknowledged yet"`
	Stale         bool             `json:"stale" doc:"the last good state, not confirmed now"`
	TTL           string           `json:"ttl" doc:"of an answer given now"`
	Decision      *DecisionStatus  `json:"decision" doc:"null until the first one"`
	Held          *OverrideStatus  `json:"held,omitempty"`
	Endpoints     []EndpointStatus `json:"endpoints"`
}

// DecisionStatus is the agreed active endpoint.
type DecisionStatus struct {
	Active       string     `json:"active"`
	Epoch        uint64     `json:"epoch"`
	Since        time.Time  `json:"since"`
	Reason       string     `json:"reason"`
	Previous     string     `json:"previous,omitempty"`
	Evidence     string     `json:"evidence,omitempty"`
	By           string     `json:"by,omitempty"`
	Phase        string     `json:"phase,omitempty" doc:"preparing: a fenced switch waits until no node sends to the old endpoint"`
	Keeps        string     `json:"keeps,omitempty" doc:"failback new-sessions: endpoint that keeps what it has"`
	Pending      string     `json:"pending,omitempty" doc:"better endpoint that is healthy again while failback waits"`
	PendingSince *time.Time `json:"pendingSince,omitempty"`
}

// EndpointStatus is one endpoint of a profile.
type EndpointStatus struct {
	Name          string          `json:"name"`
	Target        string          `json:"target"`
	Origin        string          `json:"origin,omitempty"`
	Priority      int             `json:"priority"`
	MonitorStatus string          `json:"monitorStatus"`
	Real          string          `json:"real" doc:"the verdict below all orders: up, down or checking; empty: not probed"`
	Since         time.Time       `json:"since"`
	Reason        string          `json:"reason"`
	Override      *OverrideStatus `json:"override"`
	TTL           string          `json:"ttl" doc:"upper bound of an answer that names this endpoint"`
	Votes         []health.Ballot `json:"votes"`

	Paused  bool          `json:"paused,omitempty" doc:"the verdict is frozen by order"`
	Probing bool          `json:"probing,omitempty" doc:"disabled by order and still probed: real says what it would be"`
	Held    bool          `json:"held,omitempty" doc:"probes pass, hold_down is not over"`
	Weight  float64       `json:"weight,omitempty" doc:"while it grows after a recovery: the weight that counts now"`
	Nested  *NestedStatus `json:"nested,omitempty"`
	Signal  *SignalStatus `json:"signal,omitempty" doc:"external check: the last signal"`

	ConfigWeight int      `json:"configWeight" doc:"as configured; weighted, and regions equally near"`
	Location     string   `json:"location,omitempty" doc:"region, or latitude and longitude in degrees; performance"`
	Geo          []string `json:"geo,omitempty" doc:"codes of the clients it is for; geographic"`
	Subnets      []string `json:"subnets,omitempty" doc:"networks of the clients it is for"`
}

// NestedStatus is the profile an endpoint stands for.
type NestedStatus struct {
	Profile string `json:"profile"`
	Status  string `json:"status" doc:"its monitor status, empty while it is not known"`
	Online  int    `json:"online"`
	Size    int    `json:"size" doc:"endpoints it has"`
	Needed  int    `json:"needed"`
}

// SignalStatus is what somebody outside said last.
type SignalStatus struct {
	State  string    `json:"state"`
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until"`
}

// OverrideStatus is an order that holds.
type OverrideStatus struct {
	ID    string     `json:"id"`
	Act   string     `json:"act"`
	By    string     `json:"by"`
	Note  string     `json:"note,omitempty"`
	At    time.Time  `json:"at"`
	Until *time.Time `json:"until,omitempty"`

	KeepProbing bool   `json:"keepProbing,omitempty"`
	Gate        string `json:"gate,omitempty"`
}

// NodeStatus is GET /api/v1/node: this node as a whole.
type NodeStatus struct {
	Name         string         `json:"name"`
	Location     string         `json:"location,omitempty"`
	Version      string         `json:"version"`
	Started      time.Time      `json:"started"`
	Ready        bool           `json:"ready" doc:"every profile answers from fresh state"`
	Draining     bool           `json:"draining"`
	Leader       string         `json:"leader,omitempty"`
	Leads        bool           `json:"leads"`
	Blind        bool           `json:"blind"`
	Store        StoreStatus    `json:"store"`
	Generation   uint64         `json:"generation" doc:"of the documents in use"`
	Config       ConfigStatus   `json:"config"`
	Listeners    []Listener     `json:"listeners"`
	Members      []NodeMember   `json:"members"`
	Locations    []LocationFile `json:"locations,omitempty" doc:"this node's files about where clients are"`
	Alarms       []string       `json:"alarms,omitempty"`
	Flattened    []FlatTarget   `json:"flattened,omitempty" doc:"targets whose addresses DNS answers in place of a CNAME, those with trouble first; at most 1000"`
	Certificates []Certificate  `json:"certificates,omitempty" doc:"that this node shows to clients"`
	Driver       *DriverStatus  `json:"driver,omitempty" doc:"answers in the network driver; absent unless node.nameserver.xdp asks for them"`
	WaitingFor   []string       `json:"waitingFor,omitempty" doc:"profiles that are not ready, with the reason"`
	ProbeSource  []string       `json:"probeSource,omitempty" doc:"addresses this node's probes come from"`
}

// Certificate is one that a front shows to clients.
type Certificate struct {
	Front    string    `json:"front" doc:"dns or https"`
	File     string    `json:"file"`
	Names    []string  `json:"names" doc:"it is for"`
	NotAfter time.Time `json:"notAfter"`
	Fault    string    `json:"fault,omitempty" doc:"why clients refuse it"`
}

// DriverStatus is how answers in the network driver stand. Counts are since the node's start.
type DriverStatus struct {
	State      string            `json:"state" doc:"waiting (for the first documents), on, refused, failed or off (stopping); unless it is on, the sockets answer everything"`
	Reason     string            `json:"reason,omitempty" doc:"of refused and failed"`
	Interfaces []DriverInterface `json:"interfaces" doc:"that were looked at"`
	Entries    int               `json:"entries" doc:"questions answered there"`
	Waiting    int               `json:"waiting,omitempty" doc:"questions that go to the sockets for a moment"`
	Left       int               `json:"left,omitempty" doc:"questions that would be answered there if they fitted"`
	Answered   uint64            `json:"answered" doc:"questions answered there so far"`
	Missed     uint64            `json:"missed" doc:"questions looked up there in vain, so answered by the sockets"`
	NoRoom     uint64            `json:"noRoom,omitempty" doc:"questions answered by the sockets because the frame could not grow"`
}

// DriverInterface is one network interface.
type DriverInterface struct {
	Name     string `json:"name"`
	Attached bool   `json:"attached"`
	Reason   string `json:"reason,omitempty" doc:"why it is not"`
}

// StoreStatus is how the node stands with the store.
type StoreStatus struct {
	Kind      string `json:"kind" doc:"embedded or external"`
	Reachable bool   `json:"reachable"`
	Detail    string `json:"detail,omitempty"`
}

// ConfigStatus is what became of the configuration file.
type ConfigStatus struct {
	File    string    `json:"file,omitempty"`
	Applied time.Time `json:"applied,omitzero"`
	Error   string    `json:"error,omitempty" doc:"why the file as it stands now was refused; the older one stays in force"`
}

// LocationFile is one of the files of node.geo.
type LocationFile struct {
	Path     string    `json:"path"`
	Kind     string    `json:"kind" doc:"location database or latency table"`
	Type     string    `json:"type,omitempty" doc:"as a database calls itself, e.g. GeoLite2-City"`
	Built    time.Time `json:"built,omitzero" doc:"when a database was made"`
	Modified time.Time `json:"modified,omitzero" doc:"of the file in force"`
	Records  int       `json:"records" doc:"different records of a database, prefixes of a table"`
	Fault    string    `json:"fault,omitempty" doc:"why the file as it is now is not used; the earlier reading stays in force"`
}

// FlatTarget is a host name outside our zones whose addresses are answered where a CNAME may not stand.
type FlatTarget struct {
	Target    string    `json:"target"`
	State     string    `json:"state" doc:"fresh, stale, none (it has no address) or unknown (questions get SERVFAIL)"`
	Addresses []string  `json:"addresses,omitempty"`
	TTL       uint32    `json:"ttl,omitempty" doc:"seconds the addresses may be kept"`
	Resolver  string    `json:"resolver,omitempty" doc:"that told"`
	Learned   time.Time `json:"learned,omitzero" doc:"when"`
	Next      time.Time `json:"next,omitzero" doc:"next lookup"`
	Forgotten time.Time `json:"forgotten,omitzero" doc:"when the addresses are given up unless a lookup succeeds"`
	Failures  int       `json:"failures,omitempty" doc:"lookups in a row that brought nothing"`
	Trouble   string    `json:"trouble,omitempty" doc:"of the last lookup"`
}

// Listener is one open socket.
type Listener struct {
	Front   string `json:"front" doc:"dns, http, https, api"`
	Network string `json:"network" doc:"udp, tcp, unix"`
	Address string `json:"address"`
}

// NodeMember is one live node of the cluster.
type NodeMember struct {
	Name      string   `json:"name"`
	Location  string   `json:"location,omitempty"`
	Blind     bool     `json:"blind,omitempty"`
	Version   string   `json:"version,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
}

// Document is a shared document as stored.
type Document struct {
	Kind    string          `json:"kind" enum:"profiles,zones,safety,tsig"`
	Name    string          `json:"name"`
	Managed string          `json:"managed,omitempty" doc:"the file that owns it; such a document is read-only here"`
	ETag    string          `json:"etag"`
	Source  json.RawMessage `json:"source" doc:"as the operator wrote it, without defaults"`
}

// ApplyResult is the answer to POST /api/v1/apply: one change, all of it or nothing of it.
type ApplyResult struct {
	Generation uint64   `json:"generation"`
	Created    []string `json:"created" doc:"kind/name"`
	Changed    []string `json:"changed"`
	Unchanged  []string `json:"unchanged"`
}

// OrderRequest is POST /api/v1/profiles/NAME/orders: one order on the profile or one of its endpoints.
type OrderRequest struct {
	Act         string `json:"act" enum:"disable,enable,drain,undrain,pause,unpause,force-up,force-down,force-off,hold,resume,failback,disable-profile,enable-profile"`
	Endpoint    string `json:"endpoint,omitempty" doc:"empty: the profile (disable, enable, hold, resume, failback)"`
	For         string `json:"for,omitempty" doc:"duration, e.g. 30m; empty: until it is ended"`
	Note        string `json:"note,omitempty"`
	BreakGlass  bool   `json:"breakGlass,omitempty" doc:"overrule min_usable, min_between and safety rules; kept in the journal"`
	KeepProbing bool   `json:"keepProbing,omitempty" doc:"disable of an endpoint: go on probing, so that status shows what it would be"`
}

// TransactionRequest is POST /api/v1/orders: one change of all it says, or of nothing. It is one order (act with targets,
// select or gate) or several steps, which happen at once; the rules judge the result.
type TransactionRequest struct {
	Act         string        `json:"act,omitempty" doc:"of one order; see the acts of a step"`
	Select      string        `json:"select,omitempty"`
	Targets     []OrderTarget `json:"targets,omitempty"`
	Gate        string        `json:"gate,omitempty"`
	Steps       []OrderStep   `json:"steps,omitempty" doc:"at most 100"`
	For         string        `json:"for,omitempty" doc:"duration, e.g. 30m, of every step that says none; empty: until it is ended"`
	Note        string        `json:"note,omitempty"`
	BreakGlass  bool          `json:"breakGlass,omitempty" doc:"overrule min_usable, min_between and safety rules; kept in the journal"`
	KeepProbing bool          `json:"keepProbing,omitempty" doc:"disable of endpoints: go on probing, so that status shows what they would be"`
}

// OrderStep is one act of a transaction. Note and breakGlass are of the transaction as a whole and stand beside the steps.
type OrderStep struct {
	Act         string        `json:"act" enum:"disable,enable,drain,undrain,pause,unpause,force-up,force-down,force-off,hold,resume,failback,disable-profile,enable-profile,open-gate,close-gate"`
	Select      string        `json:"select,omitempty" doc:"profile=NAME, endpoint=NAME, label:KEY=VALUE, location=REGION, with commas between them; all must hold"`
	Targets     []OrderTarget `json:"targets,omitempty" doc:"instead of select"`
	Gate        string        `json:"gate,omitempty" doc:"open-gate and close-gate"`
	For         string        `json:"for,omitempty"`
	KeepProbing bool          `json:"keepProbing,omitempty"`
}

// OrderTarget is one endpoint, or (without it) a whole profile.
type OrderTarget struct {
	Profile  string `json:"profile"`
	Endpoint string `json:"endpoint,omitempty"`
}

// OrderResult says what a transaction did, target by target.
type OrderResult struct {
	Placed  []OrderStatus `json:"placed"`
	Ended   []OrderStatus `json:"ended"`
	Skipped []string      `json:"skipped,omitempty" doc:"selected, but it could not be done there, and why"`
	Broken  []string      `json:"broken,omitempty" doc:"rules that breakGlass has overruled"`
	Message string        `json:"message"`
	Steps   []string      `json:"steps,omitempty" doc:"of several steps: what each one did"`
}

// SafetyList is GET /api/v1/safety.
type SafetyList struct {
	Safety []SafetyListing `json:"safety"`
}

// SafetyListing is a safety rule with how it stands.
type SafetyListing struct {
	Document
	Status *SafetyStatus `json:"status,omitempty" doc:"absent until this node uses the document"`
}

// SafetyStatus is how a safety rule stands: an assertion with what it counts, or a gate.
type SafetyStatus struct {
	Of      string          `json:"of,omitempty" doc:"selector; empty for a gate: everything"`
	AtLeast int             `json:"atLeast,omitempty"`
	Usable  *int            `json:"usable,omitempty" doc:"usable endpoints it counts now"`
	Gate    string          `json:"gate,omitempty"`
	Open    *OverrideStatus `json:"open,omitempty" doc:"the order that keeps the gate open"`
	Holds   bool            `json:"holds" doc:"enough are usable; the gate is open"`
}

// SignalRequest is POST /api/v1/profiles/NAME/endpoints/ENDPOINT/signal, with the endpoint's own bearer token.
type SignalRequest struct {
	State  string `json:"state" enum:"up,down"`
	Reason string `json:"reason,omitempty" maxLength:"1000"`
	TTL    string `json:"ttl,omitempty" doc:"how long it counts; at most monitor.external.ttl, which is the default"`
}

// SignalResult says what became of a signal.
type SignalResult struct {
	Profile  string    `json:"profile"`
	Endpoint string    `json:"endpoint"`
	State    string    `json:"state"`
	Until    time.Time `json:"until"`
	Written  bool      `json:"written" doc:"false: it repeats a young one, nothing had to be written"`
}

// Explanation is GET /api/v1/explain: the answer a question would get, by the code that gives it.
type Explanation struct {
	Name     string       `json:"name"`
	Type     string       `json:"type"`
	Client   string       `json:"client,omitempty"`
	ECS      string       `json:"ecs,omitempty" doc:"client subnet the resolver told; it goes before the client's address"`
	Zone     string       `json:"zone,omitempty"`
	Profile  string       `json:"profile,omitempty"`
	Path     []string     `json:"path,omitempty" doc:"the profile and those nested in it that led to the endpoint"`
	Endpoint string       `json:"endpoint,omitempty" doc:"of the last profile of path; several of a multivalue answer, with commas"`
	Reason   string       `json:"reason,omitempty" doc:"why it was chosen: decision, weight, geo, latency, subnet, all-down ..."`
	Subnet   string       `json:"subnet,omitempty" doc:"client subnet of the answer: address/source length/scope"`
	Errors   []string     `json:"errors,omitempty" doc:"extended errors of the answer"`
	Kind     string       `json:"kind" doc:"profile, static, delegation, nodata, nxdomain, refused ..."`
	Rcode    string       `json:"rcode"`
	Answer   []string     `json:"answer" doc:"records in presentation form"`
	TTL      string       `json:"ttl,omitempty"`
	Epoch    uint64       `json:"epoch,omitempty"`
	Serving  string       `json:"serving,omitempty"`
	Stale    bool         `json:"stale,omitempty"`
	Proxy    string       `json:"proxy,omitempty" doc:"what the HTTP front would do with a request for this host"`
	Trail    []steer.Step `json:"trail"`
}

// ProbeResult is POST /api/v1/profiles/NAME/endpoints/ENDPOINT/probe: one probe now.
type ProbeResult struct {
	Profile  string       `json:"profile"`
	Endpoint string       `json:"endpoint"`
	OK       bool         `json:"ok"`
	Reason   string       `json:"reason"`
	Class    string       `json:"class,omitempty" doc:"resolve, connect, timeout, tls, status, body, header, protocol"`
	Address  string       `json:"address,omitempty"`
	Total    string       `json:"total"`
	Phases   []ProbePhase `json:"phases"`
}

// ProbePhase is one step of a probe.
type ProbePhase struct {
	Name     string `json:"name"`
	Duration string `json:"duration"`
	Detail   string `json:"detail"`
}
