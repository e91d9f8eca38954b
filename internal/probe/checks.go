package probe

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"jurymast/internal/profile"
)

// Check is one thing to be probed again and again. Do not change the Spec of a Check that ChecksOf or CheckOf made:
// its key is known already.
type Check struct {
	Profile, Endpoint string
	Name              string // one of Monitor.Checks; "" for an endpoint with one check
	Spec              Spec
	Interval          time.Duration // 100ms or more, above the Spec's timeout
	Shared            bool          // one run may answer all checks with this Spec and Interval

	key    Key // of Spec, when hashed
	hashed bool
}

// Key is the identity of the check's Spec.
func (c *Check) Key() Key {
	if c.hashed {
		return c.key
	}
	return c.Spec.Key()
}

// ChecksOf resolves all that this node has to probe of one endpoint, each check with an interval of its own. It is
// nothing for endpoints whose status comes from elsewhere (always served, nested, assumed, calculated, external
// signals) and for those that monitor.vantage leaves to other locations.
func ChecksOf(p *profile.Profile, e *profile.Endpoint, n Node) ([]Check, error) {
	if e.AlwaysServe || e.Target.Profile != "" || !e.Monitor.Probed() {
		return nil, nil
	}
	if len(e.Monitor.Checks) == 0 {
		if !n.sees(&e.Monitor) {
			return nil, nil
		}
		c, err := checkOf(p, e, &e.Monitor, "", &n)
		if err != nil {
			return nil, err
		}
		return []Check{c}, nil
	}
	var out []Check
	for i := range e.Monitor.Checks {
		part := &e.Monitor.Checks[i]
		if !part.Monitor.Probed() || !n.sees(&part.Monitor) {
			continue
		}
		c, err := checkOf(p, e, &part.Monitor, part.Name, &n)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// sees reports that the monitor lets nodes at this location probe.
func (n *Node) sees(m *profile.Monitor) bool {
	return len(m.Vantage) == 0 || slices.Contains(m.Vantage, n.Location)
}

// CheckOf resolves one check of an endpoint for a probe on demand, wherever this node stands. name is "" for an
// endpoint with one check.
func CheckOf(p *profile.Profile, e *profile.Endpoint, name string, n Node) (Check, error) {
	if name == "" && len(e.Monitor.Checks) == 0 {
		return checkOf(p, e, &e.Monitor, "", &n)
	}
	names := make([]string, len(e.Monitor.Checks))
	for i := range e.Monitor.Checks {
		part := &e.Monitor.Checks[i]
		if part.Name == name {
			return checkOf(p, e, &part.Monitor, name, &n)
		}
		names[i] = part.Name
	}
	switch {
	case len(names) == 0:
		return Check{}, fmt.Errorf("profile %s, endpoint %s has one check without a name; there is no %q", p.Name, e.Name, name)
	case name == "":
		return Check{}, fmt.Errorf("profile %s, endpoint %s has several checks; name one of: %s", p.Name, e.Name, strings.Join(names, ", "))
	default:
		return Check{}, fmt.Errorf("profile %s, endpoint %s has no check %q; there are: %s", p.Name, e.Name, name, strings.Join(names, ", "))
	}
}

func checkOf(p *profile.Profile, e *profile.Endpoint, m *profile.Monitor, name string, n *Node) (Check, error) {
	s, err := specOf(p, e, m, n)
	switch {
	case err == nil:
		return Check{
			Profile: p.Name, Endpoint: e.Name, Name: name, Spec: s, Interval: m.Interval, Shared: m.Shared, key: s.Key(), hashed: true,
		}, nil
	case name != "":
		return Check{}, fmt.Errorf("profile %s, endpoint %s, check %s: %w", p.Name, e.Name, name, err)
	default:
		return Check{}, fmt.Errorf("profile %s, endpoint %s: %w", p.Name, e.Name, err)
	}
}
