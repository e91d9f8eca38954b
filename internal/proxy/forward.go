package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// hopByHop are the fields that end here, RFC 9110 7.6.1, besides those that Connection names.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Proxy-Authenticate", "Proxy-Authorization",
}

// endToEnd are fields that Connection must not name: removing them would change what the origin understands.
var endToEnd = []string{
	"Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Cookie", "Authorization",
	"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded",
}

// forwarded is who asks, and what we tell the origin about it.
type forwarded struct {
	peer    netip.Addr
	client  netip.Addr // right-most untrusted hop
	source  string     // where client was read: "peer" or "x-forwarded-for"
	trusted bool       // the peer may tell us about the hops before it
}

func trusts(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// whoAsks reads the client address: the peer, or with trusted peers the right-most hop that is not trusted.
func whoAsks(r *http.Request, prefixes []netip.Prefix) forwarded {
	f := forwarded{source: "peer"}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		f.peer = ap.Addr().Unmap().WithZone("")
	}
	f.client, f.trusted = f.peer, trusts(prefixes, f.peer)
	if !f.trusted {
		return f
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(hops) {
		a, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		f.client, f.source = a.Unmap(), "x-forwarded-for"
		if !trusts(prefixes, f.client) {
			break
		}
	}
	return f
}

// tell writes X-Forwarded-*: what an untrusted peer says is replaced, what a trusted one says is kept and extended.
func (f *forwarded) tell(h http.Header, r *http.Request) {
	proto, port := "http", "80"
	if r.TLS != nil {
		proto, port = "https", "443"
	}
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		port = strconv.Itoa(a.Port)
	}
	hops := f.peer.String()
	if !f.peer.IsValid() {
		hops = "unknown"
	}
	if before := h["X-Forwarded-For"]; f.trusted && len(before) > 0 {
		hops = strings.Join(before, ", ") + ", " + hops
	}
	h["X-Forwarded-For"] = []string{hops}
	for name, own := range map[string]string{"X-Forwarded-Proto": proto, "X-Forwarded-Host": r.Host, "X-Forwarded-Port": port} {
		if !f.trusted || len(h[name]) == 0 {
			h[name] = []string{own}
		}
	}
}

// checkRequest refuses what must not be forwarded.
func checkRequest(r *http.Request) error {
	for _, name := range endToEnd {
		if hasToken(r.Header["Connection"], name) {
			return fmt.Errorf("the Connection field names %s, which is not hop by hop", name)
		}
	}
	_, err := target(r, destination{addr: "origin:80"})
	return err
}

func wantsWebsocket(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.ProtoMinor == 1 && hasToken(r.Header["Connection"], "upgrade") &&
		len(r.Header["Upgrade"]) == 1 && strings.EqualFold(r.Header["Upgrade"][0], "websocket")
}

// hasToken reports that one of the comma-separated lists has the token, in any letter case.
func hasToken(fields []string, token string) bool {
	for _, f := range fields {
		for t := range strings.SplitSeq(f, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// stripHopByHop removes what is between two neighbours only.
func stripHopByHop(h http.Header) {
	for _, field := range h["Connection"] {
		for name := range strings.SplitSeq(field, ",") {
			if name = strings.TrimSpace(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// errTarget says that net/http would write another request target than it read.
var errTarget = errors.New("the request target cannot be passed on unchanged")

// target makes a URL that net/http writes exactly as the client wrote it: %2f, // and .. stay.
func target(r *http.Request, to destination) (*url.URL, error) {
	raw := r.RequestURI
	if !strings.HasPrefix(raw, "/") && raw != "*" { // absolute form: the authority is in r.Host
		_, rest, ok := strings.Cut(raw, "://")
		if !ok {
			return nil, errTarget
		}
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			raw = rest[i:]
		} else {
			raw = ""
		}
		if !strings.HasPrefix(raw, "/") {
			raw = "/" + raw
		}
	}
	u := &url.URL{Scheme: to.scheme(), Host: to.addr, Opaque: raw}
	if strings.HasPrefix(raw, "//") { // net/http would take an opaque // for an authority
		path, query, has := strings.Cut(raw, "?")
		plain, err := url.PathUnescape(path)
		if err != nil {
			return nil, errTarget
		}
		u.Opaque, u.Path, u.RawPath, u.RawQuery, u.ForceQuery = "", plain, path, query, has && query == ""
	}
	if u.RequestURI() != raw {
		return nil, errTarget
	}
	return u, nil
}

// outgoing builds the request for one attempt.
func (x *exchange) outgoing(c *choice) *http.Request {
	u, err := target(x.r, c.dest)
	if err != nil { // cannot happen: prepare has asked
		u = &url.URL{Scheme: c.dest.scheme(), Host: c.dest.addr, Path: "/"}
	}
	h := x.r.Header.Clone()
	trailers := hasToken(h["Te"], "trailers")
	stripHopByHop(h)
	if trailers {
		h["Te"] = []string{"trailers"}
	}
	if x.upgrade {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	if len(h["User-Agent"]) == 0 {
		h["User-Agent"] = nil // or net/http adds its own
	}
	if v, ok := h["Idempotency-Key"]; ok && !x.safe {
		// net/http repeats a POST with this field by itself. Under another letter case it does not know the field.
		delete(h, "Idempotency-Key")
		h["idempotency-key"] = v
	}
	if v, ok := h["X-Idempotency-Key"]; ok && !x.safe {
		delete(h, "X-Idempotency-Key")
		h["x-idempotency-key"] = v
	}
	x.from.tell(h, x.r)
	out := &http.Request{
		Method: x.r.Method, URL: u, Host: x.r.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: x.r.ContentLength, Body: http.NoBody,
	}
	if x.body != nil {
		out.Body, out.Trailer = x.body.attempt(), x.r.Trailer // the trailer's values are there when the body has been read
	}
	return out
}
