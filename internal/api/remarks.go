package api

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// maxRemarks bounds the explanations of one page: a lost site may take thousands of profiles down at once.
const maxRemarks = 20

// pageRemark is what a person asks next and a status does not say, of one profile.
type pageRemark struct {
	Down, Out     string    // while all are down: who is, and who would not be asked anyway
	Answer, Proxy string    // while all are down: what is answered, "" when nobody knows
	Due           time.Time // of a failback that comes by itself; zero: it waits for an order
}

// remarks are those of the profiles that need any.
func (s *Server) remarks(ctx context.Context, list []ProfileStatus) map[string]pageRemark {
	out := map[string]pageRemark{}
	explained := 0
	for i := range list {
		p := &list[i]
		var r pageRemark
		switch {
		case p.Serving == string(steer.ServingAllDown):
			down, not := p.Fallen()
			r.Down, r.Out = strings.Join(down, ", "), strings.Join(not, ", ")
			if explained < maxRemarks && s.o.Explain != nil && len(p.Hostnames) > 0 {
				explained++
				r.Answer, r.Proxy = s.answered(ctx, p)
			}
		case p.Decision != nil && p.Decision.Pending != "" && p.Decision.PendingSince != nil:
			if v := s.view(p.Name); v != nil && v.Profile.Failback.Mode == profile.FailbackDelayed {
				r.Due = p.Decision.PendingSince.Add(v.Profile.Failback.After)
			}
		default:
			continue
		}
		out[p.Name] = r
	}
	return out
}

func (s *Server) answered(ctx context.Context, p *ProfileStatus) (answer, proxy string) {
	for _, qtype := range []string{"A", "AAAA"} {
		e, err := s.o.Explain(ctx, p.Hostnames[0], qtype, netip.Addr{}, netip.Prefix{})
		if err != nil || e.Profile != p.Name || e.Serving != p.Serving {
			return answer, proxy // it has changed meanwhile, or the name is answered elsewhere
		}
		if proxy = e.Proxy; len(e.Answer) > 0 {
			return e.Answered(), proxy
		}
	}
	return answer, proxy
}

// openGates are the live orders that keep gates open.
func (s *Server) openGates() []OrderStatus {
	var out []OrderStatus
	for _, o := range orderStatuses(live(s.o.Orders.Orders(""), now())) {
		if o.Act == health.OpenGate.String() {
			out = append(out, o)
		}
	}
	return out
}

// Remark is that of one profile.
func (d pageData) Remark(name string) pageRemark { return d.Remarks[name] }

// Clock is a time of day, with the date when it is not that of the page; UTC, as the page says once.
func (d pageData) Clock(t time.Time) string {
	t = t.UTC()
	if y, m, day := d.At.UTC().Date(); t.Year() == y && t.Month() == m && t.Day() == day {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// Left is how long it is until t, in its two largest units; "" when it is over.
func (d pageData) Left(t time.Time) string {
	switch left := t.Sub(d.At).Truncate(time.Second); {
	case left < time.Second:
		return ""
	case left < time.Hour:
		return left.String()
	case left < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(left.Hours()), int(left.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%dh", int(left.Hours())/24, int(left.Hours())%24)
	}
}

var stamps = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)

// Words is a reason with its times as the page writes them.
func (d pageData) Words(text string) string {
	return stamps.ReplaceAllStringFunc(text, func(stamp string) string {
		if t, err := time.Parse(time.RFC3339, stamp); err == nil {
			return d.Clock(t)
		}
		return stamp
	})
}
