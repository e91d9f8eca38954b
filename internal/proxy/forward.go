package proxy

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"jurymast/internal/proxy/figures"
	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/inbound"
	"jurymast/internal/proxy/origins"
)

// door is the connection a request came through, as far as others are told of it.
type door struct {
	listener string
	proto    string // "" is that of the head
	peer     netip.Addr
	trusted  bool   // the peer may tell us about the hops before it
	hop      []byte // the peer as X-Forwarded-For has it
	scheme   string
	port     []byte // that was connected to
	sni      string // "" without TLS
	tls      string // version
	most     int    // requests on this connection
	number   uint32 // of the connection, from 1
	served   uint64 // requests so far
	source   string // where peer is from
	shard    *figures.Shard
	ends     *inbound.Conn // nil: unknown
	private  *origins.Conn // an origin's connection that is this client's alone
}

// keep keeps an origin's connection for this client's next request.
func (d *door) keep(c *origins.Conn) {
	if d.private != nil && d.private != c {
		_ = d.private.Close() // it is of no use any more
	}
	d.private = c
}

// own is the private connection to an origin, if there is one that can be used. One that merely begins with the client's
// address is trusted no longer than any other, since a new one is as good; one that carries a logon is used regardless.
func (d *door) own(p *origins.Pool, trust time.Duration) *origins.Conn {
	c := d.private
	if c == nil || c.Pool() != p {
		return nil
	}
	d.private = nil
	if p.Key().Proxy == 0 {
		trust = origins.Any
	}
	if !c.Usable(trust) {
		_ = c.Close() // it is dead already
		return nil
	}
	return c
}

// shut ends what the connection has kept.
func (d *door) shut() {
	if d.private != nil {
		_ = d.private.Close() // it is of no use any more
		d.private = nil
	}
}

// requestsPerConnection is how many requests a client's connection carries before it is asked for another one, give or
// take a tenth, so that the connections of a busy moment do not all end in another.
const requestsPerConnection = 10000

func (p *Proxy) doorOf(c *inbound.Conn) door {
	d := door{
		ends: c, listener: c.Listener, peer: c.Peer.Addr().Unmap().WithZone(""), scheme: "http", port: strconv.AppendUint(nil, uint64(c.Local.Port()), 10),
		most: requestsPerConnection - p.dice(requestsPerConnection/10), number: p.numbers.Add(1), source: "socket", shard: p.figures.Shard(),
	}
	if c.TLS != nil {
		d.scheme, d.sni, d.tls = "https", c.TLS.ServerName, tlsName(c.TLS.Version)
	}
	if c.Socket != c.Peer {
		d.source = "proxy-protocol"
	}
	d.know(p.o.TrustedProxies)
	return d
}

// know completes what follows from the peer.
func (d *door) know(trusted []netip.Prefix) {
	d.trusted = trusts(trusted, d.peer)
	d.hop = []byte("unknown")
	if d.peer.IsValid() {
		d.hop = d.peer.AppendTo(nil)
	}
}

func trusts(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// whoAsks reads the client's address: the peer's, or behind trusted peers that of the right-most hop that is not.
func (x *exchange) whoAsks() {
	x.client, x.clientSource = x.door.peer, x.door.source
	if !x.door.trusted || x.req().Has(http1.ForwardedFor) == 0 {
		return
	}
	fields := x.req().Fields
	for i := range slices.Backward(fields) {
		if fields[i].Known != http1.ForwardedFor {
			continue
		}
		list := fields[i].Value.Of(x.head)
		for len(list) > 0 {
			hop := list
			if at := bytes.LastIndexByte(list, ','); at >= 0 {
				hop, list = list[at+1:], list[:at]
			} else {
				list = nil
			}
			a, err := netip.ParseAddr(string(bytes.TrimSpace(hop)))
			if err != nil {
				return
			}
			x.client, x.clientSource = a.Unmap(), "x-forwarded-for"
			if !trusts(x.p.o.TrustedProxies, x.client) {
				return
			}
		}
	}
}

// equalWord compares with a word in lower case, ASCII only.
func equalWord(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range b {
		if b[i] != word[i] && b[i]|0x20 != word[i] {
			return false
		}
	}
	return true
}

// outgoing appends the head of the request as the origin gets it: the request line with the target as it came, the
// fields as they came in their order, and behind them what we have to say.
func (x *exchange) outgoing(b []byte) []byte {
	req := x.req()
	b = append(b, req.Method.Of(x.head)...)
	b = append(b, ' ')
	b = x.appendTarget(b)
	b = append(b, " HTTP/1.1\r\n"...)
	if req.Has(http1.Host) == 0 { // HTTP/1.0 with an absolute target
		b = append(append(append(b, "Host: "...), req.Host.Of(x.head)...), "\r\n"...)
	}
	b = x.appendRequestFields(b)
	if req.Body == http1.BodyChunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if req.Trailers {
		b = append(b, "TE: trailers\r\n"...)
	}
	if x.upgrade {
		b = append(b, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	}
	b = x.tell(b)
	return append(b, "\r\n"...)
}

// appendTarget writes the target in origin form, %2f, // and .. as they came [RFC 9112 3.2.1].
func (x *exchange) appendTarget(b []byte) []byte {
	path := x.req().Path.Of(x.head)
	switch {
	case len(path) == 0 && string(x.req().Method.Of(x.head)) == "OPTIONS":
		return append(b, '*') // RFC 9112 3.2.4
	case len(path) == 0 || path[0] == '?':
		b = append(b, '/')
	}
	return append(b, path...)
}

// appendRequestFields copies the fields that are passed on as they are.
func (x *exchange) appendRequestFields(b []byte) []byte {
	fields := x.req().Fields
	for i := range fields {
		f := &fields[i]
		if f.Hop || !x.passes(f.Known) {
			continue
		}
		b = append(b, x.head[f.Line.From:f.Line.To]...)
	}
	return b
}

// passes reports fields that stay where they are. What an untrusted peer says about the way here does not.
func (x *exchange) passes(k http1.Known) bool {
	switch k { //nolint:exhaustive // all others pass
	case http1.ForwardedFor:
		return false // said anew
	case http1.ForwardedHost, http1.ForwardedPort, http1.ForwardedProto, http1.Forwarded:
		return x.door.trusted
	case http1.ClientCert, http1.ClientCertChain:
		return false // only a proxy says them [RFC 9440]
	case http1.Expect:
		return x.req().Continue // others mean nothing, and upset servers
	}
	return true
}

// tell appends X-Forwarded-*: a trusted peer's list is extended, and what it said of the rest stands already.
func (x *exchange) tell(b []byte) []byte {
	req := x.req()
	b = append(b, "X-Forwarded-For: "...)
	if x.door.trusted {
		for i := range req.Fields {
			if f := &req.Fields[i]; f.Known == http1.ForwardedFor && f.Value.Len() > 0 {
				b = append(b, f.Value.Of(x.head)...)
				b = append(b, ", "...)
			}
		}
	}
	b = append(b, x.door.hop...)
	if x.says(http1.ForwardedProto) {
		b = append(b, "\r\nX-Forwarded-Proto: "...)
		b = append(b, x.door.scheme...)
	}
	if x.says(http1.ForwardedHost) {
		b = append(b, "\r\nX-Forwarded-Host: "...)
		b = append(b, req.Host.Of(x.head)...)
	}
	if x.says(http1.ForwardedPort) {
		b = append(b, "\r\nX-Forwarded-Port: "...)
		b = append(b, x.door.port...)
	}
	return append(b, "\r\n"...)
}

// says reports that a field is ours to say.
func (x *exchange) says(k http1.Known) bool { return !x.door.trusted || x.req().Has(k) == 0 }

// wantsWebsocket: other upgrades are not carried, their offers are removed.
func (x *exchange) wantsWebsocket() bool {
	offer := x.req().Upgrades.Of(x.head)
	return len(offer) > 0 && equalWord(offer, "websocket") && x.req().Body == http1.BodyNone
}
