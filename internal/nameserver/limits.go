package nameserver

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"

	"jurymast/internal/nameserver/batch"
	"jurymast/internal/nameserver/cookie"
	"jurymast/internal/nameserver/rrl"
	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
)

// Limits of what one network can make the server do. The zero value limits nothing.
type Limits struct {
	Answers     bool        // over UDP, by RRL
	RRL         rrl.Options // of each loop; Loops is set by the server
	Networks    rrl.Networks
	Connections int  // TCP connections of one network a second; 0: no limit
	Driver      bool // the network driver may answer although it limits nothing
}

// LimitsOf is what a node's configuration says.
func LimitsOf(front *profile.NameserverFront) Limits {
	r := &front.RRL
	var exempt []netip.Prefix
	for _, text := range r.Exempt {
		if p, err := profile.Network(text); err == nil { // checked with the file
			exempt = append(exempt, p)
		}
	}
	nets := rrl.NetworksOf(r.IPv4, r.IPv6, exempt)
	return Limits{
		Answers:     r.Mode != profile.RRLOff,
		RRL:         rrl.Options{Rate: r.Rate, Window: r.Window, Slip: r.Slip, Networks: nets, Buckets: r.Buckets, Dry: r.Mode == profile.RRLDry},
		Networks:    nets,
		Connections: front.TCP.Accepts,
		Driver:      r.Driver == profile.DriverUnlimited,
	}
}

// restrict sets the limits up. The kernel spreads one network's questions evenly over the loops by a hash of addresses and
// ports, so each loop has its share of the rate. With a loop per processor it is the network card that decides, and it may
// give one loop all of a client's: then each has the whole rate.
func (s *Server) restrict() {
	l := &s.opt.Limits
	if l.Answers {
		l.RRL.Loops = 1
		if batch.Shared && !s.opt.Batch.ByCPU && s.opt.Batch.Shape != batch.Portable {
			l.RRL.Loops = s.opt.Loops
		}
		l.RRL.Seed = nameSeed
		s.limits = rrl.NewLimiter(l.RRL)
	}
	s.watch = rrl.NewWatch(s.limits, s.log)
	s.gate = rrl.NewGate(rrl.GateOptions{Rate: l.Connections, Networks: l.Networks, Watch: s.watch})
}

// verdict is what becomes of an answer.
type verdict = tap.Limit

const (
	whole    = tap.Whole
	dropped  = tap.Dropped
	slipped  = tap.Slipped
	told     = tap.Told
	verdicts = 4
)

// curb asks for an answer of that kind, about to be written, what becomes of it. state is that of the question's cookie: who
// has proved to own its address gets what it asks for. kind and name say what it shares a bucket with.
func (a *responder) curb(from netip.Addr, state cookie.State, kind rrl.Kind, name []byte) verdict {
	if a.limits == nil {
		return whole
	}
	return a.curbHashed(from, state, kind, name, maphash.Bytes(nameSeed, name))
}

// curbHashed is curb where there are limits, for who has the hash of the name.
func (a *responder) curbHashed(from netip.Addr, state cookie.State, kind rrl.Kind, name []byte, hash uint64) verdict {
	if state.Proved() {
		return whole
	}
	action := a.limits.AskHashed(from, kind, name, hash)
	if action == rrl.Pass {
		return whole
	}
	return a.judge(from, state, kind, action)
}

// judge says how an answer is suppressed. Who sends a cookie is told a fresh one, with which it is limited no more; that is
// little, but still limited, else cookies would be a way around the limits.
func (a *responder) judge(from netip.Addr, state cookie.State, kind rrl.Kind, action rrl.Action) verdict {
	v := dropped
	if action == rrl.Slip {
		v = slipped
	}
	if a.set.CookiesFirst && len(a.cookie) > 0 && state != cookie.None && kind != rrl.BadCookie {
		if v = told; a.limits.Ask(from, rrl.BadCookie, nil) == rrl.Drop {
			v = dropped
		}
	}
	if a.limits.Dry() {
		a.c.limited[verdicts+int(v)].Add(1)
		return whole
	}
	a.c.limited[v].Add(1)
	a.facts.Limited = v
	return v
}

// flagsOf a suppressed answer that is sent.
func flagsOf(v verdict) uint16 {
	if v == slipped {
		return wire.FlagTC
	}
	return 0
}

// bucket is what an answer shares one with. Names that were made up (below a wildcard, a DNAME, a delegation, or not there
// at all) share that of what they were made from, so that random ones are one.
func (r *response) bucket(q *wire.Query) (rrl.Kind, []byte) {
	switch {
	case !r.ours():
		return rrl.Failure, nil
	case r.kind == zone.Missing, r.rcode != wire.Success:
		return rrl.NXDomain, r.zone.Apex.Name
	case r.kind == zone.Cut:
		return rrl.Referral, r.node.Name
	}
	name := q.Name.Key(0)
	if r.kind != zone.Exact {
		name = r.node.Name
	}
	if len(r.answer) == 0 {
		return rrl.NoData, name
	}
	return rrl.Positive, name
}

// curbed writes what goes out in place of the response, nil for nothing.
func (a *responder) curbed(out []byte, v verdict) (rcode uint16, reply []byte) {
	rcode, flags := a.r.rcode, flagsOf(v)
	switch v {
	case dropped:
		return rcode, nil
	case told:
		rcode = wire.BadCookie
	case slipped, whole:
		if a.r.aa {
			flags |= wire.FlagAA
		}
	}
	o := a.options(false)
	return rcode, a.empty(out, flags, rcode, &o)
}

// quickCurbed takes the records out of an answer that quick has written: length bytes behind the question, which ends at end.
func (a *responder) quickCurbed(out []byte, v verdict, end, length int) []byte {
	rcode := uint16(wire.Success)
	if v == dropped {
		return nil
	}
	out = append(out[:end], out[end+length:]...)
	binary.BigEndian.PutUint16(out[6:], 0)
	if v == slipped {
		out[2] |= wire.FlagTC >> 8
	} else { // told: there is an OPT record
		rcode = wire.BadCookie
		out[2] &^= wire.FlagAA >> 8
		out[3] |= wire.BadCookie & 15
		out[end+5] = wire.BadCookie >> 4
		a.facts.Rcode = rcode
	}
	a.c.response(rcode)
	a.c.sized(len(out))
	return out
}
