package nameserver

import (
	"errors"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/sign"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/xfr"
	"jurymast/internal/nameserver/zone"
)

// errStopping ends signing when the server ends.
var errStopping = errors.New("the server stops")

// due is what a version is to be made of.
type due struct {
	state  xfr.State
	body   *xfr.Body
	signer sign.Signer
	alone  bool // the body is not the content that has the serial
}

// due says what the next version is made of, if there is one to be made. It needs mu.
//
//	this node's content has the agreed serial    at once
//	it has not, for 3 s                          alone; what comes to fit later is taken then, under the same serial
func (o *outgoing) due(now time.Time) (d due, ok bool) {
	if o.serial == nil || o.body == nil {
		return due{}, false
	}
	d = due{*o.serial, o.body, o.signer, o.serial.Digest != o.digest}
	v := o.journal.Current()
	told := v != nil && v.Serial == o.serial.Serial
	switch {
	case !d.alone:
		o.apart = time.Time{}
		return d, !told || o.alone
	case o.apart.IsZero():
		o.apart = now
		return d, false
	}
	return d, !told && now.Sub(o.apart) >= apartFor
}

// publish makes a version of the content and the agreed serial as soon as they fit, all of it signed where the zone is.
func (s *Server) publish(z *zone.Zone, o *outgoing, now time.Time) {
	o.mu.Lock()
	d, ok := o.due(now)
	o.mu.Unlock()
	if !ok {
		return
	}
	next := xfr.NewVersion(d.body, d.state.Serial)
	err := s.signVersion(z, o, &d, next)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		if o.trouble != err.Error() && !errors.Is(err, errStopping) {
			s.log.Error("a version of a zone cannot be signed, so secondaries keep the one before", "zone", o.name, "serial", next.Serial, "error", err)
		}
		o.trouble = err.Error()
		return
	}
	if o.trouble = ""; *o.serial != d.state {
		nudge(s.transfers.wake) // there is another one by now
		return
	}
	again := o.journal.Current()
	o.journal.Put(next, d.alone || o.alone)
	o.alone = d.alone
	o.remake(z)
	if again == nil || again.Serial != next.Serial {
		o.tell(z.Transfer, next.Serial, now)
	}
	s.log.Info("zone version", "zone", o.name, "serial", next.Serial, "steps", o.journal.Steps(), "alone", d.alone)
}

// signedLists is a list with its signatures, to be used again as long as they are the same.
type signedLists struct {
	of          *xfr.List
	keys        string
	made        *xfr.List
	from, renew int64 // the moments, in seconds since 1970, between which nothing changes
	until       int64
}

// signVersion makes all signatures of a version, as of the moment that all nodes agree on.
func (s *Server) signVersion(z *zone.Zone, o *outgoing, d *due, v *xfr.Version) error {
	if d.body.Keys == "" {
		o.signed = [2]signedLists{}
		return nil
	}
	for i, list := range [...]*xfr.List{d.body.Fixed, d.body.Moving} {
		l := &o.signed[i]
		if l.of == list && l.keys == d.body.Keys && l.from <= d.state.Epoch && d.state.Epoch < l.renew {
			continue
		}
		made, err := s.signList(z, d, list.Records)
		if err != nil {
			return err
		}
		if l.made != nil && l.made.Digest == made.made.Digest {
			made.made = l.made
		}
		made.of, *l = list, made
	}
	soa, err := s.signList(z, d, []xfr.Record{v.SOA})
	if err != nil {
		return err
	}
	fixed, moving := &o.signed[0], &o.signed[1]
	v.Signed = xfr.Signatures{
		SOA: soa.made.Records, Fixed: fixed.made, Moving: moving.made,
		Renew: min(soa.renew, fixed.renew, moving.renew), Until: min(soa.until, fixed.until, moving.until),
	}
	return nil
}

// signList signs the sets of a list that the zone answers for.
func (s *Server) signList(z *zone.Zone, d *due, list []xfr.Record) (signedLists, error) {
	const never = 1 << 62
	out := signedLists{keys: d.body.Keys, renew: never, until: never}
	var made []xfr.Record
	var name wire.Name
	var data [][]byte
	for i := 0; i < len(list); {
		first := &list[i]
		data = data[:0]
		for ; i < len(list) && list[i].Type == first.Type && wire.EqualFold(list[i].Owner, first.Owner); i++ {
			data = append(data, list[i].Data)
		}
		if name.Set(first.Owner); !signs(z, &name, first.Type) {
			continue
		}
		select {
		case <-s.stopping:
			return out, errStopping
		default:
		}
		set := sign.Set{Owner: name.Key(0), Type: first.Type, TTL: first.TTL, Data: data}
		signatures, renew, until, err := d.signer.At(&set, d.state.Epoch)
		if err != nil {
			return out, err
		}
		out.from, out.renew, out.until = max(out.from, renew-int64(sign.Period/time.Second)), min(out.renew, renew), min(out.until, until)
		for _, rdata := range signatures.Data(nil) {
			made = append(made, xfr.Record{Owner: first.Owner, Type: dns.TypeRRSIG, TTL: first.TTL, Data: rdata})
		}
	}
	out.made = xfr.NewList(made)
	return out, nil
}

// signs reports that a set of a zone is signed: of a delegation the DS records and the proof, of what lies below nothing
// [RFC 4035 2.2].
func signs(z *zone.Zone, name *wire.Name, typ uint16) bool {
	m := z.Find(name)
	return m.Kind != zone.Cut || m.Label == 0 && (typ == dns.TypeDS || typ == dns.TypeNSEC)
}
