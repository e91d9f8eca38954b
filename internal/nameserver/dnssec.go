package nameserver

import (
	"github.com/miekg/dns"

	"jurymast/internal/nameserver/sign"
	"jurymast/internal/nameserver/wire"
)

// sign finds the signatures of everything the answer needs them for. later is true when one is missing that this
// responder may not make. An answer that lacks one in the end is SERVFAIL: unsigned, validators would take it for forged.
func (a *responder) sign() (later bool) {
	if a.r.conf == nil || len(a.r.conf.books) == 0 {
		return false
	}
	for _, list := range [...][]record{a.r.answer, a.r.author} {
		for i := range list {
			rec := &list[i]
			if rec.zone == nil || !a.r.do && !rec.only {
				continue
			}
			b := a.r.conf.books[rec.zone]
			if b == nil {
				continue // an unsigned zone
			}
			if why, missing := a.signatures(b, rec); missing {
				return true
			} else if why != nil {
				a.r.fail(wire.ServFail, why...)
				return false
			}
		}
	}
	return false
}

// signatures finds or makes those of one set. why says what is in the way.
func (a *responder) signatures(b *sign.Book, rec *record) (why []wire.EDE, missing bool) {
	owner := rec.owner
	if rec.signer != nil {
		owner = rec.signer
	}
	a.content = sign.Set{Owner: a.lower[:len(owner)], Type: rec.set.Type, TTL: rec.original, Data: rec.set.Data}
	for i, c := range owner {
		a.lower[i] = wire.Lower(c)
	}
	rec.ttl = min(rec.ttl, rec.original) // a validator takes no more than the signature says [RFC 4035 5.3.3]
	if rec.made = b.Find(&a.content); !rec.made.None() {
		return nil, false
	}
	if rec.made = a.signing.cache.Find(b, &a.content); !rec.made.None() {
		return nil, false
	}
	if !b.HasKeys() {
		return whyKeys, false
	}
	if a.demand != nil {
		return nil, true
	}
	var err error
	if rec.made, err = a.signing.onDemand(b, &a.content, a.worker); err != nil {
		return whyUnsigned, false
	}
	return nil, false
}

// whyUnsigned is told when the keys are here but do not sign.
var whyUnsigned = []wire.EDE{{Code: edeNotReady, Text: "the answer could not be signed"}}

// signaturesOnly answers a question of type RRSIG: the signatures of one set, as a question for anything would get it
// [RFC 8482 4.1].
func (r *response) signaturesOnly(q *wire.Query) {
	z := r.conf.find(&q.Name, q.Type)
	if z == nil || !z.DNSSEC.Enabled {
		r.follows(&q.Name, q.Type)
		return
	}
	r.follows(&q.Name, dns.TypeANY)
	kept := r.answer[:0]
	for _, rec := range r.answer {
		if rec.zone != nil && rec.zone.DNSSEC.Enabled {
			rec.only = true
			kept = append(kept, rec)
		}
	}
	r.answer = kept
}

// onDemand signs a set now. At most half of the processors do that at a time, and one for streams; who asks waits for its
// turn.
func (s *signing) onDemand(b *sign.Book, set *sign.Set, datagram bool) (sign.Signatures, error) {
	turn := s.turnOnStream
	if datagram {
		turn = s.turn
	}
	turn <- struct{}{}
	defer func() { <-turn }()
	if made := s.cache.Find(b, set); !made.None() {
		return made, nil // somebody was faster
	}
	s.tick()
	made, err := s.cache.Sign(b, set)
	if err != nil {
		s.failed.Add(1)
		return made, err
	}
	s.signed[signedDemand].Add(1)
	return made, nil
}
