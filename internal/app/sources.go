package app

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
)

// sources are the files a configuration was read from, zone files, what they include and certificates among them, by name, with a
// digest of what was read: "" for one that could not be.
type sources map[string]string

func digest(text []byte, err error) string {
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// changed reports that a file says something else than what was read.
func (s sources) changed() bool {
	for name, was := range s {
		if digest(os.ReadFile(name)) != was {
			return true
		}
	}
	return false
}

// folders are where the files are.
func (s sources) folders() []string {
	var out []string
	for name := range s {
		if dir := filepath.Dir(name); !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	return out
}

// readFile reads and checks a configuration file, zone files included. Nothing else happens. What was read is told even
// when it is refused.
func readFile(path string) (*profile.File, *sources, error) {
	text, err := os.ReadFile(path)
	read := &sources{path: digest(text, err)}
	if err != nil {
		return nil, read, fmt.Errorf("configuration: %w; name a readable file with -c", err)
	}
	f, err := profile.DecodeFile(path, text)
	if err != nil {
		return nil, read, err
	}
	if err := inlineZoneFiles(f, path, *read); err != nil {
		return nil, read, err
	}
	noteCertificates(f, *read)
	if missing := profile.NotYet(f); len(missing) > 0 {
		return nil, read, missing
	}
	var refused profile.Problems
	for _, p := range nameserver.Problems(f) {
		if p.Severity == profile.SeverityError {
			refused = append(refused, p)
		}
	}
	if len(refused) > 0 {
		return nil, read, refused
	}
	f.Release()
	return f, read, nil
}

// noteCertificates has certificates and keys watched too: who renews them need not tell us.
func noteCertificates(f *profile.File, read sources) {
	n := &f.Node
	for _, c := range slices.Concat(n.Nameserver.Certificates, n.Proxy.TLS.Certificates) {
		for _, name := range []string{c.Cert, c.Key} {
			read[name] = digest(os.ReadFile(name))
		}
	}
}

// notifyChanges watches the folders of the file, of its zone files and of certificates: editors and configuration managers replace files
// by renaming. follow has it look anew, because other files may belong to it now.
func (a *App) notifyChanges(ctx context.Context) (changes <-chan struct{}, follow func()) {
	out, anew := make(chan struct{}, 1), make(chan struct{}, 1)
	w, err := fsnotify.NewWatcher()
	if err == nil {
		err = w.Add(filepath.Dir(a.o.File))
	}
	if err != nil {
		a.log.Warn("cannot watch the configuration file; SIGHUP reloads it", "error", err)
		return out, func() {}
	}
	a.goTask(func() { a.followFile(ctx, w, anew, out) })
	return out, func() {
		select {
		case anew <- struct{}{}:
		default:
		}
	}
}

// settleFile is how long the files must be left alone before they are read: writers write more than once.
const settleFile = 150 * time.Millisecond

// followFile tells when the text of the file, or of one of its zone files, is another one than was read last. It looks
// at every file that comes and goes in the folders, not only at the names: where configuration is mounted, a file is a
// link that never changes itself.
func (a *App) followFile(ctx context.Context, w *fsnotify.Watcher, anew <-chan struct{}, out chan<- struct{}) {
	defer func() { _ = w.Close() }()
	settle := time.NewTimer(0) // it may have changed between the start and the watch
	defer settle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-w.Errors:
			a.log.Warn("watching the configuration file", "error", err)
		case <-anew:
			settle.Reset(settleFile)
		case e := <-w.Events:
			if e.Has(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) || a.isSource(e.Name) { // not what a log beside it grows by
				settle.Reset(settleFile)
			}
		case <-settle.C:
			read := *a.read.Load()
			a.watch(w, read.folders())
			if !read.changed() {
				continue
			}
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}
}

func (a *App) isSource(name string) bool {
	for known := range *a.read.Load() {
		if filepath.Clean(known) == filepath.Clean(name) {
			return true
		}
	}
	return false
}

// watch makes the watched folders these, and the file's own. One that is not there is looked for at the next change.
func (a *App) watch(w *fsnotify.Watcher, folders []string) {
	own := filepath.Dir(a.o.File)
	watched := w.WatchList()
	for _, dir := range folders {
		if slices.Contains(watched, dir) {
			continue
		}
		if err := w.Add(dir); err != nil {
			a.log.Warn("cannot watch a folder of zone files or certificates; SIGHUP reloads them", "folder", dir, "error", err)
		}
	}
	for _, dir := range watched {
		if dir != own && !slices.Contains(folders, dir) {
			_ = w.Remove(dir) // it may be gone
		}
	}
}
