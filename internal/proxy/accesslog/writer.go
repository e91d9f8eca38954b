package accesslog

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"
)

// writer is the file's side. One goroutine uses it.
type writer struct {
	name   string
	to     io.Writer
	file   *os.File // nil: to is not ours
	torn   bool     // the last line was written in part
	looked time.Time
	moaned time.Time
	logger *slog.Logger
}

// run writes until Close.
func (l *Log) run() {
	defer close(l.done)
	tick := time.NewTicker(turn)
	defer tick.Stop()
	for {
		select {
		case p := <-l.full:
			l.put(p)
		case now := <-tick.C:
			l.sweep()
			if now.Sub(l.writer.looked) >= lookAfter {
				l.writer.looked = now
				l.writer.follow()
			}
		case <-l.reopen:
			l.sweep()
			l.writer.again()
		case <-l.quit:
			l.sweep()
			l.writer.close()
			return
		}
	}
}

// sweep writes all that has been added before, in pages that are not full yet too. Each shard's lines stay in order.
func (l *Log) sweep() {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		if s.page != nil {
			l.full <- s.page // never blocks: it has room for all pages there are
			s.page = nil
		}
		s.mu.Unlock()
	}
	for range len(l.full) {
		l.put(<-l.full)
	}
}

// put writes a page and sets it free.
func (l *Log) put(p *page) {
	lost := l.writer.write(p.text)
	l.written.Add(p.lines - lost)
	l.dropped.Add(lost)
	if cap(p.text) > 2*pageSize { // a very long line was in it
		p.text = make([]byte, 0, pageSize+pageSize/8)
	}
	p.text, p.lines = p.text[:0], 0
	l.free <- p // never blocks: it has room for all pages there are
}

// write returns how many lines were lost. What follows a line that was cut begins on a line of its own.
func (w *writer) write(text []byte) (lost uint64) {
	if w.torn {
		if n, err := w.to.Write([]byte{'\n'}); n != 1 || err != nil {
			return w.lost(text, err)
		}
		w.torn = false
	}
	n, err := w.to.Write(text)
	if err == nil && n >= len(text) {
		return 0
	}
	n = min(max(n, 0), len(text))
	w.torn = n > 0 && text[n-1] != '\n'
	return w.lost(text[n:], err)
}

func (w *writer) lost(text []byte, err error) uint64 {
	if w.mayMoan() {
		w.logger.Warn("cannot write the access log; lines are lost", "file", w.name, "error", err)
	}
	return uint64(bytes.Count(text, []byte{'\n'})) //nolint:gosec // a count
}

// mayMoan keeps complaints about the file apart.
func (w *writer) mayMoan() bool {
	now := time.Now()
	if !w.moaned.IsZero() && now.Sub(w.moaned) < complain {
		return false
	}
	w.moaned = now
	return true
}

// follow opens the file anew when its name belongs to another one, or to none: a rotation that tells nobody.
func (w *writer) follow() {
	if w.file == nil {
		return
	}
	there, err := os.Stat(w.name)
	mine, mineErr := w.file.Stat()
	if errors.Is(err, os.ErrNotExist) || err == nil && mineErr == nil && !os.SameFile(there, mine) {
		w.again()
	}
}

func (w *writer) again() {
	if w.name == "" {
		return
	}
	f, err := open(w.name)
	if err != nil {
		if w.mayMoan() {
			w.logger.Warn("cannot open the access log anew; the old file is written on", "file", w.name, "error", err)
		}
		return
	}
	w.close()
	w.file, w.to, w.torn = f, f, false
}

func (w *writer) close() {
	if w.file != nil {
		_ = w.file.Close() // every write was looked at
	}
}
