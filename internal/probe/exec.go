package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"jurymast/internal/profile"
)

const (
	outputLimit = 1 << 10 // bytes of a program's output that are kept
	// addressMark stands in Spec.Program for the address that is known only when the probe runs. No argument can hold
	// a NUL byte, so nothing an operator writes looks like it.
	addressMark = "\x00address\x00"
	// pipeWait is how long a probe waits for the output of processes that outlived their killed parent's group.
	pipeWait = 100 * time.Millisecond
)

// maxPrograms is how many programs run at once in this process: processes cost far more than connections.
const maxPrograms = 64

var running = make(chan struct{}, maxPrograms)

// environment is all that a program is given.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}

// program fills in the program and its arguments.
func (s *Spec) program(p *profile.Profile, e *profile.Endpoint, m *profile.Monitor, n *Node) error {
	var argv []string
	ok := false
	if n.Programs != nil {
		argv, ok = n.Programs(m.Exec)
	}
	if !ok || len(argv) == 0 {
		return fmt.Errorf("monitor.exec %q is not in this node's node.exec; add it there, because shared documents only name programs", m.Exec)
	}
	target := e.Target.Host
	if target == "" && len(e.Target.Addrs) > 0 {
		target = e.Target.Addrs[0]
	}
	words := map[string]string{
		"{endpoint}": e.Name, "{profile}": p.Name, "{target}": target, "{origin}": e.Origin, "{address}": addressMark,
	}
	s.Program = []string{argv[0]}
	for _, arg := range argv[1:] {
		filled, err := fill(arg, words)
		if err != nil {
			return err
		}
		s.Program = append(s.Program, filled)
	}
	return nil
}

// fill replaces the placeholders of one argument in one pass: what was filled in is not looked at again.
func fill(arg string, words map[string]string) (string, error) {
	var pairs []string
	for placeholder, value := range words {
		if placeholder != "{address}" && strings.Contains(value, "\x00") {
			return "", fmt.Errorf("%s holds a NUL byte, which no argument can", placeholder)
		}
		if strings.HasPrefix(arg, placeholder) && strings.HasPrefix(value, "-") {
			return "", fmt.Errorf("%s is %q and would be read as an option of the program; rename it", placeholder, value)
		}
		pairs = append(pairs, placeholder, value)
	}
	return strings.NewReplacer(pairs...).Replace(arg), nil
}

// confidential are parts of option names whose values are masked wherever the program repeats them.
var confidential = []string{"password", "passwd", "secret", "token", "key"}

// confidences are the values of such options.
func confidences(argv []string) (values []string) {
	next := false
	for _, arg := range argv {
		if next && !strings.HasPrefix(arg, "-") {
			values = append(values, arg)
		}
		name, value, joined := strings.Cut(arg, "=")
		named := strings.HasPrefix(name, "-") && slices.ContainsFunc(confidential, func(word string) bool {
			return strings.Contains(strings.ToLower(name), word)
		})
		if next = named && !joined; named && joined {
			values = append(values, value)
		}
	}
	return values
}

// command is the program as text, confidences masked.
func (s *Spec) command(argv []string) string {
	return s.masker().line(strings.ReplaceAll(strings.Join(argv, " "), addressMark, "{address}"))
}

// exec runs the program: exit 0 within the timeout is success. No shell reads the arguments.
func (r *run) exec(ctx context.Context) *failure {
	argv, f := r.argv(ctx)
	if f != nil {
		return f
	}
	select {
	case running <- struct{}{}:
		defer func() { <-running }()
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return failed(ClassCancelled, "cancelled")
		}
		return failed(ClassLocal, "%d programs of other checks ran on this node for %s; it was not started", maxPrograms, r.after())
	}
	out := &output{}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // node.exec names the program, nobody else
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = environment, "/", out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipeWait
	if err := cmd.Start(); err != nil {
		class := ClassExec
		if local(err) || errors.Is(err, syscall.EAGAIN) {
			class = ClassLocal
		}
		f := r.broke(ctx, err, class, "start "+argv[0], "starting the program")
		r.phase(PhaseRequest, f.reason)
		return f
	}
	r.phase(PhaseRequest, r.spec.command(argv))
	err := cmd.Wait()
	// Children it left behind; usually there are none. The number cannot belong to another group yet: numbers are given
	// out in a circle.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	f = r.exited(ctx, cmd.ProcessState, err, out.text())
	if f != nil {
		r.phase(PhaseRule, "failed: "+f.reason)
		return f
	}
	r.phase(PhaseRule, r.seen)
	return nil
}

// argv fills in the address, which is looked up only when an argument wants it.
func (r *run) argv(ctx context.Context) ([]string, *failure) {
	argv := slices.Clone(r.spec.Program)
	if !slices.ContainsFunc(argv, func(arg string) bool { return strings.Contains(arg, addressMark) }) {
		return argv, nil
	}
	addrs, f := r.resolve(ctx)
	if f == nil && len(addrs) == 0 {
		f = failed(ClassResolve, "resolve %s: no address", strings.Join(r.spec.Targets, " "))
	}
	if f != nil {
		r.phase(PhaseResolve, f.reason)
		return nil, f
	}
	r.addr = addrs[0].String()
	for i := range argv {
		argv[i] = strings.ReplaceAll(argv[i], addressMark, r.addr)
	}
	return argv, nil
}

// exited judges how the program ended.
func (r *run) exited(ctx context.Context, state *os.ProcessState, err error, said string) *failure {
	if said != "" {
		said = ": " + said
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return failed(ClassCancelled, "cancelled")
	case state == nil:
		return failed(ClassExec, "%s%s", cause(err), said)
	case state.Success():
		r.seen = "exit 0" + said
		return nil
	case ctx.Err() != nil:
		return failed(ClassTimeout, "timeout after %s, the program was killed%s", r.after(), said)
	case state.Exited():
		return failed(ClassExec, "exit %d%s", state.ExitCode(), said)
	default:
		return failed(ClassExec, "%s%s", state, said)
	}
}

// output keeps the start of what a program says and swallows the rest.
type output struct {
	mu   sync.Mutex
	kept []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, p[:min(len(p), outputLimit-len(o.kept))]...)
	return len(p), nil
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(string(o.kept))
}
