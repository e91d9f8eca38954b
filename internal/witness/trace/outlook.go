package trace

import (
	"fmt"
	"time"
)

// outlook says when the last cache has switched, from all that was seen.
func (t *tracer) outlook(r *Report) Outlook {
	o := Outlook{Answered: len(r.Chain) > 0}
	silent := ""
	for i := range r.Chain {
		if r.Chain[i].Rcode == "" {
			o.Answered, silent = false, " for "+r.Chain[i].Name
		}
		for j := range r.Chain[i].Servers {
			if r.Chain[i].Servers[j].Differs {
				o.Differ++
			}
		}
	}
	t.unknown(r)
	for _, list := range [][]Holder{r.Caches, r.Local} {
		for i := range list {
			t.weigh(&o, &list[i])
		}
	}
	if o.Differ > 0 {
		t.later(&o.By, r.At.Add(t.longest()), fmt.Sprintf("%d answers of name servers differ: until they agree a cache can fetch either, and keep it for %s", o.Differ, t.longest()))
	}
	o.Agree = o.Answered && o.Old == 0 && o.Differ == 0 && len(o.Never) == 0
	switch {
	case !o.By.At.IsZero():
	case !o.Answered:
		o.By.Reason = "no name server answered" + silent + ", so there is nothing to wait for"
	case len(o.Never) > 0:
		o.By.Reason = "no time helps"
	default:
		o.By.At, o.By.Reason = r.At, "nobody who told holds another answer"
	}
	o.Others = t.others(r)
	o.Java = t.javaBound(r, &o)
	for _, b := range []*Bound{&o.By, o.Others, o.Java} {
		if b != nil && !b.At.IsZero() {
			b.Seconds = int((b.At.Sub(r.At) + time.Second - 1) / time.Second)
		}
	}
	return o
}

// weigh takes one holder into account.
func (t *tracer) weigh(o *Outlook, h *Holder) {
	who := h.Address
	switch h.State {
	case Old:
		o.Old++
		switch {
		case h.Forever:
			o.Never = append(o.Never, who+" holds "+h.Differs+" until somebody changes it")
		case h.Stale:
			o.Never = append(o.Never, who+" gives stale answers: it does not reach the name servers")
		default:
			why := fmt.Sprintf("%s holds %s for %d s", who, h.Differs, h.Left)
			if h.Left == 0 {
				why = fmt.Sprintf("%s answers %s, which nobody may keep: it asks other servers, or was told this second", who, h.Differs)
			}
			t.later(&o.By, h.Until, why)
		}
	case Unknown:
		o.Unknown++
		if !h.Until.IsZero() {
			t.later(&o.By, h.Until, fmt.Sprintf("%s does not tell what it holds; at most %d s", who, h.Left))
		}
	case Current, Empty:
	}
}

func (t *tracer) later(b *Bound, at time.Time, why string) {
	if at.After(b.At) {
		b.At, b.Reason = at, why
	}
}

// longest is how long an answer nobody can look at may be kept.
func (t *tracer) longest() time.Duration {
	if t.o.Cap > 0 {
		return t.o.Cap
	}
	ttl := t.ttl()
	if t.o.Node != nil {
		ttl = max(ttl, t.o.Node.MaxTTL)
	}
	return time.Duration(ttl) * time.Second
}

// switched is when the present answer began, as the node knows it, else now: the worst case.
func (t *tracer) switched(r *Report) time.Time {
	if n := t.o.Node; n != nil && !n.Since.IsZero() && n.Since.Before(r.At) {
		return n.Since
	}
	return r.At
}

// unknown bounds the holders that did not tell: they may have asked just before the switch.
func (t *tracer) unknown(r *Report) {
	until := t.switched(r).Add(t.longest())
	for i := range r.Caches {
		if h := &r.Caches[i]; h.State == Unknown && h.Until.IsZero() && until.After(r.At) && len(t.truth) > 0 {
			h.Until, h.Left = until, uint32((until.Sub(r.At)+time.Second-1)/time.Second) //nolint:gosec // positive, and days at most
		}
	}
}

// others bounds the caches that nobody here knows.
func (t *tracer) others(r *Report) *Bound {
	if len(t.truth) == 0 {
		return nil
	}
	at, ttl := t.switched(r).Add(t.longest()), t.longest()
	reason := fmt.Sprintf("if the answer changed just now: %s, the longest TTL", ttl)
	if at.Before(r.At.Add(ttl)) {
		reason = fmt.Sprintf("the answer changed at %s; %s later at the latest", t.switched(r).Local().Format(time.TimeOnly), ttl)
	}
	if at.Before(r.At) {
		return &Bound{At: r.At, Reason: reason + ", which is over"}
	}
	return &Bound{At: at, Reason: reason}
}

// javaBound adds what Java processes keep beyond the resolvers' time. Without one on this host it is what they do by
// default, wherever they run.
func (t *tracer) javaBound(r *Report, o *Outlook) *Bound {
	if o.By.At.IsZero() {
		return nil
	}
	ttl, reason := javaDefault, "Java processes keep an address 30 s by default, whatever its TTL; none runs here"
	if len(r.Java) > 0 {
		ttl = 0
	}
	for _, j := range r.Java {
		if j.TTL < 0 {
			if !o.Agree {
				o.Never = append(o.Never, fmt.Sprintf("Java process %d keeps addresses for ever (%s): restart it", j.PID, j.From))
			}
			continue
		}
		if j.TTL >= ttl {
			ttl, reason = j.TTL, fmt.Sprintf("Java process %d keeps an address %d s, whatever its TTL (%s)", j.PID, j.TTL, j.From)
		}
	}
	return &Bound{At: o.By.At.Add(time.Duration(ttl) * time.Second), Reason: reason}
}
