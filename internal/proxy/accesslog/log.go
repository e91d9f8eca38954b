package accesslog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pageSize  = 64 << 10              // bytes handed to the writer at once, and written at once
	maxPages  = 128                   // 8 MiB of lines wait for a slow disk at most
	maxShards = 32                    // so that every shard has several pages
	turn      = 50 * time.Millisecond // a line waits in memory for so long at most, when the disk is fast
	lookAfter = time.Second           // between two looks at the file's name
	complain  = time.Minute           // between two complaints about the file
)

// Options of a Log.
type Options struct {
	File       string    // opened for appending; "": Out
	Out        io.Writer // where there is no file
	Sample     int       // one request in so many, at random; 0 and 1: every one
	Errors     bool      // every request that did not get a good answer, whatever Sample says
	PlainQuery bool      // queries as they are, not hashed
	Node       string    // this node's name; "": not written
	Logger     *slog.Logger
}

// Log writes lines. A nil Log wants none. Make it with Open and end it with Close.
type Log struct {
	o      Options
	sample uint32
	mask   uint32
	shards []shard
	clock  clock

	full chan *page // to the writer
	free chan *page
	made atomic.Int32 // pages there are

	written, dropped atomic.Uint64

	reopen, quit, done chan struct{}
	stop               sync.Once
	writer             writer
}

// page is a piece of the log: whole lines.
type page struct {
	text  []byte
	lines uint64
}

// shard is where some connections put their lines. The lock is held while a line is rendered, less than a microsecond,
// and never for a system call.
type shard struct {
	mu   sync.Mutex
	page *page // nil: none yet
	_    [48]byte
}

// Open opens the file, or says what is wrong with it, and begins to write.
func Open(o Options) (*Log, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	n := uint32(1)
	for n < maxShards && n < uint32(runtime.GOMAXPROCS(0)) { //nolint:gosec // a number of processors
		n *= 2
	}
	l := &Log{
		o: o, sample: uint32(max(o.Sample, 1)), mask: n - 1, shards: make([]shard, n), //nolint:gosec // at most a million
		full: make(chan *page, maxPages), free: make(chan *page, maxPages),
		reopen: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	l.writer = writer{name: o.File, to: o.Out, logger: o.Logger, looked: time.Now()}
	if o.File != "" {
		f, err := open(o.File)
		if err != nil {
			return nil, err
		}
		l.writer.file, l.writer.to = f, f
	}
	go l.run()
	return l, nil
}

func open(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) //nolint:gosec // the operator's own file names it; log readers are a group
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return f, nil
}

// Wants reports that a request that ended like this is to be written. It is cheap, and asked before anything is
// gathered for a Record. One request is asked about once: the sample is drawn here.
func (l *Log) Wants(reason string, status int) bool {
	switch {
	case l == nil:
		return false
	case l.sample == 1, l.o.Errors && Failed(reason, status):
		return true
	}
	return rand.Uint32N(l.sample) == 0 //nolint:gosec // which requests are written is no secret
}

// Failed reports an end that is not the origin's good answer: a reason outside O*, or a status of 500 and above.
func Failed(reason string, status int) bool {
	return reason == "" || reason[0] != 'O' || status >= 500
}

// Add writes one request. It never blocks for the disk and does not allocate. Connections that choose different shards
// do not meet here; any number will do.
func (l *Log) Add(shard uint32, r *Record) {
	s := &l.shards[shard&l.mask]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.page == nil {
		if s.page = l.fresh(); s.page == nil {
			l.dropped.Add(1)
			return
		}
	}
	s.page.text = l.line(s.page.text, r)
	s.page.lines++
	if len(s.page.text) >= pageSize {
		l.full <- s.page // never blocks: it has room for all pages there are
		s.page = nil
	}
}

// fresh is an empty page, nil when all are full.
func (l *Log) fresh() *page {
	select {
	case p := <-l.free:
		return p
	default:
	}
	if l.made.Add(1) > maxPages {
		l.made.Add(-1)
		return nil
	}
	return &page{text: make([]byte, 0, pageSize+pageSize/8)}
}

// Reopen makes the writer open the file anew, for programs that rotate logs. It returns at once.
func (l *Log) Reopen() {
	if l == nil {
		return
	}
	select {
	case l.reopen <- struct{}{}:
	default:
	}
}

// Written is how many lines have been written, Dropped how many were lost because the disk was slower than the requests
// or refused them.
func (l *Log) Written() uint64 {
	if l == nil {
		return 0
	}
	return l.written.Load()
}

// Dropped is described at Written.
func (l *Log) Dropped() uint64 {
	if l == nil {
		return 0
	}
	return l.dropped.Load()
}

// Close writes what is left and closes the file. Lines that come later are lost, so the requests must have ended. When
// the disk does not take the rest until ctx ends, Close says so.
func (l *Log) Close(ctx context.Context) error {
	if l == nil {
		return nil
	}
	l.stop.Do(func() { close(l.quit) })
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("access log: the last lines are not written: %w", context.Cause(ctx))
	}
}
