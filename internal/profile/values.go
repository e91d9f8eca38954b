package profile

import (
	"strconv"
	"strings"
)

// The enumerations of a configuration. Each is the word the operator writes; Allowed lists them in the order of the
// documentation, the default first.
type (
	Routing      string // how an answer is chosen
	Protocol     string // how health is tested
	FailbackMode string // when the decision returns
	Fencing      string // how strictly a switch excludes overlap
	Compat       string // whose behaviour wins where products differ
	ProxyMode    string // how the proxy spreads requests
	Balance      string // algorithm inside mode balance
	OnFailure    string // bound endpoint down
	OnFailback   string // preferred endpoint back
	Presence     string // do instances need to see each other's agents
	OnIsolation  string // what a node does that cannot confirm its decision
	UDPWait      string // how a loop waits for datagrams
	UDPSpread    string // which loop gets a datagram
	TLSVersion   string // lowest version accepted
	CheckingRule string // where endpoints without a verdict stand
	AnswerForm   string // form of the answer for a host-name target
	CloseWith    string // how a TCP probe ends
	Assume       string // a verdict without probing
	OnSilence    string // what a missing signal means
	AllDownRule  string // the answer while everything is down
	CombineRule  string // how several checks become one opinion
	Switch       string // something told or not
	Require      string // when a question needs a cookie
	Order        string // of the addresses of a static set
	DNSDuty      string // whether we must be the ones who answer a profile's names
	OriginHeader string // how the proxy tells an origin whose connection it carries
	ECSRule      string // whose client subnets are believed
	XDPRule      string // whether the network driver answers

	SigningAlgorithm string // of DNSSEC keys
	KeyScheme        string // whether one key or two sign a zone
	Denial           string // how a signed zone proves that something is not there
	RRLMode          string // whether answers are limited
	RRLDriver        string // what the network driver does, which limits nothing
)

// The words themselves.
const (
	Priority    Routing = "priority"
	Weighted    Routing = "weighted"
	Performance Routing = "performance"
	Geographic  Routing = "geographic"
	Multivalue  Routing = "multivalue"
	Subnet      Routing = "subnet"

	HTTP  Protocol = "http"
	HTTPS Protocol = "https"
	TCP   Protocol = "tcp"
	DNS   Protocol = "dns"
	Exec  Protocol = "exec"

	FailbackAuto        FailbackMode = "auto"
	FailbackDelayed     FailbackMode = "delayed"
	FailbackManual      FailbackMode = "manual"
	FailbackNewSessions FailbackMode = "new-sessions"

	Relaxed Fencing = "relaxed"
	Strict  Fencing = "strict"

	CompatNone  Compat = "none"
	CompatAzure Compat = "azure"

	ModeFailover ProxyMode = "failover"
	ModeBalance  ProxyMode = "balance"

	RoundRobin       Balance = "round-robin"
	LeastOutstanding Balance = "least-outstanding"
	Hash             Balance = "hash"

	Rebind OnFailure = "rebind"
	Fail   OnFailure = "fail"
	Borrow OnFailure = "borrow"

	Return        OnFailback = "return"
	Stay          OnFailback = "stay"
	StayUntilIdle OnFailback = "stay-until-idle"

	PresenceNotNeeded Presence = "not-needed"
	PresenceNeeded    Presence = "needed"

	IsolationHold OnIsolation = "hold"
	IsolationStop OnIsolation = "stop"

	WaitRaw      UDPWait = "raw"      // keeps its processor for some milliseconds of silence
	WaitPolite   UDPWait = "polite"   // gives it away as soon as nothing is queued
	WaitBusy     UDPWait = "busy"     // never waits
	WaitPortable UDPWait = "portable" // one datagram per call, through package net

	SpreadClient    UDPSpread = "client"    // by a hash of the client's address and port
	SpreadProcessor UDPSpread = "processor" // that of the processor which received it, to which the loop is pinned

	TLS12 TLSVersion = "1.2"
	TLS13 TLSVersion = "1.3"

	CheckingSecond CheckingRule = "second" // only when nothing better is there
	CheckingServe  CheckingRule = "serve"  // equal to Online

	AnswerAuto    AnswerForm = "auto" // CNAME, flattened where a CNAME may not stand
	AnswerCNAME   AnswerForm = "cname"
	AnswerFlatten AnswerForm = "flatten"

	CloseFIN   CloseWith = "fin"
	CloseReset CloseWith = "reset"

	AssumeNothing Assume = ""
	AssumeUp      Assume = "up"
	AssumeDown    Assume = "down"

	SilenceDown OnSilence = "down"
	SilenceUp   OnSilence = "up"
	SilenceLast OnSilence = "last" // the last signal holds

	AllDownServe      AllDownRule = "serve"       // as if every eligible endpoint were Online
	AllDownLastActive AllDownRule = "last-active" // the ones answered before the last one fell
	AllDownNone       AllDownRule = "none"        // NODATA
	AllDownTarget     AllDownRule = "target"      // a fixed host or address of last resort

	On  Switch = "on"
	Off Switch = "off"

	RequireNever    Require = "never"
	RequireAlways   Require = "always"
	RequirePressure Require = "pressure" // of sources that ask too much

	OrderRotate Order = "rotate" // begins elsewhere for each question
	OrderFixed  Order = "fixed"  // as written

	DNSAnywhere DNSDuty = "anywhere" // a host name in no zone of ours is answered by others
	DNSRequired DNSDuty = "required" // that is an error

	ECSOn   ECSRule = "on"
	ECSOff  ECSRule = "off"
	ECSFrom ECSRule = "from" // of the resolvers in the list

	XDPOff  XDPRule = "off"
	XDPAuto XDPRule = "auto"
	XDPOn   XDPRule = "on" // the interfaces in the list

	ECDSAP256 SigningAlgorithm = "ecdsa-p256" // number 13 [RFC 6605]
	Ed25519   SigningAlgorithm = "ed25519"    // number 15 [RFC 8080]

	KeysCSK    KeyScheme = "csk"     // one key signs everything
	KeysKSKZSK KeyScheme = "ksk-zsk" // one signs the keys, one the rest

	DenialCompact Denial  = "compact" // made for the question [RFC 9824]
	DenialNSEC    Denial  = "nsec"    // the classic chain [RFC 4034 4]
	DenialNSEC3   Denial  = "nsec3"   // hashed names [RFC 5155]
	RRLOn         RRLMode = "on"
	RRLOff        RRLMode = "off"
	RRLDry        RRLMode = "dry-run" // only counted

	DriverRefused   RRLDriver = "refused"   // answers nothing
	DriverUnlimited RRLDriver = "unlimited" // answers, to whoever asks

	ProxyProtocolOff OriginHeader = "off"
	ProxyProtocolV1  OriginHeader = "v1" // a line of text
	ProxyProtocolV2  OriginHeader = "v2" // binary, with ALPN, host name and TLS

	CombineAll     CombineRule = "all"
	CombineAny     CombineRule = "any"
	CombineAtLeast CombineRule = "at_least"
)

func (Routing) Allowed() []string {
	return []string{"priority", "weighted", "performance", "geographic", "multivalue", "subnet"}
}
func (Protocol) Allowed() []string     { return []string{"http", "https", "tcp", "dns", "exec"} }
func (FailbackMode) Allowed() []string { return []string{"auto", "delayed", "manual", "new-sessions"} }
func (Fencing) Allowed() []string      { return []string{"relaxed", "strict"} }
func (Compat) Allowed() []string       { return []string{"none", "azure"} }
func (ProxyMode) Allowed() []string    { return []string{"failover", "balance"} }
func (Balance) Allowed() []string      { return []string{"round-robin", "least-outstanding", "hash"} }
func (OnFailure) Allowed() []string    { return []string{"rebind", "fail", "borrow"} }
func (OnFailback) Allowed() []string   { return []string{"return", "stay", "stay-until-idle"} }
func (Presence) Allowed() []string     { return []string{"not-needed", "needed"} }
func (OnIsolation) Allowed() []string  { return []string{"hold", "stop"} }
func (UDPWait) Allowed() []string      { return []string{"raw", "polite", "busy", "portable"} }
func (UDPSpread) Allowed() []string    { return []string{"client", "processor"} }
func (TLSVersion) Allowed() []string   { return []string{"1.2", "1.3"} }
func (CheckingRule) Allowed() []string { return []string{"second", "serve"} }
func (AnswerForm) Allowed() []string   { return []string{"auto", "cname", "flatten"} }
func (CloseWith) Allowed() []string    { return []string{"fin", "reset"} }
func (Assume) Allowed() []string       { return []string{"up", "down"} }
func (OnSilence) Allowed() []string    { return []string{"down", "up", "last"} }

func (Switch) Allowed() []string  { return []string{"on", "off"} }
func (Require) Allowed() []string { return []string{"pressure", "never", "always"} }
func (Order) Allowed() []string   { return []string{"rotate", "fixed"} }
func (DNSDuty) Allowed() []string { return []string{"anywhere", "required"} }

func (OriginHeader) Allowed() []string { return []string{"off", "v1", "v2"} }

// Local is the header of a connection of our own, for which the addresses of the socket count: UNKNOWN in version 1,
// LOCAL in version 2 (PROXY protocol 2.1, 2.2). Probes send it.
func (o OriginHeader) Local() string {
	return [...]string{1: "PROXY UNKNOWN\r\n", 2: "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"}[o.Version()]
}

// Version is that of the PROXY protocol; 0: none.
func (o OriginHeader) Version() uint8 {
	switch o {
	case ProxyProtocolV1:
		return 1
	case ProxyProtocolV2:
		return 2
	case ProxyProtocolOff:
	}
	return 0
}

func (SigningAlgorithm) Allowed() []string { return []string{"ecdsa-p256", "ed25519"} }
func (KeyScheme) Allowed() []string        { return []string{"csk", "ksk-zsk"} }
func (Denial) Allowed() []string           { return []string{"compact", "nsec", "nsec3"} }
func (RRLMode) Allowed() []string          { return []string{"on", "off", "dry-run"} }
func (RRLDriver) Allowed() []string        { return []string{"refused", "unlimited"} }

// ECSPolicy says whose client subnets [RFC 7871] are believed: on, off, or a list of resolvers' networks.
type ECSPolicy struct {
	Rule ECSRule
	From []string // networks or addresses; ECSFrom only
}

func (e ECSPolicy) String() string {
	if e.Rule == ECSFrom {
		return "[" + strings.Join(e.From, ", ") + "]"
	}
	return string(e.Rule)
}

// XDPPolicy says whether hot questions are answered in the network driver: off, auto, or a list of interfaces.
type XDPPolicy struct {
	Rule       XDPRule
	Interfaces []string // names; XDPOn only
}

func (x XDPPolicy) String() string {
	if x.Rule == XDPOn {
		return "[" + strings.Join(x.Interfaces, ", ") + "]"
	}
	return string(x.Rule)
}

// Size is a number of bytes, written 64KiB, 1MiB or as a bare number.
type Size int64

// Percent is 0..100, written 20%.
type Percent int

// Value is a text that may be secret: written as a string, or as {secret: NAME} or {env: NAME} where NAME is one of
// the names node.secrets allows.
type Value struct {
	Text   string
	Secret string // name in node.secrets
	Env    string // environment variable that some entry of node.secrets names
}

// String never shows a secret, only its name.
func (v Value) String() string {
	switch {
	case v.Secret != "":
		return "{secret: " + v.Secret + "}"
	case v.Env != "":
		return "{env: " + v.Env + "}"
	}
	return v.Text
}

// StatusRange is an inclusive range of HTTP status codes, written "200" or "200-299".
type StatusRange struct{ Min, Max int }

func (r StatusRange) String() string {
	if r.Min == r.Max {
		return strconv.Itoa(r.Min)
	}
	return strconv.Itoa(r.Min) + "-" + strconv.Itoa(r.Max)
}

// Quorum is the rule that merges votes: it says how many down votes take an endpoint down.
type Quorum struct {
	Rule QuorumRule
	N    int // at_least only, 1..
}

// QuorumRule is the word of a Quorum.
type QuorumRule uint8

// The quorum rules. Majority is the default.
const (
	QuorumMajority QuorumRule = iota
	QuorumAny
	QuorumAll
	QuorumAtLeast
)

func (q Quorum) String() string {
	switch q.Rule {
	case QuorumAny:
		return "any"
	case QuorumAll:
		return "all"
	case QuorumAtLeast:
		return "{at_least: " + strconv.Itoa(q.N) + "}"
	case QuorumMajority:
	}
	return "majority"
}

// Needed is how many of voters must say down: majority floor(V/2)+1, any 1, all V, at_least n.
func (q Quorum) Needed(voters int) int {
	switch q.Rule {
	case QuorumAny:
		return 1
	case QuorumAll:
		return voters
	case QuorumAtLeast:
		return q.N
	case QuorumMajority:
	}
	return voters/2 + 1
}

// CanonicalName is a host name as we compare it: ASCII lower case, no trailing dot.
func CanonicalName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
