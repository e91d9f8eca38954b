package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/api"
	"jurymast/internal/cluster"
	"jurymast/internal/health"
	"jurymast/internal/profile"
	"jurymast/internal/store"
)

// buildAPI joins the API to the parts that know the answers.
func (a *App) buildAPI(metrics http.Handler) *api.Server {
	return api.New(api.Options{
		Socket: a.file.Node.API.Socket, Listen: a.file.Node.API.Listen, Hub: a.hub, Node: a.nodeStatus,
		Documents: (*documentDesk)(a), Orders: (*orderDesk)(a), Journal: (*journalDesk)(a), Signals: (*signalDesk)(a), Secrets: (*secretDesk)(a),
		Zones: (*zoneDesk)(a), Transfers: (*transferDesk)(a), Secondary: (*secondaryDesk)(a),
		Traffic: a.traffic(), Limits: a.limits(),
		Explain: a.explain, Probe: a.probeNow, Ready: a.ready, Metrics: metrics, Logger: a.log, Version: a.o.Version,
	})
}

// nodeStatus is this node as a whole.
func (a *App) nodeStatus() api.NodeStatus {
	st := a.loop.Status()
	ok, waiting := a.ready()
	out := api.NodeStatus{
		Name: a.file.Node.Name, Location: a.file.Node.Location, Version: a.o.Version, Started: a.started, Ready: ok, WaitingFor: waiting,
		Draining: a.draining.Load(), Leader: a.cluster.Leader(), Leads: st.Leader && st.Reachable, Blind: st.Blind,
		Store:      api.StoreStatus{Kind: "embedded", Reachable: st.Reachable, Detail: a.storeTrouble()},
		Generation: a.hub.Load().Documents().Generation, Config: *a.config.Load(), Listeners: a.listeners(), Alarms: a.alarms.all(), ProbeSource: ownAddresses(),
	}
	if !a.solo {
		out.Store.Kind = "external"
	}
	out.Alarms = append(out.Alarms, a.odd.raised()...)
	out.Alarms = append(out.Alarms, a.storeAlarms(st.Reachable)...)
	if why := a.seal.missed(); why != "" {
		out.Alarms = append(out.Alarms, why)
	} else if why := a.cluster.SecretTrouble(); why != "" {
		out.Alarms = append(out.Alarms, why)
	}
	files, faults := a.locationFiles()
	out.Locations, out.Alarms = files, append(out.Alarms, faults...)
	out.Flattened, faults = a.targetStatus(time.Now())
	out.Alarms = append(out.Alarms, faults...)
	out.Alarms = append(out.Alarms, a.zoneFaults(time.Now())...)
	out.Driver = a.driverStatus()
	out.Certificates, faults = a.certificateStatus(time.Now())
	out.Alarms = append(out.Alarms, faults...)
	for _, n := range a.cluster.Nodes() {
		out.Members = append(out.Members, api.NodeMember{Name: n.Name, Location: n.Location, Blind: n.Blind, Version: n.Version, Addresses: n.Addresses})
	}
	return out
}

// storeAlarms say what is wrong with the store: out of reach, or there and refusing writes, as with a full disk.
func (a *App) storeAlarms(reachable bool) []string {
	why := "the store takes no writes: " + a.cluster.Unwritten()
	switch trouble := a.storeTrouble(); {
	case !reachable && a.solo && trouble != "":
		why = "the store cannot be used: " + trouble
	case !reachable || a.cluster.Unwritten() == "":
		return nil
	}
	if a.solo {
		why += "; this node decides alone and writes when it can"
	}
	return []string{why}
}

// documentDesk is the API's way to the documents.
type documentDesk App

// List implements api.DocumentStore, as do the methods below.
func (d *documentDesk) List() []api.Document {
	set := d.cluster.Documents()
	out := make([]api.Document, 0, len(set.Records))
	for i := range set.Records {
		out = append(out, documentOf(&set.Records[i]))
	}
	return out
}

func documentOf(r *cluster.Record) api.Document {
	return api.Document{Kind: string(r.Kind), Name: r.Name, Managed: r.Managed, ETag: r.ETag(), Source: r.Source}
}

// Put creates or replaces one document.
func (d *documentDesk) Put(ctx context.Context, kind, name string, source []byte, ifMatch, by string) (api.Document, bool, error) {
	record := cluster.Record{Kind: profile.Kind(kind), Name: name}
	encoded, err := profile.EncodeDocument(kind+"/"+name, source)
	if err != nil {
		return api.Document{}, false, api.Invalid(err)
	}
	record.Source = encoded
	var said struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(encoded, &said) == nil && said.Name != name {
		return api.Document{}, false, api.Invalid(fmt.Errorf("the document calls itself %q, the address %q; they must be the same", said.Name, name))
	}
	created := false
	_, err = d.change(ctx, by, func(set cluster.DocumentSet) ([]cluster.Record, error) {
		old := set.Find(record.Kind, name)
		created = old == nil
		if err := mayWrite(old, ifMatch); err != nil {
			return nil, err
		}
		return with(set.Records, record), nil
	})
	return documentOf(&record), created, err
}

// Delete removes one document.
func (d *documentDesk) Delete(ctx context.Context, kind, name, ifMatch, by string) error {
	_, err := d.change(ctx, by, func(set cluster.DocumentSet) ([]cluster.Record, error) {
		old := set.Find(profile.Kind(kind), name)
		if old == nil {
			return nil, fmt.Errorf("%w: no %s called %q", api.ErrNotFound, kind, name)
		}
		if err := mayWrite(old, ifMatch); err != nil {
			return nil, err
		}
		if users := usersOf(set, old); len(users) > 0 {
			return nil, &api.RefusedError{Code: api.CodeRefused, Reason: fmt.Sprintf("%s/%s is in use by %s; change or delete those first", kind, name, strings.Join(users, ", "))}
		}
		return slices.DeleteFunc(slices.Clone(set.Records), func(r cluster.Record) bool { return r.Kind == old.Kind && r.Name == name }), nil
	})
	return err
}

// usersOf are what stands on a profile: endpoints that nest it or calculate from its endpoints, and static records that
// point to one of its names.
func usersOf(set cluster.DocumentSet, old *cluster.Record) []string {
	if old.Kind != profile.KindProfile {
		return nil
	}
	var names []string
	if p, err := profile.DecodeProfile(old.Name, old.Source); err == nil {
		names = p.Hostnames
	}
	var out []string
	for i := range set.Records {
		r := &set.Records[i]
		if r.Kind == profile.KindZone {
			out = append(out, pointers(r, names)...)
		}
		if r.Kind != profile.KindProfile || r.Name == old.Name || !bytes.Contains(r.Source, []byte("profile")) && !bytes.Contains(r.Source, []byte("calculated")) {
			continue // it cannot name another one, so it need not be read
		}
		p, err := profile.DecodeProfile(string(r.Kind)+"/"+r.Name, r.Source)
		if err != nil {
			continue // what cannot be read uses nothing
		}
		for j := range p.Endpoints {
			switch e := &p.Endpoints[j]; {
			case e.Target.Profile == old.Name:
				out = append(out, fmt.Sprintf("endpoint %s/%s (nested)", p.Name, e.Name))
			case e.Monitor.Calculated != nil && slices.ContainsFunc(e.Monitor.Calculated.Of, func(of string) bool { return strings.HasPrefix(of, old.Name+"/") }):
				out = append(out, fmt.Sprintf("endpoint %s/%s (calculated check)", p.Name, e.Name))
			}
		}
	}
	slices.Sort(out)
	return out
}

// pointers are the static records of a zone that lead to one of the names.
func pointers(r *cluster.Record, names []string) (out []string) {
	z, err := profile.DecodeZone(string(r.Kind)+"/"+r.Name, r.Source)
	if err != nil {
		return nil
	}
	zp := dns.NewZoneParser(strings.NewReader(z.Records), dns.Fqdn(z.Name), "")
	zp.SetDefaultTTL(0)
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		target := ""
		switch rr := rr.(type) {
		case *dns.CNAME:
			target = rr.Target
		case *dns.MX:
			target = rr.Mx
		case *dns.SRV:
			target = rr.Target
		}
		if target != "" && slices.Contains(names, profile.CanonicalName(target)) {
			h := rr.Header()
			out = append(out, fmt.Sprintf("record %s %s of zone %s", h.Name, dns.TypeToString[h.Rrtype], z.Name))
		}
	}
	return out
}

// Apply lays the zones and profiles of a configuration over what is there, as one change.
func (d *documentDesk) Apply(ctx context.Context, data []byte, by string) (api.ApplyResult, error) {
	f, err := profile.DecodeFile("input", data)
	if err != nil {
		return api.ApplyResult{}, api.Invalid(err)
	}
	for _, z := range f.Zones {
		if z.File != "" {
			return api.ApplyResult{}, api.Invalid(fmt.Errorf("zone %s names a file; a shared document cannot: write its text in records", z.Name))
		}
	}
	var out api.ApplyResult
	out.Generation, err = d.change(ctx, by, func(set cluster.DocumentSet) ([]cluster.Record, error) {
		out = api.ApplyResult{Created: []string{}, Changed: []string{}, Unchanged: []string{}}
		records := set.Records
		for _, doc := range f.Documents {
			old := set.Find(doc.Kind, doc.Name)
			key := string(doc.Kind) + "/" + doc.Name
			switch {
			case old == nil:
				out.Created = append(out.Created, key)
			case string(old.Source) == string(doc.Source):
				out.Unchanged = append(out.Unchanged, key)
				continue
			default:
				out.Changed = append(out.Changed, key)
			}
			if err := mayWrite(old, ""); err != nil {
				return nil, err
			}
			records = with(records, cluster.Record{Kind: doc.Kind, Name: doc.Name, Source: doc.Source})
		}
		return records, nil
	})
	return out, err
}

// change checks the wanted set as a whole before it is written, notes it in the journal and translates errors.
func (d *documentDesk) change(ctx context.Context, by string, edit func(cluster.DocumentSet) ([]cluster.Record, error)) (uint64, error) {
	a := (*App)(d)
	var before uint64
	var note string
	gen, err := a.cluster.Change(ctx, func(set cluster.DocumentSet) ([]cluster.Record, error) {
		before = set.Generation
		want, err := edit(set)
		if err != nil {
			return nil, err
		}
		if err := a.library.prepareChange(set, want); err != nil {
			return nil, api.Invalid(err)
		}
		note = difference(set.Records, want)
		return want, nil
	})
	if err == nil && gen != before {
		a.noteConfig(gen, "changed through the API", by, note)
	}
	return gen, translate(err)
}

func translate(err error) error {
	switch {
	case errors.Is(err, store.ErrTooLarge):
		return api.Invalid(err)
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	case errors.Is(err, cluster.ErrConflict):
		return fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	return err
}

// mayWrite applies the entity tag, and refuses what a file manages.
func mayWrite(old *cluster.Record, ifMatch string) error {
	switch {
	case ifMatch == api.IfAbsent && old != nil:
		return fmt.Errorf("%w: it exists already", api.ErrConflict)
	case ifMatch != "" && ifMatch != api.IfAbsent && old == nil:
		return fmt.Errorf("%w: it does not exist", api.ErrConflict)
	case ifMatch != "" && ifMatch != "*" && ifMatch != api.IfAbsent && ifMatch != old.ETag():
		return fmt.Errorf("%w: it was changed meanwhile, its tag is now %s", api.ErrConflict, old.ETag())
	case old != nil && old.Managed != "":
		return fmt.Errorf("%w: %s/%s belongs to %s; change that file", api.ErrManaged, old.Kind, old.Name, old.Managed)
	}
	return nil
}

// with replaces or adds one record.
func with(records []cluster.Record, r cluster.Record) []cluster.Record {
	for i := range records {
		if records[i].Kind == r.Kind && records[i].Name == r.Name {
			out := slices.Clone(records)
			out[i] = r
			return out
		}
	}
	return append(slices.Clone(records), r)
}

// journalDesk is the API's way to the journal.
type journalDesk App

// Read implements api.Journal.
func (d *journalDesk) Read(limit int, match func(*health.Entry) bool) []health.Entry {
	return d.cluster.Journal(limit, match)
}

// Subscribe implements api.Journal.
func (d *journalDesk) Subscribe(ctx context.Context) <-chan health.Entry {
	return d.journal.subscribe(ctx)
}

var (
	_ api.DocumentStore = (*documentDesk)(nil)
	_ api.Journal       = (*journalDesk)(nil)
)

// noteConfig writes into the journal who changed which documents.
func (a *App) noteConfig(generation uint64, how, by, what string) {
	a.cluster.Note(health.Entry{
		At: time.Now().UTC(), Node: a.file.Node.Name, Kind: health.EntryConfig, By: by, To: fmt.Sprintf("generation %d", generation), Reason: how, Note: what,
	})
}

// difference names the documents that were created, changed and deleted; a long list is cut.
func difference(before, after []cluster.Record) string {
	old := map[string]string{}
	for i := range before {
		old[string(before[i].Kind)+"/"+before[i].Name] = string(before[i].Source)
	}
	var out []string
	for i := range after {
		key := string(after[i].Kind) + "/" + after[i].Name
		switch was, ok := old[key]; {
		case !ok:
			out = append(out, "created "+key)
		case was != string(after[i].Source):
			out = append(out, "changed "+key)
		}
		delete(old, key)
	}
	for key := range old {
		out = append(out, "deleted "+key)
	}
	slices.Sort(out)
	const most = 20
	if len(out) > most {
		out = append(out[:most], fmt.Sprintf("and %d more", len(out)-most))
	}
	return strings.Join(out, ", ")
}
