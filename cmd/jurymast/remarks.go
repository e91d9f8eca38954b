package main

import (
	"context"
	"strings"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/api/client"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/steer"
)

// remarks are what an operator asks next and a status does not say: when a delayed failback comes by itself, and what
// is answered while all endpoints are down. Without an answer from the node they stay empty, and the status is shown
// without them.
type remarks struct {
	due    time.Time        // of a delayed failback; zero: it waits for an order
	answer *api.Explanation // while all are down
}

// maxRemarks bounds the questions of one `status` over all profiles: a lost site may take thousands down at once.
const maxRemarks = 20

// remark asks for the remarks on one profile.
func remark(ctx context.Context, node *client.Client, s *api.ProfileStatus) (r remarks) {
	if d := s.Decision; d != nil && d.Pending != "" && d.PendingSince != nil {
		if doc, err := node.Document(ctx, profile.KindProfile, s.Name); err == nil {
			r.due = failbackDue(doc, *d.PendingSince)
		}
	}
	if s.Serving == string(steer.ServingAllDown) && len(s.Hostnames) > 0 {
		for _, qtype := range []string{"A", "AAAA"} {
			e, err := node.Explain(ctx, s.Hostnames[0], qtype, "", "")
			if err != nil || e.Profile != s.Name || e.Serving != s.Serving {
				break // it has changed meanwhile, or the name is answered elsewhere
			}
			if r.answer = e; len(e.Answer) > 0 {
				break
			}
		}
	}
	return r
}

func needsRemark(s *api.ProfileStatus) bool {
	return s.Serving == string(steer.ServingAllDown) || s.Decision != nil && s.Decision.Pending != ""
}

// failbackDue is when the policy of the document returns by itself, zero when it does not.
func failbackDue(doc *api.Document, since time.Time) time.Time {
	p, err := profile.DecodeProfile(doc.Name, doc.Source)
	if err != nil || p.Failback.Mode != profile.FailbackDelayed {
		return time.Time{}
	}
	return since.Add(p.Failback.After)
}

// halts say what an operator wants to know of a profile that is neither answered nor sent anything.
var halts = map[string]string{
	health.HaltIsolated.String():    "this node has lost the store and cannot confirm which endpoint is active",
	health.HaltUnconfirmed.String(): "this node has not confirmed yet which endpoint is active",
	health.HaltPreparing.String():   "a switch waits until no node sends to the old endpoint any more",
}

func writeHalt(p *printer, s *api.ProfileStatus) {
	if s.Halt == "" {
		return
	}
	p.printf("  ")
	p.paint(yellow, "HALTED")
	p.printf(": %s", firstOf(halts[s.Halt], s.Halt))
	if len(s.Awaits) > 0 {
		p.printf(" (%s)", strings.Join(s.Awaits, ", "))
	}
	p.printf("; DNS answers SERVFAIL, the proxy holds requests or answers 503\n")
}

func writePending(p *printer, s *api.ProfileStatus, r remarks) {
	d := s.Decision
	if d == nil || d.Pending == "" {
		return
	}
	p.printf("  %s is healthy again", d.Pending)
	if d.PendingSince != nil {
		p.printf(" since %s", strings.TrimSuffix(p.ago(*d.PendingSince), " ago"))
	}
	switch left := r.due.Sub(p.now); {
	case r.due.IsZero():
		p.printf("; return with: jurymast failback %s\n", s.Name)
	case left < time.Second:
		p.printf("; returns by itself now (failback delayed)\n")
	default:
		p.printf("; returns by itself %s (failback delayed)\n", p.ago(r.due))
	}
}

// writeAllDown says who is down, who would not be asked anyway, and what is answered although nobody can serve.
func writeAllDown(p *printer, s *api.ProfileStatus, r remarks) {
	if s.Serving != string(steer.ServingAllDown) {
		return
	}
	down, out := s.Fallen()
	p.printf("  ")
	p.paint(red, "ALL DOWN")
	p.printf(": every eligible endpoint is down (%s)", strings.Join(down, ", "))
	if len(out) > 0 {
		p.printf("; not eligible: %s", strings.Join(out, ", "))
	}
	p.printf("\n")
	if r.answer == nil {
		return
	}
	if len(r.answer.Answer) > 0 {
		p.printf("  answered all the same, because a doubtful answer beats none: %s\n", r.answer.Answered())
	}
	if r.answer.Proxy != "" {
		p.printf("  proxy: %s\n", oneLine(r.answer.Proxy))
	}
}
