package trace

import "time"

// Report is everything that was found out about one name. Its JSON form is described in docs/trace.md.
type Report struct {
	Name    string    `json:"name"`              // as it was asked for: ASCII, with a trailing dot
	Written string    `json:"written,omitempty"` // as the caller wrote it, when that is another text
	Type    string    `json:"type"`
	At      time.Time `json:"at"` // when the last answer had come
	TookMS  float64   `json:"tookMs"`

	Node   *Node    `json:"node,omitempty"` // what a node of ours says; absent when none was asked
	Chain  []Link   `json:"chain"`          // the name, then each alias that other name servers answer
	Caches []Holder `json:"caches"`         // resolvers
	Local  []Holder `json:"local"`          // caches of this host
	Java   []JVM    `json:"java"`           // Java processes of this host

	Outlook Outlook  `json:"outlook"`
	Notes   []string `json:"notes,omitempty"`
}

// Node is what one of our nodes knows of the name.
type Node struct {
	Name     string    `json:"name,omitempty"`
	Profile  string    `json:"profile,omitempty"` // that answers the name; "": a static name or none of ours
	Routing  string    `json:"routing,omitempty"`
	Endpoint string    `json:"endpoint,omitempty"`
	Active   string    `json:"active,omitempty"` // by decision; priority routing only
	Previous string    `json:"previous,omitempty"`
	Epoch    uint64    `json:"epoch,omitempty"`
	Since    time.Time `json:"since,omitzero"` // of the decision
	Reason   string    `json:"reason,omitempty"`
	TTL      uint32    `json:"ttl"`              // seconds, of an answer now
	MaxTTL   uint32    `json:"maxTtl,omitempty"` // seconds, the longest of an answer with any endpoint
	Answer   []Record  `json:"answer,omitempty"`
	Rcode    string    `json:"rcode,omitempty"`
	Trouble  string    `json:"trouble,omitempty"` // why the node says nothing
}

// Record is one record; TTL is in seconds: as told by a name server, or what is left of it in a cache.
type Record struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	TTL   uint32 `json:"ttl"`
	Value string `json:"value"`
}

// Link is one part of the chain: a name and the servers of the zone it is in.
type Link struct {
	Name    string   `json:"name"`
	Zone    string   `json:"zone,omitempty"`
	Hops    []Hop    `json:"hops"`
	Servers []Server `json:"servers"`
	Records []Record `json:"records,omitempty"` // what most of the servers answer
	Rcode   string   `json:"rcode,omitempty"`
	Agree   bool     `json:"agree"`            // no server answers something else
	Varies  bool     `json:"varies,omitempty"` // asked again, one server gave other answers: they are drawn
	Trouble string   `json:"trouble,omitempty"`

	looked bool // it is known whether the answers vary
}

// Hop is one step of the delegation.
type Hop struct {
	Zone    string   `json:"zone"` // whose servers were asked
	Server  string   `json:"server"`
	Address string   `json:"address"`
	Refers  string   `json:"refers,omitempty"` // zone it refers to; "": it answers itself
	Names   []string `json:"names,omitempty"`  // of that zone's servers
	TookMS  float64  `json:"tookMs,omitempty"`
	Trouble string   `json:"trouble,omitempty"`
}

// Server is what one name server answers over one transport.
type Server struct {
	Name      string   `json:"name"`
	Address   string   `json:"address"` // with the port
	Transport string   `json:"transport"`
	Rcode     string   `json:"rcode,omitempty"`
	AA        bool     `json:"aa"`
	TTL       uint32   `json:"ttl"` // smallest of the answer, in seconds
	Serial    uint32   `json:"serial,omitempty"`
	NSID      string   `json:"nsid,omitempty"` // as text where it is one, else in hexadecimal digits
	Node      string   `json:"node,omitempty"` // of ours that has this NSID
	Records   []Record `json:"records,omitempty"`
	Errors    []string `json:"errors,omitempty"` // extended errors [RFC 8914]
	Differs   bool     `json:"differs"`          // from what most servers answer
	TookMS    float64  `json:"tookMs,omitempty"`
	Trouble   string   `json:"trouble,omitempty"` // why there is no answer that counts

	path []step
}

// State is how a cache stands to what the name servers answer now.
type State string

// The states.
const (
	Current State = "current" // it holds what the name servers answer
	Old     State = "old"     // it holds something else
	Empty   State = "empty"   // it holds nothing, so the next question brings the present answer
	Unknown State = "unknown" // it did not tell, or there is nothing to compare with
)

// Holder is one cache and what it holds.
type Holder struct {
	Kind    string    `json:"kind"`   // resolver, hosts, systemd-resolved or nscd
	Source  string    `json:"source"` // who names it: --resolver, a file
	Address string    `json:"address"`
	State   State     `json:"state"`
	Cached  string    `json:"cached"` // yes, no, fresh (perhaps fetched for this trace) or unknown
	Rcode   string    `json:"rcode,omitempty"`
	AD      bool      `json:"ad"`    // the resolver has validated it
	Stale   bool      `json:"stale"` // it says so itself [RFC 8914 4.4, 4.20]
	Records []Record  `json:"records,omitempty"`
	Errors  []string  `json:"errors,omitempty"`
	Differs string    `json:"differs,omitempty"` // the first record that is not the present one
	Left    uint32    `json:"left"`              // old: seconds until it must ask again; unknown: at most
	Until   time.Time `json:"until,omitzero"`    // that as a time
	Forever bool      `json:"forever,omitempty"` // it holds until somebody changes it
	TookMS  float64   `json:"tookMs,omitempty"`
	Note    string    `json:"note,omitempty"`
	Trouble string    `json:"trouble,omitempty"`

	path []step // what was judged, and when
	open bool
	at   time.Time
}

// JVM is one Java process and how long it keeps addresses.
type JVM struct {
	PID     int    `json:"pid"`
	TTL     int    `json:"ttl"` // seconds; -1: for ever
	Default bool   `json:"default"`
	From    string `json:"from"` // where that is written
	Note    string `json:"note,omitempty"`
}

// Outlook says when the last cache has switched.
type Outlook struct {
	Answered bool   `json:"answered"` // name servers did, in every zone the name leads through; else nobody knows the present answer
	Agree    bool   `json:"agree"`    // everybody who told holds the present answer
	Old      int    `json:"old"`      // caches with an older one
	Unknown  int    `json:"unknown"`
	Differ   int    `json:"differ"`           // name servers that answer something else than most
	By       Bound  `json:"by"`               // everybody who was asked
	Others   *Bound `json:"others,omitempty"` // caches nobody knows of here
	Java     *Bound `json:"java,omitempty"`   // Java processes that ask through them

	Never []string `json:"never,omitempty"` // holders no time helps against
}

// Bound is a time and why it is that one. A zero time: nothing is waited for, or, with Never, no time helps.
type Bound struct {
	At      time.Time `json:"at,omitzero"`
	Seconds int       `json:"seconds"` // from the report's time
	Reason  string    `json:"reason"`
}
