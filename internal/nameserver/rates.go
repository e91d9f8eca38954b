package nameserver

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// rates bound how often something costly is begun: by everybody together, and by one network. What was not used in a
// second is lost. They are not locked, and use the same memory however many networks come.
type rates struct {
	all, each time.Duration // between two, on average; 0: no limit
	start     time.Time
	total     time.Duration             // when all may begin without having to wait, since start
	places    [ratePlaces]time.Duration // the same by network; networks that meet in one place share it
	seed      maphash.Seed              // so that nobody knows whom he meets
}

// ratePlaces is how many networks are told apart.
const ratePlaces = 4096

// newRates allows so many a second; 0 or less: as many as come.
func newRates(all, each int) *rates {
	per := func(n int) time.Duration { return time.Second / time.Duration(max(n, 1)) }
	r := &rates{all: per(all), each: per(each), start: time.Now(), seed: maphash.MakeSeed()}
	if all <= 0 {
		r.all = 0
	}
	if each <= 0 {
		r.each = 0
	}
	return r
}

// allow counts one from this network, which may be unknown, and reports whether it may begin.
func (r *rates) allow(from netip.Prefix, now time.Time) bool {
	at := now.Sub(r.start)
	place := &r.places[0]
	if from.IsValid() {
		place = &r.places[maphash.Comparable(r.seed, from)%ratePlaces]
	}
	one, all := max(*place, at)+r.each, max(r.total, at)+r.all
	if one > at+time.Second || all > at+time.Second {
		return false
	}
	*place, r.total = one, all
	return true
}
