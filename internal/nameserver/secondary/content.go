package secondary

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/zone"
)

// Content is a zone of one serial as a primary sent it. It is never changed.
type Content struct {
	Zone    string // lower case, no trailing dot
	Serial  uint32
	Records []zone.Record // in order, each once
	Tree    *zone.Zone    // of them, to be copied by who serves it
	Digest  Digest        // what became of its ZONEMD

	refresh, retry, expire uint32
}

// Timers of its SOA within bounds.
func (c *Content) Timers(b Bounds) Timers { return TimersOf(c.refresh, c.retry, c.expire, b) }

// soaOf is the SOA of the apex in records that are in order.
func soaOf(apex *zone.Owner, records []zone.Record) (zone.Record, bool) {
	i, ok := slices.BinarySearchFunc(records, dns.TypeSOA, func(r zone.Record, typ uint16) int {
		if c := zone.CompareOwners(r.Owner, apex); c != 0 {
			return c
		}
		return int(r.Type) - int(typ)
	})
	if !ok {
		return zone.Record{}, false
	}
	return records[i], true
}

// soaNumbers are serial, refresh, retry, expire and minimum of an SOA's data.
func soaNumbers(data []byte) (n [5]uint32, ok bool) {
	if len(data) < 22 {
		return n, false
	}
	for i := range n {
		n[i] = binary.BigEndian.Uint32(data[len(data)-20+4*i:])
	}
	return n, true
}

// NewContent sorts and checks the records of a whole zone; it takes the slice over. Records that are there twice are one.
func NewContent(name string, records []zone.Record, check Check) (*Content, error) {
	slices.SortStableFunc(records, zone.CompareRecords)
	records = slices.CompactFunc(records, func(a, b zone.Record) bool { return zone.CompareRecords(a, b) == 0 })
	return contentOf(name, records, check)
}

// contentOf checks records that are in order.
func contentOf(name string, records []zone.Record, check Check) (*Content, error) {
	apex, err := ownerOf(name)
	if err != nil {
		return nil, err
	}
	soa, ok := soaOf(apex, records)
	if !ok {
		return nil, errors.New("the zone has no SOA at its apex")
	}
	n, ok := soaNumbers(soa.Data)
	if !ok {
		return nil, errors.New("the zone's SOA is not complete")
	}
	c := &Content{Zone: name, Serial: n[0], Records: records, refresh: n[1], retry: n[2], expire: n[3]}
	if c.Digest, err = check.digest(apex, c); err != nil {
		return nil, err
	}
	c.Tree, err = zone.Foreign(name, slices.Values(records))
	if err != nil {
		return nil, fmt.Errorf("the zone cannot be served: %w", err)
	}
	return c, nil
}

func ownerOf(name string) (*zone.Owner, error) {
	apex, err := zone.PackName(name)
	if err != nil {
		return nil, err
	}
	return zone.NewOwner(apex), nil
}

// Delta is one step of an IXFR [RFC 1995 4]: what leaves and what comes, each with its SOA.
type Delta struct {
	From, To   uint32
	Gone, Come []zone.Record
}

// errDelta says that differences do not belong to what is here; then the whole zone is fetched.
var errDelta = errors.New("the differences do not fit what is here")

// apply makes the records after some steps. A record that should go and is not there, or should come and is there already,
// is a sign that both sides do not speak of the same zone. TTLs do not tell records apart.
func (c *Content) apply(steps []Delta, most int) ([]zone.Record, error) {
	serial := c.Serial
	changes := map[recordKey]change{}
	there := func(r zone.Record, k recordKey) bool {
		if ch, ok := changes[k]; ok {
			return ch.there
		}
		_, ok := slices.BinarySearchFunc(c.Records, r, zone.CompareRecords)
		return ok
	}
	for i := range steps {
		d := &steps[i]
		if d.From != serial {
			return nil, fmt.Errorf("%w: a step begins at serial %d, not at %d", errDelta, d.From, serial)
		}
		for _, r := range d.Gone {
			k := keyOf(r)
			if !there(r, k) {
				return nil, fmt.Errorf("%w: %s %s should go and is not there", errDelta, zone.Text(r.Owner.Name), dns.Type(r.Type))
			}
			changes[k] = change{rec: r}
		}
		for _, r := range d.Come {
			k := keyOf(r)
			if there(r, k) {
				return nil, fmt.Errorf("%w: %s %s should come and is there already", errDelta, zone.Text(r.Owner.Name), dns.Type(r.Type))
			}
			changes[k] = change{rec: r, there: true}
		}
		serial = d.To
	}
	return c.merge(changes, most)
}

// recordKey tells records apart, letter case of the name aside.
type recordKey struct {
	owner, data string
	typ         uint16
}

func keyOf(r zone.Record) recordKey {
	return recordKey{r.Owner.Sort(), string(r.Data), r.Type}
}

type change struct {
	rec   zone.Record
	there bool
}

// merge walks once over all records.
func (c *Content) merge(changes map[recordKey]change, most int) ([]zone.Record, error) {
	list := make([]change, 0, len(changes))
	for _, ch := range changes {
		list = append(list, ch)
	}
	slices.SortFunc(list, func(a, b change) int { return zone.CompareRecords(a.rec, b.rec) })
	out := make([]zone.Record, 0, len(c.Records)+len(list))
	old := c.Records
	for _, ch := range list {
		at, same := slices.BinarySearchFunc(old, ch.rec, zone.CompareRecords)
		out = append(out, old[:at]...)
		if old = old[at:]; same {
			old = old[1:]
		}
		if ch.there {
			out = append(out, ch.rec)
		}
	}
	if out = append(out, old...); len(out) > most {
		return nil, fmt.Errorf("the zone would have more than %d records", most)
	}
	return out, nil
}
