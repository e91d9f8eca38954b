//go:build linux

package app_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a child of a test; it never outlives it.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	out  *output // what it says: standard output and error together
	done chan struct{}
	err  error // how it ended; read after done
}

// output grows while somebody reads it. Through a pipe, not into a file: a limit on the size of files is for the
// node's own.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs this test binary in a role.
func start(t *testing.T, name, role string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(os.Args[0], args...), out: &output{}, done: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), roleVar+"="+role), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	// The death signal comes when the thread that started it ends; the runtime keeps the threads of a test alive.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGCONT)
		p.kill()
		if t.Failed() {
			text := p.out.String()
			t.Logf("%s said:\n%s", name, text[max(0, len(text)-8000):])
		}
	})
	return p
}

func (p *process) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("signal %v to %s: %v", s, p.name, err)
	}
}

// kill is kill -9.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// stop asks it to end and demands that it does, with exit code 0.
func (p *process) stop(within time.Duration) {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if err := p.ended(within); err != nil {
		p.t.Errorf("%s ended with %v", p.name, err)
	}
}

// ended waits for the end and says how it was.
func (p *process) ended(within time.Duration) error {
	p.t.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(within):
		p.t.Fatalf("%s has not ended within %v", p.name, within)
		return nil
	}
}

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) said(text string) bool { return strings.Contains(p.out.String(), text) }

// eventually polls until ok holds and returns how long that took.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Since(began) > within {
			t.Fatalf("not within %v: %s", within, what)
		}
		<-tick.C
	}
	return time.Since(began)
}

// never watches that bad does not happen for a while.
func never(t *testing.T, span time.Duration, what string, bad func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(span); time.Now().Before(end); <-tick.C {
		if bad() {
			t.Fatal(what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
