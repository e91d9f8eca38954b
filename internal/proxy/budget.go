package proxy

import (
	"sync"
	"time"
)

// budgetSeconds is the window over which repeated attempts are compared with exchanges.
const budgetSeconds = 10

// budgetFloor is the number of repeated attempts per second that is always allowed.
const budgetFloor = 10

// budget keeps repeated attempts from multiplying the load of an origin in trouble. Connect failures and moves at a
// switch do not use it: they put no load on anybody.
type budget struct {
	mu      sync.Mutex
	seconds [budgetSeconds]struct {
		at                 int64
		exchanges, retries int
	}
}

func (b *budget) exchange(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.slot(now.Unix())
	b.seconds[s].exchanges++
}

func (b *budget) slot(sec int64) int {
	i := int(sec % budgetSeconds)
	if b.seconds[i].at != sec {
		b.seconds[i].at, b.seconds[i].exchanges, b.seconds[i].retries = sec, 0, 0
	}
	return i
}

// allow takes one repeated attempt out of the budget, percent of the exchanges of the last ten seconds.
func (b *budget) allow(now time.Time, percent int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	sec := now.Unix()
	cur := b.slot(sec)
	exchanges, retries := 0, 0
	for _, s := range b.seconds {
		if s.at > sec-budgetSeconds {
			exchanges += s.exchanges
			retries += s.retries
		}
	}
	if b.seconds[cur].retries >= budgetFloor && retries*100 >= exchanges*percent {
		return false
	}
	b.seconds[cur].retries++
	return true
}
