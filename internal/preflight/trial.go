package preflight

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"jurymast/internal/profile"
)

// trial is everything tried at one endpoint.
//
//	resolve -> connect to every address -> certificate and answer for every host name -> the monitor's own probe
//	the target, where it is another place than the origin -> resolve -> connect
type trial struct {
	*runner
	p  *profile.Profile
	e  *profile.Endpoint
	at at
	findings

	addrs    []string // where the origin, else the target, is now
	answered []string // addresses a client of DNS gets
	probed   *bool    // how the monitor's probe ended here; nil: not run
}

// run tries the endpoint. What is found at an endpoint that is switched off is worth knowing and nothing more.
func (t *trial) run(ctx context.Context) findings {
	if t.e.Target.Profile != "" {
		return nil
	}
	t.try(ctx)
	if ctx.Err() != nil {
		t.add(Warning, OutOfTime, t.at, fmt.Sprintf("not everything could be tried within %s", span(t.Timeout)),
			"what is not reported has not been looked at", "try again, or look at the endpoint with jurymast probe")
	}
	if !t.e.Enabled || t.e.Stopped || !t.p.Enabled {
		for i := range t.findings {
			f := &t.findings[i]
			if f.Severity > Info {
				f.Severity = Info
				f.and("only an info, because the endpoint is switched off")
			}
		}
	}
	return t.findings
}

func (t *trial) try(ctx context.Context) {
	hosts, site := t.site()
	addrs, ok := t.resolve(ctx, hosts, "")
	if !ok {
		return
	}
	t.addrs = addrs
	t.targets(ctx, site)
	open := addrs
	if site.port > 0 {
		open = t.connectAll(ctx, addrs, site.port)
		if len(open) == 0 {
			return
		}
	}
	if site.http {
		site.addr = net.JoinHostPort(open[0], strconv.Itoa(site.port))
		t.names(ctx, site)
	}
	t.probe(ctx)
}

// site is where requests of an endpoint go.
type site struct {
	port int    // 0: nothing listens there that we know of
	http bool   // it answers HTTP
	tls  bool   // inside TLS
	addr string // host:port of the address that was tried

	header profile.OriginHeader // begins each connection of the proxy
}

// site tells which hosts to resolve and how to talk to them: the origin, else the target with the monitor's protocol.
func (t *trial) site() ([]string, site) {
	m := t.monitor()
	if u := originOf(t.e); u != nil {
		s := site{http: true, tls: u.Scheme == "https", port: 80, header: t.e.ProxyProtocol}
		if s.tls {
			s.port = 443
		}
		if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
			s.port = int(n)
		}
		return []string{u.Hostname()}, s
	}
	hosts := t.e.Target.Addrs
	if t.e.Target.Host != "" {
		hosts = []string{t.e.Target.Host}
	}
	s := site{port: m.Port, http: isHTTP(m.Protocol), tls: m.Protocol == profile.HTTPS}
	if !s.tls && (m.Port == 0 || m.Port == 80) { // where the proxy goes when there is no origin
		s.header = t.e.ProxyProtocol
	}
	switch m.Protocol {
	case profile.HTTPS:
		s.port = orElse(m.Port, 443)
	case profile.HTTP, profile.TCP:
		s.port = orElse(m.Port, 80)
	case profile.DNS, profile.Exec:
		s.port = 0 // a question by UDP, or a program: nothing to connect to
	}
	return hosts, s
}

// monitor is the check whose settings count: the first that speaks HTTP, else the first.
func (t *trial) monitor() *profile.Monitor {
	list := checksOf(&t.e.Monitor)
	for _, c := range list {
		if isHTTP(c.Protocol) {
			return c.Monitor
		}
	}
	if len(list) > 0 {
		return list[0].Monitor
	}
	return &t.e.Monitor
}

func orElse(n, otherwise int) int {
	if n != 0 {
		return n
	}
	return otherwise
}

// resolve turns hosts into addresses and reports names that have none. what is the role, for the text.
func (t *trial) resolve(ctx context.Context, hosts []string, what string) ([]string, bool) {
	var out []string
	for _, host := range hosts {
		if net.ParseIP(host) != nil {
			out = append(out, host)
			continue
		}
		name := host
		if strings.Contains(host, ".") {
			name = strings.TrimSuffix(host, ".") + "." // search domains of this machine must not help
		}
		found, err := t.Resolver.LookupNetIP(ctx, "ip", name)
		if err != nil || len(found) == 0 {
			t.add(Error, Unresolved, t.at, what+host+" does not resolve: "+resolveCause(err),
				"nobody can reach the endpoint by this name, so it is no standby", "correct the name, or its DNS records").
				and("asked the resolver of this machine")
			return nil, false
		}
		for _, a := range found {
			if text := a.Unmap().String(); !slices.Contains(out, text) {
				out = append(out, text)
			}
		}
	}
	return out, true
}

// connectAll connects to every address at once and returns those that accept, in order.
func (t *trial) connectAll(ctx context.Context, addrs []string, port int) []string {
	errs := dialAll(ctx, addrs, port)
	var open, dead []string
	for i, a := range addrs {
		if errs[i] == nil {
			open = append(open, a)
		} else {
			dead = append(dead, fmt.Sprintf("%s: %s", net.JoinHostPort(a, strconv.Itoa(port)), cause(errs[i])))
		}
	}
	switch {
	case len(open) == 0:
		t.notConnecting(addrs, port, dead)
	case len(dead) > 0:
		f := t.add(Warning, AddressDead, t.at, fmt.Sprintf("%d of %d addresses do not accept connections", len(dead), len(addrs)),
			"clients that try a dead address first wait or fail, and a probe that finds the living one says up", "start it there, or take the address out of DNS")
		f.Evidence = dead
	}
	return open
}

// notConnecting reports an endpoint where nothing answers. The port of one that no probe asks and that has neither an
// origin nor a port is a guess, and so is what follows from it.
func (t *trial) notConnecting(addrs []string, port int, dead []string) {
	why, remedy := "the endpoint cannot serve now, and after a failover to it nothing would", "start it, open the firewall from here, or correct origin, target or port"
	severity := Error
	if originOf(t.e) == nil && t.e.Monitor.Port == 0 && (t.e.AlwaysServe || !t.e.Monitor.Probed()) {
		severity = Warning
		if !slices.ContainsFunc(addrs, func(a string) bool { return !isLoopback(a) }) {
			severity = Info
		}
		why = "no probe asks the endpoint, so its port is a guess; if it serves this one, it does not now"
		remedy = "write origin, or monitor.port, so that the right one is tried"
	}
	f := t.add(severity, NotConnecting, t.at, "no connection to "+t.hostText(addrs, port), why, remedy)
	f.Evidence = dead
}

// hostText is the place as the operator wrote it, with its port.
func (t *trial) hostText(addrs []string, port int) string {
	hosts := addrs
	switch u := originOf(t.e); {
	case u != nil:
		hosts = []string{u.Hostname()}
	case t.e.Target.Host != "":
		hosts = []string{t.e.Target.Host}
	}
	words := make([]string, len(hosts))
	for i, h := range hosts {
		words[i] = net.JoinHostPort(h, strconv.Itoa(port))
	}
	return strings.Join(words, ", ")
}

func dialAll(ctx context.Context, addrs []string, port int) []error {
	errs := make([]error, len(addrs))
	done := make(chan struct{})
	for i, a := range addrs {
		go func() {
			defer func() { done <- struct{}{} }()
			d := net.Dialer{Timeout: attemptTimeout, KeepAlive: -1}
			conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(a, strconv.Itoa(port)))
			if errs[i] = err; err == nil {
				conn.Close()
			}
		}()
	}
	for range addrs {
		<-done
	}
	return errs
}

// targets looks at what DNS answers where the monitor looks at another place: a wrong target beside a healthy origin is
// answered and never noticed.
func (t *trial) targets(ctx context.Context, s site) {
	hosts := t.e.Target.Addrs
	if t.e.Target.Host != "" {
		hosts = []string{t.e.Target.Host}
	}
	u := originOf(t.e)
	if u == nil || slices.Equal(hosts, []string{u.Hostname()}) {
		t.answered = t.addrs
		return
	}
	addrs, ok := t.resolve(ctx, hosts, "target ")
	if !ok {
		return
	}
	t.answered = addrs
	var left []string
	for _, a := range addrs {
		if !slices.Contains(t.addrs, a) {
			left = append(left, a)
		}
	}
	ports := []int{s.port, 443, 80}
	slices.Sort(ports)
	ports = slices.Compact(ports)
	for _, port := range ports {
		still := left[:0:0]
		for i, err := range dialAll(ctx, left, port) {
			if err != nil {
				still = append(still, left[i])
			}
		}
		left = still
	}
	if len(left) == 0 || ctx.Err() != nil {
		return
	}
	severity := Warning
	if !slices.ContainsFunc(left, func(a string) bool { return !isLoopback(a) }) {
		severity = Info
	}
	t.add(severity, TargetDead, t.at, "nothing answers at the target "+strings.Join(left, ", "),
		"DNS gives clients the target while probes and the proxy go to the origin: its death there is never noticed",
		"correct target, or probe it: leave origin out").and("tried from here, ports %s", strings.Trim(fmt.Sprint(ports), "[]"))
}

// probe runs the monitor's own probe: what this vantage point would vote.
func (t *trial) probe(ctx context.Context) {
	if t.Prober == nil || !t.e.Monitor.Probed() || t.e.AlwaysServe || ctx.Err() != nil {
		return
	}
	results, err := t.Prober.Probe(ctx, t.p, t.e)
	if err != nil {
		t.add(Error, ProbeImpossible, t.at, "the probe cannot be made: "+err.Error(),
			"a node with these settings refuses the file, or never takes the endpoint up", "correct the setting that is named")
		return
	}
	up := 0
	for _, r := range results {
		if r.OK {
			up++
		}
	}
	all := len(results) > 0 && up >= t.e.Monitor.Combine.Needed(len(results))
	t.probed = &all
	for i, r := range results {
		t.probeResult(r, t.e.Monitor.Combine.Needed(len(results)), i, len(results))
	}
}

func (t *trial) probeResult(r ProbeResult, needed, i, n int) {
	label := "probe"
	m := &t.e.Monitor
	if n > 1 || r.Check != "" {
		label = "check " + r.Check
		m = checksOf(m)[min(i, len(m.Checks)-1)].Monitor
	}
	place := t.at
	if !r.OK {
		severity := Error
		if needed < n {
			severity = Warning
		}
		f := t.add(severity, ProbeFailed, place, label+" fails from here: "+r.Reason,
			"this vantage point votes down; when the others agree the endpoint is Degraded and no failover goes to it", "mend the endpoint, or the monitor's settings")
		f.Evidence = r.Log
		return
	}
	f := t.add(Info, ProbePassed, place, fmt.Sprintf("%s passes from here in %s: %s", label, span(r.Latency.Round(100*time.Microsecond)), r.Reason),
		"this vantage point votes up", "")
	f.Evidence = r.Log
	if r.Latency*2 > m.Timeout {
		t.add(Warning, ProbeSlow, place, fmt.Sprintf("%s takes %s of its timeout %s", label, span(r.Latency.Round(100*time.Microsecond)), span(m.Timeout)),
			"a little more load turns it into a failure, and a healthy endpoint is left", "raise monitor.timeout, or ask a cheaper path")
	}
}

// compareVotes puts what the nodes say beside what was seen here.
func (t *trial) compareVotes(votes []Vote, now time.Time, list *findings) {
	var evidence []string
	seen := map[string]bool{}
	for _, v := range votes {
		if v.Endpoint != t.e.Name {
			continue
		}
		if !v.Blind && v.Opinion != "checking" {
			seen[v.Opinion] = true
		}
		evidence = append(evidence, voteText(v, now))
	}
	if len(evidence) == 0 || !t.e.Enabled {
		return
	}
	here := t.probed != nil && ((*t.probed && !seen["up"]) || (!*t.probed && !seen["down"])) && len(seen) > 0
	if len(seen) > 1 || here {
		what := "the nodes do not agree about it"
		if here {
			what = "this machine sees it differently than the nodes do"
		}
		f := list.add(Warning, VantageDisagrees, t.at, what,
			"one of the ways to the endpoint is cut, the running nodes have other settings, or something has just changed", "look at the reasons, try again after an interval, and compare with jurymast probe")
		f.Evidence = evidence
		return
	}
	f := list.add(Info, VantageVotes, t.at, plural(len(evidence), "vantage point", "vantage points")+" of the running cluster", "they decide, not this machine", "")
	f.Evidence = evidence
}

func voteText(v Vote, now time.Time) string {
	where := v.Node
	if v.Location != "" {
		where += " (" + v.Location + ")"
	}
	text := where + ": " + v.Opinion
	if !v.Since.IsZero() {
		text += " for " + span(now.Sub(v.Since).Truncate(time.Second))
	}
	if v.Blind {
		text += ", blind: does not count"
	}
	if v.Reason != "" {
		text += ", " + v.Reason
	}
	return text
}
