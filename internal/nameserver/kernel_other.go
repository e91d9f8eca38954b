//go:build !linux

package nameserver

import "time"

func ownThread(int) (id int64, err error) { return 0, nil }

func threadTime(int) (used time.Duration, known bool) { return 0, false }
