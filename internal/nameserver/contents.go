package nameserver

import (
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/denial"
	"jurymast/internal/nameserver/sign"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/xfr"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// contentsEvery is how often contents are made at most while health changes; serials are further apart anyway.
const contentsEvery = 250 * time.Millisecond

// lookEvery is how often contents are made when nothing says that they changed: addresses that resolvers tell, and
// signatures, change in silence.
const lookEvery = time.Second

// patience is how long a content waits for names whose first verdicts are missing; then it is made without them.
const patience = 30 * time.Second

// made is what a content was made of.
type made struct {
	of     *zone.Zone
	chain  *denial.Chain // of a signed zone
	fixed  *xfr.List
	moving map[*zone.Node][]xfr.Record // the last sets of each name, kept while it has no answer
	since  time.Time                   // since when names are missing; zero: none is
}

// runTransfers makes contents and versions, and tells secondaries, until stop is closed.
func (s *Server) runTransfers(stop <-chan struct{}) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last time.Time
	for {
		snap := s.opt.Hub.Load()
		now := time.Now()
		s.makeContents(snap, now)
		s.transfers.looked.Store(snap)
		s.notifyAll(now)
		last = now
		var soon <-chan time.Time
		replaced := snap.Replaced()
		select {
		case <-stop:
			return
		case <-tick.C:
		case <-s.transfers.wake:
		case <-replaced:
			soon = time.After(max(0, contentsEvery-time.Since(last)))
		}
		if soon != nil {
			select {
			case <-stop:
				return
			case <-soon:
			}
		}
	}
}

// makeContents looks at every zone that may be fetched.
func (s *Server) makeContents(snap *snapshot.Snapshot, now time.Time) {
	conf, _ := snap.Config(s.slot).(*config)
	if conf == nil || len(conf.outgoing) == 0 {
		return
	}
	told := false
	var r response
	r.set = s.set
	r.asker.throws(func() uint64 { return 0 }) // the same on all nodes
	for z, o := range conf.outgoing {
		told = s.makeContent(&r, z, o, snap, now) || told
		s.publish(z, o, now)
	}
	if told {
		nudge(s.transfers.told)
	}
}

// makeContent makes the content of one zone. It reports whether it is another one.
func (s *Server) makeContent(r *response, z *zone.Zone, o *outgoing, snap *snapshot.Snapshot, now time.Time) bool {
	r.reset()
	r.snap, r.slot = snap, s.slot
	r.conf, _ = snap.Config(s.slot).(*config)
	var signer sign.Signer
	if z.DNSSEC.Enabled {
		signer = r.conf.books[z].Signer()
		if compact(z) || !signer.Ready() { // nothing is told that validators would not believe
			return false
		}
	}
	m := &o.made
	if chain := r.chainOf(z); m.of != z || m.chain != chain {
		kept, fixed := m.moving, xfr.NewList(r.fixed(z))
		if m.fixed != nil && m.fixed.Digest == fixed.Digest {
			fixed = m.fixed
		}
		*m = made{of: z, chain: chain, fixed: fixed, moving: map[*zone.Node][]xfr.Record{}, since: m.since}
		m.keep(z, kept)
	}
	moving, missing := r.moving(z, m, signer.Live())
	switch {
	case !missing:
		m.since = time.Time{}
	case m.since.IsZero():
		m.since = now
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if missing && o.body == nil && now.Sub(m.since) < patience {
		return false
	}
	body := &xfr.Body{Apex: z.Apex.Name, SOA: z.SOA.Data[0], SOATTL: z.SOA.TTL, Fixed: m.fixed, Moving: xfr.NewList(moving), Text: z.Written, Keys: signer.Print()}
	digest := body.Digest()
	if o.body != nil && digest == o.digest && o.base == z.Serial {
		return false
	}
	if o.body != nil && o.body.Moving.Digest == body.Moving.Digest {
		body.Moving = o.body.Moving
	}
	o.body, o.digest, o.base, o.signer = body, digest, z.Serial, signer
	return true
}

// keep takes over the last sets of names that are there in new documents as well.
func (m *made) keep(z *zone.Zone, was map[*zone.Node][]xfr.Record) {
	var name wire.Name
	for n, records := range was {
		name.Set(n.Name)
		if to := z.Glue(&name); to != nil && to.Profile != zone.NoProfile {
			m.moving[to] = records
		}
	}
}

// fixed are the records of the documents, but the SOA, and the proofs that no more is there. What is beside a profile, and
// at the apex of a signed zone, is added with what moves.
func (r *response) fixed(z *zone.Zone) (list []xfr.Record) {
	chain := r.chainOf(z)
	for n := range z.All() {
		if n.Profile != zone.NoProfile && z.Transfer.Dynamic == profile.DynamicCurrent {
			continue
		}
		if chain != nil {
			link := chain.At(n.Name)
			switch {
			case link < 0 && !below(z, n):
				continue // another zone of ours answers for it
			case link >= 0 && n != z.Apex:
				list = appendProof(list, chain, link, denial.Static(nil, z, n))
			}
		}
		list = appendStatic(list, n, nil)
	}
	return list
}

// below reports that a name lies below a delegation: what is there goes along, unsigned.
func below(z *zone.Zone, n *zone.Node) bool {
	var name wire.Name
	name.Set(n.Name)
	return z.Find(&name).Kind == zone.Cut
}

func appendProof(list []xfr.Record, chain *denial.Chain, link int, types []uint16) []xfr.Record {
	set := chain.NSEC(link, types)
	return appendSet(list, chain.Node(link).Name, set, set.TTL)
}

// appendStatic appends what the documents say of a name, but for the SOA and the types that something else was answered for.
func appendStatic(list []xfr.Record, n *zone.Node, but map[uint16]bool) []xfr.Record {
	for i := range n.Sets {
		if set := &n.Sets[i]; set.Type != dns.TypeSOA && !but[set.Type] {
			list = appendSet(list, n.Name, set, set.TTL)
		}
	}
	return list
}

func appendSet(list []xfr.Record, owner []byte, set *zone.RRset, ttl uint32) []xfr.Record {
	for _, data := range set.Data {
		list = append(list, xfr.Record{Owner: owner, Type: set.Type, TTL: ttl, Data: data})
	}
	return list
}

// moving are the records of names where profiles answer, and of the zone's keys, with the proofs of what is there. missing
// says that a name has no answer yet and had none before.
func (r *response) moving(z *zone.Zone, m *made, live []zone.RRset) (list []xfr.Record, missing bool) {
	for i := range live {
		list = appendSet(list, z.Apex.Name, &live[i], live[i].TTL)
	}
	if z.Transfer.Dynamic == profile.DynamicCurrent {
		for n := range z.All() {
			if n.Profile == zone.NoProfile {
				continue
			}
			records, known := r.answered(z, n)
			if _, had := m.moving[n]; known {
				m.moving[n] = records
			} else if !had {
				missing = true
				records = appendStatic(nil, n, nil)
			} else {
				records = m.moving[n]
			}
			list = append(list, records...)
			if m.chain != nil && n != z.Apex {
				if link := m.chain.At(n.Name); link >= 0 {
					list = appendProof(list, m.chain, link, typesOf(records))
				}
			}
		}
	}
	if m.chain == nil {
		return list, missing
	}
	types := []uint16{dns.TypeSOA}
	for i := range list {
		if len(list[i].Owner) == len(z.Apex.Name) { // no other name of the zone is as short
			types = append(types, list[i].Type)
		}
	}
	if z.Apex.Profile == zone.NoProfile {
		types = denial.Static(types, z, z.Apex)
	}
	return appendProof(list, m.chain, m.chain.At(z.Apex.Name), types), missing
}

// typesOf are the types of records, as a proof lists them: exactly what a secondary has there.
func typesOf(list []xfr.Record) (types []uint16) {
	for i := range list {
		types = append(types, list[i].Type)
	}
	return types
}

// answered are all records of a name where a profile answers, as a client without location gets them now. known is false
// while there is no answer.
func (r *response) answered(z *zone.Zone, n *zone.Node) (list []xfr.Record, known bool) {
	var name wire.Name
	name.Set(n.Name)
	seen := map[uint16]bool{}
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME, dns.TypeHTTPS} {
		if typ == dns.TypeCNAME && !n.Alias || typ == dns.TypeHTTPS && !n.Service {
			continue
		}
		r.answer, r.author, r.given, r.rcode = r.answer[:0], r.author[:0], r.given[:0], wire.Success
		r.profile, r.number = nil, zone.NoProfile
		r.asker.begin(r.asker.source, nil)
		r.dynamic(z, n, &name, typ)
		if r.rcode == wire.ServFail {
			return nil, false
		}
		for i := range r.answer {
			rec := &r.answer[i]
			if seen[rec.set.Type] {
				continue
			}
			ttl := rec.set.TTL
			if r.profile != nil && n.Set(rec.set.Type) != rec.set {
				ttl = r.profile.ceiling
			}
			list = appendSet(list, n.Name, &zone.RRset{Type: rec.set.Type, Data: cloned(rec.set.Data)}, ttl)
		}
		for i := range r.answer {
			seen[r.answer[i].set.Type] = true
		}
	}
	if seen[dns.TypeCNAME] {
		return list, true
	}
	return appendStatic(list, n, seen), true
}

// cloned keeps the data of a window, which the next answer overwrites.
func cloned(data [][]byte) [][]byte { return append([][]byte(nil), data...) }
