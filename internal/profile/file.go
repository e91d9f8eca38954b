package profile

import "time"

// File is one configuration file: this machine (Node) and what all nodes share (Zones, Profiles).
type File struct {
	Node     Node      `yaml:"node"`
	Zones    []Zone    `yaml:"zones"`
	Defaults Defaults  `yaml:"defaults"` // already part of every profile
	Profiles []Profile `yaml:"profiles"`
	Safety   []Safety  `yaml:"safety"` // rules over the result of every order
	TSIG     []TSIG    `yaml:"tsig"`   // keys of transfers

	// Documents are the zones, profiles, safety rules and keys as the operator wrote them, as JSON, ready for the store.
	// A zone's `file:` is already read and inlined, and the file's `defaults` stand in every profile: what is shared
	// names no file and is complete.
	Documents []Document `yaml:"-"`

	source string // name of the text, for messages
	root   *node  // the text itself, with the place of every value

	zoneFiles map[int]zoneText // zone number -> where its records were read from
}

// Kind of a shared document.
type Kind string

// The kinds of documents, as they stand in store keys and API paths.
const (
	KindProfile Kind = "profiles"
	KindZone    Kind = "zones"
	KindSafety  Kind = "safety"
	KindTSIG    Kind = "tsig"
)

// Safety is one rule that every order, switchover and drill must leave true. Exactly one of Assert and Gate is set.
type Safety struct {
	Name   string  `yaml:"name"`
	Assert *Assert `yaml:"assert"`
	Gate   string  `yaml:"gate"` // name of an operator switch: orders on what Of selects need it open
	Of     string  `yaml:"of"`   // gate only: a selector; "": everything
}

// Assert demands that at least AtLeast endpoints of a selection stay usable.
type Assert struct {
	Of      string `yaml:"of"` // a selector
	AtLeast int    `yaml:"at_least"`
}

// Document is one shared document in its source form, without defaults.
type Document struct {
	Kind   Kind
	Name   string
	Source []byte // JSON object
}

// Node is this machine; nothing in it is shared.
type Node struct {
	Name        string                  `yaml:"name"` // default: host name, filled in by the shell
	Location    string                  `yaml:"location"`
	Data        string                  `yaml:"data"` // default /var/lib/jurymast
	Nameserver  NameserverFront         `yaml:"nameserver"`
	Proxy       ProxyFront              `yaml:"proxy"`
	API         API                     `yaml:"api"`
	Store       Store                   `yaml:"store"`
	Secrets     map[string]SecretSource `yaml:"secrets"`
	Exec        map[string][]string     `yaml:"exec"`
	OnIsolation OnIsolation             `yaml:"on_isolation"`
	Geo         Geo                     `yaml:"geo"`
}

// Geo names this node's files about where clients are. They are read again when they change.
type Geo struct {
	Database string `yaml:"database"` // MMDB file with country, subdivision and position (GeoLite2-City or alike)
	Latency  string `yaml:"latency"`  // CSV file of prefix,region,ms
}

// NameserverFront lists the DNS listeners, each host:port.
type NameserverFront struct {
	Listen []string `yaml:"listen"` // UDP and TCP
	TLS    []string `yaml:"tls"`
	HTTPS  []string `yaml:"https"`
	QUIC   []string `yaml:"quic"`

	// Certificates are those of TLS, HTTPS and QUIC, picked by the name a client asks for.
	Certificates []CertificateFiles `yaml:"certificates"`

	UDP      UDP          `yaml:"udp"`
	TCP      StreamLimits `yaml:"tcp"`
	QueryLog QueryLog     `yaml:"query_log"`
	Dnstap   Dnstap       `yaml:"dnstap"`
	Alarms   DNSAlarms    `yaml:"alarms"`
	UDPSize  int          `yaml:"udp_size"` // bytes of an answer over UDP at most, 512..1400
	Cookies  Cookies      `yaml:"cookies"`
	ECS      ECSPolicy    `yaml:"ecs"`
	NSID     string       `yaml:"nsid"` // NSIDOff, NSIDAuto, or the text itself
	EDE      Switch       `yaml:"ede"`
	EDEText  Switch       `yaml:"ede_text"`
	Chaos    Chaos        `yaml:"chaos"`
	XDP      XDPPolicy    `yaml:"xdp"`
	RRL      RRL          `yaml:"rrl"`

	Resolvers       []string      `yaml:"resolvers"`         // asked for targets whose addresses are answered; none: the system's
	FlattenMaxStale time.Duration `yaml:"flatten_max_stale"` // 1h: how long their last good addresses outlive the TTL
}

// UDP says how datagrams are read and written. The defaults fit most machines.
type UDP struct {
	Loops  int       `yaml:"loops"` // sockets per address, each with a loop of its own; 0: as many as processors
	Batch  int       `yaml:"batch"` // datagrams per system call, at most
	Wait   UDPWait   `yaml:"wait"`
	Spread UDPSpread `yaml:"spread"`
}

// ProxyFront lists the HTTP listeners and what holds for all of them.
type ProxyFront struct {
	HTTP           []string  `yaml:"http"`
	HTTPS          []string  `yaml:"https"`
	TLS            ProxyTLS  `yaml:"tls"`
	TrustedProxies []string  `yaml:"trusted_proxies"` // prefixes
	ProxyProtocol  []string  `yaml:"proxy_protocol"`  // prefixes
	AccessLog      AccessLog `yaml:"access_log"`

	Limits ProxyLimits `yaml:"limits"`
}

// ProxyTLS is the TLS side of the https listeners.
type ProxyTLS struct {
	Certificates []CertificateFiles `yaml:"certificates"`
	MinVersion   TLSVersion         `yaml:"min_version"`
}

// CertificateFiles names a PEM chain and its key.
type CertificateFiles struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// API listens on a unix socket (mode 0600) and on loopback TCP.
type API struct {
	Socket string `yaml:"socket"` // default DATA/api.sock
	Listen string `yaml:"listen"` // "" = off; loopback only
}

// Store says where nodes agree: embedded without Endpoints and Members.
type Store struct {
	Lease     time.Duration `yaml:"lease"` // 3s
	Renew     time.Duration `yaml:"renew"` // 1s
	Endpoints []string      `yaml:"endpoints"`
	Members   []string      `yaml:"members"`
	TLS       StoreTLS      `yaml:"tls"`
	Seal      Seal          `yaml:"seal"`
}

// StoreTLS is how an external store is reached.
type StoreTLS struct {
	CA   string `yaml:"ca"`
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Seal names the file with the 32-byte key that seals secrets in the store.
type Seal struct {
	File string `yaml:"file"`
}

// SecretSource is where this node finds a secret; exactly one is set.
type SecretSource struct {
	Env  string `yaml:"env"`
	File string `yaml:"file"`
}

// Zone is one DNS zone we are authoritative for.
type Zone struct {
	Name        string    `yaml:"name"` // lower case, no trailing dot
	Nameservers []string  `yaml:"nameservers"`
	Hostmaster  string    `yaml:"hostmaster"`
	Records     string    `yaml:"records"` // zone-file text
	File        string    `yaml:"file"`    // node's own file only; inlined into Records when read
	Order       Order     `yaml:"order"`   // of several addresses at one name
	DNSSEC      DNSSEC    `yaml:"dnssec"`
	Transfer    *Transfer `yaml:"transfer"` // nil: to nobody

	Secondary *Secondary `yaml:"secondary"` // the content is fetched from elsewhere; nil: it is here
}

// DNSSEC switches signing of a zone and says how it is signed [RFC 4033, RFC 9364].
type DNSSEC struct {
	Enabled   bool             `yaml:"enabled"`
	Algorithm SigningAlgorithm `yaml:"algorithm"`
	Keys      KeyScheme        `yaml:"keys"`
	Denial    Denial           `yaml:"denial"`
	Presigned bool             `yaml:"presigned"` // signatures come with transfers; not yet

	Propagation time.Duration `yaml:"propagation"`  // until every name server of the zone has a change
	ZSKLifetime time.Duration `yaml:"zsk_lifetime"` // 0: rolled by order alone
	KSKLifetime time.Duration `yaml:"ksk_lifetime"` // of a ksk or csk
	Parents     []string      `yaml:"parents"`      // name servers of the parent zone; none: they are looked up
}

// Release lets go of the text, which is many times the size of what it says. Problems recorded afterwards have no place in it.
func (f *File) Release() { f.root = nil }
