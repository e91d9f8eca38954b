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
	"syscall"
	"time"

	"jurymast/bench/side"
)

// live is a proxy that answers.
type live struct {
	*proxy
	world
	cmd    *exec.Cmd
	pid    int
	family []int // pid and those it forked
}

// start writes the configuration, starts the proxy alone on its core and waits until it answers every host.
func (b *bench) start(p *proxy) (l *live, err error) {
	l = &live{proxy: p, world: world{origins: b.rig.ports, connections: max(b.Connections, 600)}}
	if l.dir, err = os.MkdirTemp(b.dir, "proxy-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(l.dir, 0o755); err != nil { //nolint:gosec // nginx's worker is another user when root starts it
		return nil, err
	}
	for _, port := range []*int{&l.port, &l.admin} {
		if *port, err = side.FreePort(); err != nil {
			return nil, err
		}
	}
	for _, f := range p.config(l.world) {
		if err := os.WriteFile(filepath.Join(l.dir, f.name), f.text, 0o600); err != nil {
			return nil, err
		}
	}
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(l.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	args := append([]string{"-c", strconv.Itoa(b.ProxyCore), path}, p.args(l.dir, l.port)...)
	starter := "taskset"
	if b.prompt {
		starter, args = "chrt", append([]string{"-r", "1", "taskset"}, args...)
	}
	l.cmd = exec.CommandContext(b.ctx, starter, args...) //nolint:gosec // the program that was found
	l.cmd.Cancel = func() error { return l.cmd.Process.Signal(syscall.SIGTERM) }
	l.cmd.WaitDelay = 5 * time.Second
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	l.cmd.Stdout, l.cmd.Stderr, l.cmd.Dir = log, log, l.dir
	l.cmd.Env = append(os.Environ(), p.env...)
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	l.pid = l.cmd.Process.Pid // taskset becomes the proxy
	if err := l.await(b.ctx, time.Minute); err != nil {
		said := side.Tail(log.Name()) + side.Tail(filepath.Join(l.dir, "error.log"))
		return nil, errors.Join(fmt.Errorf("%s: %w; it said: %s", p.name, err, said), l.stop())
	}
	if err := b.greet(l); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", p.name, err), l.stop())
	}
	l.family = side.Family(l.pid)
	return l, nil
}

// await waits until the port is open.
func (l *live) await(ctx context.Context, within time.Duration) error {
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", l.port))
		if err == nil {
			return c.Close()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(end):
			return fmt.Errorf("no connection within %v: %w", within, err)
		case side.Ended(l.pid):
			return errors.New("it ended")
		}
	}
}

// greet asks each host once until all answer, at most for 20 s: a proxy may know its origins later than its port.
func (b *bench) greet(l *live) (err error) {
	for range 100 {
		if err = b.once(l, hosts, nil); err == nil {
			return nil
		}
		if err := b.sleep(200 * time.Millisecond); err != nil {
			return err
		}
	}
	return err
}

// once makes connections with one small request each; while they are still open it calls f.
func (b *bench) once(l *live, connections int, f func() error) error {
	if f == nil {
		f = func() error { return nil }
	}
	_, err := b.rig.run(b.ctx, l.port, plan{verb: verbGet, connections: connections, once: true, stop: f})
	return err
}

// stop ends the proxy and removes its folder.
func (l *live) stop() error {
	_ = l.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	stuck := time.AfterFunc(10*time.Second, func() { _ = l.cmd.Process.Kill() })
	_ = l.cmd.Wait() // how a proxy ends is not what is measured
	stuck.Stop()
	return os.RemoveAll(l.dir)
}

// sleep waits, unless the run is given up.
func (b *bench) sleep(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
}
