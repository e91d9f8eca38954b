package zone

import (
	"bytes"
	"cmp"
	"crypto/sha1" //nolint:gosec // the one hash of NSEC3 [RFC 5155 11]; it protects nothing here
	"encoding/base32"
	"errors"
	"slices"
	"sort"
	"strings"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
)

// Proof is one set of a signed zone that proves what is not there. Its signatures are in the set.
type Proof struct {
	Owner []byte
	Set   *RRset
}

// proofs are what a primary's signer made to prove what is not in the zone: NSEC records in the order of names, or NSEC3
// records in the order of hashes.
type proofs struct {
	names  []named
	hashes []hashed
	rounds uint16 // of NSEC3
	salt   []byte
}

type named struct {
	sort string
	Proof
}

type hashed struct {
	hash []byte
	opt  bool // opt-out
	set  *RRset
	own  []byte
}

// hashRounds are the most extra rounds of hashing a question may cost: zones with more are served without proofs
// [RFC 9276 3.2 lets validators treat more than this as insecure anyway].
const hashRounds = 150

var hex32 = base32.HexEncoding.WithPadding(base32.NoPadding)

// hashed keeps one NSEC3 record.
func (f *foreign) hashed(rec Record) error {
	label := int(rec.Owner.Name[0])
	hash, err := hex32.DecodeString(strings.ToUpper(string(rec.Owner.Name[1 : 1+label])))
	if err != nil || len(rec.Data) < 5 {
		return errors.New("an NSEC3 record has no hash for a name, or is not complete")
	}
	if f.zone.proofs == nil {
		f.zone.proofs = &proofs{}
	}
	p := f.zone.proofs
	if f.proof != nil {
		f.proof.set.Data = append(f.proof.set.Data, rec.Data)
		return nil
	}
	p.hashes = append(p.hashes, hashed{
		hash: hash, opt: rec.Data[1]&1 != 0, own: rec.Owner.Name,
		set: &RRset{Type: dns.TypeNSEC3, TTL: rec.TTL, Data: [][]byte{rec.Data}},
	})
	f.proof = &p.hashes[len(p.hashes)-1]
	return nil
}

// chain puts the proofs of a signed zone in order, nil when it has none.
func (f *foreign) chain() *proofs {
	p := f.zone.proofs
	if p == nil {
		p = &proofs{}
	}
	if param := f.zone.Apex.Set(dns.TypeNSEC3PARAM); param != nil && len(p.hashes) > 0 {
		d := param.Data[0]
		if len(d) >= 5 && len(d) >= 5+int(d[4]) && d[0] == 1 {
			p.rounds, p.salt = uint16(d[2])<<8|uint16(d[3]), d[5:5+int(d[4])]
		}
		p.hashes = slices.DeleteFunc(p.hashes, func(h hashed) bool { return !p.mine(h.set.Data[0]) })
		slices.SortFunc(p.hashes, func(a, b hashed) int { return bytes.Compare(a.hash, b.hash) })
		if p.rounds > hashRounds {
			f.warn("NSEC3 with %d extra rounds; more than %d are not calculated, so nothing is proved to be missing", p.rounds, hashRounds)
			p.hashes = nil
		}
		return p
	}
	p.hashes = nil
	for _, n := range f.zone.nodes {
		if set := n.Set(dns.TypeNSEC); set != nil {
			p.names = append(p.names, named{NewOwner(n.Name).sort, Proof{n.Name, set}})
		}
	}
	slices.SortFunc(p.names, func(a, b named) int { return cmp.Compare(a.sort, b.sort) })
	if len(p.names) == 0 {
		f.warn("it is signed and has neither NSEC nor NSEC3 records, so nothing is proved to be missing")
	}
	return p
}

// mine reports that an NSEC3 record belongs to the chain of the NSEC3PARAM: a second chain may be under construction.
func (p *proofs) mine(data []byte) bool {
	return data[0] == 1 && uint16(data[2])<<8|uint16(data[3]) == p.rounds && len(data) >= 5+int(data[4]) && bytes.Equal(data[5:5+int(data[4])], p.salt)
}

// Hashed reports that the names of the zone are proved by their hashes [RFC 5155].
func (z *Zone) Hashed() bool { return z.proofs != nil && len(z.proofs.hashes) > 0 }

// Deny are the sets that prove what m says of a name when there is no answer of the type that was asked for; answered says
// that there is one, and then only wildcards need a proof [RFC 4035 3.1.3, RFC 5155 7.2]. They are appended to list, each
// once. They are nil for a zone that is not signed by its primary.
func (z *Zone) Deny(list []Proof, m Match, name *wire.Name, answered bool) []Proof {
	if !z.Presigned || z.proofs == nil {
		return list
	}
	d := denier{z: z, list: list}
	if len(z.proofs.hashes) > 0 {
		d.hashes(m, name, answered)
	} else if len(z.proofs.names) > 0 {
		d.names(m, name, answered)
	}
	return d.list
}

type denier struct {
	z    *Zone
	list []Proof
}

func (d *denier) add(owner []byte, set *RRset) {
	if set == nil || slices.ContainsFunc(d.list, func(p Proof) bool { return bytes.Equal(p.Owner, owner) }) {
		return
	}
	d.list = append(d.list, Proof{owner, set})
}

// names proves by NSEC.
func (d *denier) names(m Match, name *wire.Name, answered bool) {
	switch m.Kind {
	case Exact, Cut:
		if !answered {
			if set := m.Node.Set(dns.TypeNSEC); set != nil {
				d.add(m.Node.Name, set)
			} else {
				d.cover(name, m.Label) // it is empty, or hidden
			}
		}
	case Wildcard:
		d.cover(name, 0)
		if set := m.Node.Set(dns.TypeNSEC); set != nil && !answered {
			d.add(m.Node.Name, set)
		}
	case Missing:
		d.cover(name, 0)
		var wild wire.Name
		if wild.Set(append([]byte{1, '*'}, name.Wire(d.encloser(name))...)) > 0 {
			d.cover(&wild, 0)
		}
	case Redirect: // the DNAME is signed, and the CNAME made from it needs no proof
	}
}

// encloser is the label at which the longest existing name above one begins.
func (d *denier) encloser(name *wire.Name) int {
	for i := 1; i <= name.Labels()-d.z.labels; i++ {
		if d.z.nodes[string(name.Key(i))] != nil {
			return i
		}
	}
	return name.Labels() - d.z.labels
}

// cover adds the NSEC record at or before a name that begins at a label.
func (d *denier) cover(name *wire.Name, label int) {
	var n wire.Name
	if n.Set(name.Wire(label)) == 0 {
		return
	}
	key, list := sortKey(&n), d.z.proofs.names
	at := sort.Search(len(list), func(i int) bool { return list[i].sort > key }) - 1
	if at < 0 {
		at = len(list) - 1
	}
	d.add(list[at].Owner, list[at].Set)
}

// hashes proves by NSEC3.
func (d *denier) hashes(m Match, name *wire.Name, answered bool) {
	switch m.Kind {
	case Exact, Cut:
		if !answered && !d.match(name.Wire(m.Label)) {
			d.enclose(name, m.Label) // an unsigned delegation that the chain leaves out
		}
	case Wildcard:
		above := d.encloser(name)
		if !answered {
			d.match(name.Wire(above))
			d.match(m.Node.Name)
		}
		d.span(name.Wire(above - 1))
	case Missing:
		above := d.enclose(name, 0)
		d.span(append([]byte{1, '*'}, name.Wire(above)...))
	case Redirect:
	}
}

// enclose proves the closest encloser that has a hash of its own and that the next name below it has none.
func (d *denier) enclose(name *wire.Name, from int) (above int) {
	for above = from + 1; above <= name.Labels()-d.z.labels; above++ {
		if d.match(name.Wire(above)) {
			d.span(name.Wire(above - 1))
			return above
		}
	}
	return name.Labels() - d.z.labels
}

// match adds the record of a name's own hash.
func (d *denier) match(name []byte) bool {
	hash := d.z.proofs.hash(name)
	list := d.z.proofs.hashes
	at := sort.Search(len(list), func(i int) bool { return bytes.Compare(list[i].hash, hash) >= 0 })
	if at == len(list) || !bytes.Equal(list[at].hash, hash) {
		return false
	}
	d.add(list[at].own, list[at].set)
	return true
}

// span adds the record whose hashes lie around a name's.
func (d *denier) span(name []byte) {
	hash := d.z.proofs.hash(name)
	list := d.z.proofs.hashes
	at := sort.Search(len(list), func(i int) bool { return bytes.Compare(list[i].hash, hash) > 0 }) - 1
	if at < 0 {
		at = len(list) - 1
	}
	d.add(list[at].own, list[at].set)
}

// hash of a name in wire form [RFC 5155 5].
func (p *proofs) hash(name []byte) []byte {
	lower := make([]byte, 0, len(name)+len(p.salt))
	for _, c := range name {
		lower = append(lower, wire.Lower(c))
	}
	sum := sha1.Sum(append(lower, p.salt...)) //nolint:gosec // see the import
	for range p.rounds {
		sum = sha1.Sum(append(sum[:], p.salt...)) //nolint:gosec // see the import
	}
	return sum[:]
}
