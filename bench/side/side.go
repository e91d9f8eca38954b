// Package side is what benchmarks share that set programs against each other side by side: the CPU time and memory of a process,
// cores, medians over pairs of runs, latencies. It never starts, loads or judges anything itself.
package side

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the user and system time so far of a process and of those it forked, in nanosecond steps: the kernel's clock of
// each process, which knows threads that have ended, too.
func CPU(pid int) (time.Duration, error) {
	sum := time.Duration(0)
	for _, p := range Family(pid) {
		d, err := cpuOf(p)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// CPUOf is the same of processes that are known and fork no more; it allocates nothing.
func CPUOf(pids []int) (sum time.Duration, err error) {
	for _, p := range pids {
		d, err := cpuOf(p)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

func cpuOf(pid int) (time.Duration, error) {
	var ts unix.Timespec
	clock := int32(^pid<<3 | 2) //nolint:gosec // CPUCLOCK_SCHED of a process, see clock_getcpuclockid(3)
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// User is the user time alone, in steps of 10 ms, of processes that are known.
func User(pids []int) (sum time.Duration, err error) {
	for _, p := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			return 0, err
		}
		_, after, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(after)
		if len(f) < 12 {
			return 0, fmt.Errorf("/proc/%d/stat: %q", p, text)
		}
		ticks, err := strconv.Atoi(f[11]) // utime, field 14 of proc_pid_stat(5)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ticks) * time.Second / userHZ
	}
	return sum, nil
}

// Family is a process and everything below it.
func Family(pid int) []int {
	all := []int{pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		text, err := os.ReadFile(t)
		if err != nil {
			continue // the thread has ended
		}
		for child := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(child); err == nil {
				all = append(all, Family(n)...)
			}
		}
	}
	return all
}

// Memory is what a process and those it forked hold resident, in MiB.
func Memory(pid int) float64 {
	sum := 0.0
	for _, p := range Family(pid) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
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

// Ended tells whether a process is gone or waits to be collected.
func Ended(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(after, "Z")
}

// Pin binds this process, thread by thread, to a core; later threads and processes inherit it.
func Pin(core int) error {
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

// FreePort finds a port that is free for UDP and TCP on 127.0.0.1; it is taken a moment later.
func FreePort() (int, error) {
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

// Tail is the end of a log, for a message.
func Tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-800):]))
}

// userHZ is the unit of /proc/stat in all of Linux' user space.
const userHZ = 100

// CoreBusy is how long a core has not been idle since the machine began, in steps of 10 ms.
func CoreBusy(core int) (time.Duration, error) {
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

// Machine is where figures come from.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Kernel    string `json:"kernel"`
	Go        string `json:"go"`
	Load      string `json:"load"` // of the machine when it began, over 1, 5 and 15 minutes
}

// Here describes this machine.
func Here() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Processor: processor(), Kernel: kernel()}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	return m
}

func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, Linux %s, %s, load average %s", m.Processor, m.Cores, m.Kernel, m.Go, m.Load)
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(strings.TrimSpace(name), "\t: ")
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
