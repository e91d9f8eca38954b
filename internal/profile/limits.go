package profile

import "strconv"

// ProxyLimits bound what clients may take of this machine's proxy before any profile is known.
type ProxyLimits struct {
	Connections int  `yaml:"connections"` // per address listened on; accepting pauses beyond
	PerClient   int  `yaml:"per_client"`  // of them from one IPv4 address or IPv6 /64, all listeners together; refused beyond
	Line        Size `yaml:"line"`        // request line; Head holds for it too
	Head        Size `yaml:"head"`        // request head, request line included
	Fields      int  `yaml:"fields"`      // of a request head
}

// RequestLimits bound the requests of one profile.
type RequestLimits struct {
	Body Size `yaml:"body"` // of a request; 0: no limit
}

func defaultProxyLimits() ProxyLimits {
	return ProxyLimits{Connections: 50_000, PerClient: 1000, Line: 16 << 10, Head: 64 << 10, Fields: 256}
}

func validateProxyLimits(r *report, a *at, l *ProxyLimits) {
	r.between(a.child("connections"), l.Connections, 1, 1_000_000)
	if per := a.child("per_client"); l.PerClient > l.Connections && per.given() {
		r.errorf(per, "%d is more than connections (%d); write a smaller number", l.PerClient, l.Connections)
	} else {
		r.between(per, l.PerClient, 1, 1_000_000)
	}
	r.measures(a.child("head"), l.Head, 1<<10, 1<<20)
	if line := a.child("line"); l.Line > l.Head && line.given() {
		r.errorf(line, "%d bytes are more than the whole head may have (%d); write a smaller size", l.Line, l.Head)
	} else {
		r.measures(line, l.Line, 256, 1<<20)
	}
	r.between(a.child("fields"), l.Fields, 8, 10_000)
}

// measures checks a size in bytes.
func (r *report) measures(a *at, v, lo, hi Size) {
	if v < lo || v > hi {
		r.errorf(a, "%d bytes are out of range; allowed: %s to %s", v, shownSize(lo), shownSize(hi))
	}
}

// shownSize is a size as an operator writes it.
func shownSize(v Size) string {
	for _, u := range []struct {
		suffix string
		factor Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if v >= u.factor && v%u.factor == 0 {
			return strconv.FormatInt(int64(v/u.factor), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(v), 10) + "B"
}
