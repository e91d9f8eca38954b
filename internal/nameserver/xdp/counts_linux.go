package xdp

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

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

// perBatch is how many counters are read at once.
const perBatch = 1024

// AnsweredAll is Answered for every slot below len(into), with few system calls where the kernel can (5.13 and later).
func (t *Table) AnsweredAll(into []uint64) error {
	if len(into) > t.slots {
		return fmt.Errorf("read the XDP counters: %d of %d", len(into), t.slots)
	}
	processors, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("read the XDP counters: %w", err)
	}
	clear(into)
	keys, values := make([]uint32, perBatch), make([]uint64, perBatch*processors)
	var cursor ebpf.MapBatchCursor
	for next := 0; next < kinds+len(into); {
		n, err := t.maps.counters.BatchLookup(&cursor, keys, values, nil)
		if errors.Is(err, ebpf.ErrNotSupported) {
			return t.oneByOne(into)
		}
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("read the XDP counters: %w", err)
		}
		for i, key := range keys[:n] {
			if slot := int(key) - kinds; slot >= 0 && slot < len(into) {
				for _, c := range values[i*processors : (i+1)*processors] {
					into[slot] += c
				}
			}
		}
		if next += n; err != nil || n == 0 {
			break
		}
	}
	return nil
}

func (t *Table) oneByOne(into []uint64) (err error) {
	for slot := range into {
		if into[slot], err = t.counter(kinds + uint32(slot)); err != nil {
			return err
		}
	}
	return nil
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
