package proxy

import "time"

// Requests of a profile with fencing: strict pass a gate right before their first byte is written:
//
//	the newest view lets its endpoint have requests, and the session with the store lives   -> written
//	else                                                                                    -> nothing is written, hold
//
// The look and the write are one step for whoever calls Quiet: when it returns, what was allowed before is sent, and
// what comes later has seen the newer view.

// firstWrite bounds how long the first bytes of a fenced request may take to leave: others wait for it.
const firstWrite = time.Second

// leasePause is how long a request waits before it asks again whether the lease was renewed.
const leasePause = 20 * time.Millisecond

// Quiet returns when no fenced request is being sent any more that was allowed before the call.
func (p *Proxy) Quiet() {
	p.sending.Lock()
	p.sending.Unlock() //nolint:staticcheck // nothing is guarded but the moment: everybody who was inside has left
}

// confirmed: the session a decision was had in lives. Unfenced ones need none.
func (p *Proxy) confirmed(fenced bool, term uint64) bool {
	return !fenced || p.o.Confirmed != nil && p.o.Confirmed(term)
}

// live reports that requests to a destination need no lease, or have one.
func (x *exchange) live(o *outlook, d destination) bool {
	term, fenced := o.fenced[d]
	return x.p.confirmed(fenced, term)
}

// pass is the gate of a fenced attempt. When ok, the caller writes and then calls release.
func (a *attempt) pass() (release func(), ok bool) {
	p := a.x.p
	p.sending.RLock()
	o := a.x.outlook()
	if o.all.ok && o.fates[a.c.dest] == fateOpen && a.x.live(o, a.c.dest) {
		return p.sending.RUnlock, true
	}
	p.sending.RUnlock()
	return nil, false
}

// lapsed waits for the lease to be renewed, or for the view that says that it was not.
func (x *exchange) lapsed(o *outlook) bool {
	x.svc.queue.settled(&x.ticket)
	return x.waitAlone(leasePause, func(now *outlook) bool { return now != o })
}

// cuts reports that tunnels to a destination end. Under fencing: strict they end too while nothing may be sent at all.
func (o *outlook) cuts(d destination) bool {
	if o.strict && (o.halted || o.all.ok && o.fates[d] != fateOpen) {
		return true
	}
	return o.all.ok && o.fates[d] == fateNone
}
