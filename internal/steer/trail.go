package steer

import (
	"fmt"
	"time"

	"jurymast/internal/health"
)

// Step is one line of a reason trail: which rule looked at what and what came of it.
type Step struct {
	Profile string `json:"profile,omitempty"` // the nested profile that took it; "": the one that was asked
	Step    string `json:"step"`
	Rule    string `json:"rule,omitempty"`
	Input   string `json:"input,omitempty"`
	Result  string `json:"result"`
}

// Trail collects the steps of one decision. A nil Trail collects nothing and costs nothing.
type Trail struct {
	Steps  []Step
	nested string
}

func (t *Trail) add(step, rule, input, result string) {
	if t != nil {
		t.Steps = append(t.Steps, Step{t.nested, step, rule, input, result})
	}
}

func (t *Trail) horizon(endpoint, rule string, d time.Duration) {
	if t == nil {
		return
	}
	result := "not by itself"
	if d != health.Unlimited {
		result = "in " + d.Truncate(time.Millisecond).String()
	}
	t.add("horizon", rule, endpoint, result)
}

// enter names the profile that takes the next steps, and returns the one before it for leave.
func (t *Trail) enter(profile string) (above string) {
	if t != nil {
		above, t.nested = t.nested, profile
	}
	return above
}

func (t *Trail) leave(above string) {
	if t != nil {
		t.nested = above
	}
}

// counted is a number of endpoints in words.
func counted(n int) string {
	if n == 1 {
		return "1 endpoint"
	}
	return fmt.Sprintf("%d endpoints", n)
}

func (t *Trail) profile(n *node) {
	v := n.view
	t.add("profile", "", v.Profile.Name, fmt.Sprintf("routing %s, %s", v.Profile.Routing, counted(len(v.Endpoints))))
}

// client writes what is known of who asks, as far as the plan looks at it.
func (t *Trail) client(n *node, c *Client) {
	if n.needs&(NeedAddr|NeedPlace|NeedRow) == 0 {
		return
	}
	from := "source address"
	if c.ECS {
		from = fmt.Sprintf("client subnet /%d told by the resolver", c.Bits)
	}
	addr := "unknown"
	if c.Addr.IsValid() {
		addr = c.Addr.Unmap().String()
	}
	t.add("client", from, "", addr)
	if n.needs&NeedPlace != 0 {
		place := "unknown"
		if c.Place.Known {
			place = c.Place.Code.String()
		}
		if c.Place.HasPosition {
			place += fmt.Sprintf(", at %.1f %.1f", c.Place.Position.Lat, c.Place.Position.Lon)
		}
		t.add("client", "location database", fmt.Sprintf("/%d", c.Place.Bits), place)
	}
	if n.needs&NeedRow != 0 {
		if c.Row.Len() == 0 {
			t.add("client", "latency table", "", "no row")
			return
		}
		t.add("client", "latency table", fmt.Sprintf("/%d", c.Row.Bits), fmt.Sprintf("%d regions", c.Row.Len()))
	}
}

// candidates writes one step per endpoint: why it is in or out.
func (t *Trail) candidates(v *health.View, order []int, best health.Tier) {
	if t == nil {
		return
	}
	for _, i := range order {
		e := &v.Endpoints[i]
		result := "candidate"
		switch {
		case e.Tier == health.TierExcluded:
			result = "excluded: " + exclusion(e)
		case e.Tier != best:
			result = fmt.Sprintf("out: %s, a better endpoint is there", e.Status)
		case best == health.TierDown:
			result = "eligible, but down like all others"
		}
		t.add("endpoint", e.Verdict.Reason, fmt.Sprintf("%s, priority %d, %s", e.Config.Name, e.Config.Priority, e.Status), result)
	}
}

func exclusion(e *health.EndpointView) string {
	if !e.Config.Enabled {
		return "disabled by its document (enabled: false)"
	}
	if e.Layer.Shown != nil {
		return fmt.Sprintf("%s by %s", e.Layer.Shown.Act, e.Layer.Shown.By)
	}
	if e.Layer.Drained {
		return "drained"
	}
	return e.Status.String()
}

// denial is the word for an answer without records.
func denial(nx bool) string {
	if nx {
		return "NXDOMAIN, as compat: azure says"
	}
	return "NODATA"
}
