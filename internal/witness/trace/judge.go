package trace

import (
	"slices"
	"time"

	"github.com/miekg/dns"
)

// truth is what the name servers answer now, by owner; several sets where they differ by client or by dice.
type truth map[string][]step

// believe takes a path over as true.
func (t *tracer) believe(path []step) {
	for i := range path {
		s := path[i]
		list := t.truth[s.owner]
		same := func(o step) bool { return o.sign() == s.sign() }
		if j := slices.IndexFunc(list, same); j >= 0 {
			list[j].ttl = max(list[j].ttl, s.ttl)
			continue
		}
		t.truth[s.owner] = append(list, s)
	}
}

// believeNode takes over what a node says, for when no name server could be asked.
func (t *tracer) believeNode() {
	n := t.o.Node
	if n == nil || len(n.Answer) == 0 {
		return
	}
	m := &dns.Msg{}
	for _, r := range n.Answer {
		if rr, err := dns.NewRR(dns.Fqdn(r.Name) + " IN " + r.Type + " " + r.Value); err == nil && rr != nil {
			rr.Header().Ttl = r.TTL
			m.Answer = append(m.Answer, rr)
		}
	}
	path, _ := pathOf(m, t.name, t.typ)
	t.believe(path)
}

// ttl is the longest way to an answer of now, in seconds.
func (t *tracer) ttl() (ttl uint32) {
	for _, list := range t.truth {
		for i := range list {
			ttl = max(ttl, list[i].ttl)
		}
	}
	return ttl
}

// judge compares the path a cache holds with the truth.
func (t *tracer) judge(h *Holder, path []step, open bool, at time.Time) {
	h.Records = recordsOf(path)
	h.path, h.open, h.at = path, open, at
	if len(path) == 0 {
		h.State, h.Cached = Empty, "no"
		return
	}
	h.State = Current
	for i := range path {
		s := &path[i]
		list, known := t.truth[s.owner]
		switch {
		case !known && len(t.truth) == 0:
			h.State, h.Note = Unknown, "there is no name server's answer to compare with"
			return
		case !known:
			h.Note = "beyond what the name servers told: " + s.text()
			return
		case !t.matches(s, list):
			h.State, h.Differs, h.Left = Old, s.text(), s.ttl
			h.Until = at.Add(time.Duration(s.ttl+1) * time.Second) // caches count whole seconds
			return
		}
	}
	if open {
		h.Note = "it holds a part of the chain; the rest will be asked for"
	}
}

// matches reports that a step is one of those that are true; where answers differ by client or by dice, that its
// values are among theirs.
func (t *tracer) matches(s *step, list []step) bool {
	for i := range list {
		if list[i].sign() == s.sign() {
			return true
		}
	}
	if !t.o.Varies && len(list) == 1 || s.typ == "" {
		return false
	}
	for _, v := range s.values {
		among := slices.ContainsFunc(list, func(o step) bool { return o.typ == s.typ && slices.Contains(o.values, v) })
		if !among && (!t.o.Varies || !slices.Contains(t.o.Also, v)) {
			return false
		}
	}
	return true
}
