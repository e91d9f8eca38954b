package preflight

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"jurymast/internal/profile"
)

// credentials are headers that make an endpoint do the work behind its log-in.
var credentials = []string{"authorization", "proxy-authorization", "cookie", "x-api-key"}

// authenticated reports that probes carry credentials, and so execute what they ask for.
func authenticated(m *profile.Monitor) bool {
	for name, v := range m.Headers {
		if v.Secret != "" || v.Env != "" || slices.Contains(credentials, strings.ToLower(name)) {
			return true
		}
	}
	return false
}

// namedCheck is one probe of an endpoint.
type namedCheck struct {
	name string // "" for the only one
	*profile.Monitor
}

// checksOf are the probes of an endpoint, in order.
func checksOf(m *profile.Monitor) []namedCheck {
	if !m.Probed() {
		return nil
	}
	if len(m.Checks) == 0 {
		return []namedCheck{{"", m}}
	}
	list := make([]namedCheck, len(m.Checks))
	for i := range m.Checks {
		list[i] = namedCheck{m.Checks[i].Name, &m.Checks[i].Monitor}
	}
	return list
}

// load counts probes: per minute, and per day where a probe is a message that somebody counts or bills.
func (s *static) load(place at, p *profile.Profile) {
	perMinute, probed := 0.0, 0
	for _, e := range eligible(p) {
		if e.AlwaysServe || e.Target.Profile != "" {
			continue
		}
		voters := s.votersFor(&e.Monitor)
		mine, messages, confirm := 0.0, 0.0, 0
		for _, c := range checksOf(&e.Monitor) {
			rate := float64(voters) * time.Minute.Seconds() / c.Interval.Seconds()
			mine += rate
			if authenticated(c.Monitor) {
				messages += rate * 24 * 60
				if p.Proxy != nil {
					confirm += (c.ToleratedFailures + 1) * voters
				}
			}
		}
		if mine > 0 {
			perMinute += mine
			probed++
		}
		s.messages(at{profile: p.Name, endpoint: e.Name}, &e.Monitor, messages, confirm, voters)
	}
	if probed == 0 {
		return
	}
	s.add(Info, ProbeLoad, place,
		fmt.Sprintf("%s probes a minute in all, %s per endpoint", figure(perMinute), figure(perMinute/float64(probed))),
		"every node probes every endpoint; firewalls and logs of the endpoints see this rate", "").
		and("%s (%s)", plural(s.voters, "node", "nodes"), s.source)
}

// messages compares what authenticated probes execute in a day with the quota.
func (s *static) messages(place at, m *profile.Monitor, daily float64, confirm, voters int) {
	if daily == 0 {
		return
	}
	forecast := fmt.Sprintf("probes with credentials execute about %s messages a day", figure(daily))
	arithmetic := plural(voters, "vantage point", "vantage points") + "; drills and probes by hand add theirs"
	if confirm > 0 {
		arithmetic += fmt.Sprintf(", every confirm run of the proxy's fast path up to %d", confirm)
	}
	if m.MessageQuota > 0 && daily > float64(m.MessageQuota) {
		s.add(Warning, MessageQuota, place, fmt.Sprintf("%s, and message_quota is %d", forecast, m.MessageQuota),
			"executed messages are counted or billed by the tenant; above the quota it may refuse real ones",
			fmt.Sprintf("probe at most every %s, or without credentials (expect 401) and rarely with them as a second check", span(slowEnough(daily, m)))).
			and("%s", arithmetic)
		return
	}
	remedy := "state the tenant's allowance as message_quota, so that this is compared"
	if m.MessageQuota > 0 {
		forecast += fmt.Sprintf(", %.0f %% of message_quota %d", daily/float64(m.MessageQuota)*100, m.MessageQuota)
		remedy = ""
	}
	s.add(Info, MessageForecast, place, forecast,
		"each of them runs the application behind the log-in; that proves more than a 401, and is counted or billed", remedy).
		and("%s", arithmetic)
}

// slowEnough is the shortest interval, in whole seconds, at which the forecast fits the quota.
func slowEnough(daily float64, m *profile.Monitor) time.Duration {
	factor := daily / float64(m.MessageQuota)
	shortest := time.Duration(float64(slowest(m)) * factor)
	return (shortest + time.Second - 1).Truncate(time.Second)
}

func figure(f float64) string {
	if f >= 10 || f == float64(int(f)) {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.1f", f)
}

// monitor judges how one endpoint is watched.
func (s *static) monitor(place at, e *profile.Endpoint) {
	m := &e.Monitor
	switch {
	case e.Target.Profile != "":
		s.minChild(place, e)
		return
	case e.AlwaysServe:
		s.add(Info, NeverProbed, place, "always_serve: it is never probed", "its failure is never noticed: it stays in the answers", "")
		return
	case m.Assume != profile.AssumeNothing:
		s.add(Info, NeverProbed, place, "assume: "+string(m.Assume)+": it is never probed", "its verdict never changes by itself", "")
		return
	case m.External != nil:
		s.silence(place, m.External)
	case m.Calculated != nil:
		s.calculated(place, m.Calculated)
	}
	list := checksOf(m)
	if len(m.Checks) > 0 && m.Combine.Needed(len(list)) > len(list) {
		s.add(Error, ImpossibleRule, place, fmt.Sprintf("combine wants %d checks to be up, and there are %d", m.Combine.Needed(len(list)), len(list)),
			"the endpoint can never be up", "lower combine.at_least")
	}
	proven := false // a check looks behind the log-in
	for _, c := range list {
		proven = proven || (isHTTP(c.Protocol) && !expects(c.Monitor, 401))
	}
	for _, c := range list {
		s.check(place, e, c, proven && m.Combine.Needed(len(list)) == len(list))
	}
	s.vantage(place, m)
}

// check judges one probe. covered says that another check of the endpoint, which must be up as well, proves more.
func (s *static) check(place at, e *profile.Endpoint, c namedCheck, covered bool) {
	label := ""
	if c.name != "" {
		label = "check " + c.name + ": "
	}
	if isHTTP(c.Protocol) && expects(c.Monitor, 401) && !covered {
		s.add(Warning, Blind401, place, label+"the answer 401 counts as healthy",
			"a 401 only proves that the tenant's runtime answers without credentials: the deployed integration flow behind it may be missing, broken or misconfigured, and nobody fails over",
			"add a second, rare check with credentials that expects 200 (checks:, combine: all), or accept the blind spot knowingly").
			and("expect.status %v", statusWords(c.Expect.Status))
	}
	if c.Protocol == profile.HTTP && authenticated(c.Monitor) && !localOnly(e) {
		s.add(Warning, PlainCredentials, place, label+"probes send credentials over plain http",
			"everybody on the way can read them: "+strings.Join(secretHeaders(c.Monitor), ", "), "write protocol: https")
	}
}

func isHTTP(p profile.Protocol) bool { return p == profile.HTTP || p == profile.HTTPS }

func expects(m *profile.Monitor, status int) bool {
	return slices.ContainsFunc(m.Expect.Status, func(r profile.StatusRange) bool { return r.Min <= status && status <= r.Max })
}

func statusWords(list []profile.StatusRange) []string {
	words := make([]string, len(list))
	for i, r := range list {
		words[i] = r.String()
	}
	return words
}

// secretHeaders are the names, never the values.
func secretHeaders(m *profile.Monitor) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		v := m.Headers[name]
		if v.Secret != "" || v.Env != "" || slices.Contains(credentials, strings.ToLower(name)) {
			names = append(names, "header "+name)
		}
	}
	return names
}

func (s *static) silence(place at, x *profile.External) {
	switch x.OnSilence {
	case profile.SilenceUp:
		s.add(Warning, ExternalSilence, place, "external.on_silence is up",
			"when the sender of signals dies together with the endpoint, the endpoint counts as healthy for ever",
			"write on_silence: down, or watch the sender")
	case profile.SilenceLast:
		s.add(Info, ExternalSilence, place, "external.on_silence is last", "when the sender of signals dies, its last word holds for ever", "")
	case profile.SilenceDown:
	}
}

func (s *static) calculated(place at, c *profile.Calculated) {
	switch {
	case c.AtLeast > len(c.Of):
		s.add(Error, ImpossibleRule, place, fmt.Sprintf("calculated wants %d to be up of %d", c.AtLeast, len(c.Of)),
			"the endpoint can never be up", "lower calculated.at_least")
	case c.AtLeast == 0:
		s.add(Info, NeverProbed, place, "calculated.at_least is 0: it is always up", "its failure is never noticed", "")
	}
}

func (s *static) vantage(place at, m *profile.Monitor) {
	if len(m.Vantage) == 0 {
		return
	}
	if len(s.in.Nodes) == 0 || s.votersFor(m) > 0 {
		s.lonelyVantage(place, m)
		return
	}
	f := s.add(Error, NoVantage, place, "no live node stands at "+strings.Join(m.Vantage, ", "),
		"nobody probes the endpoint, so its verdict never changes", "correct monitor.vantage, or node.location of the nodes")
	for _, n := range s.in.Nodes {
		f.and("node %s stands at %q", n.Name, n.Location)
	}
}

// lonelyVantage names vantage points where no node stands that is known. Where only this node is known and others may
// share the store, that is no more than a hint.
func (s *static) lonelyVantage(place at, m *profile.Monitor) {
	known, severity := s.in.Nodes, Warning
	if len(known) == 0 {
		known = []Node{{Name: orWord(s.in.File.Node.Name, "this"), Location: s.in.File.Node.Location}}
		if !s.certain || s.voters > 1 {
			severity = Info
		}
	}
	var lonely []string
	for _, where := range m.Vantage {
		if !slices.ContainsFunc(known, func(n Node) bool { return n.Location == where }) {
			lonely = append(lonely, where)
		}
	}
	if len(lonely) == 0 {
		return
	}
	f := s.add(severity, NoVantage, place, "no known node stands at "+strings.Join(lonely, ", "),
		"nobody probes the endpoint from there; a mistyped location looks like this", "correct monitor.vantage, or node.location of the nodes")
	for _, n := range known {
		f.and("node %s stands at %q", n.Name, n.Location)
	}
}

func orWord(word, otherwise string) string {
	if word != "" {
		return word
	}
	return otherwise
}

// minChild compares what a nested endpoint demands with what its child profile has.
func (s *static) minChild(place at, e *profile.Endpoint) {
	child := s.profiles[e.Target.Profile]
	if child == nil {
		return
	}
	all, v4, v6 := eligible(child), 0, 0
	for _, c := range all {
		switch familiesOf(c.Target.Addrs) {
		case "IPv4":
			v4++
		case "IPv6":
			v6++
		case "IPv4 and IPv6":
			v4, v6 = v4+1, v6+1
		}
	}
	total := max(e.MinChild, e.MinChildIPv4+e.MinChildIPv6)
	never := func(key string, needs, has int) {
		s.add(Error, MinChildUnreachable, place, fmt.Sprintf("%s wants %d endpoints of %s, which has %d", key, needs, child.Name, has),
			"the endpoint is Degraded for ever", "lower "+key+", or add endpoints to "+child.Name)
	}
	switch {
	case total > len(all):
		never("min_child", total, len(all))
	case e.MinChildIPv4 > v4:
		never("min_child_ipv4", e.MinChildIPv4, v4)
	case e.MinChildIPv6 > v6:
		never("min_child_ipv6", e.MinChildIPv6, v6)
	case total > e.MinChild:
		s.add(Info, MinChildEffective, place, fmt.Sprintf("min_child is %d, and the two families together want %d", e.MinChild, total),
			fmt.Sprintf("%d endpoints of %s must be Online", total, child.Name), fmt.Sprintf("write min_child: %d", total))
	}
}
