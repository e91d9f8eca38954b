//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"jurymast/internal/nameserver/xdp"
)

const (
	serverCore, clientCore = 0, 1
	serverNS, clientNS     = "jmbench-s", "jmbench-c"
	serverDev, clientDev   = "jms0", "jmc0"

	clientSleep = 50 * time.Microsecond // between polls of the client's end, so that core 0 need not wake it
)

var serverIP, clientIP = netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")

// rig is the cable with what hangs on it.
type rig struct {
	s      *settings
	c      contender
	undo   []func() error
	seen   *ebpf.Map
	napi   int // thread of the server's end
	server *exec.Cmd
}

func newRig(s *settings, c contender) (g *rig, err error) {
	g = &rig{s: s, c: c}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	_ = command("ip netns del " + serverNS + "; ip netns del " + clientNS + " || true") // of a run that was killed
	g.undo = append(g.undo, func() error { return command("ip netns del " + serverNS + "; ip netns del " + clientNS) })
	if err := command(strings.NewReplacer("$S", serverNS, "$C", clientNS).Replace(`ip netns add $S; ip netns add $C
		ip link add jms0 netns $S numrxqueues 1 numtxqueues 1 type veth peer name jmc0 netns $C numrxqueues 1 numtxqueues 1
		ip -n $S link set jms0 address 02:00:00:00:00:01; ip -n $C link set jmc0 address 02:00:00:00:00:02
		ip -n $S addr add 10.77.0.1/24 dev jms0; ip -n $C addr add 10.77.0.2/24 dev jmc0
		ip -n $S link set lo up; ip -n $S link set jms0 up; ip -n $C link set jmc0 up
		ip -n $S neigh replace 10.77.0.2 lladdr 02:00:00:00:00:02 dev jms0 nud permanent`)); err != nil {
		return g, err
	}
	if err := errors.Join(within(serverNS, g.serverEnd), within(clientNS, g.clientEnd)); err != nil {
		return g, err
	}
	if g.napi, err = napiThread(serverNS, serverDev, serverCore); err != nil {
		return g, err
	}
	client, err := napiThread(clientNS, clientDev, clientCore)
	if err != nil {
		return g, err
	}
	// The client's end goes first on its core: what it cannot take would be lost behind the server.
	if err := errors.Join(sleeps(clientNS, clientDev, clientSleep), command(fmt.Sprintf("chrt -f -p 1 %d", client))); err != nil {
		return g, err
	}
	if c.even {
		err = sleeps(serverNS, serverDev, s.moderation)
	}
	if s.prefer {
		err = errors.Join(err, unix.Setpriority(unix.PRIO_PROCESS, g.napi, -20))
	}
	if err == nil && c.server != "" {
		err = g.serve()
	}
	return g, err
}

func (g *rig) close() error {
	var errs []error
	for _, undo := range slices.Backward(g.undo) {
		errs = append(errs, undo())
	}
	return errors.Join(errs...)
}

// serverEnd gets the table, or receives as a card without XDP does: through NAPI.
func (g *rig) serverEnd() error {
	i, err := net.InterfaceByName(serverDev)
	if err != nil || g.c.path == "socket" {
		return errors.Join(err, receiveOffload(serverDev))
	}
	table, err := xdp.Load(xdp.Options{Answers: g.s.names, Slots: 1, UDPSize: 1232, Addresses: []netip.Addr{serverIP}})
	if err != nil {
		return err
	}
	g.undo = append(g.undo, table.Close)
	if g.c.path == "xdp" {
		for n := range g.s.names {
			if err := table.Publish(wireName(n), 1, xdp.Answer{Records: record(n), Count: 1}); err != nil {
				return err
			}
		}
	}
	return table.Attach(i.Index)
}

func (g *rig) clientEnd() error {
	i, err := net.InterfaceByName(clientDev)
	if err != nil {
		return err
	}
	if g.seen, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 2}); err != nil {
		return err
	}
	g.undo = append(g.undo, g.seen.Close)
	p, err := ebpf.NewProgram(sink(g.seen))
	if err != nil {
		return err
	}
	g.undo = append(g.undo, p.Close)
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: i.Index, Flags: link.XDPDriverMode})
	if err != nil {
		return err
	}
	g.undo = append(g.undo, l.Close)
	return nil
}

// serve starts the server alone on its core and waits until it has bound.
func (g *rig) serve() error {
	dir, err := os.MkdirTemp("", "jmbench")
	if err != nil {
		return err
	}
	g.undo = append(g.undo, func() error { return os.RemoveAll(dir) })
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{exe, "bare"}
	if g.c.server == "jurymast" {
		path := filepath.Join(dir, "jurymast.yaml")
		if err := os.WriteFile(path, configuration(dir, g.s.names), 0o600); err != nil {
			return err
		}
		args = []string{g.s.jurymast, "serve", "-c", path}
	}
	cmd := exec.Command("ip", append([]string{"netns", "exec", serverNS, "taskset", "-c", strconv.Itoa(serverCore)}, args...)...) //nolint:gosec,noctx // what the flags say; ended by close
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return err
	}
	g.server = cmd // ip and taskset become the server
	g.undo = append(g.undo, func() error {
		err := cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // ended by our signal
		return err
	})
	for range 100 {
		time.Sleep(100 * time.Millisecond)
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/udp", cmd.Process.Pid))
		if err == nil && bytes.Contains(b, []byte(":0035 ")) {
			time.Sleep(time.Second) // past its start
			return nil
		}
	}
	return fmt.Errorf("%s does not listen; it said: %s", g.c.server, said.String())
}

// generator starts it in the client's namespace, on the client's core.
func (g *rig) generator(d time.Duration) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("ip", "netns", "exec", clientNS, "taskset", "-c", strconv.Itoa(clientCore), exe, "generate", //nolint:gosec,noctx // ourselves; ends by itself
		strconv.FormatInt(g.c.rate, 10), d.String(), strconv.Itoa(g.s.names), strconv.FormatBool(g.s.edns))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}

func command(line string) error {
	out, err := exec.Command("sh", "-ec", line).CombinedOutput() //nolint:gosec,noctx // written here, and short
	if err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return nil
}

// within runs f on a thread inside the namespace. The thread ends with it.
func within(namespace string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		file, err := os.Open("/run/netns/" + namespace)
		if err != nil {
			done <- err
			return
		}
		defer func() { _ = file.Close() }()
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// napiThread makes the device's receiving a thread of the core and returns it.
func napiThread(namespace, device string, core int) (int, error) {
	if err := command("ip netns exec " + namespace + " sh -c 'echo 1 > /sys/class/net/" + device + "/threaded'"); err != nil {
		return 0, err
	}
	for range 20 {
		time.Sleep(20 * time.Millisecond)
		threads, _ := filepath.Glob("/proc/[0-9]*/comm") // a good pattern
		for _, t := range threads {
			b, err := os.ReadFile(t)
			if err != nil || !strings.HasPrefix(string(b), "napi/"+device+"-") {
				continue
			}
			pid, err := strconv.Atoi(strings.Split(t, "/")[2])
			return pid, errors.Join(err, pin(pid, core))
		}
	}
	return 0, fmt.Errorf("%s has no NAPI thread", namespace)
}

// sleeps lets NAPI be polled by a timer instead of being woken by each packet.
func sleeps(namespace, device string, d time.Duration) error {
	return command(fmt.Sprintf("ip netns exec %s sh -ec 'cd /sys/class/net/%s; echo 1 > napi_defer_hard_irqs; echo %d > gro_flush_timeout'", namespace, device, d.Nanoseconds()))
}

func pin(pid, core int) error {
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(pid, &set); err != nil {
		return fmt.Errorf("pin %d to core %d: %w", pid, core, err)
	}
	return nil
}
