package nameserver

import (
	"time"

	"github.com/miekg/dns"

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
	snap   *snapshot.Snapshot
	of     *zone.Zone
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
	m := &o.made
	if m.of != z {
		kept := m.moving
		*m = made{of: z, fixed: xfr.NewList(r.fixed(z)), moving: map[*zone.Node][]xfr.Record{}, since: m.since}
		m.keep(z, kept)
	}
	moving, missing := r.moving(z, m)
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
	body := &xfr.Body{Apex: z.Apex.Name, SOA: z.SOA.Data[0], SOATTL: z.SOA.TTL, Fixed: m.fixed, Moving: xfr.NewList(moving), Text: z.Written}
	digest := body.Digest()
	if o.body != nil && digest == o.digest && o.base == z.Serial {
		return false
	}
	if o.body != nil && o.body.Moving.Digest == body.Moving.Digest {
		body.Moving = o.body.Moving
	}
	o.body, o.digest, o.base = body, digest, z.Serial
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

// fixed are the records of the documents, but the SOA. What is beside a profile is added with the profile's answer.
func (r *response) fixed(z *zone.Zone) (list []xfr.Record) {
	for n := range z.All() {
		if n.Profile != zone.NoProfile && z.Transfer.Dynamic == profile.DynamicCurrent {
			continue
		}
		for i := range n.Sets {
			if n.Sets[i].Type != dns.TypeSOA {
				list = appendSet(list, n.Name, &n.Sets[i], n.Sets[i].TTL)
			}
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

// moving are the records of names where profiles answer, and of the zone's keys. missing says that a name has no answer
// yet and had none before.
func (r *response) moving(z *zone.Zone, m *made) (list []xfr.Record, missing bool) {
	if z.DNSSEC.Enabled {
		live := r.conf.books[z].Live()
		for i := range live {
			list = appendSet(list, z.Apex.Name, &live[i], live[i].TTL)
		}
		missing = len(live) == 0
	}
	if z.Transfer.Dynamic != profile.DynamicCurrent {
		return list, missing
	}
	for n := range z.All() {
		if n.Profile == zone.NoProfile {
			continue
		}
		records, known := r.answered(z, n)
		if known {
			m.moving[n] = records
		} else if _, had := m.moving[n]; !had {
			missing = true
		}
		list = append(list, m.moving[n]...)
	}
	return list, missing
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
	for i := range n.Sets {
		if set := &n.Sets[i]; !seen[set.Type] && set.Type != dns.TypeSOA {
			list = appendSet(list, n.Name, set, set.TTL)
		}
	}
	return list, true
}

// cloned keeps the data of a window, which the next answer overwrites.
func cloned(data [][]byte) [][]byte { return append([][]byte(nil), data...) }

// publish makes a version of the content and the agreed serial as soon as they fit.
func (s *Server) publish(z *zone.Zone, o *outgoing, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.serial == nil || o.body == nil {
		return
	}
	alone := false
	v := o.journal.Current()
	switch {
	case o.serial.Digest == o.digest:
		o.apart = time.Time{}
	case o.apart.IsZero():
		o.apart = now
		return
	case now.Sub(o.apart) < apartFor || v != nil && v.Serial == o.serial.Serial:
		return
	default:
		alone = true
	}
	if v != nil && v.Serial == o.serial.Serial {
		return
	}
	next := xfr.NewVersion(o.body, o.serial.Serial)
	o.journal.Put(next, alone)
	o.remake(z)
	o.tell(z.Transfer, next.Serial, now)
	s.log.Info("zone version", "zone", o.name, "serial", next.Serial, "steps", o.journal.Steps(), "alone", alone)
}
