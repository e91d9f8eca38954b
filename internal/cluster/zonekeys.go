package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"jurymast/internal/cluster/seal"
	"jurymast/internal/health"
	"jurymast/internal/signing"
	"jurymast/internal/store"
)

// sealedKeys is what the names of sealed records with zone keys begin with.
const sealedKeys = "dnssec-"

// SealedZoneKeys is the name of the sealed record with the keys of a zone.
func SealedZoneKeys(zone string) string { return sealedKeys + zone }

// ServedZone is how this node serves a signed zone.
type ServedZone struct {
	Mark   string        // of the keys with which everything is signed
	Known  bool          // the zone is loaded, so the next two are right
	TTL    time.Duration // the longest of the zone
	KeyTTL time.Duration // of its DNSKEY set
}

// ZoneKeyOptions of KeepZoneKeys. The functions are called from one goroutine and must not block.
type ZoneKeyOptions struct {
	// Zones are the zones of the documents in force, signed or not.
	Zones func() map[string]signing.Wanted
	// Earlier are keys that this node had in an earlier life.
	Earlier map[string]signing.Set
	// Use takes what was stored, also when only times in it have changed; a Zero set: the zone is not signed any more. box
	// is the same as it is stored.
	Use func(s signing.Set, box seal.Box)
	// Served says how this node serves a zone.
	Served func(zone string) ServedZone
	// Parent is what the servers of the parent said when they were last asked, nil: not yet. Only the leader asks for it.
	Parent func(s *signing.Set) *signing.Parent
	// Now is the clock of signatures and rolls.
	Now func() time.Time
}

// KeepZoneKeys uses the keys of the signed zones, acknowledges them, and, while this node leads, makes the first ones
// and takes the next step of their change. It returns when ctx ends.
func (c *Cluster) KeepZoneKeys(ctx context.Context, o ZoneKeyOptions) {
	k := &zoneKeeper{c: c, o: o, zones: map[string]*zoneInUse{}}
	for zone, s := range o.Earlier {
		k.zones[zone] = &zoneInUse{set: s}
	}
	tend(ctx, c.secrets.wakeKeys, k.look)
}

type zoneKeeper struct {
	c      *Cluster
	o      ZoneKeyOptions
	zones  map[string]*zoneInUse
	logged string
}

// zoneInUse is what Use got last.
type zoneInUse struct {
	set  signing.Set
	rev  int64        // 0: from an earlier life, or the record is gone
	wait signing.Wait // for what is stored
}

// look uses what is stored, acknowledges, and leads if it is this node's turn.
func (k *zoneKeeper) look(ctx context.Context) {
	if !k.c.inSession() {
		return // what is in use stays in use
	}
	marks, waits := map[string]string{}, map[string]signing.Wait{}
	var troubles []error
	_, leads := k.c.fence()
	wanted := k.o.Zones()
	for _, zone := range slices.Sorted(maps.Keys(wanted)) {
		w := wanted[zone]
		if !w.Signed && k.zones[zone] == nil && k.c.sealedRev(SealedZoneKeys(zone)) == 0 {
			continue
		}
		z, err := k.read(zone, w)
		served := k.o.Served(zone)
		if z.rev != 0 && served.Mark == z.set.Mark() {
			marks[zone] = served.Mark
		}
		if leads && err == nil {
			err = k.advance(ctx, zone, z, w, served)
			waits[zone] = z.wait
		}
		if err != nil {
			troubles = append(troubles, fmt.Errorf("zone %s: %w", zone, err))
		}
	}
	k.c.acknowledgeZones(marks)
	k.note(waits, troubles)
}

// read takes what is stored into use. Without a record, what is in use stays, for the leader to write it again.
func (k *zoneKeeper) read(zone string, w signing.Wanted) (*zoneInUse, error) {
	z := k.zones[zone]
	if z == nil {
		z = &zoneInUse{set: signing.Set{Zone: zone}}
		k.zones[zone] = z
	}
	name := SealedZoneKeys(zone)
	rev := k.c.sealedRev(name)
	switch {
	case rev == 0 && !w.Signed && !z.set.Zero() && z.rev != 0: // the leader has removed them
		z.set, z.rev = signing.Set{Zone: zone}, 0
		k.o.Use(z.set, seal.Box{})
		return z, nil
	case rev == 0:
		z.rev = 0
		return z, nil
	case rev == z.rev:
		return z, nil
	}
	plain, box, rev, err := k.c.Sealed(name)
	if err != nil {
		return z, err
	}
	set, err := signing.Decode(zone, plain)
	if err != nil {
		return z, fmt.Errorf("record sealed/%s: %w; restore it from a backup of the store, or give it up with: jurymast seal forget %[1]s", name, err)
	}
	z.set, z.rev, z.wait = set, rev, signing.Wait{}
	k.o.Use(set, box)
	return z, nil
}

// advance takes the next step, if one is due.
func (k *zoneKeeper) advance(ctx context.Context, zone string, z *zoneInUse, w signing.Wanted, served ServedZone) error {
	c := k.c
	if c.keyless() {
		return fmt.Errorf("%w: the leader cannot keep keys of zones; write node.store.seal: {file: ...} on every node", ErrNoKey)
	}
	if z.rev == 0 && !z.set.Zero() {
		return k.restore(ctx, zone, z)
	}
	f := signing.Facts{
		Wanted: w, Live: c.zoneMarks(zone), Known: served.Known, TTL: served.TTL, KeyTTL: served.KeyTTL, Random: randomKeys(),
	}
	if z.rev != 0 {
		f.Parent = k.o.Parent(&z.set)
	}
	now := k.o.Now().UTC().Round(0)
	next, step := signing.Next(z.set, &f, now)
	if !step.Changed {
		z.wait = step.Wait
		return nil
	}
	var ops []store.Op
	if step.Why != "" {
		ops = append(ops, c.entryOp(health.Entry{
			At: time.Now().UTC(), Node: c.o.Node.Name, Kind: health.EntrySecret, From: stageText(&z.set), To: stageText(&next), Reason: step.Why, Note: tagsText(&next),
		}))
	}
	written, err := c.writeZoneKeys(ctx, &next, z.rev, ops)
	if written {
		z.wait = step.Wait // not sooner: a wait that nobody has stored begins anew with the next leader
	}
	if written && step.Why != "" {
		c.o.Logger.Info("zone keys", "zone", zone, "stage", next.Stage, "step", next.Step, "why", step.Why)
	}
	return err // written or not, the watch shows what is stored; the next look goes on from there
}

// writeZoneKeys replaces the record that still has revision rev; a Zero set removes it.
func (c *Cluster) writeZoneKeys(ctx context.Context, s *signing.Set, rev int64, ops []store.Op) (bool, error) {
	if s.Zero() {
		return c.removeSealed(ctx, SealedZoneKeys(s.Zone), rev, ops)
	}
	plain, err := s.Encode()
	if err != nil {
		return false, err
	}
	return c.writeSealed(ctx, SealedZoneKeys(s.Zone), rev, plain, ops...)
}

// restore writes what is in use to a store that has lost it: another key would make the zone bogus.
func (k *zoneKeeper) restore(ctx context.Context, zone string, z *zoneInUse) error {
	plain, err := z.set.Encode()
	if err != nil {
		return err
	}
	entry := health.Entry{
		At: time.Now().UTC(), Node: k.c.o.Node.Name, Kind: health.EntrySecret, To: stageText(&z.set), Reason: "the store had lost the keys; they are as this node used them last", Note: tagsText(&z.set),
	}
	_, err = k.c.writeSealed(ctx, SealedZoneKeys(zone), 0, plain, k.c.entryOp(entry))
	return err
}

func randomKeys() (out [2][32]byte) {
	for i := range out {
		_, _ = rand.Read(out[i][:]) // never fails
	}
	return out
}

func stageText(s *signing.Set) string {
	if s.Zero() {
		return "dnssec " + s.Zone + " unsigned"
	}
	return "dnssec " + s.Zone + " " + string(s.Stage)
}

// tagsText names the keys of a set: never more.
func tagsText(s *signing.Set) string {
	out := make([]string, len(s.Keys))
	for i := range s.Keys {
		out[i] = fmt.Sprintf("%s %d %s", s.Keys[i].Role, s.Keys[i].Tag, s.Keys[i].State)
	}
	return strings.Join(out, ", ")
}

// note remembers and logs what keeps this node from the keys of zones; a store that is away is told elsewhere.
func (k *zoneKeeper) note(waits map[string]signing.Wait, errs []error) {
	passes := []error{store.ErrUnavailable, context.DeadlineExceeded, context.Canceled}
	var texts []string
	for _, err := range errs {
		if !slices.ContainsFunc(passes, func(p error) bool { return errors.Is(err, p) }) {
			texts = append(texts, strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	text := strings.Join(texts, "; ")
	if text != "" && text != k.logged {
		k.c.o.Logger.Error("keys of a zone cannot be used", "error", text)
	}
	k.logged = text
	k.c.mu.Lock()
	k.c.secrets.keyTrouble, k.c.secrets.waits = text, waits
	k.c.mu.Unlock()
}

// acknowledgeZones tells the others with which keys this node signs.
func (c *Cluster) acknowledgeZones(marks map[string]string) {
	c.mu.Lock()
	same := maps.Equal(c.o.Node.Zones, marks)
	if !same {
		c.o.Node.Zones = marks // a new map: records that were handed out share the old one
	}
	c.mu.Unlock()
	if !same {
		c.out.put(func(q *pending) { q.node = true })
	}
}

func (c *Cluster) zoneMarks(zone string) []signing.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return zoneMarks(c.st.members(), zone)
}

func zoneMarks(nodes []NodeRecord, zone string) []signing.Node {
	out := make([]signing.Node, len(nodes))
	for i := range nodes {
		out[i] = signing.Node{Name: nodes[i].Name, Mark: nodes[i].Zones[zone]}
	}
	return out
}

// ZoneKeys is how the keys of a zone stand.
type ZoneKeys struct {
	Set   signing.Set // with its private keys; Zero: none
	Nodes []signing.Node
	Wait  signing.Wait // what the leader waits for; this node knows it while it leads
	Leads bool
}

// ZoneKeys tells how the keys of a zone stand, as this node knows it. The error says why it cannot: ErrNoRecord, or that
// this node cannot open them.
func (c *Cluster) ZoneKeys(zone string) (ZoneKeys, error) {
	out := ZoneKeys{Set: signing.Set{Zone: zone}, Nodes: c.zoneMarks(zone)}
	_, out.Leads = c.fence()
	c.mu.Lock()
	out.Wait = c.secrets.waits[zone]
	c.mu.Unlock()
	plain, _, _, err := c.Sealed(SealedZoneKeys(zone))
	if err != nil {
		return out, err
	}
	out.Set, err = signing.Decode(zone, plain)
	return out, err
}

// KeyChange is an order about the keys of a zone.
type KeyChange struct {
	Zone, By, Note string
	What           string // for the journal
	Wanted         signing.Wanted
	Now            time.Time
	Change         func(s signing.Set, f *signing.Facts) (signing.Set, error)
}

// keyTries is how often an order is tried again when the leader took a step at the same moment.
const keyTries = 5

// ChangeZoneKeys follows an order about the keys of a zone, from any node that can open them, by compare-and-swap: what the
// leader changes at the same moment is looked at anew. ErrRefused and signing.ErrRefused say why it cannot be followed.
func (c *Cluster) ChangeZoneKeys(ctx context.Context, o *KeyChange) error {
	for try := 1; ; try++ {
		rev, ok, err := c.changeZoneKeys(ctx, o)
		if err != nil || ok {
			return err
		}
		if try == keyTries || !c.sealedLater(ctx, SealedZoneKeys(o.Zone), rev) {
			return fmt.Errorf("%w: the keys were changed at the same moment, nothing was done; look with jurymast zone keys %s, then try again", ErrRefused, o.Zone)
		}
	}
}

// sealedLater waits a moment until a record has another revision than this one.
func (c *Cluster) sealedLater(ctx context.Context, name string, rev int64) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		if c.sealedRev(name) != rev {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return false
}

// changeZoneKeys is one try. ok is false when the record of revision rev is not the one that is stored any more.
func (c *Cluster) changeZoneKeys(ctx context.Context, o *KeyChange) (rev int64, ok bool, err error) {
	if !c.inSession() {
		return 0, false, fmt.Errorf("%w: %s", store.ErrUnavailable, c.Trouble())
	}
	name := SealedZoneKeys(o.Zone)
	plain, _, rev, err := c.Sealed(name)
	if errors.Is(err, ErrNoRecord) {
		return 0, false, fmt.Errorf("%w: zone %s has no keys yet; the leader makes them when dnssec.enabled is true and it has a seal key (node.store.seal)", ErrRefused, o.Zone)
	}
	var set signing.Set
	if err == nil {
		set, err = signing.Decode(o.Zone, plain)
	}
	if err != nil {
		return 0, false, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	f := signing.Facts{Wanted: o.Wanted, Live: c.zoneMarks(o.Zone), Random: randomKeys()}
	next, err := o.Change(set, &f)
	if err != nil {
		return 0, false, err
	}
	s, err := c.sealWith()
	if err != nil {
		return 0, false, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if plain, err = next.Encode(); err != nil {
		return 0, false, err
	}
	entry := health.Entry{
		At: time.Now().UTC(), Node: c.o.Node.Name, Kind: health.EntryAct, From: stageText(&set), To: stageText(&next), By: o.By, Note: o.Note, Reason: o.What,
	}
	ok, err = c.commitSealed(ctx, &s, name, rev, plain, c.entryOp(entry))
	return rev, ok, err
}

// NoteExport writes into the journal who has got the private keys of a zone, before they are given out.
func (c *Cluster) NoteExport(ctx context.Context, s *signing.Set, by, note string) error {
	if !c.inSession() {
		return fmt.Errorf("%w: %s", store.ErrUnavailable, c.Trouble())
	}
	entry := health.Entry{
		At: time.Now().UTC(), Node: c.o.Node.Name, Kind: health.EntryAct, To: "dnssec " + s.Zone + " private keys exported", By: by, Note: note, Reason: tagsText(s),
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.WriteTimeout)
	defer cancel()
	_, _, err := c.o.Store.Commit(ctx, nil, []store.Op{c.entryOp(entry)})
	return err
}
