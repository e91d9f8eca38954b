package app

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/cluster"
	"jurymast/internal/cluster/seal"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/sign"
	"jurymast/internal/profile"
	"jurymast/internal/signing"
)

// zoneKeys joins the keys of signed zones to the nameserver. They come from the store, sealed; a copy of what was used
// last lies in the data, still sealed, so that a restarted node signs from its first answer on.
type zoneKeys struct {
	dir     string // of the copies
	earlier map[string]signing.Set
	late    bool                                      // the copies are so old that the store is given time to say otherwise
	wanted  atomic.Pointer[map[string]signing.Wanted] // by the documents in force

	given map[string]bool // by the store, in this life

	mu   sync.Mutex
	sets map[string]signing.Set // in use, by zone
}

const (
	copySuffix = ".sealed"
	// copyFresh is how old the word of the store about a copy may be: no roll takes away what is shown in that time.
	copyFresh = 5 * time.Minute
	// copyPatience is what the store gets to say something else than an older copy; meanwhile signed zones have no answer.
	copyPatience = 10 * time.Second
)

// clock is that of signatures and rolls, not of anything else.
func (a *App) clock() time.Time { return time.Now().Add(a.o.ClockOffset) }

// openZoneKeys gives the nameserver what an earlier life used last, before the first question can come.
func (a *App) openZoneKeys() error {
	z := &a.zoneKeys
	z.dir, z.sets, z.earlier = a.data.path("zone-keys"), map[string]signing.Set{}, map[string]signing.Set{}
	z.given = map[string]bool{}
	if a.o.ClockOffset != 0 {
		a.log.Warn("THE CLOCK OF SIGNATURES AND KEY ROLLS IS SHIFTED (--clock-offset): a rehearsal; resolvers with the right time find signed zones bogus",
			"offset", a.o.ClockOffset, "now", a.clock().UTC().Format(time.RFC3339))
	}
	if err := os.MkdirAll(z.dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(z.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		zone, ours := strings.CutSuffix(e.Name(), copySuffix)
		if s, ok := z.read(zone, a.seal.keys()); ours && ok {
			z.earlier[zone] = s
		}
	}
	info, err := os.Stat(z.seen())
	z.late = err != nil || time.Since(info.ModTime()) > copyFresh
	for zone := range z.earlier {
		z.sets[zone] = z.earlier[zone]
	}
	if !z.late {
		a.useEarlier()
	}
	return nil
}

// seen is touched while the store says that the copies are right.
func (z *zoneKeys) seen() string { return filepath.Join(z.dir, "seen") }

func (z *zoneKeys) path(zone string) string { return filepath.Join(z.dir, zone+copySuffix) }

func (z *zoneKeys) read(zone string, keys seal.Ring) (signing.Set, bool) {
	text, err := os.ReadFile(z.path(zone))
	var box seal.Box
	if err != nil || json.Unmarshal(text, &box) != nil {
		return signing.Set{}, false
	}
	plain, err := keys.Open(cluster.SealedZoneKeys(zone), box)
	if err != nil {
		return signing.Set{}, false
	}
	s, err := signing.Decode(zone, plain)
	return s, err == nil
}

func (a *App) useEarlier() {
	for zone := range a.zoneKeys.earlier {
		s := a.zoneKeys.earlier[zone]
		a.signWith(&s)
	}
}

// signWith gives keys to the nameserver.
func (a *App) signWith(s *signing.Set) {
	keys, err := signerKeys(s)
	if err != nil {
		a.log.Error("keys of a zone cannot be used", "zone", s.Zone, "error", err)
		return
	}
	a.dns.UseKeys(keys)
}

// signerKeys is a set as the nameserver wants it.
func signerKeys(s *signing.Set) (*sign.Keys, error) {
	v := s.View()
	out := &sign.Keys{Zone: s.Zone, Mark: s.Mark(), Delete: v.Delete}
	all := make([]sign.Private, len(s.Keys))
	for i := range s.Keys {
		signer, err := s.Keys[i].Signer()
		if err == nil {
			all[i], err = sign.NewPrivate(s.Keys[i].Role.Flags(), signer)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, i := range v.Publish {
		out.Publish = append(out.Publish, all[i].Public)
	}
	for _, i := range v.KSK {
		out.KSK = append(out.KSK, all[i])
	}
	for _, i := range v.ZSK {
		out.ZSK = append(out.ZSK, all[i])
	}
	for _, i := range v.Announce {
		out.Announce = append(out.Announce, all[i].Public)
	}
	return out, nil
}

// keepZoneKeys uses and tends the keys of all zones, until ctx ends.
func (a *App) keepZoneKeys(ctx context.Context) {
	z := &a.zoneKeys
	if z.late && len(z.earlier) > 0 {
		wait := time.AfterFunc(copyPatience, func() {
			if a.cluster.Trouble() != "" { // there is no store to ask; better these than none
				a.useEarlier()
			}
		})
		defer wait.Stop()
	}
	touched := time.Time{}
	a.cluster.KeepZoneKeys(ctx, cluster.ZoneKeyOptions{
		Zones: func() map[string]signing.Wanted {
			if now := time.Now(); now.Sub(touched) > time.Minute { // asked in a session alone
				touched = now
				_ = writeFile(z.seen(), []byte("the store agreed with these copies when this file was changed last\n"))
			}
			return a.wantedZones()
		},
		Earlier: z.earlier, Now: a.clock, Use: a.useZoneKeys,
		Served: func(zone string) cluster.ServedZone {
			st := a.dns.SigningStatus(zone)
			return cluster.ServedZone{Mark: st.Mark, Known: st.HasKeys && st.Mark != "", TTL: st.LongestTTL, KeyTTL: sign.KeyTTL * time.Second}
		},
		Parent: a.askedParent,
	})
}

// useZoneKeys takes keys from the store into use.
func (a *App) useZoneKeys(s signing.Set, box seal.Box) {
	z := &a.zoneKeys
	z.mu.Lock()
	was, had := z.sets[s.Zone]
	if s.Zero() {
		delete(z.sets, s.Zone)
	} else {
		z.sets[s.Zone] = s
	}
	z.mu.Unlock()
	if s.Zero() {
		delete(z.given, s.Zone)
		_ = os.Remove(z.path(s.Zone))
		a.prepareAgain() // it is served unsigned from now on
		return
	}
	if !z.given[s.Zone] || was.Mark() != s.Mark() {
		z.given[s.Zone] = true
		a.signWith(&s)
	}
	if !had && !a.wantedZones()[s.Zone].Signed {
		a.prepareAgain() // signing is switched off, and goes on until the DS is gone
	}
	text, err := json.Marshal(box)
	if err == nil {
		err = writeFile(z.path(s.Zone), text)
	}
	if err != nil {
		a.log.Warn("the sealed copy of the keys of a zone is not written; after a restart the store must come first", "zone", s.Zone, "error", err)
	}
}

func (a *App) prepareAgain() {
	select {
	case a.again <- struct{}{}:
	default:
	}
}

// keeps reports that a zone is signed whatever its document says: its keys are in use.
func (z *zoneKeys) keeps(zone string) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	_, ok := z.sets[zone]
	return ok
}

// wantedZones are the zones of the documents in force.
func (a *App) wantedZones() map[string]signing.Wanted {
	if w := a.zoneKeys.wanted.Load(); w != nil {
		return *w
	}
	return nil
}

func wantedOf(z *profile.Zone) signing.Wanted {
	d := &z.DNSSEC
	w := signing.Wanted{
		Signed: d.Enabled, Roles: rolesOf(string(d.Keys)), Propagation: d.Propagation, ZSKLifetime: d.ZSKLifetime, KSKLifetime: d.KSKLifetime,
	}
	if d.Enabled && z.Transfer != nil { // the DNSKEY set has to be at secondaries, too
		if parsed, err := nameserver.ParseZone(z, 0); err == nil {
			w.Propagation = max(w.Propagation, nameserver.Lag(parsed))
		}
	}
	w.Algorithm, _ = signing.AlgorithmOf(string(d.Algorithm)) // validated
	return w
}

// rolesOf is dnssec.keys as roles.
func rolesOf(scheme string) []signing.Role {
	if scheme == string(profile.KeysKSKZSK) {
		return []signing.Role{signing.KSK, signing.ZSK}
	}
	return []signing.Role{signing.CSK}
}
