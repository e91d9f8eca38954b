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
	Serving       string           `json:"serving" doc:"what is really answered: preferred, fallback, all-down, none, not-ready"`
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
	Real          string          `json:"real" doc:"the verdict below all orders: up, down or checking"`
	Since         time.Time       `json:"since"`
	Reason        string          `json:"reason"`
	Override      *OverrideStatus `json:"override"`
	TTL           string          `json:"ttl" doc:"upper bound of an answer that names this endpoint"`
	Votes         []health.Ballot `json:"votes"`
}

// OverrideStatus is an order that holds.
type OverrideStatus struct {
	ID    string     `json:"id"`
	Act   string     `json:"act"`
	By    string     `json:"by"`
	Note  string     `json:"note,omitempty"`
	At    time.Time  `json:"at"`
	Until *time.Time `json:"until,omitempty"`
}

// NodeStatus is GET /api/v1/node: this node as a whole.
type NodeStatus struct {
	Name        string       `json:"name"`
	Location    string       `json:"location,omitempty"`
	Version     string       `json:"version"`
	Started     time.Time    `json:"started"`
	Ready       bool         `json:"ready" doc:"every profile answers from fresh state"`
	Draining    bool         `json:"draining"`
	Leader      string       `json:"leader,omitempty"`
	Leads       bool         `json:"leads"`
	Blind       bool         `json:"blind"`
	Store       StoreStatus  `json:"store"`
	Generation  uint64       `json:"generation" doc:"of the documents in use"`
	Config      ConfigStatus `json:"config"`
	Listeners   []Listener   `json:"listeners"`
	Members     []NodeMember `json:"members"`
	Alarms      []string     `json:"alarms,omitempty"`
	WaitingFor  []string     `json:"waitingFor,omitempty" doc:"profiles that are not ready, with the reason"`
	ProbeSource []string     `json:"probeSource,omitempty" doc:"addresses this node's probes come from"`
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
	Kind    string          `json:"kind" enum:"profiles,zones"`
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

// OrderRequest is POST /api/v1/profiles/NAME/orders.
type OrderRequest struct {
	Act        string `json:"act" enum:"disable,enable,drain,undrain,force-up,force-down,force-off,hold,resume,failback"`
	Endpoint   string `json:"endpoint,omitempty" doc:"empty: the profile (disable, enable, hold, resume, failback)"`
	For        string `json:"for,omitempty" doc:"duration, e.g. 30m; empty: until it is ended"`
	Note       string `json:"note,omitempty"`
	BreakGlass bool   `json:"breakGlass,omitempty" doc:"do it although no usable endpoint would be left"`
}

// OrderResult says what the order did.
type OrderResult struct {
	Placed  []OverrideStatus `json:"placed"`
	Ended   []OverrideStatus `json:"ended"`
	Message string           `json:"message"`
}

// Explanation is GET /api/v1/explain: the answer a question would get, by the code that gives it.
type Explanation struct {
	Name    string       `json:"name"`
	Type    string       `json:"type"`
	Client  string       `json:"client,omitempty"`
	Zone    string       `json:"zone,omitempty"`
	Profile string       `json:"profile,omitempty"`
	Kind    string       `json:"kind" doc:"profile, static, delegation, nodata, nxdomain, refused ..."`
	Rcode   string       `json:"rcode"`
	Answer  []string     `json:"answer" doc:"records in presentation form"`
	TTL     string       `json:"ttl,omitempty"`
	Epoch   uint64       `json:"epoch,omitempty"`
	Serving string       `json:"serving,omitempty"`
	Stale   bool         `json:"stale,omitempty"`
	Proxy   string       `json:"proxy,omitempty" doc:"what the HTTP front would do with a request for this host"`
	Trail   []steer.Step `json:"trail"`
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
