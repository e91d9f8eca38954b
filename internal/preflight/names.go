package preflight

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"jurymast/internal/profile"
)

// madeUp is the label tried below a wildcard.
const madeUp = "jurymast-preflight"

// names tries every host name of the profile as SNI and Host: the condition of any failover. An endpoint that does not
// accept the public name answers probes by its own name, and refuses every client after the switch.
func (t *trial) names(ctx context.Context, s site) {
	a := t.asker(s)
	ownHost, ownName := t.ownName(s)
	own := a.ask(ctx, ownHost, ownName)
	var tried []named
	for _, h := range t.p.Hostnames {
		if ctx.Err() != nil {
			break
		}
		host := h
		if rest, ok := strings.CutPrefix(h, "*."); ok {
			host = madeUp + "." + rest
		}
		tried = append(tried, named{pattern: h, host: host, answer: a.ask(ctx, host, host)})
	}
	if s.tls {
		if t.handshakes(tried, own) {
			return
		}
		t.certificates(a, tried)
		t.withoutSNI(ctx, a, tried)
	}
	m := t.monitor()
	var accepted []string
	for i := range tried {
		n := &tried[i]
		verdict, reason := judge(&n.answer, &own, ownHost, func(status int) bool { return expects(m, status) })
		switch verdict {
		case refused:
			t.compared(Error, NameRefused, n, ownHost, &own, n.text()+" is refused: "+reason,
				"after a failover to this endpoint every client that asks for this name is turned away, although probes by another name say up",
				"map the name at the endpoint (custom domain, virtual host, route), with a certificate for it")
		case doubtful:
			t.compared(Warning, NameDoubtful, n, ownHost, &own, n.text()+" may not be served: "+reason,
				"the endpoint answers this name in another way than its own, or in a way that proves nothing",
				"open the name at this endpoint by hand, and let monitor.path point to something that exists")
		case taken:
			if n.uncovered() {
				continue // served, but no client gets that far: the finding about the certificate says so
			}
			accepted = append(accepted, n.text()+": "+reason)
		}
	}
	if len(accepted) > 0 {
		f := t.add(Info, NameAccepted, t.at, fmt.Sprintf("%d of %s accepted as %s", len(accepted), plural(len(tried), "host name", "host names"), sniAndHost(s)),
			"clients keep the public name when they are sent here", "")
		f.Evidence = accepted
	}
}

func sniAndHost(s site) string {
	if s.tls {
		return "SNI and Host"
	}
	return "Host"
}

// compared adds a finding with both answers as evidence.
func (t *trial) compared(severity Severity, c Code, n *named, ownHost string, own *answer, what, why, remedy string) {
	t.add(severity, c, t.at, what, why, remedy).
		and("Host %s: %s", n.host, n.answer.text()).
		and("Host %s: %s (what it was compared with)", ownHost, own.text())
}

// named is one host name of the profile and what it got.
type named struct {
	pattern string // as in the profile
	host    string // as asked: a made-up name for a wildcard
	answer
}

func (n *named) text() string {
	if n.pattern != n.host {
		return n.pattern + " (tried as " + n.host + ")"
	}
	return n.host
}

// uncovered reports that the certificate shown is not for the name.
func (n *named) uncovered() bool {
	return n.shaken && len(n.chain) > 0 && n.chain[0].VerifyHostname(n.host) != nil
}

// ownName is the name the endpoint surely knows: the monitor's, when it states one, else that of the origin or target.
// It returns the Host header and what to say as SNI.
func (t *trial) ownName(s site) (host, sni string) {
	switch h := t.monitor().Host; h {
	case "", profile.HostProfile, profile.HostTarget, profile.HostOrigin:
	default:
		name, _, err := net.SplitHostPort(h)
		if err != nil {
			name = h
		}
		return h, name
	}
	name := t.e.Target.Host
	if u := originOf(t.e); u != nil {
		if _, err := netip.ParseAddr(u.Hostname()); err != nil || name == "" {
			name = u.Hostname()
		}
	}
	if name == "" && len(t.e.Target.Addrs) > 0 {
		name = t.e.Target.Addrs[0]
	}
	if a, err := netip.ParseAddr(name); err == nil {
		standard := s.port == 80 && !s.tls || s.port == 443 && s.tls
		switch {
		case !standard:
			return netip.AddrPortFrom(a, uint16(s.port)).String(), "" //nolint:gosec // a port, 1 to 65535
		case a.Is6():
			return "[" + name + "]", ""
		}
		return name, ""
	}
	return name, name
}

// handshakes reports that TLS works for no name at all; then nothing more can be said.
func (t *trial) handshakes(tried []named, own answer) bool {
	if own.shaken {
		return false
	}
	for i := range tried {
		if tried[i].shaken {
			return false
		}
	}
	t.add(Error, HandshakeFailed, t.at, "no TLS handshake succeeds: "+own.why,
		"neither probes nor clients can talk to the endpoint", "look at its TLS configuration, or write http if it speaks no TLS")
	return true
}
