package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"jurymast/internal/api"
	"jurymast/internal/cluster"
	"jurymast/internal/engine"
	"jurymast/internal/nameserver"
	"jurymast/internal/probe"
	"jurymast/internal/profile"
	"jurymast/internal/proxy"
)

// readFile reads and checks a configuration file, zone files included. Nothing else happens.
func readFile(path string) (*profile.File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w; name a readable file with -c", err)
	}
	f, err := profile.DecodeFile(path, text)
	if err != nil {
		return nil, err
	}
	if err := InlineZoneFiles(f, path); err != nil {
		return nil, err
	}
	if missing := profile.NotYet(f); len(missing) > 0 {
		return nil, missing
	}
	var refused profile.Problems
	for _, p := range nameserver.Problems(f) {
		if p.Severity == profile.SeverityError {
			refused = append(refused, p)
		}
	}
	if len(refused) > 0 {
		return nil, refused
	}
	f.Release()
	return f, nil
}

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
	set := cluster.DocumentSet{}
	states := map[string]engine.Recovered{}
	for key, val := range last {
		if key == keyGeneration {
			_ = json.Unmarshal(val, &set.Generation) // unreadable: the serial of zones starts low until the store is up
			continue
		}
		if name, ok := strings.CutPrefix(key, "state/"); ok {
			var s lastState
			if json.Unmarshal(val, &s) == nil {
				states[name] = engine.Recovered{Verdicts: s.Verdicts, Decision: s.Decision, Floor: s.Floor, Orders: s.Orders, Ready: s.Ready}
			}
			continue
		}
		var r cluster.Record
		if strings.HasPrefix(key, "doc/") && json.Unmarshal(val, &r) == nil {
			set.Records = append(set.Records, r)
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
	changes := a.notifyChanges(ctx)
	stop := a.startApply(ctx, a.file)
	again := func() {
		if f := a.reload(); f != nil {
			stop() // a newer file takes the place of one that still waits for the store
			stop = a.startApply(ctx, f)
		}
	}
	for {
		select {
		case <-ctx.Done():
			stop()
			return
		case <-a.o.Reload:
			_ = notifySystemd(ctx, reloading())
			if a.queries != nil {
				a.queries.Reopen() // whoever moved the file says so by this signal
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

// notifyChanges watches the file's folder: editors and configuration managers replace files by renaming.
func (a *App) notifyChanges(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)
	w, err := fsnotify.NewWatcher()
	if err == nil {
		err = w.Add(filepath.Dir(a.o.File))
	}
	if err != nil {
		a.log.Warn("cannot watch the configuration file; SIGHUP reloads it", "error", err)
		return out
	}
	a.goTask(func() { a.followFile(ctx, w, out) })
	return out
}

// settleFile is how long the file must be left alone before it is read: writers write more than once.
const settleFile = 150 * time.Millisecond

// followFile tells once per change that the text of the file is another one. It looks at every event in the folder, not
// only at the file's name: where configuration is mounted, the file is a link that never changes itself.
func (a *App) followFile(ctx context.Context, w *fsnotify.Watcher, out chan<- struct{}) {
	defer func() { _ = w.Close() }()
	last, missing := a.text, false
	settle := time.NewTimer(0) // it may have changed between the start and the watch
	defer settle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-w.Errors:
			a.log.Warn("watching the configuration file", "error", err)
		case <-w.Events:
			settle.Reset(settleFile)
		case <-settle.C:
			text, err := os.ReadFile(a.o.File)
			if (err != nil && missing) || (err == nil && !missing && bytes.Equal(text, last)) {
				continue // said already
			}
			last, missing = text, err != nil
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}
}

// reload reads the file again. A bad file changes nothing: the error is logged and shown in status until a good one
// takes its place.
func (a *App) reload() *profile.File {
	f, err := readFile(a.o.File)
	if err != nil {
		a.refused(err)
		return nil
	}
	if a.o.Data != "" {
		f.Node.UseData(a.o.Data)
	}
	nameNode(&f.Node)
	certs, err := proxy.LoadCertificates(f.Node.Proxy.TLS.Certificates)
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
	a.useSecrets(f)
	if needsRestart(&a.file.Node, &f.Node) {
		a.alarms.set("restart", "node settings in "+a.o.File+" differ from those in force; listeners, data, store and names change with a restart")
	} else {
		a.alarms.set("restart", "")
	}
	return f
}

// needsRestart: something under node changed that is only read at a start.
func needsRestart(was, is *profile.Node) bool {
	x, y := *was, *is
	x.Secrets, y.Secrets = nil, nil
	if p, q := &x.Nameserver.Cookies, &y.Nameserver.Cookies; p.Current.File != "" && q.Current.File != "" {
		p.Current, p.Next, p.Previous = q.Current, q.Next, q.Previous
	}
	x.Proxy.TLS.Certificates, y.Proxy.TLS.Certificates = nil, nil
	return !reflect.DeepEqual(x, y)
}

func (a *App) refused(err error) {
	a.log.Error("configuration refused; nothing changed", "file", a.o.File, "error", err)
	c := *a.config.Load()
	c.Error = err.Error()
	a.config.Store(&c)
}

// applyFile makes the file's documents the shared ones, as one change, as soon as there is a session.
func (a *App) applyFile(ctx context.Context, f *profile.File) (applied bool) {
	mine := a.recordsOf(f)
	var before uint64
	var note string
	for {
		gen, err := a.cluster.Change(ctx, func(set cluster.DocumentSet) ([]cluster.Record, error) {
			want := withFile(set, mine, a.owner())
			if _, err := a.library.prepare(cluster.DocumentSet{Generation: set.Generation + 1, Records: want}); err != nil {
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
			a.config.Store(&api.ConfigStatus{File: a.o.File, Applied: time.Now().UTC()})
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
