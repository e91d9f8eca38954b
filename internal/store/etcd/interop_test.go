//go:build interop && linux

package etcd_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jurymast/internal/store"
	"jurymast/internal/store/etcd"
	"jurymast/internal/testbed"
)

func commitUntilRefused(t *testing.T, s *etcd.Store) (acked []string) {
	t.Helper()
	for i := range 5000 {
		key := "/k/" + strconv.Itoa(i)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		begin := time.Now()
		_, _, err := s.Commit(ctx, nil, []store.Op{store.Put(key, make([]byte, 20_000))})
		cancel()
		if d := time.Since(begin); d > 3*time.Second {
			t.Fatalf("a commit with a deadline of 2 s took %v: %v", d, err)
		}
		if err != nil {
			if !errors.Is(err, store.ErrUnavailable) {
				t.Fatal(err)
			}
			t.Logf("after %d commits: %v", i, err)
			return acked
		}
		acked = append(acked, key)
	}
	t.Fatal("the disk does not become full")
	return nil
}

func allThere(t *testing.T, s *etcd.Store, keys []string) {
	t.Helper()
	for _, k := range keys {
		if _, ok, err := s.Get(t.Context(), k); !ok || err != nil {
			t.Fatalf("acknowledged key %s: %v %v", k, ok, err)
		}
	}
}

// TestInteropDiskFullGuarded: with the guard the store refuses, lives on and works again as soon as there is space.
func TestInteropDiskFullGuarded(t *testing.T) {
	disk := testbed.Mount(t, "-t", "tmpfs", "-o", "size=120m", "tmpfs")
	s := open(t, etcd.Options{Dir: filepath.Join(disk, "data")})
	acked := commitUntilRefused(t, s)
	select {
	case <-s.Failed():
		t.Fatal(s.FailedBecause())
	default:
	}
	allThere(t, s, acked)
	ballast := filepath.Join(disk, "ballast")
	must(t, unix.Mount("", disk, "", unix.MS_REMOUNT, "size=400m"))
	time.Sleep(100 * time.Millisecond)
	must(t, put(t.Context(), s, "/again"))
	testbed.Fill(t, ballast)
	time.Sleep(100 * time.Millisecond)
	if err := put(t.Context(), s, "/full"); !errors.Is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
	must(t, os.Remove(ballast))
	time.Sleep(100 * time.Millisecond)
	must(t, put(t.Context(), s, "/again"))
}

// TestInteropDiskFullUnguarded: without the guard etcd dies of ENOSPC, the process does not, and the store can be opened
// again in it when there is space.
func TestInteropDiskFullUnguarded(t *testing.T) {
	disk := testbed.Mount(t, "-t", "tmpfs", "-o", "size=200m", "tmpfs")
	opts := etcd.Options{Dir: filepath.Join(disk, "data"), MinFree: -1}
	s := open(t, opts)
	must(t, put(t.Context(), s, "/a"))
	ballast := filepath.Join(disk, "ballast")
	testbed.Fill(t, ballast)
	acked := commitUntilRefused(t, s)
	select {
	case <-s.Failed():
		t.Log(s.FailedBecause())
	case <-time.After(10 * time.Second):
		t.Fatal("the store does not say that it has failed")
	}
	must(t, s.Close())
	if _, err := tryOpen(t, etcd.Options{Dir: opts.Dir}); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("opened on a full disk: %v", err)
	}
	must(t, os.Remove(ballast))
	s = open(t, opts)
	allThere(t, s, append(acked, "/a"))
	must(t, put(t.Context(), s, "/again"))
}

// TestInteropStalledDisk freezes the file system below a store: calls keep their deadlines, and after the thaw the same
// store goes on.
func TestInteropStalledDisk(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	for _, args := range [][]string{
		{"truncate", "-s", "256M", image},
		{"mkfs.ext4", "-q", "-F", image},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	disk := testbed.Mount(t, "-o", "loop", image)
	opts := etcd.Options{Dir: filepath.Join(disk, "data"), CloseTimeout: 2 * time.Second}
	s, err := tryOpen(t, opts)
	must(t, err)
	must(t, put(t.Context(), s, "/a"))

	root, err := os.Open(disk)
	must(t, err)
	defer func() { _ = root.Close() }()
	const freeze, thaw = 0xC0045877, 0xC0045878 // FIFREEZE, FITHAW of linux/fs.h
	must(t, unix.IoctlSetInt(int(root.Fd()), freeze, 0))
	thawed := false
	unfreeze := func() {
		if !thawed {
			thawed = true
			must(t, unix.IoctlSetInt(int(root.Fd()), thaw, 0))
		}
	}
	defer unfreeze()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		begin := time.Now()
		err := put(ctx, s, "/b")
		cancel()
		if d := time.Since(begin); !errors.Is(err, store.ErrUnavailable) || d > 1500*time.Millisecond {
			t.Fatalf("commit on a frozen disk after %v: %v", d, err)
		}
	}
	unfreeze()
	must(t, put(t.Context(), s, "/c"))
	allThere(t, s, []string{"/a", "/c"})

	// A store that is closed while the disk hangs keeps its directory: its last write may still come.
	must(t, unix.IoctlSetInt(int(root.Fd()), freeze, 0))
	thawed = false
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := put(ctx, s, "/d"); !errors.Is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := s.Close(); !errors.Is(err, store.ErrUnavailable) || time.Since(begin) > 3*time.Second {
		t.Fatalf("close on a frozen disk after %v: %v", time.Since(begin), err)
	}
	if _, err := tryOpen(t, opts); !errors.Is(err, etcd.ErrDir) {
		t.Fatalf("open on a frozen disk: %v", err)
	}
	unfreeze()
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		s, err := tryOpen(t, opts)
		if err == nil {
			allThere(t, s, []string{"/a", "/c"})
			must(t, s.Close())
			return
		}
		if time.Since(begin) > 5*time.Second {
			t.Fatal(err)
		}
	}
}
