package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/certificates"
	"jurymast/internal/cluster"
	"jurymast/internal/engine"
	"jurymast/internal/health"
	"jurymast/internal/probe"
	"jurymast/internal/profile"
)

// checkSecrets reads every secret the file's profiles name, as the probes will, and finds their programs.
func (a *App) checkSecrets(f *profile.File) (map[*profile.Profile][]probe.Check, error) {
	all := make([]*profile.Profile, len(f.Profiles))
	for i := range f.Profiles {
		all[i] = &f.Profiles[i]
	}
	_, kept, err := checksOf(all, proberOf(&f.Node), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.o.File, err)
	}
	return kept, nil
}

func (a *App) useSecrets(f *profile.File) {
	p := proberOf(&f.Node)
	a.means.Store(&p)
	if a.library != nil {
		a.library.renew()
	}
}

// owner is the file's name as its documents carry it.
func (a *App) owner() string {
	if full, err := filepath.Abs(a.o.File); err == nil {
		return full
	}
	return a.o.File
}

// recordsOf are the documents of a file, owned by it.
func (a *App) recordsOf(f *profile.File) []cluster.Record {
	owner := a.owner()
	out := make([]cluster.Record, 0, len(f.Documents))
	for _, d := range f.Documents {
		out = append(out, cluster.Record{Kind: d.Kind, Name: d.Name, Managed: owner, Source: d.Source})
	}
	return out
}

// withFile lays a file's documents over a set: what it names is replaced, what it named before and no longer names
// goes, everything else stays.
func withFile(set cluster.DocumentSet, mine []cluster.Record, owner string) []cluster.Record {
	named := map[string]bool{}
	for _, r := range mine {
		named[string(r.Kind)+"/"+r.Name] = true
	}
	out := append([]cluster.Record(nil), mine...)
	for _, r := range set.Records {
		if !named[string(r.Kind)+"/"+r.Name] && r.Managed != owner {
			out = append(out, r)
		}
	}
	return out
}

// recover serves what an earlier life served last, marked stale; without one, the file alone: its static names are
// answered at once and its profiles say that they are not ready. It reports whether anything will be served at all.
func (a *App) recover(last map[string]json.RawMessage) (replaced bool) {
	set := documentsIn(last)
	states := map[string]engine.Recovered{}
	for key, val := range last {
		if name, ok := strings.CutPrefix(key, "state/"); ok {
			var s lastState
			if json.Unmarshal(val, &s) == nil {
				states[name] = engine.Recovered{Verdicts: s.Verdicts, Decision: s.Decision, Floor: s.Floor, Orders: s.Orders, Ready: s.Ready}
			}
		}
	}
	var ed *edition
	var err error
	if len(set.Records) > 0 {
		if ed, err = a.library.prepare(set); err != nil {
			a.log.Warn("the last good documents are not usable any more; starting from the file", "error", err)
		}
	}
	if ed == nil {
		set.Records = a.recordsOf(a.file)
		if ed, err = a.library.prepare(set); err != nil {
			a.log.Error("the file's documents cannot be prepared", "error", err)
			return false
		}
	}
	a.replace(ed, states)
	return true
}

// newSet hands the newest documents to useSets; an older one that waits is dropped.
func (a *App) newSet(set cluster.DocumentSet) {
	for {
		select {
		case a.sets <- set:
			return
		default:
		}
		select {
		case <-a.sets:
		default:
		}
	}
}

// useSets prepares what the store says and makes it visible. Documents are checked again by every node: what this one
// cannot use changes nothing here and raises an alarm.
func (a *App) useSets(ctx context.Context) {
	for {
		var set cluster.DocumentSet
		select {
		case <-ctx.Done():
			return
		case <-a.again:
			set = a.cluster.Documents() // never older than one that waits in sets
			if set.Generation < a.applied.Load() {
				continue // the watch has not shown what was just written; it comes through sets
			}
		case set = <-a.sets:
		}
		ed, err := a.library.prepare(set)
		if err != nil {
			a.log.Error("documents from the store are refused; the earlier ones stay in force", "generation", set.Generation, "error", err)
			a.alarms.set("documents", fmt.Sprintf("generation %d from the store is refused: %v", set.Generation, err))
			continue
		}
		a.alarms.set("documents", "")
		a.settleTargets(ctx)
		a.replace(ed, nil)
	}
}

// watchFile applies the file at the first session, on SIGHUP and when it changes.
func (a *App) watchFile(ctx context.Context) {
	changes, follow := a.notifyChanges(ctx)
	stop := func() {}
	if !a.stored { // else the file is refused, and nothing of it is applied
		stop = a.startApply(ctx, a.file)
	}
	again := func() {
		if f := a.reload(); f != nil {
			stop() // a newer file takes the place of one that still waits for the store
			stop = a.startApply(ctx, f)
		}
		follow() // it may name other zone files now
	}
	for {
		select {
		case <-ctx.Done():
			stop()
			return
		case <-a.o.Reload:
			_ = notifySystemd(ctx, reloading())
			a.requests.Reopen() // whoever moved the file says so by this signal
			if a.queries != nil {
				a.queries.Reopen()
			}
			if a.wire != nil {
				a.wire.Reopen()
			}
			again()
			_ = notifySystemd(ctx, "READY=1")
		case <-changes:
			again()
		}
	}
}

// startApply applies a file in the background; stop ends that and waits for it.
func (a *App) startApply(ctx context.Context, f *profile.File) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	a.goTask(func() {
		defer close(done)
		if a.applyFile(ctx, f) {
			select {
			case a.again <- struct{}{}: // a secret may have another value now, under documents that are the same
			default:
			}
		}
	})
	return func() {
		cancel()
		<-done
	}
}

// reload reads the file again. A bad file changes nothing: the error is logged and shown in status until a good one
// takes its place.
func (a *App) reload() *profile.File {
	f, read, err := readFile(a.o.File)
	a.read.Store(read)
	if err != nil {
		a.refused(err)
		return nil
	}
	if a.o.Data != "" {
		f.Node.UseData(a.o.Data)
	}
	nameNode(&f.Node)
	certs, err := certificates.Load(f.Node.Proxy.TLS.Certificates)
	if err != nil {
		a.refused(err)
		return nil
	}
	dnsCerts, err := certificates.Load(f.Node.Nameserver.Certificates)
	if err != nil {
		a.refused(err)
		return nil
	}
	want := withFile(a.cluster.Documents(), a.recordsOf(f), a.owner())
	if _, err := a.library.prepareWith(cluster.DocumentSet{Generation: a.cluster.Documents().Generation + 1, Records: want}, proberOf(&f.Node)); err != nil {
		a.refused(err)
		return nil
	}
	useSecretFiles, err := a.reloadSecretFiles(f)
	if err != nil {
		a.refused(err)
		return nil
	}
	useSecretFiles()
	_ = a.places.Reload() // logged, and shown in status: the file itself is good
	a.web.SetCertificates(certs)
	a.dnsCerts.Use(dnsCerts)
	a.useSecrets(f)
	if keys := needsRestart(&a.file.Node, &f.Node); len(keys) > 0 {
		a.alarms.set("restart", "node settings in "+a.o.File+" differ from those in force: "+listed(keys)+"; they change with a restart")
	} else {
		a.alarms.set("restart", "")
	}
	return f
}

// needsRestart lists what changed under node and is only read at a start.
func needsRestart(was, is *profile.Node) []string {
	x, y := *was, *is
	x.Secrets, y.Secrets = nil, nil
	if p, q := &x.Nameserver.Cookies, &y.Nameserver.Cookies; p.Current.File != "" && q.Current.File != "" {
		p.Current, p.Next, p.Previous = q.Current, q.Next, q.Previous
	}
	x.Proxy.TLS.Certificates, y.Proxy.TLS.Certificates = nil, nil
	x.Nameserver.Certificates, y.Nameserver.Certificates = nil, nil
	return profile.DifferingKeys("node", x, y)
}

// listed is a list that stays readable in one line.
func listed(keys []string) string {
	const most = 8
	if len(keys) > most {
		keys = append(slices.Clone(keys[:most]), fmt.Sprintf("and %d more", len(keys)-most))
	}
	return strings.Join(keys, ", ")
}

// refused tells, by log, status, metrics and journal, that the file is not taken. The journal is told once of one text:
// SIGHUP may come every minute.
func (a *App) refused(err error) {
	a.log.Error("configuration refused; nothing changed", "file", a.o.File, "error", err)
	c := *a.config.Load()
	if c.Error != err.Error() {
		a.noteFile(cutLines(err.Error(), maxNoted), "refused; nothing changed")
	}
	c.Error = err.Error()
	a.config.Store(&c)
}

// taken ends a refusal, if there was one.
func (a *App) taken() {
	if was := a.config.Swap(&api.ConfigStatus{File: a.o.File, Applied: time.Now().UTC()}); was.Error != "" {
		a.noteFile("", "taken again after a refusal")
	}
}

// noteFile writes into the journal what became of the file.
func (a *App) noteFile(what, how string) {
	a.cluster.Note(health.Entry{At: time.Now().UTC(), Node: a.file.Node.Name, Kind: health.EntryConfig, By: a.owner(), Reason: how, Note: what})
}

// maxNoted is how many mistakes one entry of the journal tells, one per line; a line is cut as well.
const maxNoted = 10

// cutLines keeps the first lines of a text and says how many are left out.
func cutLines(text string, most int) string {
	const longest = 300
	lines := strings.Split(text, "\n")
	left := len(lines) - most
	lines = lines[:min(most, len(lines))]
	for i, l := range lines {
		if len(l) > longest {
			lines[i] = strings.ToValidUTF8(l[:longest], "") + "..."
		}
	}
	if left > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", left))
	}
	return strings.Join(lines, "\n")
}

// applyFile makes the file's documents the shared ones, as one change, as soon as there is a session.
func (a *App) applyFile(ctx context.Context, f *profile.File) (applied bool) {
	mine := a.recordsOf(f)
	var before uint64
	var note string
	for {
		gen, err := a.cluster.Change(ctx, func(set cluster.DocumentSet) ([]cluster.Record, error) {
			want := withFile(set, mine, a.owner())
			if err := a.library.prepareChange(set, want); err != nil {
				return nil, &refusedError{err}
			}
			before, note = set.Generation, difference(set.Records, want)
			return want, nil
		})
		switch {
		case err == nil:
			a.applied.Store(gen)
			if gen != before {
				a.noteConfig(gen, "changed by the file", a.owner(), note)
			}
			a.taken()
			a.log.Info("configuration applied", "file", a.o.File, "documents", len(mine))
			return true
		case ctx.Err() != nil:
			return false
		case errors.As(err, new(*refusedError)):
			a.refused(err)
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-a.begun:
		case <-time.After(time.Second):
		}
	}
}

// refusedError is a file that is wrong; everything else that keeps it from being applied passes, and is tried again.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }
