package nameserver

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/sign"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/xfr"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/snapshot"
	"jurymast/internal/steer"
)

// maxChain is how many CNAME and DNAME steps one question follows; then it gets what was gathered.
const maxChain = 16

// typeNXNAME marks names that do not exist in compact denial; nobody may ask for it [RFC 9824 3.5].
const typeNXNAME = 128

// record is one set on its way into a section.
type record struct {
	owner    []byte
	set      *zone.RRset
	turn     int // of the set
	ttl      uint32
	optional bool // may be left out without a word when the message is full

	// Of a set that is signed when the question wants that (response.do).
	zone     *zone.Zone // whose keys sign it; nil: never signed, as glue, NS of a delegation, a CNAME made from a DNAME
	original uint32     // TTL its signature says, in seconds [RFC 4034 3.1.4]; ttl is never more
	signer   []byte     // the wildcard whose signature holds for the owner; nil: the owner's own
	only     bool       // the signatures without the set, for questions of type RRSIG
	made     sign.Signatures
}

// response is everything a question gets before it becomes a message, and where that came from. It is reused.
type response struct {
	rcode  uint16
	aa     bool
	class  uint16 // of all records
	answer []record
	author []record
	glue   []record
	errors []wire.EDE
	scope  uint8 // leading bits of the client subnet's address that the answer holds for
	given  []given
	do     bool // signatures and proofs are wanted
	co     bool // and NXDOMAIN above a compact one

	at   *zone.Zone // where the chain is now
	wild []byte     // owner of the wildcard the name there matched; nil: none

	ceiling uint32 // of the TTLs of the profile that answers there

	none  refused // what the profile there has just denied
	began uint64  // how often dice had been thrown before

	key    string      // what the question is signed with, "" without a valid signature
	stream bool        // it came over a stream
	packet []byte      // the question as it came
	xfr    *xfr.Answer // many messages, for a stream

	zone    *zone.Zone // the first one
	kind    zone.Kind
	node    *zone.Node // that matched there; nil for zone.Missing
	profile *compiled  // the first one
	number  int        // of that profile, or zone.NoProfile
	pick    steer.Pick // its choice, if there is a trail
	trail   *steer.Trail
	stops   []stop // of flattened answers, if there is a trail
	choice  choice // the last one that was not constant

	set   *manners
	asker asker

	notified func(zone string, from netip.Addr, key string) bool // takes a NOTIFY; nil: nobody does
	windows  [2]zone.RRset                                       // of multivalue answers

	snap *snapshot.Snapshot
	slot snapshot.Slot
	conf *config
	name wire.Name // where a chain has come to
	temp wire.Name
}

func (r *response) reset() {
	r.rcode, r.aa, r.class, r.errors, r.scope, r.given = wire.Success, false, dns.ClassINET, nil, 0, r.given[:0]
	r.answer, r.author, r.glue = r.answer[:0], r.author[:0], r.glue[:0]
	r.at, r.wild = nil, nil
	r.zone, r.kind, r.node, r.profile, r.number = nil, zone.Missing, nil, nil, zone.NoProfile
}

func (r *response) fail(rcode uint16, errors ...wire.EDE) {
	r.answer, r.author, r.glue = r.answer[:0], r.author[:0], r.glue[:0]
	r.rcode, r.aa, r.errors, r.scope, r.given = rcode, false, errors, 0, r.given[:0]
}

// ours reports that a name of ours was answered, even if by saying that it is not there.
func (r *response) ours() bool {
	return r.zone != nil && (r.rcode == wire.Success || r.rcode == wire.NXDomain || r.rcode == wire.YXDomain)
}

// resolve answers a well-formed question from one snapshot.
func (r *response) resolve(q *wire.Query, s *snapshot.Snapshot, slot snapshot.Slot) {
	r.reset()
	r.snap, r.slot, r.do, r.co = s, slot, q.DO, q.CO && q.DO
	r.conf, _ = s.Config(slot).(*config)
	switch {
	case q.Opcode == wire.OpcodeNotify:
		r.notify(q)
	case q.Class == dns.ClassCHAOS:
		r.ofChaos(q)
	case q.Class != dns.ClassINET:
		r.fail(wire.Refused, whyClass...)
	case meta(q.Type):
		r.fail(wire.FormErr, whyMeta...)
	case r.conf == nil:
		r.fail(wire.ServFail, whyEmpty...)
	case q.Type == dns.TypeAXFR || q.Type == dns.TypeIXFR:
		r.transfer(q)
	case q.Type == dns.TypeSOA && r.unsettled(&q.Name):
		r.fail(wire.ServFail, whySerial...)
	default:
		r.chain(q)
	}
}

func meta(typ uint16) bool {
	switch typ {
	case dns.TypeOPT, dns.TypeTKEY, dns.TypeTSIG, dns.TypeMAILA, dns.TypeMAILB, typeNXNAME:
		return true
	}
	return false
}

// chain answers the name and, as long as that is an alias into our zones, what it points to. The response code is
// that of the last step [RFC 6604], AA that of the first.
func (r *response) chain(q *wire.Query) {
	if q.Type == dns.TypeRRSIG {
		r.signaturesOnly(q)
		return
	}
	r.follows(&q.Name, q.Type)
}

// follows is chain for a type of one's own.
func (r *response) follows(name *wire.Name, typ uint16) {
	for step := 0; ; step++ {
		z := r.conf.find(name, typ)
		if z == nil {
			if step == 0 {
				r.fail(wire.Refused, whyForeign...)
			}
			return
		}
		if z.Unloaded {
			if step == 0 {
				r.fail(wire.ServFail, whyUnloaded...)
			}
			return
		}
		m := z.Find(name)
		if step == 0 {
			r.zone, r.kind, r.node, r.aa = z, m.Kind, m.Node, true
		}
		if r.at, r.wild = z, nil; m.Kind == zone.Wildcard {
			r.wild = m.Node.Name
		}
		r.none, r.began = refused{}, r.asker.thrown
		answers, authors := len(r.answer), len(r.author)
		next := r.step(z, m, name, typ)
		r.prove(z, &m, name, typ, answers, authors)
		if next == nil || step == maxChain || r.seen(next) {
			return
		}
		if r.name.Set(next) == 0 {
			return
		}
		name = &r.name
	}
}

// seen reports that a chain has come back to where it was.
func (r *response) seen(name []byte) bool {
	for i := range r.answer {
		if r.answer[i].set.Type == dns.TypeCNAME && wire.EqualFold(r.answer[i].owner, name) {
			return true
		}
	}
	return false
}

// step answers one name inside one zone and returns where it points to, if anywhere.
func (r *response) step(z *zone.Zone, m zone.Match, name *wire.Name, typ uint16) (next []byte) {
	switch m.Kind {
	case zone.Missing:
		r.rcode = wire.NXDomain
		r.negative(z, z.NegativeTTL)
	case zone.Cut:
		if m.Label == 0 && typ == dns.TypeDS {
			return r.static(z, m.Node, name, typ)
		}
		r.referral(z, m.Node, name.Wire(m.Label))
	case zone.Redirect:
		return r.redirect(m, name, typ)
	case zone.Exact, zone.Wildcard:
		if typ == dns.TypeNSEC && z.DNSSEC.Enabled && r.itself(z, &m, name) {
			return nil
		}
		if m.Node.Profile != zone.NoProfile {
			return r.dynamic(z, m.Node, name, typ)
		}
		return r.static(z, m.Node, name, typ)
	}
	return nil
}

func (r *response) static(z *zone.Zone, n *zone.Node, name *wire.Name, typ uint16) (next []byte) {
	if alias := n.Set(dns.TypeCNAME); alias != nil {
		r.add(name, alias)
		if typ == dns.TypeCNAME || typ == dns.TypeANY {
			return nil
		}
		return alias.Data[0]
	}
	set := n.Set(typ)
	if live := r.live(z, n, typ); live != nil {
		set = live
	}
	if typ == dns.TypeRRSIG && z.Presigned {
		set = signaturesOf(n)
	}
	if typ == dns.TypeANY && len(n.Sets) > 0 {
		set = &n.Sets[0] // one set is enough [RFC 8482]
	}
	if set == nil {
		r.negative(z, z.NegativeTTL)
		return nil
	}
	r.add(name, set)
	return nil
}

// redirect answers below a DNAME: the DNAME, and a CNAME made from it with the same TTL [RFC 6672 3.1]. Who asks for
// the CNAME has it then.
func (r *response) redirect(m zone.Match, name *wire.Name, typ uint16) (next []byte) {
	set := m.Node.Set(dns.TypeDNAME)
	owner := name.Wire(m.Label)
	switch seen := slices.ContainsFunc(r.answer, func(rec record) bool { return rec.set == set }); {
	case !seen:
		r.answer = append(r.answer, record{owner: owner, set: set, ttl: set.TTL, zone: r.at, original: set.TTL})
	case r.temp.Set(set.Data[0]) > 0 && within(&r.temp, m.Node.Name):
		return nil // it leads into itself: the answer would grow for nothing
	}
	prefix := len(name.Wire(0)) - len(owner)
	if prefix+len(set.Data[0]) > wire.MaxName {
		r.rcode = wire.YXDomain
		return nil
	}
	target := append(bytes.Clone(name.Wire(0)[:prefix]), set.Data[0]...)
	made := &zone.RRset{Type: dns.TypeCNAME, TTL: set.TTL, Data: [][]byte{target}}
	r.answer = append(r.answer, record{owner: name.Wire(0), set: made, ttl: set.TTL}) // never signed: the DNAME is
	if typ == dns.TypeCNAME {
		return nil
	}
	return target
}

// add puts a set into the answer under the name that was asked for. Its bytes belong to the packet or to a zone's
// data, both of which outlive the message.
func (r *response) add(name *wire.Name, set *zone.RRset) {
	if set.Type == dns.TypeSOA {
		set = r.soa(r.at)
	}
	r.answer = append(r.answer, r.signedBy(record{owner: name.Wire(0), set: set, turn: r.turn(set), ttl: set.TTL}, r.at, set.TTL))
}

// turn throws the dice for the order of a set, except for explain: it tells what there is.
func (r *response) turn(set *zone.RRset) int {
	n := set.Turns()
	if n == 1 || r.trail != nil || r.asker.dice == nil {
		return 0
	}
	return int(r.asker.dice() % uint64(n)) //nolint:gosec // 1..8
}

// put is add with the TTL of a choice, which is at most that of the name's own profile.
func (r *response) put(name *wire.Name, set *zone.RRset, ttl uint32) {
	r.answer = append(r.answer, r.signedBy(record{owner: name.Wire(0), set: set, ttl: ttl}, r.at, r.ceiling))
}

func (r *response) negative(z *zone.Zone, ttl uint32) {
	soa := r.soa(z)
	r.author = append(r.author, record{owner: z.Apex.Name, set: soa, ttl: ttl, zone: z, original: soa.TTL})
}

// referral sends the resolver to the servers of a delegation, with the addresses we know. Addresses of servers inside
// the delegated zone are needed to reach it, so a message without room for them is truncated [RFC 9471].
func (r *response) referral(z *zone.Zone, cut *zone.Node, owner []byte) {
	r.aa = len(r.answer) > 0
	set := cut.Set(dns.TypeNS)
	r.author = append(r.author, record{owner: owner, set: set, ttl: set.TTL})
	for _, target := range set.Data {
		if r.temp.Set(target) == 0 || r.conf.find(&r.temp, dns.TypeA) != z {
			continue
		}
		n := z.Glue(&r.temp)
		if n == nil {
			continue
		}
		optional := !within(&r.temp, cut.Name)
		for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if addrs := n.Set(typ); addrs != nil {
				r.glue = append(r.glue, record{owner: target, set: addrs, ttl: addrs.TTL, optional: optional})
			}
		}
	}
}

// within reports that a name is the apex or below it.
func within(n *wire.Name, apex []byte) bool {
	for i := 0; i <= n.Labels(); i++ {
		if wire.EqualFold(n.Wire(i), apex) {
			return true
		}
	}
	return false
}
