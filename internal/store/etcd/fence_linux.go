package etcd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fence cuts a server that cannot be stopped off from its files. Its locks are released and each of its descriptors
// below the directory becomes a read-only /dev/null: the number stays taken, so nothing else can be hit by a late
// write, and every late write fails. The caller makes sure that the server's goroutines are at rest or dead.
func fence(d *dirLock) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer func() { _ = null.Close() }()
	const fds = "/proc/self/fd"
	entries, err := os.ReadDir(fds)
	if err != nil {
		return fmt.Errorf("list open files: %w", err)
	}
	var errs []error
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd == int(d.f.Fd()) {
			continue
		}
		target, err := os.Readlink(filepath.Join(fds, e.Name()))
		if err != nil || !strings.HasPrefix(target, filepath.Join(d.path, "member")) {
			continue
		}
		// The memory map of the database keeps its open file, and so its lock, alive beyond the descriptor.
		err = unix.Flock(fd, unix.LOCK_UN)
		err = errors.Join(err, unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", target, err))
		}
	}
	return errors.Join(errs...)
}
