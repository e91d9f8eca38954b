package nameserver

import (
	"os"
	"strconv"
	"strings"
	"time"
)

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
