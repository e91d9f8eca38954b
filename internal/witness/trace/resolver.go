package trace

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Resolver is one that is asked what it holds.
type Resolver struct {
	Addr   netip.AddrPort
	Source string // who names it
}

// caches asks all resolvers at once.
func (t *tracer) caches(ctx context.Context) []Holder {
	out := make([]Holder, len(t.resolvers))
	var all sync.WaitGroup
	for i, r := range t.resolvers {
		all.Go(func() { out[i] = t.cache(ctx, r) })
	}
	all.Wait()
	return out
}

// cache asks one resolver. First without recursion, so that it tells what it holds and fetches nothing; many refuse
// that, and are asked as clients ask.
func (t *tracer) cache(ctx context.Context, to Resolver) Holder {
	h := Holder{Kind: "resolver", Source: to.Source, Address: to.Addr.String(), Cached: "unknown", State: Unknown}
	r := t.ask(ctx, query{to: to.Addr, name: t.name, typ: t.typ})
	if tells(r) {
		h.Cached = "yes"
	} else {
		r = t.ask(ctx, query{to: to.Addr, name: t.name, typ: t.typ, recurse: true})
	}
	at := time.Now()
	h.TookMS = milliseconds(r.Took)
	if r.err != nil {
		h.Trouble = r.err.Error()
		return h
	}
	h.Rcode, h.AD = rcode(r.Msg), r.AuthenticatedData
	h.Errors, h.Stale = extended(r.Msg)
	path, open := pathOf(r.Msg, t.name, t.typ)
	if len(path) == 0 && r.Rcode != dns.RcodeSuccess {
		h.Trouble = "it answers " + h.Rcode
		return h
	}
	if len(path) == 0 && h.Cached != "yes" {
		h.Trouble = "its answer holds neither records nor a denial"
		return h
	}
	t.judge(&h, path, open, at)
	t.age(&h, path)
	if r.Authoritative {
		h.Note = "it is a name server of the zone itself, not a cache"
	}
	return h
}

// tells reports that an answer to a question without recursion shows the cache: records or a denial that are held, or
// plainly nothing. A refusal says nothing of what is held.
func tells(r reply) bool {
	return r.err == nil && (r.Rcode == dns.RcodeSuccess || r.Rcode == dns.RcodeNameError)
}

// age says whether an answer was held or may have been fetched for us, by the TTL that is left of it. Some resolvers
// fetch even when they are asked not to, such as Unbound for a stub zone.
func (t *tracer) age(h *Holder, path []step) {
	held := false
	for i := range path {
		told := uint32(0)
		for _, s := range t.truth[path[i].owner] {
			if s.sign() == path[i].sign() {
				told = max(told, s.ttl)
			}
		}
		if left := path[i].ttl; told > 0 && left > told {
			h.Note = fmt.Sprintf("it keeps answers longer than they may be kept: %d s are left of %d s", left, told)
		}
		held = held || told > 0 && path[i].ttl != told
	}
	switch {
	case h.State == Old || h.State == Current && held:
		h.Cached = "yes" // nobody could have told it that now
	case h.State == Current:
		h.Cached = "fresh"
	}
	if h.Stale {
		h.State = Old
		h.Differs, h.Left, h.Until = "a stale answer, given because the name servers do not answer the resolver", 0, time.Time{}
	}
}
