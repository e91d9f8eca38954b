package profile

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxBuffer  = 64 << 20 // bytes of one request body kept for a further try or a key
	maxWaiting = 1_000_000
)

// idempotent are the methods that may be sent twice (RFC 9110 section 9.2.2).
var idempotent = []string{"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}

func validateProxy(r *report, a *at, p *Profile) {
	if p.Proxy.Sessions != nil {
		validateSessions(r, a.child("sessions"), p.Proxy.Sessions)
	}
	validateRetry(r, a.child("retry"), &p.Proxy.Retry)
	hold := a.child("hold")
	r.between(hold.child("max_requests"), p.Proxy.Hold.MaxRequests, 0, maxWaiting)
	r.lasts(hold.child("max_wait"), p.Proxy.Hold.MaxWait, 0, time.Hour)
	t, place := p.Proxy.Timeouts, a.child("timeouts")
	r.lasts(place.child("connect"), t.Connect, time.Millisecond, 5*time.Minute)
	r.lasts(place.child("response"), t.Response, time.Millisecond, 24*time.Hour)
	r.lasts(place.child("idle"), t.Idle, time.Millisecond, 24*time.Hour)
	r.lasts(place.child("header"), t.Header, time.Millisecond, time.Hour)
	r.lasts(place.child("tunnel"), t.Tunnel, time.Second, 30*24*time.Hour)
}

func validateRetry(r *report, a *at, retry *Retry) {
	r.between(a.child("attempts"), retry.Attempts, 0, 10)
	for i, m := range retry.Methods {
		if !slices.Contains(idempotent, m) {
			r.errorf(a.child("methods").element(i), "%q may not be sent twice, because the first try may have had its effect; %s", m, suggest(m, idempotent))
		}
	}
	validateBuffer(r, a.child("body_buffer"), retry.BodyBuffer)
}

func validateBuffer(r *report, a *at, v Size) {
	if v < 0 || v > maxBuffer {
		r.errorf(a, "%d bytes are out of range; allowed: 0 to 64MiB", v)
	}
}

func validateSessions(r *report, a *at, s *Sessions) {
	keys := a.child("keys")
	if len(s.Keys) == 0 {
		r.errorf(keys, "at least one key is needed, or no session can be told from another; write one like [{cookie: JSESSIONID}]")
	}
	for i := range s.Keys {
		validateSessionKey(r, keys.element(i), &s.Keys[i])
	}
	r.lasts(a.child("idle"), s.Idle, time.Second, 365*24*time.Hour)
}

func validateSessionKey(r *report, a *at, k *SessionKey) {
	names := []struct {
		key, value string
		fault      func(string) string
	}{
		{"cookie", k.Cookie, tokenFault},
		{"header", k.Header, tokenFault},
		{"soap", k.SOAP, soapFault},
		{"json", k.JSON, plainFault},
		{"query", k.Query, plainFault},
		{"client", k.Client, clientFault},
		{"insert", k.Insert, tokenFault},
	}
	found := 0
	for _, n := range names {
		if a.has(n.key) {
			found++
			r.fault(a.child(n.key), n.value, n.fault(n.value))
		}
	}
	if found != 1 {
		r.errorf(a, "exactly one extractor is needed, found %d; allowed: cookie, header, soap, json, query, client, insert", found)
		return
	}
	size := a.child("max_bytes")
	if size.given() && k.SOAP == "" && k.JSON == "" {
		r.errorf(size, "belongs to soap and json keys, which read the body; remove it")
	}
	validateBuffer(r, size, k.MaxBytes)
}

func plainFault(s string) string {
	if strings.TrimSpace(s) == "" {
		return "is empty; write a name"
	}
	return headerValueFault(s)
}

// soapFault checks a path of local names: Body//userId.
func soapFault(s string) string {
	if s == "" || strings.HasSuffix(s, "/") || strings.ContainsAny(s, " \t\r\n:[]@*()") || strings.Contains(s, "///") {
		return "is not a path; write element names without prefix, / for a child and // for any depth, like Body//userId"
	}
	return ""
}

// clientFault checks `address` or a prefix length per family: /24 or /24,/56.
func clientFault(s string) string {
	const remedy = "; allowed: address, /24, or /24,/56 (IPv4, IPv6)"
	if s == "address" {
		return ""
	}
	parts := strings.Split(s, ",")
	if len(parts) > 2 {
		return "is not understood" + remedy
	}
	for i, part := range parts {
		length, ok := strings.CutPrefix(strings.TrimSpace(part), "/")
		bits, err := strconv.Atoi(length)
		limit := netip.IPv4Unspecified().BitLen()
		if i == 1 {
			limit = netip.IPv6Unspecified().BitLen()
		}
		if !ok || err != nil || bits < 1 || bits > limit {
			return "is not understood" + remedy
		}
	}
	return ""
}
