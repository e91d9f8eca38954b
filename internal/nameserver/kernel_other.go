//go:build !linux

package nameserver

import "time"

func socketDrops(int) (drops uint64, known bool) { return 0, false }

func threadTime(int) (used time.Duration, known bool) { return 0, false }
