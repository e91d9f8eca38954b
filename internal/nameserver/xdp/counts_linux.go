package xdp

import "fmt"

// Counts is what the program did since it was loaded. What it did not even look up is not counted: the sockets do.
type Counts struct {
	V4, V6 Kinds  // answered
	Missed uint64 // not in the table, or not for this client: left to the sockets
	NoRoom uint64 // left to the sockets because the driver's frame could not grow
}

// Kinds of questions answered.
type Kinds struct{ Plain, EDNS, DO uint64 } // without EDNS, with it but without DO, with both

// Total of all kinds.
func (k Kinds) Total() uint64 { return k.Plain + k.EDNS + k.DO }

// Counts sums over the processors.
func (t *Table) Counts() (Counts, error) {
	var n [kinds]uint64
	for i := range n {
		var err error
		if n[i], err = t.counter(uint32(i)); err != nil {
			return Counts{}, err
		}
	}
	return Counts{V4: Kinds{n[0], n[1], n[2]}, V6: Kinds{n[3], n[4], n[5]}, Missed: n[kindMiss], NoRoom: n[kindRoom]}, nil
}

// Answered is how often answers with this slot were given since the table was loaded, under whatever question.
func (t *Table) Answered(slot uint32) (uint64, error) {
	if int(slot) >= t.slots {
		return 0, fmt.Errorf("read an XDP counter: %d of %d", slot, t.slots)
	}
	return t.counter(kinds + slot)
}

func (t *Table) counter(n uint32) (total uint64, err error) {
	var each []uint64
	if err := t.maps.counters.Lookup(n, &each); err != nil {
		return 0, fmt.Errorf("read an XDP counter: %w", err)
	}
	for _, c := range each {
		total += c
	}
	return total, nil
}
