package origins

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// Client is what a PROXY protocol header tells an origin about a client connection. Version 1 has the addresses only.
type Client struct {
	Peer, Local netip.AddrPort // the client's, and where it connected to
	ALPN        string         // protocol agreed in the client's handshake, "h2" for example
	Authority   string         // host name the client asked for in SNI, or in Host
	TLSVersion  string         // "TLSv1.3" for example; "": the client came without TLS
	CommonName  string         // of the client's certificate, when it has been verified
}

// header is what begins a connection with Key.Proxy. Without a client it is one of our own, for which the origin takes
// the addresses of the socket (UNKNOWN in version 1, LOCAL in version 2).
func header(version uint8, c *Client) ([]byte, error) {
	h := &proxyproto.Header{Version: version, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	if c != nil && c.Peer.IsValid() && c.Local.IsValid() {
		h = proxyproto.HeaderProxyFromAddrs(version, tcpAddr(c.Peer), tcpAddr(c.Local))
	}
	if version == 1 && h.Command == proxyproto.LOCAL {
		return []byte("PROXY UNKNOWN\r\n"), nil
	}
	if version == 2 && c != nil {
		if err := h.SetTLVs(c.values()); err != nil {
			return nil, fmt.Errorf("PROXY protocol header: %w", err)
		}
	}
	out, err := h.Format()
	if err != nil {
		return nil, fmt.Errorf("PROXY protocol header, version %d: %w", version, err)
	}
	return out, nil
}

func tcpAddr(a netip.AddrPort) *net.TCPAddr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port()))
}

// values are the TLVs of version 2. A text that does not fit is left out: the header must not fail for it.
func (c *Client) values() []proxyproto.TLV {
	var out []proxyproto.TLV
	add := func(kind proxyproto.PP2Type, text string) {
		if text != "" && len(text) <= 255 {
			out = append(out, proxyproto.TLV{Type: kind, Value: []byte(text)})
		}
	}
	add(proxyproto.PP2_TYPE_ALPN, c.ALPN)
	add(proxyproto.PP2_TYPE_AUTHORITY, c.Authority)
	if c.TLSVersion == "" {
		return out
	}
	s := tlvparse.PP2SSL{
		Client: tlvparse.PP2_BITFIELD_CLIENT_SSL,
		Verify: 1, // no certificate of the client has been verified
		TLV:    []proxyproto.TLV{{Type: proxyproto.PP2_SUBTYPE_SSL_VERSION, Value: []byte(c.TLSVersion)}},
	}
	if c.CommonName != "" && len(c.CommonName) <= 255 {
		s.Verify = 0
		s.Client |= tlvparse.PP2_BITFIELD_CLIENT_CERT_CONN | tlvparse.PP2_BITFIELD_CLIENT_CERT_SESS
		s.TLV = append(s.TLV, proxyproto.TLV{Type: proxyproto.PP2_SUBTYPE_SSL_CN, Value: []byte(c.CommonName)})
	}
	if t, err := s.Marshal(); err == nil {
		out = append(out, t)
	}
	return out
}
