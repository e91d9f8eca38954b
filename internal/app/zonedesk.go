package app

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/cluster"
	"jurymast/internal/nameserver/sign"
	"jurymast/internal/profile"
	"jurymast/internal/signing"
)

// zoneDesk is the API's way to zones and their keys.
type zoneDesk App

// Zones implements api.Zones, as do the methods below.
func (d *zoneDesk) Zones() []api.ZoneStatus {
	var nodes []string
	for _, n := range d.cluster.Nodes() {
		nodes = append(nodes, n.Name)
	}
	docs := d.hub.Load().Documents()
	served, fetched, now := d.dns.Zones(), d.dns.Secondaries(), time.Now()
	out := make([]api.ZoneStatus, 0, len(docs.Zones))
	for _, z := range docs.Zones {
		one := api.ZoneStatus{Name: z.Name, Kind: kindOf(z), Nodes: nodes, Profiles: []string{}, Signing: d.signing(z)}
		if s, ok := served[z.Name]; ok {
			one.Serial, one.Names, one.Foreign = s.Serial, s.Names, s.Presigned
		}
		if e := fetched[z.Name]; e != nil {
			one.State = string(e.Status(now).Phase)
		}
		if t, err := (*transferDesk)(d).Transfers(z.Name); err == nil {
			one.Transfers, one.Serial = &t, t.Serial
		}
		for _, p := range docs.Profiles {
			if slices.ContainsFunc(p.Hostnames, func(h string) bool { return d.zoneOf(docs.Zones, h) == z.Name }) {
				one.Profiles = append(one.Profiles, p.Name)
			}
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b api.ZoneStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func kindOf(z *profile.Zone) string {
	if z.Secondary != nil {
		return "secondary"
	}
	return "primary"
}

// zoneOf is the zone a host name lies in: the longest that fits.
func (d *zoneDesk) zoneOf(zones []*profile.Zone, host string) (best string) {
	for _, z := range zones {
		if (host == z.Name || strings.HasSuffix(host, "."+z.Name)) && len(z.Name) > len(best) {
			best = z.Name
		}
	}
	return best
}

func (d *zoneDesk) signing(z *profile.Zone) *api.ZoneSigning {
	if !z.DNSSEC.Enabled {
		return nil
	}
	st := d.dns.SigningStatus(z.Name)
	out := &api.ZoneSigning{
		Sets: st.Sets, Signed: st.Signed, Waiting: st.Waiting, Failing: st.Failing, Oldest: moment(st.Oldest), Newest: moment(st.Newest), Trouble: st.Trouble, Keys: []api.ZoneKey{},
	}
	keys, err := d.cluster.ZoneKeys(z.Name)
	if err != nil && out.Trouble == "" && !errors.Is(err, cluster.ErrNoRecord) {
		out.Trouble = err.Error()
	}
	out.Stage, out.Keys = string(keys.Set.Stage), shownKeys(&keys.Set)
	return out
}

func shownKeys(s *signing.Set) []api.ZoneKey {
	out := make([]api.ZoneKey, 0, len(s.Keys))
	for i := range s.Keys {
		k := &s.Keys[i]
		out = append(out, api.ZoneKey{
			Tag: k.Tag, Algorithm: k.Algorithm.String(), Number: uint8(k.Algorithm), Role: string(k.Role), State: string(k.State), Since: k.Since, Made: k.Born, New: k.New,
			Parent: s.AtParent(k), Silent: s.DS.Heard == 0,
		})
	}
	return out
}

// known returns the keys of a zone that is ours.
func (d *zoneDesk) known(zone string) (cluster.ZoneKeys, signing.Wanted, error) {
	w, ok := (*App)(d).wantedZones()[zone]
	if !ok {
		return cluster.ZoneKeys{}, w, fmt.Errorf("%w: there is no such zone; jurymast zone list shows them", api.ErrNotFound)
	}
	keys, err := d.cluster.ZoneKeys(zone)
	return keys, w, err
}

// Keys tells how the keys of a zone stand.
func (d *zoneDesk) Keys(zone string) (api.ZoneKeys, error) {
	k, w, err := d.known(zone)
	if errors.Is(err, api.ErrNotFound) {
		return api.ZoneKeys{}, err
	}
	s := &k.Set
	out := api.ZoneKeys{Zone: zone, Wanted: w.Signed, Keys: shownKeys(s), Nodes: make([]api.ZoneKeysNode, 0, len(k.Nodes)), Parent: api.ZoneParent{DS: []string{}}}
	if err != nil && !errors.Is(err, cluster.ErrNoRecord) {
		out.Trouble = err.Error()
	}
	for _, n := range k.Nodes {
		out.Nodes = append(out.Nodes, api.ZoneKeysNode{Name: n.Name, Acknowledged: !s.Zero() && n.Mark == s.Mark()})
	}
	if s.Zero() {
		return out, nil
	}
	out.Stage, out.Text, out.Since, out.Step, out.Roll, out.Why = string(s.Stage), s.Stage.Text(), moment(s.Since), s.Step, string(s.Kind), s.Why
	out.CDS, out.Leaving = string(s.CDS), moment(s.Leaving)
	if k.Wait.For != "" {
		out.Next = &api.ZoneKeysWait{For: k.Wait.For, Until: moment(k.Wait.Until)}
	}
	p := &s.DS
	out.Parent = api.ZoneParent{
		Since: moment(p.At), Agree: p.All, Servers: p.Servers, Heard: p.Heard, Silent: moment(p.Silent), DS: []string{}, TTL: int(p.TTL.Seconds()), Trouble: p.Trouble, Word: s.DSWord,
	}
	for _, ds := range p.DS {
		out.Parent.DS = append(out.Parent.DS, ds.String())
	}
	if out.Trouble == "" {
		out.Trouble = s.Mismatch()
	}
	return out, nil
}

// DS is what the parent has to be given.
func (d *zoneDesk) DS(zone string, digest uint8) (api.ZoneDS, error) {
	k, w, err := d.known(zone)
	switch {
	case errors.Is(err, cluster.ErrNoRecord) && w.Signed:
		return api.ZoneDS{}, &api.RefusedError{Code: api.CodeRefused, Reason: "zone " + zone + " has no keys yet; the leader makes them within moments, look with jurymast zone keys " + zone}
	case errors.Is(err, cluster.ErrNoRecord):
		return api.ZoneDS{}, &api.RefusedError{Code: api.CodeRefused, Reason: "zone " + zone + " is not signed; write dnssec: {enabled: true} into the zone"}
	case err != nil:
		return api.ZoneDS{}, translateSecret(err)
	}
	at := k.Set.DSReady(w)
	out := api.ZoneDS{Zone: zone, Ready: w.Signed && !at.IsZero() && !at.After((*App)(d).clock()), ReadyAt: moment(at), TTL: sign.KeyTTL, Off: !w.Signed}
	for _, key := range k.Set.DSKeys() {
		ds := key.DS(zone, digest)
		out.Keys = append(out.Keys, api.ZoneDSKey{
			Tag: key.Tag, Algorithm: key.Algorithm.String(), Number: uint8(key.Algorithm), Flags: key.Role.Flags(), DigestNo: ds.Type, Digest: ds.Digest,
			Public: base64.StdEncoding.EncodeToString(key.Public), DS: ds.String(), DNSKEY: key.DNSKEYText(),
		})
	}
	return out, nil
}

// askForWord bounds the look at the parent's servers before an operator's word is taken.
const askForWord = 10 * time.Second

// OrderKeys follows an order about keys.
func (d *zoneDesk) OrderKeys(ctx context.Context, zone string, o api.KeyOrder, by, note string) error {
	_, w, err := d.known(zone)
	if errors.Is(err, api.ErrNotFound) {
		return err
	}
	now := (*App)(d).clock().UTC().Round(0)
	change := &cluster.KeyChange{Zone: zone, By: by, Note: note, Wanted: w, Now: now}
	switch {
	case o.Roll != nil:
		change.What, change.Change = rollOf(o.Roll, now)
	case o.SeenDS != nil:
		change.What = "zone keys ds-seen"
		ctx = context.WithoutCancel(ctx) // the parent's servers may take longer than a write may; both are bounded here
		ask, cancel := context.WithTimeout(ctx, askForWord)
		said := (*App)(d).hearParent(ask, zone) // a server that answers is believed more than a word
		cancel()
		now = (*App)(d).clock().UTC().Round(0)
		change.Now = now
		change.Change = func(s signing.Set, _ *signing.Facts) (signing.Set, error) { return s.SeeDS(&said, *o.SeenDS, now) }
	case o.CDS != "":
		change.What = "zone cds " + o.CDS
		change.Change = func(s signing.Set, _ *signing.Facts) (signing.Set, error) { return s.UseCDS(signing.CDSMode(o.CDS)) }
	default:
		keys, err := importedKeys(o.Import)
		if err != nil {
			return &api.RefusedError{Code: api.CodeRefused, Reason: err.Error()}
		}
		change.What = "zone keys import"
		change.Change = func(s signing.Set, _ *signing.Facts) (signing.Set, error) { return s.Import(keys, now) }
	}
	return translateKeys((*App)(d).cluster.ChangeZoneKeys(ctx, change))
}

func rollOf(r *api.KeyRoll, now time.Time) (what string, change func(signing.Set, *signing.Facts) (signing.Set, error)) {
	order := signing.Roll{Role: signing.Role(r.Role), Emergency: r.Emergency}
	words := []string{"zone keys roll"}
	if r.Role != "" {
		words = append(words, "--role "+r.Role)
	}
	if r.Algorithm != "" {
		order.Algorithm, _ = signing.AlgorithmOf(r.Algorithm) // the API takes no other words
		words = append(words, "--algorithm "+r.Algorithm)
	}
	if r.Keys != "" {
		order.Roles = rolesOf(r.Keys)
		words = append(words, "--keys "+r.Keys)
	}
	if r.Emergency {
		words = append(words, "--emergency")
	}
	return strings.Join(words, " "), func(s signing.Set, f *signing.Facts) (signing.Set, error) { return s.Order(order, f, now) }
}

func importedKeys(files []api.KeyFile) ([]signing.Key, error) {
	out := make([]signing.Key, 0, len(files))
	for i := range files {
		k, err := signing.ImportKey(files[i].Private, files[i].Public, len(files) == 1)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", files[i].Name, err)
		}
		out = append(out, k)
	}
	return out, nil
}

// ExportKeys gives out the private keys, once that stands in the journal.
func (d *zoneDesk) ExportKeys(ctx context.Context, zone, by, note string) (api.KeyExport, error) {
	k, _, err := d.known(zone)
	if errors.Is(err, cluster.ErrNoRecord) {
		return api.KeyExport{}, &api.RefusedError{Code: api.CodeRefused, Reason: "zone " + zone + " has no keys"}
	}
	if err != nil {
		return api.KeyExport{}, translateSecret(err)
	}
	if err := d.cluster.NoteExport(ctx, &k.Set, by, note); err != nil {
		return api.KeyExport{}, translateSecret(err)
	}
	d.log.Warn("private keys of a zone were exported", "zone", zone, "by", by)
	out := api.KeyExport{Zone: zone}
	for i := range k.Set.Keys {
		key := &k.Set.Keys[i]
		out.Files = append(out.Files, api.KeyFile{Name: key.ExportName(zone), Public: key.ExportPublic(zone), Private: key.Export()})
	}
	return out, nil
}

func translateKeys(err error) error {
	if errors.Is(err, signing.ErrRefused) {
		return &api.RefusedError{Code: api.CodeRefused, Reason: strings.TrimPrefix(err.Error(), signing.ErrRefused.Error()+": ")}
	}
	return translateSecret(err)
}

var _ api.Zones = (*zoneDesk)(nil)
