package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Counters before those of the slots: for each family without EDNS, with it, with DO; then what was not in the table,
// then what had no room to grow.
const (
	perFamily = 3
	kindMiss  = 2 * perFamily
	kindRoom  = kindMiss + 1
	kinds     = kindRoom + 1
)

// Options of a table. The memory it takes is about Answers x 650 bytes and Slots x 8 bytes per processor.
type Options struct {
	Answers   int          // most answers held at once, 1 to 1,000,000
	Slots     int          // counters, 1 to 1,000,000
	Addresses []netip.Addr // of this machine, whose port 53 is answered
	UDPSize   uint16       // what OPT records of answers offer to receive, in bytes, at least 512
}

const limit = 1_000_000

var errClosed = errors.New("publish to XDP: the table is closed")

// Table is the program with what it answers. Publish and Withdraw may be called at any time, from one goroutine at once
// or several; the program sees each change whole.
//
// A key leads to a cell and the cell to a record. A change writes a record that no cell leads to and then the cell. What
// has come free (a record, a cell, a place among the keys) is used again only after a grace period of the kernel, when
// no frame can still be looking at it.
type Table struct {
	maps    maps
	program *ebpf.Program
	slots   int
	udpSize uint16

	mu      sync.Mutex
	links   []link.Link
	memory  [][]byte
	cells   []atomic.Uint64
	alive   *atomic.Uint64 // until when, in ns of CLOCK_MONOTONIC
	records []byte
	known   map[[keySize]byte]place
	free    pool // records
	vacant  pool // cells
	leaving int  // cells that Settle is waiting for

	settling sync.Mutex // of Settle, which lets go of mu while it waits
}

type place struct{ cell, record uint32 } // record 0: none

// Load builds the maps and has the kernel check the program. Nothing is answered before Attach.
func Load(o Options) (t *Table, err error) {
	switch {
	case binary.NativeEndian.Uint16([]byte{1, 0}) != 1:
		return nil, errors.New("load the XDP program: it is written for little-endian processors; set nameserver.xdp to off")
	case o.Answers < 1 || o.Answers > limit || o.Slots < 1 || o.Slots > limit:
		return nil, fmt.Errorf("load the XDP program: %d answers and %d counters; 1 to %d of each are allowed", o.Answers, o.Slots, limit)
	case o.UDPSize < 512:
		return nil, fmt.Errorf("load the XDP program: answers would offer to receive %d bytes; 512 is the least [RFC 6891 6.2.3]", o.UDPSize)
	case len(o.Addresses) == 0:
		return nil, errors.New("load the XDP program: no address to answer at; name those the nameserver listens on")
	}
	t = &Table{slots: o.Slots, udpSize: o.UDPSize, known: map[[keySize]byte]place{}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("load the XDP program: %w", err), t.Close())
			t = nil
		}
	}()
	if err := t.create(o); err != nil {
		return t, err
	}
	if t.program, err = ebpf.NewProgram(assemble(t.maps)); err != nil {
		return t, err
	}
	return t, nil
}

// create makes the maps. Twice the records are there, so that a grace period is paid once for many changes.
func (t *Table) create(o Options) error {
	answers := uint32(o.Answers) //nolint:gosec // at most limit
	records := 2*answers + 1     // record 0 is none
	for _, m := range []struct {
		into **ebpf.Map
		spec ebpf.MapSpec
	}{
		{&t.maps.keys, ebpf.MapSpec{Name: "keys", Type: ebpf.Hash, KeySize: keySize, ValueSize: 4, MaxEntries: answers}},
		{&t.maps.cells, ebpf.MapSpec{Name: "cells", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: answers, Flags: unix.BPF_F_MMAPABLE}},
		{&t.maps.records, ebpf.MapSpec{Name: "records", Type: ebpf.Array, KeySize: 4, ValueSize: recordSize, MaxEntries: records, Flags: unix.BPF_F_MMAPABLE}},
		{&t.maps.addresses, ebpf.MapSpec{Name: "addresses", Type: ebpf.Hash, KeySize: 16, ValueSize: 4, MaxEntries: uint32(len(o.Addresses))}}, //nolint:gosec // a list somebody wrote
		{&t.maps.alive, ebpf.MapSpec{Name: "alive", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE}},
		{&t.maps.counters, ebpf.MapSpec{Name: "counters", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: kinds + uint32(o.Slots)}}, //nolint:gosec // at most limit
	} {
		made, err := ebpf.NewMap(&m.spec)
		if err != nil {
			return fmt.Errorf("map %s: %w", m.spec.Name, err)
		}
		*m.into = made
	}
	for _, a := range o.Addresses {
		if !a.IsValid() || a.IsUnspecified() {
			return fmt.Errorf("address %v: name each address, not all of them at once", a)
		}
		if err := t.maps.addresses.Put(a.As16(), uint32(1)); err != nil {
			return fmt.Errorf("address %v: %w", a, err)
		}
	}
	cells, err := t.mmap(t.maps.cells, int(answers)*8)
	if err != nil {
		return err
	}
	if t.records, err = t.mmap(t.maps.records, int(records)*recordSize); err != nil {
		return err
	}
	alive, err := t.mmap(t.maps.alive, 8)
	if err != nil {
		return err
	}
	t.alive = (*atomic.Uint64)(unsafe.Pointer(&alive[0])) //nolint:gosec // page aligned, 8 bytes long
	t.alive.Store(math.MaxUint64)
	t.cells = unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(&cells[0])), answers) //nolint:gosec // page aligned, answers x 8 bytes long
	t.free.fill(1, records)
	t.vacant.fill(0, answers)
	return nil
}

func (t *Table) mmap(m *ebpf.Map, size int) ([]byte, error) {
	page := unix.Getpagesize()
	b, err := unix.Mmap(m.FD(), 0, (size+page-1)/page*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map memory of the table: %w", err)
	}
	t.memory = append(t.memory, b)
	return b, nil
}

// Attach makes an interface answer. Only its driver will do: the generic form gains nothing.
func (t *Table) Attach(ifindex int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, err := link.AttachXDP(link.XDPOptions{Program: t.program, Interface: ifindex, Flags: link.XDPDriverMode})
	if err != nil {
		return fmt.Errorf("attach the XDP program to interface %d in its driver: %w; set nameserver.xdp to off if its driver has no XDP or another program is there", ifindex, err)
	}
	t.links = append(t.links, l)
	return nil
}

// Publish answers the question with a from now on, in place of what it got before. The name is in wire form, in any
// case; the type is in class IN. With an error the question goes on as before. When what has come free has to be used
// again it waits for a grace period, tens of milliseconds; see Offer.
func (t *Table) Publish(name []byte, qtype uint16, a Answer) error {
	_, err := t.publish(name, qtype, a, true)
	return err
}

// Offer is Publish without waiting. If that would have to wait, done is false and the question goes to the sockets from
// now on, whatever it got before: offer it again after Settle.
func (t *Table) Offer(name []byte, qtype uint16, a Answer) (done bool, err error) {
	return t.publish(name, qtype, a, false)
}

func (t *Table) publish(name []byte, qtype uint16, a Answer, wait bool) (done bool, err error) {
	key, err := makeKey(name, qtype)
	if err != nil {
		return false, fmt.Errorf("publish to XDP: %w", err)
	}
	rec, err := makeRecord(a, t.udpSize)
	if err != nil {
		return false, fmt.Errorf("publish to XDP: %w", err)
	}
	if int(a.Slot) >= t.slots {
		return false, fmt.Errorf("publish to XDP: counter %d of %d", a.Slot, t.slots)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cells == nil {
		return false, errClosed
	}
	p, there := t.known[key]
	if !there && len(t.known) == len(t.cells) {
		return false, fmt.Errorf("publish to XDP: the table is full with %d answers; withdraw some", len(t.known))
	}
	if !wait && !t.ready(there) {
		t.silence(key, p, there)
		return false, nil
	}
	record, err := t.take(&t.free)
	if err != nil {
		return false, fmt.Errorf("publish to XDP: %w", err)
	}
	copy(t.records[int(record)*recordSize:], rec[:])
	if there {
		t.cells[p.cell].Store(uint64(record))
		if p.record != 0 {
			t.free.give(p.record)
		}
		t.known[key] = place{p.cell, record}
		return true, nil
	}
	if p.cell, err = t.enter(key, record); err != nil {
		t.free.give(record)
		return false, fmt.Errorf("publish to XDP: %w", err)
	}
	t.known[key] = place{p.cell, record}
	return true, nil
}

// ready reports that an answer can be published without waiting: to a question that is there, or to a new one.
func (t *Table) ready(there bool) bool {
	return len(t.free.ready) > 0 && (there || len(t.vacant.ready) > 0 && len(t.vacant.resting) == 0 && t.leaving == 0)
}

// silence leaves the question to the sockets, and its place to it.
func (t *Table) silence(key [keySize]byte, p place, there bool) {
	if !there || p.record == 0 {
		return
	}
	t.cells[p.cell].Store(0)
	t.free.give(p.record)
	t.known[key] = place{p.cell, 0}
}

// enter a new key. The kernel chooses its place among the keys, and may choose one that was just withdrawn: so nothing
// may be resting. One wait serves all that were withdrawn before; withdraw what goes, then publish what comes.
func (t *Table) enter(key [keySize]byte, record uint32) (cell uint32, err error) {
	if err := t.settle(&t.vacant); err != nil {
		return 0, err
	}
	if cell, err = t.take(&t.vacant); err != nil {
		return 0, err
	}
	t.cells[cell].Store(uint64(record))
	if err := t.maps.keys.Put(key, cell); err != nil {
		t.cells[cell].Store(0)
		t.vacant.give(cell)
		return 0, fmt.Errorf("enter the key: %w", err)
	}
	return cell, nil
}

// Withdraw leaves the question to the sockets. It is no error if it was not answered here.
func (t *Table) Withdraw(name []byte, qtype uint16) error {
	key, err := makeKey(name, qtype)
	if err != nil {
		return nil //nolint:nilerr // what cannot be published is not there
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p, there := t.known[key]
	if !there {
		return nil
	}
	t.cells[p.cell].Store(0)
	if err := t.maps.keys.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("withdraw from XDP: %w; its question goes to the sockets, its place stays taken", err)
	}
	t.leave(key, p)
	return nil
}

// leave gives back what a question had.
func (t *Table) leave(key [keySize]byte, p place) {
	delete(t.known, key)
	if p.record != 0 {
		t.free.give(p.record)
	}
	t.vacant.give(p.cell)
}

// Clear withdraws everything. The table stays usable.
func (t *Table) Clear() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.cells {
		t.cells[i].Store(0)
	}
	var failed error
	for key, p := range t.known {
		if err := t.maps.keys.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			failed = fmt.Errorf("clear the XDP table: %w", err)
			continue
		}
		t.leave(key, p)
	}
	return failed
}

// Alive has the table answer for so long from now, and then no more before it is called again: an owner that was
// stopped or hangs falls silent. Without it the table answers for ever.
func (t *Table) Alive(d time.Duration) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("keep the XDP table alive: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.alive != nil {
		t.alive.Store(uint64(now.Nano() + int64(d))) //nolint:gosec // since the machine's start, positive
	}
	return nil
}

// Close detaches the program and gives everything back. It may be called twice.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, l := range t.links {
		errs = append(errs, l.Close())
	}
	t.cells, t.records, t.links, t.alive = nil, nil, nil, nil
	for _, b := range t.memory {
		errs = append(errs, unix.Munmap(b))
	}
	t.memory, t.known = nil, nil
	if t.program != nil {
		errs = append(errs, t.program.Close())
	}
	for _, m := range []*ebpf.Map{t.maps.keys, t.maps.cells, t.maps.records, t.maps.addresses, t.maps.counters, t.maps.alive} {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	return errors.Join(errs...)
}
