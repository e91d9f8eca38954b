package nameserver

import (
	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
)

// presigned completes the step that was just made in a zone its primary has signed: with the proofs of the primary's chain,
// as prove does for our own, and with the signatures that came with the sets. Nothing is signed here.
func (r *response) presigned(z *zone.Zone, m *zone.Match, name *wire.Name, answers, authors int) {
	var room [4]zone.Proof
	var list []zone.Proof
	switch {
	case len(r.author) > authors && r.author[authors].set.Type == dns.TypeSOA:
		list = z.Deny(room[:0], *m, name, false)
	case m.Kind == zone.Cut && len(r.author) > authors:
		if set := m.Node.Set(dns.TypeDS); set != nil {
			r.author = append(r.author, record{owner: m.Node.Name, set: set, ttl: set.TTL})
		} else {
			list = z.Deny(room[:0], *m, name, false)
		}
	case m.Kind == zone.Wildcard && len(r.answer) > answers:
		list = z.Deny(room[:0], *m, name, true)
	}
	for i := range list {
		if !r.proved(list[i].Owner) {
			r.author = append(r.author, record{owner: list[i].Owner, set: list[i].Set, ttl: list[i].Set.TTL})
		}
	}
	r.answer = withSignatures(r.answer, answers)
	r.author = withSignatures(r.author, authors)
}

// proved reports that a step before has needed the same proof.
func (r *response) proved(owner []byte) bool {
	for i := range r.author {
		t := r.author[i].set.Type
		if (t == dns.TypeNSEC || t == dns.TypeNSEC3) && wire.EqualFold(r.author[i].owner, owner) {
			return true
		}
	}
	return false
}

// withSignatures appends those of the sets from an index on, each with the TTL of its set.
func withSignatures(list []record, from int) []record {
	for i, end := from, len(list); i < end; i++ {
		if sigs := list[i].set.Signatures; sigs != nil {
			list = append(list, record{owner: list[i].owner, set: sigs, ttl: list[i].ttl})
		}
	}
	return list
}

// signaturesOf are the signatures that a question of type RRSIG gets of a name: those of one set are enough [RFC 8482].
func signaturesOf(n *zone.Node) *zone.RRset {
	for i := range n.Sets {
		if sigs := n.Sets[i].Signatures; sigs != nil {
			return sigs
		}
	}
	return nil
}
