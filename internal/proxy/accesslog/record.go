package accesslog

import (
	"net/netip"
	"time"
)

// Record is what is known of one request at its end. Its slices and strings are not kept after Add. Of a message that
// could not be read, only those parts are set that were.
type Record struct {
	Time     time.Time // the request head was complete
	Listener string    // address listened on
	Conn     uint64    // number of the client connection, from 1 since the start
	Request  uint64    // number of the request on it, from 1

	Client       netip.Addr
	ClientSource string // where Client is from: "socket", "proxy-protocol", "x-forwarded-for"
	TLS, SNI     string // version and server name; "" without TLS

	Proto        string // "HTTP/1.1"
	Method, Host []byte
	Target       []byte // as received; it is cut into path and query here

	Status int // that the client got
	Reason string
	Rule   string // that the client's message broke; "" none

	Profile, Group, Endpoint string
	Epoch                    uint64
	OriginAddr               string // "192.0.2.11:443"
	Reused                   bool   // the origin's connection was used before
	Attempts                 int
	Trail                    []Step // failed attempts
	Replay                   string // "yes", "no": whether a body was kept for sending again; "" without one

	Held         time.Duration
	Key, KeyHash string // which key a session is bound by, and a hash of its value
	SessionNew   bool

	BytesIn, BytesOut int64         // of bodies, as transferred
	Head              time.Duration // from the first byte of the request head to Time
	Connect           time.Duration // to a connection, of the last attempt
	Handshake         time.Duration // TLS with the origin, part of Connect
	FirstByte         time.Duration // of the origin's answer, since Time
	Total             time.Duration // since Time
	OriginStatus      int
	Upgrade           string // "websocket"
	TunnelIn          int64  // bytes from the client through a tunnel

	TraceParent []byte // the field's value as received; its trace id is written when it is valid
	UserAgent   []byte
}

// Step is one failed attempt.
type Step struct {
	Endpoint string
	Epoch    uint64
	Phase    string // "connect", "send"
	Error    string
	Took     time.Duration
}

// Longest texts of clients that are written, in bytes; of longer ones the beginning, and an ellipsis (U+2026).
const (
	maxTarget = 8 << 10 // path, query
	maxText   = 1 << 10 // everything else
)
