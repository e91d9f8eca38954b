package nameserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// XDP says whether hot questions are answered in the network driver; the zero value: no.
type XDP struct {
	On         bool
	Interfaces []string // by name; none: those that have an address listened on and whose hardware's driver can
}

// XDPOf is what a node's configuration says.
func XDPOf(front *profile.NameserverFront) XDP {
	return XDP{On: front.XDP.Rule != profile.XDPOff, Interfaces: front.XDP.Interfaces}
}

// States of the driver's part.
const (
	DriverOff     = "off"     // not asked for
	DriverWaits   = "waiting" // for the first documents
	DriverOn      = "on"
	DriverRefused = "refused" // could not be; the sockets answer everything
	DriverFailed  = "failed"  // was on; the sockets answer everything
)

// DriverStatus is how the driver's part stands. Counts are since it was switched on.
type DriverStatus struct {
	State      string
	Reason     string            // refused, failed
	Interfaces []DriverInterface // that were looked at
	Entries    int               // questions answered there
	Waiting    int               // of them, those that go to the sockets for a moment
	Left       int               // questions that would be answered there if they fitted
	Answered   uint64            // questions
	Missed     uint64            // questions looked up in vain, so answered by the sockets
	NoRoom     uint64            // questions the sockets answered because the frame could not grow
}

// DriverInterface is one network interface.
type DriverInterface struct {
	Name     string
	Attached bool
	Reason   string // why not
}

// kernelTable is a table with what belongs to it.
type kernelTable struct {
	driverTable
	meter
}

// meter is what a table tells of itself.
type meter interface {
	Counts() (driverCounts, error)
	Answered(slots []uint32, into []uint64) error // how often, each
	Close() error                                 // detaches; nothing is answered any more
}

// driverCounts is what was answered and what not.
type driverCounts struct {
	v4, v6, edns, do uint64
	missed, noRoom   uint64
}

// plug is how to get at a kernel.
type plug interface {
	// find says which interfaces are meant and what their addresses are. The error says why there are none.
	find(listen []netip.AddrPort) (list []DriverInterface, addrs []netip.Addr, err error)
	// load makes an empty table for so many answers and counters.
	load(addrs []netip.Addr, answers, slots, udpSize int) (*kernelTable, error)
	// attach makes one interface answer from the table.
	attach(t *kernelTable, name string) error
}

// driver answers hot questions in the network driver. It follows the snapshots beside the sockets, which remain the
// definition of every answer: whatever goes wrong here, they go on. Once it is attached it follows each snapshot before
// its publishing returns, so that nothing is answered any more that whoever published knows to be wrong.
type driver struct {
	log  *slog.Logger
	plug plug
	load func() *snapshot.Snapshot
	slot snapshot.Slot
	book *book
	set  *manners
	c    *counts // what the table has counted, moved here when somebody looks

	limited bool // answers are, and the driver cannot

	stop    chan struct{}
	running sync.WaitGroup

	live   atomic.Bool // attached: publishing is followed at once
	broken chan error  // what failed there

	looking sync.Mutex // taken before mu, and for longer: to look must not hold up the answers
	moved   []uint64   // what has been moved, in the order of mirror.used
	all     driverCounts

	mu     sync.Mutex // guards what follows
	status DriverStatus
	table  *kernelTable // replaced under both
	mirror *mirror
}

// A process that is stopped, or hangs, does not follow any more: then the kernel stops answering, as sockets would.
const (
	beatEvery = 250 * time.Millisecond
	beatLasts = 4 * beatEvery
)

// Sizes of the table: twice what the first documents need, so that they may grow until the next start.
const (
	leastHot = 16_384
	mostHot  = 500_000
)

func newDriver(s *Server, p plug) *driver {
	return &driver{
		log: s.log, plug: p, load: s.opt.Hub.Load, slot: s.slot, book: s.m.answers, set: s.set, c: s.m.take(),
		stop: make(chan struct{}), broken: make(chan error, 1), status: DriverStatus{State: DriverWaits},
		limited: s.opt.Limits.Answers && !s.opt.Limits.RRL.Dry && !s.opt.Limits.Driver,
	}
}

// start begins in the background: the sockets answer already, and go on to.
func (d *driver) start(listen []netip.AddrPort) {
	d.running.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				d.end(DriverFailed, fmt.Errorf("it failed inside: %v", p))
				d.log.Error("the driver's part of the nameserver failed inside", "panic", fmt.Sprint(p), "stack", stack())
			}
		}()
		d.run(listen)
	})
}

// close ends it. What it has counted stays.
func (d *driver) close() {
	close(d.stop)
	d.running.Wait()
}

func (d *driver) run(listen []netip.AddrPort) {
	snap := d.load()
	for snap.Config(d.slot) == nil {
		select {
		case <-snap.Replaced():
			snap = d.load()
		case <-d.stop:
			d.end(DriverOff, nil)
			return
		}
	}
	table, err := d.open(snap, listen)
	if err != nil {
		d.end(DriverRefused, err)
		return
	}
	d.end(DriverFailed, d.keep(table))
}

// open fills a table and attaches it. The error says why nothing is attached.
func (d *driver) open(snap *snapshot.Snapshot, listen []netip.AddrPort) (*kernelTable, error) {
	if d.set.RequireCookies && !d.set.NoCookies {
		return nil, errors.New("cookies.require is always, and the driver knows no cookies; write never, or xdp: off")
	}
	found, addrs, err := d.plug.find(listen)
	d.mu.Lock()
	d.status.Interfaces = found
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := hopeless(found); err != nil {
		return nil, err
	}
	if d.limited {
		return nil, errors.New("rrl.mode is on, and the driver limits no answers; write rrl: {driver: unlimited} to let it answer whoever asks, or xdp: off")
	}
	conf, _ := snap.Config(d.slot).(*config)
	answers := min(max(2*conf.index.size(), leastHot), mostHot)
	slots := 2 * answers
	table, err := d.plug.load(addrs, answers, slots, d.set.udpSize)
	if err != nil {
		return nil, err
	}
	d.looking.Lock()
	defer d.looking.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.table, d.mirror = table, newMirror(table, d.slot, d.book, answers, slots)
	if err := d.mirror.follow(snap); err != nil {
		return nil, err
	}
	if err := table.Alive(beatLasts); err != nil {
		return nil, err
	}
	return table, d.attach()
}

// attach needs mu. One interface is enough.
func (d *driver) attach() error {
	attached := 0
	for i := range d.status.Interfaces {
		n := &d.status.Interfaces[i]
		if n.Reason != "" {
			d.log.Warn("questions are not answered in the driver of this interface", "interface", n.Name, "reason", n.Reason)
			continue
		}
		if err := d.plug.attach(d.table, n.Name); err != nil {
			n.Reason = err.Error()
			d.log.Warn("questions are not answered in the driver of this interface", "interface", n.Name, "reason", n.Reason)
			continue
		}
		n.Attached = true
		attached++
		d.log.Info("hot questions are answered in the driver", "interface", n.Name, "answers", len(d.mirror.held))
	}
	if attached > 0 {
		d.status.State = DriverOn
		d.live.Store(true)
	}
	return hopeless(d.status.Interfaces)
}

// hopeless says why not one interface answers, if that is so.
func hopeless(list []DriverInterface) error {
	var why []string
	for i := range list {
		if list[i].Reason == "" {
			return nil
		}
		why = append(why, fmt.Sprintf("interface %s: %s", list[i].Name, list[i].Reason))
	}
	return errors.New(strings.Join(why, "; "))
}

// keep follows the snapshots until it is stopped, or until something fails. A grace period begins after changes, so that
// there is always room for the next ones; nothing waits for it but what could not be had at once.
func (d *driver) keep(table *kernelTable) error {
	settled := make(chan error, 1)
	settling, more := false, true
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		snap := d.load()
		if err := d.follow(); err != nil {
			return err
		}
		if more && !settling {
			settling, more = true, false
			d.running.Go(func() { settled <- table.Settle() })
		}
		select {
		case <-snap.Replaced():
			more = true
		case err := <-d.broken:
			return err
		case <-beat.C:
			if err := d.beat(table); err != nil {
				return err
			}
		case err := <-settled:
			if err != nil {
				return err
			}
			settling = false
			waits, err := d.retry()
			if err != nil {
				return err
			}
			more = more || waits
		case <-d.stop:
			return nil
		}
	}
}

// follow the newest snapshot, which is loaded under the lock so that nobody goes back.
func (d *driver) follow() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mirror == nil {
		return nil
	}
	return d.mirror.follow(d.load())
}

// published follows at once. Nothing of it may hurt who publishes.
func (d *driver) published() {
	if d == nil || !d.live.Load() {
		return
	}
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("it failed inside: %v", p)
				d.log.Error("the driver's part of the nameserver failed inside", "panic", fmt.Sprint(p), "stack", stack())
			}
		}()
		return d.follow()
	}()
	if err == nil {
		return
	}
	d.end(DriverFailed, err)
	select {
	case d.broken <- err:
	default:
	}
}

// beat must not come while what is wrong is being looked for.
func (d *driver) beat(table *kernelTable) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return table.Alive(beatLasts)
}

// retry offers what had to wait, and reports whether something still does. What is wrong comes first.
func (d *driver) retry() (waits bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mirror == nil {
		return false, nil
	}
	if err := d.mirror.follow(d.load()); err != nil {
		return false, err
	}
	err = d.mirror.again()
	return len(d.mirror.waits) > 0, err
}

// end takes everything out of the kernel. Without an error it was meant to.
func (d *driver) end(state string, why error) {
	d.looking.Lock()
	defer d.looking.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.status.Interfaces {
		d.status.Interfaces[i].Attached = false
	}
	if d.status.State == DriverFailed {
		return
	}
	d.live.Store(false)
	d.status.State = DriverOff
	if d.table != nil {
		err := d.table.Clear()
		d.gather(d.mirror.used)
		why = errors.Join(why, err, d.table.Close())
		d.table, d.mirror = nil, nil
		d.status.Entries, d.status.Waiting, d.status.Left = 0, 0, 0
	}
	if why != nil {
		d.status.State, d.status.Reason = state, why.Error()
		d.log.Warn("no question is answered in the driver; the sockets answer all of them", "state", state, "reason", d.status.Reason)
	}
}

// look moves what the table has counted to where loops count, and tells how everything stands.
func (d *driver) look() DriverStatus {
	d.looking.Lock()
	defer d.looking.Unlock()
	if slots, there := d.slots(); there {
		d.gather(slots)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.mirror; m != nil {
		d.status.Entries, d.status.Waiting, d.status.Left = len(m.held)-len(m.waits), len(m.waits), len(m.left)
	}
	out := d.status
	out.Answered, out.Missed, out.NoRoom = d.all.v4+d.all.v6, d.all.missed, d.all.noRoom
	out.Interfaces = append([]DriverInterface(nil), d.status.Interfaces...)
	return out
}

// slots are those in use; they only grow.
func (d *driver) slots() (used []uint32, there bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.table == nil {
		return nil, false
	}
	return slices.Clip(d.mirror.used), true
}

// gather needs looking and a table.
func (d *driver) gather(slots []uint32) {
	answered := make([]uint64, len(slots))
	now, err := d.table.Counts()
	if err != nil || d.table.Answered(slots, answered) != nil {
		return // what was counted is still there the next time
	}
	d.moved = append(d.moved, make([]uint64, len(slots)-len(d.moved))...)
	for i, slot := range slots {
		if more := answered[i] - d.moved[i]; more > 0 && slot != slotStatic {
			d.c.answer(slot - 1).Add(more)
		}
	}
	copy(d.moved, answered)
	was := d.all
	d.c.queries[tap.UDP][0].Add(now.v4 - was.v4)
	d.c.queries[tap.UDP][1].Add(now.v6 - was.v6)
	d.c.rcode[wire.Success].Add(now.v4 + now.v6 - was.v4 - was.v6)
	d.c.edns[ednsAny].Add(now.edns - was.edns)
	d.c.edns[ednsDO].Add(now.do - was.do)
	d.all = now
}
