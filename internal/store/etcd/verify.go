package etcd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
)

// checkWhole is the largest database whose every page is checked before it is opened (about 0.3 s); of a larger
// one the frame only: its two headers, its size and its top level.
const checkWhole = 64 << 20

// verify reads database and log before etcd does and changes nothing: on damage etcd panics in goroutines where
// nobody can catch it.
func verify(path string) error {
	db := filepath.Join(path, "member", "snap", "db")
	logs := filepath.Join(path, "member", "wal")
	const remedy = "is damaged: restore the data directory from a backup, or move it away to begin with an empty store"
	haveLog := wal.Exist(logs)
	size, err := fileSize(db)
	switch {
	case errors.Is(err, fs.ErrNotExist) && haveLog:
		return refuse(db, "is missing although its log exists: restore the data directory from a backup, or move it away to begin with an empty store", err)
	case errors.Is(err, fs.ErrNotExist):
		return nil // stopped before its first start was complete
	case err != nil:
		return refuse(db, "cannot be read: check its permissions", err)
	}
	// A crash in the very first moment leaves a database without a page in it, and no log: etcd begins anew.
	if size > 0 || haveLog {
		if err := caught(func() error { return verifyDB(db, size) }); err != nil {
			return refuse(db, remedy, err)
		}
	}
	if haveLog {
		if err := caught(func() error { return verifyLog(logs) }); err != nil {
			return refuse(logs, remedy, err)
		}
	}
	return nil
}

func fileSize(path string) (int64, error) {
	st, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// caught turns a panic of f into an error, a fault in mapped memory included.
func caught(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it cannot be read: %v", r)
		}
	}()
	return f()
}

func verifyDB(path string, size int64) (err error) {
	if size == 0 {
		return errors.New("the file is empty")
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > size {
			return fmt.Errorf("the file has %d bytes, its header speaks of %d", size, tx.Size())
		}
		if size > checkWhole {
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
				b.Cursor().First()
				return nil
			})
		}
		// bbolt's own check is more thorough, but on many kinds of damage it panics in a goroutine of its own.
		if err := tx.ForEach(walkBucket); err != nil {
			return err
		}
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = err
			}
		}
		return first
	})
}

// walkBucket reads every page of a bucket: keys must ascend, and must be found again from the top.
func walkBucket(name []byte, b *bbolt.Bucket) error {
	var last []byte
	seek := b.Cursor()
	return b.ForEach(func(k, _ []byte) error {
		if last != nil && bytes.Compare(last, k) >= 0 {
			return fmt.Errorf("bucket %q: key %x follows %x", name, k, last)
		}
		if found, _ := seek.Seek(k); !bytes.Equal(found, k) {
			return fmt.Errorf("bucket %q: key %x is listed but not found", name, k)
		}
		last = k
		return nil
	})
}

// verifyLog checks every record's checksum. A last record that was cut off is no damage: it was never acknowledged.
func verifyLog(dir string) error {
	hook := &lastWords{}
	lg := zap.New(zap.NewNop().Core(), zap.WithFatalHook(hook), zap.WithPanicHook(hook))
	err := errors.New("it cannot be read")
	done := make(chan struct{})
	go func() { // the logger's hook ends the goroutine
		defer close(done)
		err = caught(func() error {
			snaps, err := wal.ValidSnapshotEntries(lg, dir)
			if err != nil {
				return err
			}
			from := &walpb.Snapshot{}
			if len(snaps) > 0 {
				from = snaps[len(snaps)-1]
			}
			_, err = wal.Verify(lg, dir, from)
			return err
		})
	}()
	<-done
	return err
}
