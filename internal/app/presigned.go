package app

import (
	"fmt"
	"time"
)

// presignWait is how long the node waits at most, from its start, until what its zones answer is signed. Afterwards what
// is missing is signed when somebody asks.
const presignWait = 10 * time.Second

// unsignedZones are those the node waits for.
func (a *App) unsignedZones() (why []string) {
	if time.Since(a.started) >= presignWait {
		return nil
	}
	names := a.dns.Unsigned()
	for i, name := range names {
		if i == maxWaiting {
			return append(why, fmt.Sprintf("and %d more zones", len(names)-i))
		}
		why = append(why, fmt.Sprintf("zone %s: its answers are being signed for the first time", name))
	}
	return why
}
