package proxy

import (
	"fmt"
	"net/netip"
	"strings"

	"jurymast/internal/snapshot"
)

// maxOthers bounds how many further endpoints Would names.
const maxOthers = 3

// Would says in one line what would become of a request for a profile with this Host from this client. It is the code
// that chooses for real requests; where dice decide, they are thrown anew.
func (p *Proxy) Would(s *snapshot.Snapshot, name, host string, client netip.Addr) string {
	t, _ := s.Config(p.slot).(*table) // nil before the first documents
	var r *route
	if t != nil {
		r = t.byName[name]
	}
	switch {
	case r == nil:
		return "not served: there is no profile " + name
	case r.profile.Proxy == nil:
		return "not served: the profile has no proxy section"
	case t.match(hostName(host)) != r:
		return "404: " + hostName(host) + " is no host name of the profile; add it to hostnames if clients send it as Host"
	}
	o := outlookOf(s, p.slot, r)
	if v := s.View(name); v != nil && v.Held != nil {
		return "held: " + v.Held.By + " ordered it"
	}
	held := func(c *choice) string {
		return fmt.Sprintf("held up to %v, then 503: %s", o.settings.Hold.MaxWait, c.why)
	}
	switch {
	case o.all.gone:
		return "answered 503 at once: " + o.all.why
	case !o.all.ok:
		return held(&o.all)
	case o.plan == nil:
		return "sent to " + o.all.String() + o.all.kept()
	}
	order, none := p.order(o, client, nil)
	if len(order) == 0 {
		return held(&none)
	}
	first := &o.leaves[order[0]]
	text := "sent to " + first.String() + ", chosen for each request"
	var others []string
	for _, leaf := range order[1:] {
		if len(others) == maxOthers {
			others[maxOthers-1] += " and more"
			break
		}
		others = append(others, o.leaves[leaf].endpoint)
	}
	if len(others) > 0 {
		text += "; if it cannot be reached, to " + strings.Join(others, ", ")
	}
	return text + first.kept()
}

func (c *choice) String() string {
	if c.epoch > 0 {
		return fmt.Sprintf("%s under epoch %d", c.endpoint, c.epoch)
	}
	return c.endpoint
}

func (c *choice) kept() string {
	if c.keeps == "" {
		return ""
	}
	return "; " + c.keeps + " keeps what it has"
}
