package querylog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	turn       = 50 * time.Millisecond // between two looks at the rings
	lookAfter  = time.Second           // between two looks at the file's name, and at watches that are over
	complain   = time.Minute           // between two complaints about the file
	maxWatched = 16
	maxBuffer  = 64 << 10 // bytes written at once

	// MaxWatch is how long a profile may be watched.
	MaxWatch = 24 * time.Hour
)

// Options of a Log.
type Options struct {
	File   string    // opened for appending; "": Out
	Out    io.Writer // where there is no file
	Sample int       // one in so many; 0: none
	Errors bool      // everything that failed, at most 100 a second of each loop
	Full   bool      // whole addresses of clients, also in client subnets
	Logger *slog.Logger
}

// Log writes what the loops have seen. Make it with Open, run Run.
type Log struct {
	o     Options
	rules atomic.Pointer[rules]

	written, failed atomic.Uint64

	mu    sync.Mutex // guards loops, and changing the rules
	loops []*Loop

	file   *os.File // the writer's alone, as is what follows; nil: Out
	buf    []byte
	looked time.Time
	moaned time.Time
	reopen chan struct{}
}

// Open opens the file, or says what is wrong with it.
func Open(o Options) (*Log, error) {
	l := &Log{o: o, reopen: make(chan struct{}, 1), looked: time.Now()}
	if l.o.Logger == nil {
		l.o.Logger = slog.New(slog.DiscardHandler)
	}
	l.rules.Store(&rules{errors: o.Errors, sample: uint32(max(o.Sample, 0))}) //nolint:gosec // at most a million
	if o.File == "" {
		return l, nil
	}
	var err error
	l.file, err = open(o.File)
	return l, err
}

func open(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) //nolint:gosec // the operator's own file names it; log readers are a group
	if err != nil {
		return nil, fmt.Errorf("query log: %w", err)
	}
	return f, nil
}

// Loop is for one more loop.
func (l *Log) Loop() *Loop {
	one := newLoop(&l.rules)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loops = append(l.loops, one)
	return one
}

// ErrTooMany is what Watch says when enough profiles are watched already.
var ErrTooMany = fmt.Errorf("%d profiles are watched already; end one of them first", maxWatched)

// Watch writes everything of one profile until then; a time that is over ends it.
func (l *Log) Watch(profile string, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	watch := maps.Clone(l.rules.Load().watch)
	if watch == nil {
		watch = map[string]time.Time{}
	}
	watch[profile] = until
	maps.DeleteFunc(watch, func(_ string, end time.Time) bool { return !end.After(now) })
	if len(watch) > maxWatched {
		return ErrTooMany
	}
	l.use(watch)
	return nil
}

// use makes a set of watches the one in force. It needs mu.
func (l *Log) use(watch map[string]time.Time) {
	r := *l.rules.Load()
	if r.watch = watch; len(watch) == 0 {
		r.watch = nil
	}
	l.rules.Store(&r)
}

// Watched are the profiles of which everything is written, and until when.
func (l *Log) Watched() map[string]time.Time {
	now := time.Now()
	watch := maps.Clone(l.rules.Load().watch)
	maps.DeleteFunc(watch, func(_ string, end time.Time) bool { return !end.After(now) })
	return watch
}

// Reopen makes the writer open the file anew, for programs that rotate logs. It returns at once.
func (l *Log) Reopen() {
	select {
	case l.reopen <- struct{}{}:
	default:
	}
}

// Run writes until stop is closed, and what is left then.
func (l *Log) Run(stop <-chan struct{}) {
	tick := time.NewTicker(turn)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			l.empty()
			if l.file != nil {
				_ = l.file.Close() // every write was looked at
			}
			return
		case <-l.reopen:
			l.empty()
			l.again()
		case now := <-tick.C:
			l.empty()
			if now.Sub(l.looked) >= lookAfter {
				l.looked = now
				l.expire(now)
				l.follow()
			}
		}
	}
}

// empty writes what is in the rings.
func (l *Log) empty() {
	l.mu.Lock()
	loops := slices.Clip(l.loops)
	l.mu.Unlock()
	lines := uint64(0)
	for _, loop := range loops {
		loop.ring.Drain(func(e *entry) {
			l.buf = e.line(l.buf, l.o.Full)
			if lines++; len(l.buf) >= maxBuffer {
				l.flush(lines)
				lines = 0
			}
		})
	}
	l.flush(lines)
}

func (l *Log) flush(lines uint64) {
	if lines == 0 {
		return
	}
	w := l.o.Out
	if l.file != nil {
		w = l.file
	}
	_, err := w.Write(l.buf)
	l.buf = l.buf[:0]
	if err != nil {
		l.failed.Add(lines)
		if l.mayMoan() {
			l.o.Logger.Warn("cannot write the query log; lines are lost", "file", l.o.File, "error", err)
		}
		return
	}
	l.written.Add(lines)
}

// mayMoan keeps complaints about the file apart.
func (l *Log) mayMoan() bool {
	now := time.Now()
	if !l.moaned.IsZero() && now.Sub(l.moaned) < complain {
		return false
	}
	l.moaned = now
	return true
}

// expire ends watches that are over.
func (l *Log) expire(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	watch := maps.Clone(l.rules.Load().watch)
	before := len(watch)
	maps.DeleteFunc(watch, func(_ string, end time.Time) bool { return !end.After(now) })
	if len(watch) < before {
		l.use(watch)
	}
}

// follow opens the file anew when its name belongs to another one, or to none.
func (l *Log) follow() {
	if l.file == nil {
		return
	}
	there, err := os.Stat(l.o.File)
	mine, mineErr := l.file.Stat()
	if errors.Is(err, os.ErrNotExist) || err == nil && mineErr == nil && !os.SameFile(there, mine) {
		l.again()
	}
}

func (l *Log) again() {
	if l.o.File == "" {
		return
	}
	f, err := open(l.o.File)
	if err != nil {
		if l.mayMoan() {
			l.o.Logger.Warn("cannot open the query log anew; the old file is written on", "file", l.o.File, "error", err)
		}
		return
	}
	if l.file != nil {
		_ = l.file.Close() // every write was looked at
	}
	l.file = f
}

var linesDesc = prometheus.NewDesc("jurymast_dns_log_lines_total",
	"Questions for the query log: written, dropped (the writer was slower than the questions), limited (errors beyond 100 a second and loop), failed (the file could not be written).", []string{"what"}, nil)

// Describe is prometheus.Collector's.
func (l *Log) Describe(to chan<- *prometheus.Desc) { to <- linesDesc }

// Collect is prometheus.Collector's.
func (l *Log) Collect(to chan<- prometheus.Metric) {
	dropped, limited := uint64(0), uint64(0)
	l.mu.Lock()
	for _, loop := range l.loops {
		dropped += loop.lost.Load()
		limited += loop.limited.Load()
	}
	l.mu.Unlock()
	for what, n := range map[string]uint64{"written": l.written.Load(), "dropped": dropped, "limited": limited, "failed": l.failed.Load()} {
		to <- prometheus.MustNewConstMetric(linesDesc, prometheus.CounterValue, float64(n), what)
	}
}
