package secondary

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
)

// A zone on disk is one file: a line with the format, a line of JSON with what is known about it, its records, and the
// SHA-256 of all that. The time of its last change is when a primary last confirmed it. It is replaced as a whole.
const (
	diskFormat = "jurymast secondary zone 1\n"
	diskSuffix = ".zone"
)

// kept is the line of JSON.
type kept struct {
	Zone    string    `json:"zone"`
	Serial  uint32    `json:"serial"`
	Records int       `json:"records"`
	Primary string    `json:"primary"`
	At      time.Time `json:"transferred"`
	Digest  Digest    `json:"zonemd"`
}

// fileOf is the name of a zone's file: any name is one, and no two share one.
func fileOf(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := wire.Lower(name[i]); {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() > 200 {
		sum := sha256.Sum256([]byte(name))
		return hex.EncodeToString(sum[:]) + diskSuffix
	}
	return b.String() + diskSuffix
}

// save replaces the file of a zone.
func save(dir string, c *Content, k kept, confirmed time.Time) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, fileOf(c.Zone))
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(path + ".new")
		}
	}()
	if err := write(f, c, k); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Chtimes(path+".new", confirmed, confirmed); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func write(to io.Writer, c *Content, k kept) error {
	sum := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(to, sum), 1<<16)
	head, err := json.Marshal(k)
	if err != nil {
		return err
	}
	put := func(parts ...[]byte) {
		for _, p := range parts {
			_, _ = w.Write(p) // Flush tells
		}
	}
	put([]byte(diskFormat), head, []byte{'\n'})
	var last *zone.Owner
	var fixed [9]byte
	for _, r := range c.Records {
		if r.Owner == last {
			put([]byte{0})
		} else {
			put([]byte{byte(len(r.Owner.Name))}, r.Owner.Name) //nolint:gosec // at most 255
			last = r.Owner
		}
		binary.BigEndian.PutUint16(fixed[:], r.Type)
		binary.BigEndian.PutUint32(fixed[2:], r.TTL)
		binary.BigEndian.PutUint16(fixed[6:], uint16(len(r.Data))) //nolint:gosec // a record's data
		put(fixed[:8], r.Data)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = to.Write(sum.Sum(nil))
	return err
}

// errDamaged says that a file is not what was written.
var errDamaged = errors.New("it is damaged")

// load reads the file of a zone. confirmed is when a primary last confirmed it.
func load(dir, name string) (c *Content, k kept, confirmed time.Time, err error) {
	f, err := os.Open(filepath.Join(dir, fileOf(name)))
	if err != nil {
		return nil, k, confirmed, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, k, confirmed, err
	}
	if info.Size() > 2<<30 {
		return nil, k, confirmed, errDamaged
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, k, confirmed, err
	}
	c, k, err = read(text, name, sha256.New())
	return c, k, info.ModTime(), err
}

func read(text []byte, name string, sum hash.Hash) (*Content, kept, error) {
	var k kept
	if len(text) < sum.Size() {
		return nil, k, errDamaged
	}
	text, end := text[:len(text)-sum.Size()], text[len(text)-sum.Size():]
	_, _ = sum.Write(text) // a hash takes everything
	rest, ok := bytes.CutPrefix(text, []byte(diskFormat))
	head, rest, two := bytes.Cut(rest, []byte{'\n'})
	if !bytes.Equal(sum.Sum(nil), end) || !ok || !two || json.Unmarshal(head, &k) != nil || k.Zone != name {
		return nil, k, errDamaged
	}
	records := make([]zone.Record, 0, min(max(k.Records, 0), 1<<20))
	var owner *zone.Owner
	for len(rest) > 0 {
		n := int(rest[0])
		if rest = rest[1:]; len(rest) < n+8 {
			return nil, k, errDamaged
		}
		if n > 0 {
			owner, rest = zone.NewOwner(slices.Clone(rest[:n])), rest[n:]
		}
		size := int(binary.BigEndian.Uint16(rest[6:]))
		if owner == nil || len(rest) < 8+size {
			return nil, k, errDamaged
		}
		records = append(records, zone.Record{
			Owner: owner, Type: binary.BigEndian.Uint16(rest), TTL: binary.BigEndian.Uint32(rest[2:]), Data: slices.Clone(rest[8 : 8+size]),
		})
		rest = rest[8+size:]
	}
	c, err := contentOf(name, records, Check{ZONEMD: profile.ZONEMDOff})
	if err != nil {
		return nil, k, err
	}
	c.Digest = k.Digest
	return c, k, nil
}
