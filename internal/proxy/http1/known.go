package http1

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
	count
)

// names by Known, in lower case.
var names = [count]string{
	Host: "host", ContentLength: "content-length", TransferEncoding: "transfer-encoding", Connection: "connection",
	KeepAlive: "keep-alive", ProxyConnection: "proxy-connection", ProxyAuthorization: "proxy-authorization",
	ProxyAuthenticate: "proxy-authenticate", TE: "te", TrailerField: "trailer", Upgrade: "upgrade", Expect: "expect",
	Cookie: "cookie", Authorization: "authorization", Forwarded: "forwarded", ForwardedFor: "x-forwarded-for",
	ForwardedHost: "x-forwarded-host", ForwardedPort: "x-forwarded-port", ForwardedProto: "x-forwarded-proto",
	RealIP: "x-real-ip", ClientCert: "client-cert", ClientCertChain: "client-cert-chain", Via: "via", Date: "date",
	SetCookie: "set-cookie", ContentType: "content-type",
}

// byLength finds candidates by the length of a name and its first letter.
var byLength = func() (t [32][]Known) {
	for k := Other + 1; k < count; k++ {
		t[len(names[k])] = append(t[len(names[k])], k)
	}
	return t
}()

func known(name []byte) Known {
	if len(name) >= len(byLength) {
		return Other
	}
	for _, k := range byLength[len(name)] {
		if lower(name[0]) == names[k][0] && equalFold(name, names[k]) {
			return k
		}
	}
	return Other
}

// String is the name in lower case.
func (k Known) String() string {
	if k == Other || k >= count {
		return "other"
	}
	return names[k]
}

// hop reports fields that are always of one connection [RFC 9110 7.6.1, RFC 9112 9].
func (k Known) hop() bool {
	switch k { //nolint:exhaustive // the others are passed on
	case Connection, KeepAlive, ProxyConnection, ProxyAuthorization, ProxyAuthenticate, TE, TransferEncoding, Upgrade:
		return true
	}
	return false
}

// decides reports fields that routing, framing or identity hang on.
func decides(k Known) bool {
	switch k { //nolint:exhaustive // the others decide nothing
	case Host, ContentLength, TransferEncoding, Cookie, Authorization, Forwarded, ForwardedFor, ForwardedHost, ForwardedPort, ForwardedProto,
		RealIP, ClientCert, ClientCertChain:
		return true
	}
	return false
}

// alike reports a name that origins which take _ for -, as CGI does, cannot tell from one that decides.
func alike(name []byte) bool {
	var room [32]byte
	if len(name) >= len(room) {
		return false
	}
	found := false
	for i, c := range name {
		if c == '_' {
			c, found = '-', true
		}
		room[i] = c
	}
	return found && decides(known(room[:len(name)]))
}
