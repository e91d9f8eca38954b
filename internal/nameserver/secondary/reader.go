package secondary

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
)

var errFormat = errors.New("a message that cannot be read")

// shape is what a transfer turns out to be.
type shape uint8

const (
	unknown shape = iota
	same          // a single SOA: nothing newer
	whole         // all records, between two equal SOA [RFC 5936]
	steps         // differences [RFC 1995]
)

// reader takes the records of one transfer in their order and is strict about it: what is not certainly right ends it.
type reader struct {
	apex    *zone.Owner
	have    uint32 // serial of what is here; differences only
	differs bool   // IXFR was asked for
	most    int    // records

	shape  shape
	soa    zone.Record // the first
	serial uint32
	count  int
	done   bool

	records []zone.Record
	steps   []Delta
	adding  bool
	last    *zone.Owner
}

// take is the answer section of one message. single says that it is the first message and has one record.
func (r *reader) take(pkt []byte, off, records int) error {
	for range records {
		rec, next, err := r.record(pkt, off)
		if err != nil {
			return err
		}
		if r.done {
			return errors.New("records behind the end of the transfer")
		}
		if r.count++; r.count > r.most {
			return fmt.Errorf("the transfer has more than %d records", r.most)
		}
		if err := r.step(rec); err != nil {
			return err
		}
		off = next
	}
	if r.shape == unknown && r.differs && records > 0 && !Newer(r.serial, r.have) {
		r.shape, r.done = same, true
	}
	return nil
}

func (r *reader) isSOA(rec zone.Record) (serial uint32, is bool, err error) {
	if rec.Type != dns.TypeSOA {
		return 0, false, nil
	}
	if !rec.Owner.Same(r.apex) {
		return 0, false, fmt.Errorf("an SOA of %s, which is another zone", zone.Text(rec.Owner.Name))
	}
	n, ok := soaNumbers(rec.Data)
	if !ok {
		return 0, false, errFormat
	}
	return n[0], true, nil
}

func (r *reader) step(rec zone.Record) error {
	serial, soa, err := r.isSOA(rec)
	switch {
	case err != nil:
		return err
	case r.count == 1 && !soa:
		return fmt.Errorf("it begins with %s and not with the SOA", dns.Type(rec.Type))
	case r.count == 1:
		r.soa, r.serial = rec, serial
		return nil
	case r.shape == unknown && r.differs && soa && serial != r.serial:
		r.shape = steps
		r.steps = []Delta{{From: serial, Gone: []zone.Record{rec}}}
		return nil
	case r.shape == unknown:
		r.shape = whole
		r.records = append(r.records, r.soa)
	}
	if r.shape == steps {
		return r.difference(rec, serial, soa)
	}
	if soa {
		return r.end(rec)
	}
	r.records = append(r.records, rec)
	return nil
}

func (r *reader) end(rec zone.Record) error {
	if !bytes.Equal(rec.Data, r.soa.Data) {
		return errors.New("the last SOA is not the first one: the zone has changed on the way")
	}
	r.done = true
	return nil
}

func (r *reader) difference(rec zone.Record, serial uint32, soa bool) error {
	now := &r.steps[len(r.steps)-1]
	switch {
	case !soa && r.adding:
		now.Come = append(now.Come, rec)
	case !soa:
		now.Gone = append(now.Gone, rec)
	case !r.adding:
		now.To, now.Come, r.adding = serial, []zone.Record{rec}, true
	case now.To == r.serial:
		return r.end(rec)
	default:
		r.steps = append(r.steps, Delta{From: serial, Gone: []zone.Record{rec}})
		r.adding = false
	}
	return nil
}

// record reads one record with names that are not compressed, and refuses what cannot be in the zone.
func (r *reader) record(pkt []byte, off int) (rec zone.Record, next int, err error) {
	name, at, err := readName(pkt, off)
	if err != nil || at+10 > len(pkt) {
		return rec, 0, errFormat
	}
	if r.last == nil || !bytes.Equal(r.last.Name, name) {
		if r.last = zone.NewOwner(bytes.Clone(name)); r.last == nil {
			return rec, 0, errFormat
		}
	}
	rec = zone.Record{Owner: r.last, Type: binary.BigEndian.Uint16(pkt[at:]), TTL: binary.BigEndian.Uint32(pkt[at+4:])}
	next = at + 10 + int(binary.BigEndian.Uint16(pkt[at+8:]))
	switch class := binary.BigEndian.Uint16(pkt[at+2:]); {
	case next > len(pkt):
		return rec, 0, errFormat
	case !rec.Owner.Within(r.apex):
		return rec, 0, fmt.Errorf("%s is outside the zone", zone.Text(name))
	case class != dns.ClassINET:
		return rec, 0, fmt.Errorf("%s is of class %s", zone.Text(name), dns.Class(class))
	case rec.Type == 0 || rec.Type == dns.TypeOPT || rec.Type >= 128 && rec.Type <= 255:
		return rec, 0, fmt.Errorf("%s %s: not a type that a zone can have", zone.Text(name), dns.Type(rec.Type))
	case rec.TTL > 1<<31-1:
		rec.TTL = 0 // [RFC 2181 8]
	}
	if rec.Data, err = recordData(pkt, off, at+10, next, rec.Type); err != nil {
		return rec, 0, fmt.Errorf("%s %s: %w", zone.Text(name), dns.Type(rec.Type), err)
	}
	return rec, next, nil
}

// compressed are the types whose data may hold compressed names in messages of old and new servers [RFC 3597 4].
var compressed = map[uint16]bool{
	dns.TypeNS: true, dns.TypeMD: true, dns.TypeMF: true, dns.TypeCNAME: true, dns.TypeSOA: true, dns.TypeMB: true, dns.TypeMG: true,
	dns.TypeMR: true, dns.TypePTR: true, dns.TypeMINFO: true, dns.TypeMX: true, dns.TypeRP: true, dns.TypeAFSDB: true, dns.TypeRT: true,
	dns.TypeSIG: true, dns.TypePX: true, dns.TypeNXT: true, dns.TypeNAPTR: true, dns.TypeKX: true, dns.TypeSRV: true, dns.TypeDNAME: true,
}

// recordData is the RDATA of the record at off, which begins at from and ends before to.
func recordData(pkt []byte, off, from, to int, typ uint16) ([]byte, error) {
	rr, end, err := dns.UnpackRR(pkt[:to], off)
	if err != nil || end != to {
		return nil, errors.New("its data cannot be read")
	}
	if !compressed[typ] {
		return bytes.Clone(pkt[from:to]), nil
	}
	buf := make([]byte, dns.Len(rr)+wire.MaxName)
	end, err = dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil, errors.New("its data cannot be read")
	}
	start := skipName(buf[:end], 0)
	if start < 0 {
		return nil, errFormat
	}
	return bytes.Clone(buf[start+10 : end]), nil
}

// readName is an uncompressed copy of the name at off, and where it ends there. Each pointer must point further back than
// the one before, so that the walk ends.
func readName(pkt []byte, off int) (name []byte, end int, err error) {
	var room [wire.MaxName]byte
	name, end = room[:0], -1
	limit := off
	for {
		if off >= len(pkt) {
			return nil, 0, errFormat
		}
		l := int(pkt[off])
		switch {
		case l == 0:
			if name = append(name, 0); len(name) > wire.MaxName {
				return nil, 0, errFormat
			}
			if end < 0 {
				end = off + 1
			}
			return bytes.Clone(name), end, nil
		case l >= 0xC0:
			if off+1 >= len(pkt) {
				return nil, 0, errFormat
			}
			to := (l&0x3F)<<8 | int(pkt[off+1])
			if end < 0 {
				end = off + 2
			}
			if to >= limit {
				return nil, 0, errFormat
			}
			off, limit = to, to
		case l > wire.MaxLabel || off+1+l > len(pkt) || len(name)+1+l > wire.MaxName:
			return nil, 0, errFormat
		default:
			name = append(name, pkt[off:off+1+l]...)
			off += 1 + l
		}
	}
}

// skipName is the offset behind a name that may end in a pointer, or below zero.
func skipName(pkt []byte, off int) int {
	for off < len(pkt) {
		switch l := int(pkt[off]); {
		case l == 0:
			return off + 1
		case l >= 0xC0:
			return off + 2
		default:
			off += 1 + l
		}
	}
	return -1
}
