package nameserver

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ownThread is the number of the calling thread, which is pinned to a processor if that is not negative.
func ownThread(cpu int) (id int64, err error) {
	if cpu >= 0 {
		var set unix.CPUSet
		set.Set(cpu)
		err = os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &set))
	}
	return int64(unix.Gettid()), err
}

// threadTime is the processor time one thread of ours has used.
func threadTime(id int) (used time.Duration, known bool) {
	text, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(id) + "/schedstat")
	if err != nil {
		return 0, false
	}
	first, _, _ := strings.Cut(string(text), " ")
	ns, err := strconv.ParseInt(first, 10, 64)
	return time.Duration(ns), err == nil
}
