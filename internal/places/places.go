package places

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"jurymast/internal/geo"
)

// maxFile is the largest file that is read, in bytes: today's largest databases have 0.1 to 0.2 GiB.
const maxFile = 1 << 30

// Kind is what a file holds.
type Kind string

// The kinds of files.
const (
	KindDatabase Kind = "location database"
	KindLatency  Kind = "latency table"
)

// Options say which files to read. An empty path is no such file.
type Options struct {
	Database string       // MaxMind format, in the style of GeoLite2-City or -Country
	Latency  string       // CSV, see geo.ParseTable
	Logger   *slog.Logger // nil is silent

	// Changed is called after a file was read again, whether it was good or not; never by Open. It must not block.
	Changed func()
}

// FileStatus is one file as status shows it.
type FileStatus struct {
	Path     string
	Kind     Kind
	Type     string    // of a database, as it calls itself: GeoLite2-City
	Built    time.Time // when a database was made, zero for a table
	Modified time.Time // of the file in force
	Records  int       // different records of a database, prefixes of a table
	Fault    string    // why the file as it is now is not used and an older reading is in force; "" is good
}

// Places answers where clients are. Its methods may be called at any time by anyone, also after Close.
type Places struct {
	o   Options
	log *slog.Logger

	database atomic.Pointer[database]
	latency  atomic.Pointer[geo.Table]

	mu    sync.Mutex // one reload at a time; guards files
	files []*file

	stop func()
}

// file is what is known about one of the files.
type file struct {
	status FileStatus
	seen   os.FileInfo // as it was when it was read last, well or not; nil when it was missing
	load   func(content []byte, into *FileStatus) error
}

// Open reads the files and watches their folders. A missing or broken file is an error here; later a broken one leaves
// the earlier reading in force.
func Open(o Options) (*Places, error) {
	p := &Places{o: o, log: o.Logger, stop: func() {}}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if o.Database != "" {
		p.files = append(p.files, &file{status: FileStatus{Path: o.Database, Kind: KindDatabase}, load: p.loadDatabase})
	}
	if o.Latency != "" {
		p.files = append(p.files, &file{status: FileStatus{Path: o.Latency, Kind: KindLatency}, load: p.loadLatency})
	}
	watcher := p.watcher() // before the files are read, so that no change is missed
	var errs []error
	for _, f := range p.files {
		errs = append(errs, f.read())
	}
	if err := errors.Join(errs...); err != nil {
		if watcher != nil {
			_ = watcher.Close()
		}
		return nil, err
	}
	if watcher != nil {
		p.follow(watcher)
	}
	return p, nil
}

// Close ends the watching. The last tables stay in force.
func (p *Places) Close() { p.stop() }

// Place is where a client is; the zero Place when nobody knows. It neither locks nor allocates.
func (p *Places) Place(a netip.Addr) geo.Place { return p.database.Load().place(a) }

// Row is what the latency table says about a client; nil when it says nothing. It neither locks nor allocates.
func (p *Places) Row(a netip.Addr) *geo.Row { return p.latency.Load().Find(a) }

// Table is the latency table in force, nil without one.
func (p *Places) Table() *geo.Table { return p.latency.Load() }

// Status lists the files in the order database, latency table.
func (p *Places) Status() []FileStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]FileStatus, 0, len(p.files))
	for _, f := range p.files {
		out = append(out, f.status)
	}
	return out
}

// Reload reads all files again, changed or not. Each good one takes its place at once; the error tells of the others.
func (p *Places) Reload() error {
	p.mu.Lock()
	var errs []error
	for _, f := range p.files {
		errs = append(errs, p.again(f))
	}
	p.mu.Unlock()
	if p.o.Changed != nil {
		p.o.Changed()
	}
	return errors.Join(errs...)
}

// reloadChanged reads what is another file than the one read last.
func (p *Places) reloadChanged() {
	p.mu.Lock()
	looked := false
	for _, f := range p.files {
		if f.changed() {
			looked = true
			_ = p.again(f) // logged and kept for Status
		}
	}
	p.mu.Unlock()
	if looked && p.o.Changed != nil {
		p.o.Changed()
	}
}

// again reads one file and says what became of it. The lock is held.
func (p *Places) again(f *file) error {
	was := f.status.Fault
	err := f.read()
	switch {
	case err == nil:
		p.log.Info("file read again", "kind", f.status.Kind, "file", f.status.Path, "records", f.status.Records, "built", f.status.Built)
	case f.status.Fault != was:
		p.log.Error("file refused; the earlier one stays in force", "kind", f.status.Kind, "file", f.status.Path, "error", err)
	}
	return err
}

// read loads the file. When it fails, only seen and the fault change.
func (f *file) read() error {
	content, info, err := readFile(f.status.Path)
	f.seen = info
	next := FileStatus{Path: f.status.Path, Kind: f.status.Kind}
	if err == nil {
		next.Modified = info.ModTime()
		err = f.load(content, &next)
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w; %s", f.status.Kind, f.status.Path, err, remedy(f.status.Kind))
		f.status.Fault = err.Error()
		return err
	}
	f.status = next
	return nil
}

func remedy(k Kind) string {
	if k == KindDatabase {
		return "put a complete database in the style of GeoLite2-City or GeoLite2-Country there (.mmdb, unpacked)"
	}
	return "put a CSV file there with lines prefix,region,ms"
}

// readFile reads a whole file. The information is from before the reading: a file that changes meanwhile is seen as
// changed. It is nil only when there is no file.
func readFile(path string) ([]byte, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for a writer
		return nil, info, errors.New("this is no regular file")
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = r.Close() }()
	if info, err = r.Stat(); err != nil {
		return nil, nil, err
	}
	if info.Size() > maxFile {
		return nil, info, fmt.Errorf("%d bytes; at most %d are read", info.Size(), maxFile)
	}
	content := make([]byte, info.Size()) // exactly, because it is kept
	if _, err = io.ReadFull(r, content); err != nil {
		return nil, info, fmt.Errorf("shorter while it was read than before: %w", err)
	}
	return content, info, nil
}

// changed tells whether the file is another one than the one read last.
func (f *file) changed() bool {
	info, err := os.Stat(f.status.Path)
	if err != nil || f.seen == nil {
		return (err == nil) != (f.seen != nil)
	}
	return !os.SameFile(info, f.seen) || !info.ModTime().Equal(f.seen.ModTime()) || info.Size() != f.seen.Size()
}

func (p *Places) loadDatabase(content []byte, into *FileStatus) error {
	db, err := openDatabase(content)
	if err != nil {
		return err
	}
	into.Type, into.Built, into.Records = db.reader.Metadata.DatabaseType, db.reader.Metadata.BuildTime().UTC(), len(db.records)
	p.database.Store(db) // from here nothing can fail
	return nil
}

func (p *Places) loadLatency(content []byte, into *FileStatus) error {
	table, err := geo.ParseTable(bytes.NewReader(content))
	if err != nil {
		return err
	}
	into.Records = table.Len()
	p.latency.Store(table)
	return nil
}
