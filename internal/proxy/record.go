package proxy

import (
	"strconv"
	"time"

	"jurymast/internal/proxy/accesslog"
	"jurymast/internal/proxy/http1"
)

// finish ends what is still going on for the request, and accounts for it.
func (x *exchange) finish() {
	x.ended()
	x.account()
}

// ended leaves everything the exchange was in.
func (x *exchange) ended() {
	if x.svc != nil {
		x.svc.leave(&x.lap.a)
	}
	if x.lap.up.change != nil {
		if conn := x.lap.a.conn; conn != nil && !x.lap.up.over.Load() {
			_ = conn.Close() // the body's goroutine may be writing to it
		}
		x.lap.up.stop()
	}
	if x.counted {
		x.counted = false
		x.svc.queue.settled(&x.ticket)
		x.svc.live.Add(-1)
	}
	x.p.lookout.forget(x.watch)
}

// account counts the request and, when it is to be in the access log, describes it there.
func (x *exchange) account() {
	l := &x.line
	l.Total = time.Since(l.Time)
	x.door.shard.End()
	if x.route == nil {
		x.p.figures.None().Done(x.door.shard, l.Status, l.Reason)
	} else {
		if x.counts == nil {
			x.counts = x.route.figures(x.p).Endpoint(l.Endpoint)
		}
		if x.counts.Done(x.door.shard, l.Status, l.Reason) && l.Upgrade == "" {
			x.route.figures(x.p).Observe(x.door.shard, l.Total, l.FirstByte)
		}
	}
	if x.p.log.Wants(l.Reason, l.Status) {
		x.describe()
		x.p.log.Add(x.door.number, l)
	}
}

// describe fills in what the request itself says.
func (x *exchange) describe() {
	l, d := &x.line, x.door
	l.Listener, l.TLS, l.SNI, l.Conn, l.Request = d.listener, d.tls, d.sni, uint64(d.number), d.served
	l.Client, l.ClientSource, l.Rule = x.client, x.clientSource, string(x.rule)
	if x.head == nil {
		l.Client, l.ClientSource = d.peer, d.source
		return
	}
	req := x.req()
	if l.Proto = d.proto; l.Proto == "" {
		l.Proto = "HTTP/1." + strconv.Itoa(req.Minor)
	}
	l.Method, l.Host, l.Target = req.Method.Of(x.head), req.Host.Of(x.head), req.Target.Of(x.head)
	parents := 0
	for i := range req.Fields {
		switch name := req.Fields[i].Name.Of(x.head); {
		case equalWord(name, "user-agent"):
			l.UserAgent = req.Fields[i].Value.Of(x.head)
		case equalWord(name, "traceparent"):
			l.TraceParent = req.Fields[i].Value.Of(x.head)
			parents++
		}
	}
	if parents > 1 { // none of them is valid
		l.TraceParent = nil
	}
	if req.Body != http1.BodyNone {
		l.BytesIn = x.up().read.Load()
		l.Replay = "yes"
		if !x.up().replayable() {
			l.Replay = "no"
		}
	}
}

// note keeps what an attempt did.
func (x *exchange) note(a *attempt, err error) {
	l := &x.line
	l.Endpoint, l.Epoch, l.OriginAddr = a.c.endpoint, a.c.epoch, a.c.dest.addr
	l.Reused, l.Handshake = a.pooled, 0
	if a.conn != nil && !a.pooled {
		l.Handshake = a.conn.Shook
	}
	if !a.connected.IsZero() {
		l.Connect = a.connected.Sub(a.start)
	}
	if err == nil {
		l.FirstByte = a.firstByte.Sub(l.Time)
		return
	}
	phase := "connect"
	if a.phase.Load() == phaseSending {
		phase = "send"
	}
	l.Trail = append(l.Trail, accesslog.Step{Endpoint: a.c.endpoint, Epoch: a.c.epoch, Phase: phase, Error: err.Error(), Took: time.Since(a.start)})
}
