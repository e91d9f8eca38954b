package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// live is a server that answers.
type live struct {
	*server
	dir       string
	port, api int
	world     world
	cmd       *exec.Cmd
	pid       int
	took      time.Duration // from the start to the first right answer for the first and the last name
}

// start writes the configuration, starts the server alone on its core and waits until it answers.
func (b *bench) start(s *server, w world) (l *live, err error) {
	l = &live{server: s, world: w}
	if l.dir, err = os.MkdirTemp(b.dir, s.name+"-"); err != nil {
		return nil, err
	}
	if l.port, err = freePort(); err != nil {
		return nil, err
	}
	if l.api, err = freePort(); err != nil {
		return nil, err
	}
	if err := l.configure(); err != nil {
		return nil, err
	}
	path, err := s.path()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(l.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	args := append([]string{"-c", strconv.Itoa(b.ServerCore), path}, s.args(l.dir, l.port, w)...)
	l.cmd = exec.CommandContext(b.ctx, "taskset", args...) //nolint:gosec // the program that was found
	l.cmd.Cancel = func() error { return l.cmd.Process.Signal(syscall.SIGTERM) }
	l.cmd.WaitDelay = 5 * time.Second
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	l.cmd.Stdout, l.cmd.Stderr, l.cmd.Dir = log, log, l.dir
	l.cmd.Env = os.Environ()
	if s.env != nil {
		l.cmd.Env = append(l.cmd.Env, s.env(b)...)
	}
	began := time.Now()
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	l.pid = l.cmd.Process.Pid // taskset becomes the server
	if err := l.await(b.ctx, 3*time.Minute); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w; it said: %s", s.name, err, tail(log.Name())), l.stop())
	}
	l.took = time.Since(began)
	return l, nil
}

// configure writes the files; each replaces its predecessor at once.
func (l *live) configure() error {
	for _, f := range l.files(l.dir, l.port, l.api, l.world) {
		path := filepath.Join(l.dir, f.name)
		if strings.HasSuffix(f.name, "/") {
			if err := os.MkdirAll(path, 0o750); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(path+".new", f.text, 0o600); err != nil {
			return err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return err
		}
	}
	return nil
}

// await asks for the first and the last name until both have an answer.
func (l *live) await(ctx context.Context, within time.Duration) error {
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		_, first := ask(l.port, name(0), 1)
		_, last := ask(l.port, name(l.world.names-1), 1)
		switch {
		case first == nil && last == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(end):
			return fmt.Errorf("no answer within %v: %w", within, errors.Join(first, last))
		case zombie(l.pid):
			return errors.New("it ended")
		}
	}
}

// stop ends the server and removes its folder.
func (l *live) stop() error {
	_ = l.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	stuck := time.AfterFunc(10*time.Second, func() { _ = l.cmd.Process.Kill() })
	_ = l.cmd.Wait() // how a server ends is not what is measured
	stuck.Stop()
	return os.RemoveAll(l.dir)
}

// cpu is the user and system time so far of the server and of those it forked, in nanosecond steps: the kernel's clock of
// each process, which knows threads that have ended, too.
func (l *live) cpu() (time.Duration, error) {
	sum := time.Duration(0)
	for _, pid := range family(l.pid) {
		var ts unix.Timespec
		clock := int32(^pid<<3 | 2) //nolint:gosec // CPUCLOCK_SCHED of a process, see clock_getcpuclockid(3)
		if err := unix.ClockGettime(clock, &ts); err != nil {
			return 0, fmt.Errorf("CPU clock of process %d of %s: %w", pid, l.name, err)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum, nil
}

// family is a process and everything below it.
func family(pid int) []int {
	all := []int{pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		text, err := os.ReadFile(t)
		if err != nil {
			continue // the thread has ended
		}
		for child := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(child); err == nil {
				all = append(all, family(n)...)
			}
		}
	}
	return all
}

func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(after, "Z")
}

// pin binds this process, thread by thread, to a core; later threads and processes inherit it.
func pin(core int) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(core)
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("core %d: %w", core, err)
		}
	}
	return nil
}

// freePort finds a port that is free for UDP and TCP; it is taken a moment later.
func freePort() (int, error) {
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
		if err != nil {
			return 0, err
		}
		a, _ := l.Addr().(*net.TCPAddr)
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: a.IP, Port: a.Port})
		l.Close()
		if err == nil {
			_ = u.Close()
			return a.Port, nil
		}
	}
	return 0, errors.New("no port is free for both UDP and TCP on 127.0.0.1")
}

// tail is the end of a log, for a message.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-800):]))
}

// memory is what the server holds resident, in MiB, those it forked included.
func (l *live) memory() float64 {
	sum := 0.0
	for _, pid := range family(l.pid) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "VmRSS:" {
				kib, _ := strconv.ParseFloat(f[1], 64)
				sum += kib / 1024
			}
		}
	}
	return sum
}

// settle waits until a server that has just started does nothing of its own any more, at most 20 s: what it does then
// is no cost of an answer.
func (b *bench) settle(l *live) error {
	for range 20 {
		u, err := b.spent(l, func() error { return b.sleep(time.Second) })
		if err != nil || u.cpu < u.wall/10 {
			return err
		}
	}
	return nil
}

// userHZ is the unit of /proc/stat in all of Linux' user space.
const userHZ = 100

// coreBusy is how long a core has not been idle since the machine began, in steps of 10 ms.
func coreBusy(core int) (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 9 || f[0] != fmt.Sprintf("cpu%d", core) {
			continue
		}
		sum := 0
		for _, i := range []int{1, 2, 3, 6, 7, 8} { // user, nice, system, irq, softirq, steal; neither idle nor iowait
			n, err := strconv.Atoi(f[i])
			if err != nil {
				return 0, fmt.Errorf("/proc/stat: %w", err)
			}
			sum += n
		}
		return time.Duration(sum) * time.Second / userHZ, nil
	}
	return 0, fmt.Errorf("/proc/stat: no core %d", core)
}
