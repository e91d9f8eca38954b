// Package lastgood is the small log a node serves from after a restart, before the store is up: the newest record per
// key, appended off the decision path, compacted into a new file by rename.
//
// It knows nothing of what the records mean. Losing the newest records costs freshness, never correctness: what is read
// from here is served marked stale until the store confirms it. A torn tail is cut, a file that cannot be read at all
// is as if absent.
//
// One record is one line: CRC-32C of the rest as eight hex digits, a blank, {"k":key,"v":value} (no v: deleted).
// The first line is the header with the format version.
package lastgood

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const header = "jurymast last-good 1\n"

// slack is how many bytes of superseded records are kept before the log is compacted.
const slack = 256 << 10

// batch is how long changes are gathered before they are written.
const batch = 50 * time.Millisecond

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type line struct {
	Key   string          `json:"k"`
	Value json.RawMessage `json:"v,omitempty"`
}

// Log is an open log. Put never blocks; one goroutine writes.
type Log struct {
	path   string
	logger *slog.Logger

	mu      sync.Mutex
	pending map[string]json.RawMessage
	wake    chan struct{}
	done    chan struct{}
	closed  bool

	// Only the writer uses these.
	file *os.File
	live map[string]json.RawMessage
	size int64
	kept int64 // bytes of live records
	torn bool  // some live record is not on disk
}

// Open reads the log and starts its writer. A damaged file is reported to logger and read as far as it goes.
func Open(path string, logger *slog.Logger) (*Log, map[string]json.RawMessage, error) {
	live, good, err := read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		logger.Warn("last-good log cannot be read to its end; what was read is used", "path", path, "records", len(live), "error", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("last-good log %s: %w; the data directory must be writable", path, err)
	}
	l := &Log{
		path: path, logger: logger, pending: map[string]json.RawMessage{}, wake: make(chan struct{}, 1), done: make(chan struct{}),
		file: f, live: live, size: good,
	}
	for k, v := range live {
		l.kept += int64(len(encode(k, v)))
	}
	if err := l.cutTail(good); err != nil {
		_ = f.Close()
		return nil, nil, fmt.Errorf("last-good log %s: %w", path, err)
	}
	go l.write()
	return l, maps.Clone(live), nil
}

// Read returns the newest records without opening the log for more; of a damaged file, what can be read.
func Read(path string) map[string]json.RawMessage {
	live, _, _ := read(path) // Open says what is wrong with it
	return live
}

// read returns the newest records and how many bytes of the file are good.
func read(path string) (map[string]json.RawMessage, int64, error) {
	live := map[string]json.RawMessage{}
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return live, 0, err
	}
	rest, ok := bytes.CutPrefix(data, []byte(header))
	if !ok {
		return live, 0, errors.New("not a last-good log of this version")
	}
	good := int64(len(header))
	for len(rest) > 0 {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return live, good, errors.New("torn last record")
		}
		rec, err := decode(rest[:end])
		if err != nil {
			return live, good, err
		}
		if rec.Value == nil {
			delete(live, rec.Key)
		} else {
			live[rec.Key] = rec.Value
		}
		good += int64(end) + 1
		rest = rest[end+1:]
	}
	return live, good, nil
}

func decode(text []byte) (line, error) {
	var rec line
	if len(text) < 9 || text[8] != ' ' {
		return rec, errors.New("record without checksum")
	}
	sum, err := hex.DecodeString(string(text[:8]))
	if err != nil || !bytes.Equal(sum, checksum(text[9:])) {
		return rec, errors.New("record with a wrong checksum")
	}
	return rec, json.Unmarshal(text[9:], &rec)
}

func encode(key string, value json.RawMessage) []byte {
	body, err := json.Marshal(line{key, value})
	if err != nil {
		return nil // a value that is no JSON is not kept
	}
	out := make([]byte, 0, len(body)+10)
	out = hex.AppendEncode(out, checksum(body))
	out = append(out, ' ')
	return append(append(out, body...), '\n')
}

func checksum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, castagnoli))
}

func (l *Log) cutTail(good int64) error {
	if good == 0 {
		if err := l.file.Truncate(0); err != nil {
			return err
		}
		if _, err := l.file.WriteAt([]byte(header), 0); err != nil {
			return err
		}
		good = int64(len(header))
	}
	l.size = good
	return l.file.Truncate(good)
}

// Put queues the newest record of a key; a nil value forgets the key. Only the newest of several is written.
func (l *Log) Put(key string, value json.RawMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return // a late record of a node that stops
	}
	l.pending[key] = value
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close writes what is queued, at most for wait, and ends the writer.
func (l *Log) Close(wait time.Duration) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.wake)
	l.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-l.done:
		return nil
	case <-timer.C:
		return fmt.Errorf("last-good log %s: the disk did not answer within %v", l.path, wait)
	}
}

func (l *Log) write() {
	defer close(l.done)
	defer func() { _ = l.file.Close() }()
	for range l.wake {
		time.Sleep(batch)
		l.flush()
	}
	l.flush()
}

// flush appends what is queued and compacts when too much is superseded. An error costs freshness only: the records
// stay live and are written by the next compaction that succeeds.
func (l *Log) flush() {
	l.mu.Lock()
	pending := l.pending
	l.pending = map[string]json.RawMessage{}
	l.mu.Unlock()
	var out []byte
	for _, k := range slices.Sorted(maps.Keys(pending)) {
		v := pending[k]
		if bytes.Equal(l.live[k], v) {
			continue
		}
		if old, ok := l.live[k]; ok {
			l.kept -= int64(len(encode(k, old)))
		}
		rec := encode(k, v)
		out = append(out, rec...)
		if v == nil {
			delete(l.live, k)
			continue
		}
		l.live[k] = v
		l.kept += int64(len(rec))
	}
	if len(out) == 0 && !l.torn {
		return
	}
	var err error
	if !l.torn {
		err = l.append(out)
	}
	if l.torn || err != nil || l.size > 2*l.kept+slack {
		err = l.compact()
	}
	if l.torn = err != nil; l.torn {
		l.logger.Warn("last-good log not written; a restart would serve older state until the store is up", "path", l.path, "error", err)
	}
}

func (l *Log) append(out []byte) error {
	if _, err := l.file.WriteAt(out, l.size); err != nil {
		return err
	}
	l.size += int64(len(out))
	return l.file.Sync()
}

// compact writes the live records into a new file and puts it in the old one's place.
func (l *Log) compact() error {
	tmp := l.path + ".new"
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	size, err := l.dump(f)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, l.path)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(tmp)
		return err
	}
	_ = l.file.Close()
	l.file, l.size = f, size
	return syncDir(filepath.Dir(l.path))
}

func (l *Log) dump(f *os.File) (int64, error) {
	w := bufio.NewWriter(f)
	size := int64(len(header))
	if _, err := w.WriteString(header); err != nil {
		return 0, err
	}
	for _, k := range slices.Sorted(maps.Keys(l.live)) {
		rec := encode(k, l.live[k])
		size += int64(len(rec))
		if _, err := w.Write(rec); err != nil {
			return 0, err
		}
	}
	return size, w.Flush()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}
