package app

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/api"
	"jurymast/internal/health"
	"jurymast/internal/nameserver/secondary"
	"jurymast/internal/nameserver/tsig"
)

// secondaries is the book of zones that are fetched from other servers, and when the journal heard of each.
type secondaries struct {
	book *secondary.Book

	mu   sync.Mutex
	told map[string]time.Time // by zone: the last transfer that was noted
}

// noteEvery is how often transfers of one zone are noted in the journal at most: some zones change every second.
const noteEvery = 10 * time.Minute

// buildSecondaries makes the book. Its keys are the nameserver's, which is built later.
func (a *App) buildSecondaries(metrics prometheus.Registerer) error {
	a.fetched.told = map[string]time.Time{}
	var err error
	a.fetched.book, err = secondary.New(secondary.Options{
		Dir: a.data.path("secondary"), Keys: func(name string) *tsig.Key { return a.dns.TSIG().Find(name) },
		Logger: a.log, Tell: a.noteZone, Registerer: metrics,
	})
	return err
}

// noteZone writes into the journal what became of a secondary zone on this node.
func (a *App) noteZone(e secondary.Event) {
	kind := health.EntryAlarm
	if e.Kind == secondary.EventTransferred || e.Kind == secondary.EventRecovered {
		kind = health.EntryConfig
	}
	now := time.Now()
	if e.Kind == secondary.EventTransferred {
		a.fetched.mu.Lock()
		last, seen := a.fetched.told[e.Zone]
		late := !seen || now.Sub(last) >= noteEvery
		if late {
			a.fetched.told[e.Zone] = now
		}
		a.fetched.mu.Unlock()
		if !late {
			return
		}
	}
	a.cluster.Note(health.Entry{
		At: now.UTC(), Node: a.file.Node.Name, Kind: kind, Reason: "zone-" + string(e.Kind), Note: cutLines("zone "+e.Zone+": "+e.Text, 1),
	})
}

// zoneFaults says in one alarm each which secondary zones are not as they should be.
func (a *App) zoneFaults(now time.Time) (faults []string) {
	for _, s := range a.dns.Secondaries().Status(now) {
		switch {
		case s.Phase == secondary.Expired:
			faults = append(faults, fmt.Sprintf("secondary zone %s has expired, questions get SERVFAIL: %s", s.Zone, s.Trouble))
		case s.Phase == secondary.Missing && s.Failures > 0:
			faults = append(faults, fmt.Sprintf("secondary zone %s was never fetched, questions get SERVFAIL: %s", s.Zone, s.Trouble))
		case s.Trouble != "":
			faults = append(faults, fmt.Sprintf("secondary zone %s, good until %s: %s", s.Zone, s.Expires.UTC().Format(time.RFC3339), s.Trouble))
		}
	}
	faults = append(faults, a.dns.Hidden()...)
	if left := len(faults) - maxWaiting; left > 0 {
		faults = append(faults[:maxWaiting], fmt.Sprintf("and %d more secondary zones", left))
	}
	return faults
}

// untriedZones are reasons for not being ready.
func (a *App) untriedZones() (why []string) {
	names := a.dns.Secondaries().Untried()
	for i, name := range names {
		if i == maxWaiting {
			return append(why, fmt.Sprintf("and %d more secondary zones", len(names)-i))
		}
		why = append(why, fmt.Sprintf("secondary zone %s: it is being fetched for the first time", name))
	}
	return why
}

// secondaryDesk is the API's way to secondary zones.
type secondaryDesk App

// List implements api.Secondary, as does Refresh.
func (d *secondaryDesk) List() []api.SecondaryZone {
	now := time.Now()
	list := []api.SecondaryZone{}
	for _, s := range d.dns.Secondaries().Status(now) {
		one := api.SecondaryZone{
			Zone: s.Zone, State: string(s.Phase), Serial: s.Serial, Records: s.Records, Primary: s.Primary, Primaries: s.Primaries, How: string(s.How), Bytes: s.Bytes,
			Fetched: moment(s.Fetched), Confirmed: moment(s.Confirmed), Next: moment(s.Next), Expires: moment(s.Expires), Failures: s.Failures, Trouble: s.Trouble, Older: s.Older,
			Refused: s.Refused, Signed: s.Signed, ZONEMD: string(s.Digest), Warnings: s.Warnings,
		}
		list = append(list, one)
	}
	return list
}

// Refresh looks for a zone now, and waits for what comes of it.
func (d *secondaryDesk) Refresh(ctx context.Context, zone string, whole bool) error {
	known := slices.ContainsFunc(d.List(), func(t api.SecondaryZone) bool { return t.Zone == zone })
	if !known || !d.fetched.book.Refresh(ctx, zone, whole) {
		return fmt.Errorf("there is no secondary zone %s on this node: %w", zone, api.ErrNotFound)
	}
	return nil
}
