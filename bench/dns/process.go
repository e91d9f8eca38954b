package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"jurymast/bench/side"
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
	if l.port, err = side.FreePort(); err != nil {
		return nil, err
	}
	if l.api, err = side.FreePort(); err != nil {
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
		return nil, errors.Join(fmt.Errorf("%s: %w; it said: %s", s.name, err, side.Tail(log.Name())), l.stop())
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
		case side.Ended(l.pid):
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
