package places

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a folder must be quiet before its files are looked at: writers write more than once. A writer that
// never rests for so long is looked at after settleMost.
const (
	settle     = 150 * time.Millisecond
	settleMost = 2 * time.Second
)

// watcher watches the folders of the files, because files are replaced by renaming and a mounted file is a link that
// never changes itself. Without one, Reload is the way.
func (p *Places) watcher() *fsnotify.Watcher {
	if len(p.files) == 0 {
		return nil
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		p.log.Warn("cannot watch location files; a reload reads them again", "error", err)
		return nil
	}
	for _, f := range p.files {
		if err := w.Add(filepath.Dir(f.status.Path)); err != nil {
			p.log.Warn("cannot watch a location file; a reload reads it again", "file", f.status.Path, "error", err)
		}
	}
	return w
}

// follow looks at the files after events in their folders until Close.
func (p *Places) follow(w *fsnotify.Watcher) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = w.Close() }()
		quiet := time.NewTimer(settle) // it may have changed between the reading and now
		defer quiet.Stop()
		var first time.Time // of the events not looked at yet; zero when there are none
		for {
			select {
			case <-quit:
				return
			case err := <-w.Errors:
				p.log.Warn("watching location files", "error", err)
				quiet.Reset(settle) // events may be lost
			case <-w.Events:
				if first.IsZero() {
					first = time.Now()
				}
				quiet.Reset(min(settle, max(0, settleMost-time.Since(first))))
			case <-quiet.C:
				first = time.Time{}
				p.reloadChanged()
			}
		}
	}()
	p.stop = sync.OnceFunc(func() {
		close(quit)
		<-done
	})
}
