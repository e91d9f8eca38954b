package origins

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"net/netip"
	"testing"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestHeaderOfVersion1(t *testing.T) {
	cases := []struct {
		name   string
		client *Client
		want   string
	}{
		{"IPv4", &Client{Peer: addrPort("192.0.2.7:40000"), Local: addrPort("198.51.100.1:443"), ALPN: "h2"}, "PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n"},
		{"IPv4 in IPv6", &Client{Peer: addrPort("[::ffff:192.0.2.7]:40000"), Local: addrPort("[::ffff:198.51.100.1]:443")}, "PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n"},
		{"IPv6", &Client{Peer: addrPort("[2001:db8::7]:40000"), Local: addrPort("[2001:db8::1]:443")}, "PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n"},
		{"link-local", &Client{Peer: addrPort("[fe80::7%eth0]:40000"), Local: addrPort("[fe80::1%eth0]:443")}, "PROXY TCP6 fe80::7 fe80::1 40000 443\r\n"},
		{"both families", &Client{Peer: addrPort("192.0.2.7:40000"), Local: addrPort("[2001:db8::1]:443")}, "PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 40000 443\r\n"},
		{"ours", nil, "PROXY UNKNOWN\r\n"},
		{"a client without addresses", &Client{}, "PROXY UNKNOWN\r\n"},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			got, err := header(1, tt.client)
			if err != nil || string(got) != tt.want {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestHeaderOfVersion2(t *testing.T) {
	for _, c := range []*Client{
		{Peer: addrPort("192.0.2.7:40000"), Local: addrPort("198.51.100.1:443"), ALPN: "h2", Authority: "a.example", TLSVersion: "TLSv1.3", CommonName: "robot"},
		{Peer: addrPort("[2001:db8::7]:40000"), Local: addrPort("[2001:db8::1]:80"), Authority: "a.example"},
		{Peer: addrPort("[2001:db8::7]:40000"), Local: addrPort("198.51.100.1:443"), ALPN: "http/1.1", TLSVersion: "TLSv1.2"},
	} {
		raw, err := header(2, c)
		if err != nil {
			t.Fatal(err)
		}
		h := readHeader(t, raw)
		src, dst, ok := h.TCPAddrs()
		if !ok || src.AddrPort().Port() != c.Peer.Port() || dst.AddrPort().Port() != c.Local.Port() ||
			src.AddrPort().Addr().Unmap() != c.Peer.Addr() || dst.AddrPort().Addr().Unmap() != c.Local.Addr() {
			t.Errorf("%v -> %v, want %v -> %v", src, dst, c.Peer, c.Local)
		}
		texts, ssl := valuesOf(t, h)
		if texts[proxyproto.PP2_TYPE_ALPN] != c.ALPN || texts[proxyproto.PP2_TYPE_AUTHORITY] != c.Authority {
			t.Errorf("%v of %+v", texts, c)
		}
		version, _ := ssl.SSLVersion()
		name, _ := ssl.ClientCN()
		if version != c.TLSVersion || name != c.CommonName || ssl.ClientCertConn() != (c.CommonName != "") || ssl.Verified() != (c.CommonName != "" || c.TLSVersion == "") {
			t.Errorf("%+v of %+v", ssl, c)
		}
	}
}

func TestHeaderOfVersion2WithoutClient(t *testing.T) {
	raw, err := header(2, nil)
	if err != nil || string(raw) != string(proxyproto.SIGV2)+"\x20\x00\x00\x00" {
		t.Errorf("%q, %v", raw, err)
	}
}

// What a client sends must never make a header that cannot be sent, or one that is too long for its readers.
func TestHeaderLeavesOutWhatDoesNotFit(t *testing.T) {
	long := string(make([]byte, 300))
	raw, err := header(2, &Client{Peer: addrPort("192.0.2.7:1"), Local: addrPort("192.0.2.8:2"), ALPN: long, Authority: long, TLSVersion: "TLSv1.3", CommonName: long})
	if err != nil || len(raw) > 100 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

func TestOriginsWithProxyProtocol(t *testing.T) {
	client := &Client{Peer: addrPort("192.0.2.7:40000"), Local: addrPort("198.51.100.1:443")}
	for _, version := range []uint8{1, 2} {
		o := newOrigin(t)
		s := newPools(t, Options{})
		p := s.For(Key{Addr: o.Addr, Proxy: version})
		c, err := p.DialFor(t.Context(), 0, client)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("GET")); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(o.accepted(1))
		h, err := proxyproto.Read(r)
		if err != nil || h.Version != version || h.SourceAddr.String() != "192.0.2.7:40000" {
			t.Errorf("%+v, %v", h, err)
		}
		if b, err := r.Peek(3); err != nil || string(b) != "GET" {
			t.Errorf("%q after the header, %v", b, err)
		}
		if c.Written() != 3 {
			t.Errorf("%d bytes of a request, want 3: the header is none", c.Written())
		}
		if !c.IsPrivate() {
			t.Error("a connection for one client could be lent to another")
		}
		p.Put(c)
		if p.Take(Any) != nil {
			t.Error("it was lent")
		}
	}
}

// The header goes before the handshake, as all servers want it.
func TestProxyProtocolBeforeTLS(t *testing.T) {
	ca := newAuthority(t)
	o := newOrigin(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.issue("origin.example")}}
	done := make(chan error, 1)
	go func() {
		c := proxyproto.NewConn(o.accepted(1))
		srv := tls.Server(c, cfg)
		_, err := srv.Write([]byte(srv.RemoteAddr().String()))
		done <- err
	}()
	s := newPools(t, Options{Roots: ca.Pool})
	p := s.For(Key{Secure: true, Addr: o.Addr, ServerName: "origin.example", Proxy: 2})
	c, err := p.DialFor(t.Context(), 0, &Client{Peer: addrPort("192.0.2.7:40000"), Local: addrPort("198.51.100.1:443"), ALPN: "h2"})
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	n, err := c.Read(b)
	if err != nil || string(b[:n]) != "192.0.2.7:40000" {
		t.Errorf("%q, %v", b[:n], err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func readHeader(t *testing.T, raw []byte) *proxyproto.Header {
	t.Helper()
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func valuesOf(t *testing.T, h *proxyproto.Header) (map[proxyproto.PP2Type]string, tlvparse.PP2SSL) {
	t.Helper()
	all, err := h.TLVs()
	if err != nil {
		t.Fatal(err)
	}
	texts, ssl := map[proxyproto.PP2Type]string{}, tlvparse.PP2SSL{}
	for _, v := range all {
		texts[v.Type] = string(v.Value)
		if tlvparse.IsSSL(v) {
			if ssl, err = tlvparse.SSL(v); err != nil {
				t.Fatal(err)
			}
		}
	}
	return texts, ssl
}
