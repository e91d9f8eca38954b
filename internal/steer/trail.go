package steer

import (
	"fmt"
	"time"

	"jurymast/internal/health"
)

// Step is one line of a reason trail: which rule looked at what and what came of it.
type Step struct {
	Step   string `json:"step"`
	Rule   string `json:"rule,omitempty"`
	Input  string `json:"input,omitempty"`
	Result string `json:"result"`
}

// Trail collects the steps of one decision. A nil Trail collects nothing and costs nothing.
type Trail struct{ Steps []Step }

func (t *Trail) add(step, rule, input, result string) {
	if t != nil {
		t.Steps = append(t.Steps, Step{step, rule, input, result})
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
	if e.Layer.Shown != nil {
		return fmt.Sprintf("%s by %s", e.Layer.Shown.Act, e.Layer.Shown.By)
	}
	return e.Status.String()
}
