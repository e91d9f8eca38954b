//go:build interop && linux

package app_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jurymast/internal/testbed"
)

// TestInteropFullDisk: with not a byte free the node fails over, and a restart answers what was decided, stale.
func TestInteropFullDisk(t *testing.T) {
	s := newSite(t)
	disk := testbed.Mount(t, "-t", "tmpfs", "-o", "size=160m", "tmpfs")
	s.data = filepath.Join(disk, "data")
	s.failback = "{mode: manual}"
	s.up()
	ballast := filepath.Join(disk, "ballast")
	testbed.Fill(t, ballast)
	failsOverWithoutDisk(t, s)
	_, epoch := s.decision()

	must(t, os.Remove(ballast))
	decisionIsStored(t, s, "us21", epoch)

	testbed.Fill(t, ballast)
	s.node.kill()
	began := time.Now()
	s.startNode()
	eventually(t, 5*time.Second, "DNS answers", func() bool { return s.ask() == "127.0.0.12" })
	t.Logf("on a full disk the first answer comes %v after the start", time.Since(began).Round(time.Millisecond))
	if got := s.browse(); got != "US21" {
		t.Errorf("the proxy answers %q", got)
	}
	eventually(t, 5*time.Second, "status shows the alarm", func() bool { return len(s.nodeStatus().Alarms) > 0 })
	// No store in this life at all, and still nobody is left waiting.
	s.restartPrimary()
	eventually(t, 10*time.Second, "the primary is seen", func() bool { return s.status().Endpoints[0].Real == "up" })
	s.usTenant.kill()
	s.awaitActive(10*time.Second, "eu20")
	if got := s.browse(); got != "EU20" {
		t.Errorf("the proxy answers %q", got)
	}
	_, alone := s.decision()
	if alone <= epoch {
		t.Errorf("epoch %d after %d", alone, epoch)
	}
	s.node.stop(20 * time.Second)
	s.startNode()
	eventually(t, 5*time.Second, "DNS answers after an orderly stop as well", func() bool { return s.ask() != "" })
	must(t, os.Remove(ballast))
	s.awaitReady(20 * time.Second)
	eventually(t, 10*time.Second, "the living one is active", func() bool { return s.active() == "eu20" })
	if _, e := s.decision(); e < alone {
		t.Errorf("epoch %d after %d", e, alone)
	}
}

// TestInteropFrozenDisk: writes that never end stop no failover.
func TestInteropFrozenDisk(t *testing.T) {
	s := newSite(t)
	image := filepath.Join(t.TempDir(), "image")
	for _, args := range [][]string{{"truncate", "-s", "256M", image}, {"mkfs.ext4", "-q", "-F", image}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	disk := testbed.Mount(t, "-o", "loop", image)
	s.data = filepath.Join(disk, "data")
	s.failback = "{mode: manual}"
	s.up()
	root, err := os.Open(disk)
	must(t, err)
	const freeze, thaw = 0xC0045877, 0xC0045878 // FIFREEZE, FITHAW of linux/fs.h
	must(t, unix.IoctlSetInt(int(root.Fd()), freeze, 0))
	frozen := true
	melt := func() {
		if frozen {
			frozen = false
			must(t, unix.IoctlSetInt(int(root.Fd()), thaw, 0))
			must(t, root.Close())
		}
	}
	t.Cleanup(melt) // before the node is ended: a process that waits for a frozen disk cannot die
	failsOverWithoutDisk(t, s)
	_, epoch := s.decision()
	melt()
	decisionIsStored(t, s, "us21", epoch)
}
