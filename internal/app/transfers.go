package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/cluster"
	"jurymast/internal/health"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/xfr"
	"jurymast/internal/profile"
)

// serials joins the contents of zones that secondaries fetch to the serials all nodes share. Where those come from:
//
//	the store              written by the leader alone, see xfr.Next
//	a copy in the data     of what this node has used last, until the store is there: a restart turns no serial back
type serials struct {
	copy string
	used map[string]xfr.State
}

// recallSerials takes the serials of an earlier life into use.
func (a *App) recallSerials() {
	s := &a.serials
	s.copy, s.used = a.data.path("serials.json"), map[string]xfr.State{}
	text, err := os.ReadFile(s.copy)
	if err != nil {
		return
	}
	if json.Unmarshal(text, &s.used) != nil {
		a.log.Warn("the copy of the zones' serials cannot be read; they come from the store", "file", s.copy)
		s.used = map[string]xfr.State{}
		return
	}
	a.dns.UseSerials(s.used)
}

// keepSerials uses and, as the leader, makes serials, until ctx ends.
func (a *App) keepSerials(ctx context.Context) {
	a.cluster.KeepSerials(ctx, cluster.SerialOptions{Wake: a.dns.ContentsChanged(), Next: a.nextSerials, Use: a.useSerials})
}

// nextSerials are those the leader is to write. A zone the store knows nothing of goes on where this node has left off:
// the store may be a new one.
func (a *App) nextSerials(stored map[string]cluster.ZoneSerial, now time.Time) (write map[string]cluster.ZoneSerial, again time.Time) {
	write = map[string]cluster.ZoneSerial{}
	for _, c := range a.dns.Contents() {
		var was *xfr.State
		if s, ok := stored[c.Zone]; ok {
			was = &xfr.State{Serial: s.Serial, Digest: s.Digest, At: s.At, Epoch: s.Epoch}
		}
		own, ok := a.serials.used[c.Zone]
		if behind := ok && (was == nil || xfr.Newer(own.Serial, was.Serial)); behind {
			own.Digest, own.At = "", time.Time{} // whatever the content is, it gets one more
			was = &own
		}
		next, at, changed := xfr.Next(was, c.Content, now)
		switch {
		case !changed:
		case at.After(now):
			if again.IsZero() || at.Before(again) {
				again = at
			}
		default:
			write[c.Zone] = cluster.ZoneSerial{Serial: next.Serial, Digest: next.Digest, At: next.At, Epoch: next.Epoch}
		}
	}
	return write, again
}

// useSerials keeps a copy first: what was answered once is known after a restart.
func (a *App) useSerials(stored map[string]cluster.ZoneSerial) {
	s := &a.serials
	next := maps.Clone(s.used)
	for name, z := range stored {
		if was, ok := next[name]; !ok || !xfr.Newer(was.Serial, z.Serial) {
			next[name] = xfr.State{Serial: z.Serial, Digest: z.Digest, At: z.At, Epoch: z.Epoch}
		}
	}
	if !maps.Equal(next, s.used) {
		text, err := json.Marshal(next)
		if err == nil {
			err = writeFile(s.copy, text)
		}
		if err != nil {
			a.log.Warn("the copy of the zones' serials is not written; after a restart the store must come first", "error", err)
		}
		s.used = next
	}
	a.dns.UseSerials(next)
}

// notifyFailed tells the journal of a secondary that was told in vain.
func (a *App) notifyFailed(zone, secondary string, serial uint32, why string) {
	if why == "" {
		why = "no answer"
	}
	a.cluster.Note(health.Entry{
		At: time.Now().UTC(), Node: a.file.Node.Name, Kind: health.EntryAlarm, Reason: "notify-unanswered",
		To: zone, Note: fmt.Sprintf("secondary %s was told of serial %d %d times: %s", secondary, serial, xfr.NotifyTries, why),
	})
}

// prepareChange is prepare for documents that are to replace a set. It refuses an SOA that was given an older serial by
// hand: secondaries would keep what they have, and nobody would see why.
func (l *library) prepareChange(set cluster.DocumentSet, want []cluster.Record) error {
	if _, err := l.prepare(cluster.DocumentSet{Generation: set.Generation + 1, Records: want}); err != nil {
		return err
	}
	var found profile.Problems
	for i := range want {
		r := &want[i]
		old := set.Find(r.Kind, r.Name)
		if r.Kind != profile.KindZone || old == nil || string(old.Source) == string(r.Source) {
			continue
		}
		from, to := writtenSerial(old), writtenSerial(r)
		if from == nil || to == nil || *from == *to || xfr.Newer(*to, *from) {
			continue
		}
		found = append(found, profile.Problem{
			File: string(r.Kind) + "/" + r.Name, Line: 1, Column: 1, Path: "records",
			Message: fmt.Sprintf("the SOA's serial %d is not after %d, which is in use, so secondaries would not fetch the zone; write %d or more, or leave it as it was: changes are counted on top of it",
				*to, *from, *from+1),
		})
	}
	if len(found) > 0 {
		return found
	}
	return nil
}

// writtenSerial is the serial in the text of a zone that secondaries fetch, nil without one.
func writtenSerial(r *cluster.Record) *uint32 {
	doc, err := profile.DecodeZone(r.Name, r.Source)
	if err != nil || doc.Transfer == nil {
		return nil
	}
	z, err := nameserver.ParseZone(doc, 0)
	if err != nil || !z.Written {
		return nil
	}
	return &z.Serial
}

// transferDesk is the API's way to what secondaries get.
type transferDesk App

var _ api.Transfers = (*transferDesk)(nil)

// Transfers implements api.Transfers, as does NotifyZone.
func (d *transferDesk) Transfers(zone string) (api.ZoneTransfers, error) {
	st, ok := d.dns.TransferStatus(zone)
	if !ok {
		return api.ZoneTransfers{}, fmt.Errorf("%w: no zone %q that may be fetched; write zones[].transfer", api.ErrNotFound, zone)
	}
	out := api.ZoneTransfers{
		Zone: st.Zone, Serial: st.Serial, Ready: st.Version, Waiting: st.Waiting, Records: st.Records, Steps: st.Steps,
		Secondaries: []api.ZoneSecondary{}, Fetches: []api.ZoneFetch{},
	}
	for i := range st.Secondaries {
		s := &st.Secondaries[i]
		one := api.ZoneSecondary{Address: s.Address, Key: s.Key, Pending: s.Pending, Trouble: s.Failing, GivenUp: s.GivenUp}
		if s.Knows {
			one.Acknowledged, one.At = &s.Acknowledged, moment(s.At)
		}
		out.Secondaries = append(out.Secondaries, one)
	}
	for _, f := range st.Fetches {
		out.Fetches = append(out.Fetches, api.ZoneFetch{From: f.From.String(), Serial: f.Serial, Kind: f.Kind, At: f.At.UTC()})
	}
	return out, nil
}

// NotifyZone tells the secondaries; the journal knows who wanted that.
func (d *transferDesk) NotifyZone(_ context.Context, zone, by, note string) error {
	if _, err := d.Transfers(zone); err != nil {
		return err
	}
	n, err := d.dns.NotifyNow(zone)
	if err != nil {
		return &api.RefusedError{Code: api.CodeRefused, Reason: err.Error()}
	}
	if n == 0 {
		return &api.RefusedError{Code: api.CodeRefused, Reason: fmt.Sprintf("zone %s names no secondaries to tell; write transfer: {notify: [{address: ...}]}", zone)}
	}
	d.cluster.Note(health.Entry{At: time.Now().UTC(), Node: d.file.Node.Name, Kind: health.EntryAct, To: "notify " + profile.CanonicalName(zone), By: by, Note: note})
	return nil
}
