package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Cable is two network namespaces joined by a virtual cable, each with eth0 and lo: the server's has the addresses
// 192.0.2.1 and 2001:db8::1, the client's 192.0.2.9 and 2001:db8::9.
type Cable struct {
	Server, Client string // names of the namespaces
}

var cables atomic.Int64

// NewCable lays a cable that is gone with the test. It needs root; without it, or where the kernel refuses, the test is
// skipped, see Refused.
func NewCable(t *testing.T) *Cable {
	t.Helper()
	if os.Getuid() != 0 {
		NeedsRoot(t, "network namespaces")
	}
	n := fmt.Sprintf("%d-%d", os.Getpid(), cables.Add(1))
	c := &Cable{Server: "jms" + n, Client: "jmc" + n}
	if out, err := shell("ip netns add " + c.Server); err != nil {
		Refused(t, fmt.Errorf("ip netns add: %w: %s", err, out))
	}
	t.Cleanup(func() { Shell(t, "ip netns del "+c.Server+"; ip netns del "+c.Client) })
	Shell(t, strings.NewReplacer("$S", c.Server, "$C", c.Client).Replace(`ip netns add $C
		ip link add eth0 netns $S type veth peer name eth0 netns $C
		for n in $S $C; do ip -n $n link set lo up; ip -n $n link set eth0 up; done
		ip -n $S addr add 192.0.2.1/24 dev eth0; ip -n $C addr add 192.0.2.9/24 dev eth0
		ip -n $S addr add 2001:db8::1/64 dev eth0 nodad; ip -n $C addr add 2001:db8::9/64 dev eth0 nodad`))
	return c
}

// Within runs f on a thread inside a network namespace. Sockets it opens stay there.
func Within(t *testing.T, namespace string, f func() error) {
	t.Helper()
	if err := Inside(namespace, f); err != nil {
		t.Fatal(err)
	}
}

// Inside is Within for other goroutines than the test's.
func Inside(namespace string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		file, err := os.Open("/run/netns/" + namespace)
		if err == nil {
			defer func() { _ = file.Close() }()
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// Shell runs commands, which must work within ten seconds, and returns what they say.
func Shell(t *testing.T, commands string) string {
	t.Helper()
	out, err := shell(commands)
	if err != nil {
		t.Fatalf("%s: %v: %s", commands, err, out)
	}
	return out
}

func shell(commands string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "sh", "-ec", commands).CombinedOutput() //nolint:gosec // a test's own commands
	return string(out), err
}

// NeedsRoot skips a test that this user may not run, or fails it where interop tests must not be left out.
func NeedsRoot(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("JURYMAST_INTEROP") == "strict" {
		t.Fatalf("%s: run as root", what)
	}
	t.Skipf("%s: run as root", what)
}

// Refused skips a test, loudly, when the kernel or the box around it does not allow what it needs, and fails it for
// every other error.
func Refused(t *testing.T, err error) {
	t.Helper()
	for _, no := range []error{unix.EPERM, unix.EACCES, unix.ENOSYS, unix.EOPNOTSUPP} {
		if errors.Is(err, no) || strings.Contains(err.Error(), no.Error()) {
			fmt.Fprintf(os.Stderr, "\n*** %s: LEFT OUT, the kernel refuses: %v\n", t.Name(), err)
			t.Skip(err)
		}
	}
	t.Fatal(err)
}
