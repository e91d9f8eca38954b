package nameserver

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// socketDrops is how many packets the kernel has dropped at the socket because its buffer was full.
func socketDrops(fd int) (drops uint64, known bool) {
	// SO_MEMINFO fills in nine 32-bit numbers of which the drops are the last. The library has no call for it, but one for
	// an option whose structure is longer and has its field Lost at that place, bytes 32 to 35.
	info, err := unix.GetsockoptTCPInfo(fd, unix.SOL_SOCKET, unix.SO_MEMINFO)
	if err != nil {
		return 0, false
	}
	return uint64(info.Lost), true
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
