package api

import "jurymast/internal/health"

// ProfileListing is a profile document with its state in few words.
type ProfileListing struct {
	Document
	Status *ProfileBrief `json:"status,omitempty" doc:"absent until this node uses the document"`
}

// ProfileBrief is the state of a profile in few words.
type ProfileBrief struct {
	MonitorStatus string `json:"monitorStatus"`
	Serving       string `json:"serving"`
	Active        string `json:"active,omitempty"`
	Epoch         uint64 `json:"epoch,omitempty"`
	Stale         bool   `json:"stale,omitempty"`
}

// ProfileList is GET /api/v1/profiles.
type ProfileList struct {
	Profiles []ProfileListing `json:"profiles"`
}

// ZoneList is GET /api/v1/zones.
type ZoneList struct {
	Zones []Document `json:"zones"`
}

// TSIGList is GET /api/v1/tsig.
type TSIGList struct {
	TSIG []Document `json:"tsig"`
}

// StatusList is GET /api/v1/status, in name order.
type StatusList struct {
	Profiles []ProfileStatus `json:"profiles"`
}

// NodeList is GET /api/v1/nodes.
type NodeList struct {
	Nodes []NodeMember `json:"nodes"`
}

// OrderList is GET /api/v1/profiles/NAME/orders: the orders in force.
type OrderList struct {
	Orders []OrderStatus `json:"orders"`
}

// OrderStatus is an order in force with what it names.
type OrderStatus struct {
	OverrideStatus
	Profile  string `json:"profile"`
	Endpoint string `json:"endpoint,omitempty"`
}

// EntryList is GET /api/v1/journal and /api/v1/audit, oldest first.
type EntryList struct {
	Entries []health.Entry `json:"entries"`
}

// Readiness is GET /readyz.
type Readiness struct {
	Ready      bool     `json:"ready"`
	WaitingFor []string `json:"waitingFor,omitempty"`
}

// Overview is GET /status for a program.
type Overview struct {
	Node     NodeStatus      `json:"node"`
	Profiles []ProfileStatus `json:"profiles"`
}

// Removed is the event that tells that a profile is gone.
type Removed struct {
	Name string `json:"name"`
}
