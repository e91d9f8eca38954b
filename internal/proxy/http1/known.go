package http1

import "encoding/binary"

// Known are the fields this package or its callers look at.
type Known uint8

// The known fields. Other is everything else.
const (
	Other Known = iota
	Host
	ContentLength
	TransferEncoding
	Connection
	KeepAlive
	ProxyConnection
	ProxyAuthorization
	ProxyAuthenticate
	TE
	TrailerField
	Upgrade
	Expect
	Cookie
	Authorization
	Forwarded
	ForwardedFor
	ForwardedHost
	ForwardedPort
	ForwardedProto
	RealIP
	ClientCert
	ClientCertChain
	Via
	Date
	SetCookie
	ContentType
	WWWAuthenticate
	count
)

// names by Known, in lower case: letters and - only.
var names = [count]string{
	Host: "host", ContentLength: "content-length", TransferEncoding: "transfer-encoding", Connection: "connection",
	KeepAlive: "keep-alive", ProxyConnection: "proxy-connection", ProxyAuthorization: "proxy-authorization",
	ProxyAuthenticate: "proxy-authenticate", TE: "te", TrailerField: "trailer", Upgrade: "upgrade", Expect: "expect",
	Cookie: "cookie", Authorization: "authorization", Forwarded: "forwarded", ForwardedFor: "x-forwarded-for",
	ForwardedHost: "x-forwarded-host", ForwardedPort: "x-forwarded-port", ForwardedProto: "x-forwarded-proto",
	RealIP: "x-real-ip", ClientCert: "client-cert", ClientCertChain: "client-cert-chain", Via: "via", Date: "date",
	SetCookie: "set-cookie", ContentType: "content-type", WWWAuthenticate: "www-authenticate",
}

// String is the name in lower case.
func (k Known) String() string {
	if k == Other || k >= count {
		return "other"
	}
	return names[k]
}

// Set is some of the known fields.
type Set uint64

// SetOf is the set of these.
func SetOf(fields ...Known) (s Set) {
	for _, k := range fields {
		s |= 1 << k
	}
	return s
}

// Has reports that k is one of them.
func (s Set) Has(k Known) bool { return s>>k&1 != 0 }

var (
	// hops are always of one connection [RFC 9110 7.6.1, RFC 9112 9].
	hops = SetOf(Connection, KeepAlive, ProxyConnection, ProxyAuthorization, ProxyAuthenticate, TE, TransferEncoding, Upgrade)

	// deciding are those that routing, framing or identity hang on.
	deciding = SetOf(Host, ContentLength, TransferEncoding, Cookie, SetCookie, Authorization, Forwarded, ForwardedFor, ForwardedHost,
		ForwardedPort, ForwardedProto, RealIP, ClientCert, ClientCertChain)

	// heading may stand in heads only, not behind a body [RFC 9110 6.5.1].
	heading = hops | deciding | SetOf(TrailerField, Expect, ContentType, WWWAuthenticate)
)

// longest is more than the longest known name has, a multiple of eight.
const longest = 24

// spelled are the names as they are compared, sameLength those of each length.
var (
	spelled    [count][longest]byte
	sameLength = func() (t [longest][3]Known) {
		for k := Other + 1; k < count; k++ {
			copy(spelled[k][:], names[k])
			row := &t[len(names[k])]
			for i := range row {
				if row[i] == Other {
					row[i] = k
					break
				}
			}
		}
		return t
	}()
)

// known finds a name, which has no control characters in it: setting 0x20 makes letters lower and nothing else a letter or -.
func known(name []byte) Known {
	n := len(name)
	if n >= longest || n < 2 {
		return Other
	}
	first := name[0] | 0x20
	for _, k := range &sameLength[n] {
		if word := &spelled[k]; word[0] == first && spells(name, word) {
			return k
		}
	}
	return Other
}

// spells compares a name with a word of the same length, two or eight bytes at a time; the last ones overlap.
func spells(name []byte, word *[longest]byte) bool {
	n := len(name)
	if n < 8 {
		for i := 0; ; i += 2 {
			i = min(i, n-2)
			if (binary.LittleEndian.Uint16(name[i:]) | cases&0xFFFF) != binary.LittleEndian.Uint16(word[i:]) {
				return false
			}
			if i == n-2 {
				return true
			}
		}
	}
	for i := 0; ; i += 8 {
		i = min(i, n-8)
		if binary.LittleEndian.Uint64(name[i:])|cases != binary.LittleEndian.Uint64(word[i:]) {
			return false
		}
		if i == n-8 {
			return true
		}
	}
}

// alike finds the deciding field that origins cannot tell a name from when they make an environment variable of it, as CGI
// does, and write _ for whatever is neither letter nor digit. Other: there is none, or it is the name itself.
func alike(name []byte) Known {
	var room [longest]byte
	if len(name) >= len(room) {
		return Other
	}
	changed := false
	for i, c := range name {
		if class[c]&alphanumeric == 0 && c != '-' {
			c, changed = '-', true
		}
		room[i] = c
	}
	if k := known(room[:len(name)]); changed && deciding.Has(k) {
		return k
	}
	return Other
}

// Alike reports that an origin may take a field of that name for the other: the names differ in letter case only, or in what
// stands for a -.
func Alike(name []byte, other string) bool {
	if len(name) != len(other) {
		return false
	}
	for i, c := range name {
		d := other[i]
		if lower(c) != lower(d) && (class[c]&alphanumeric != 0 || class[d]&alphanumeric != 0) {
			return false
		}
	}
	return true
}
