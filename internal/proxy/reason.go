package proxy

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/wire"
)

// Reason is the two-letter code that says how a request ended. Every request has exactly one.
type Reason string

// The reason codes this version gives.
const (
	ReasonOK         Reason = "OK" // first attempt
	ReasonReplaced   Reason = "OS" // same endpoint, after replacing a lost connection
	ReasonAnother    Reason = "OR" // another endpoint of those that may be chosen
	ReasonFailedOver Reason = "OF" // moved to a new active inside the request
	ReasonHeld       Reason = "OH" // served after waiting in hold

	ReasonClientGone  Reason = "CA" // client gone before the response
	ReasonClientLeft  Reason = "CD" // client gone during the response
	ReasonMalformed   Reason = "CM" // the client's message cannot be forwarded
	ReasonTooSlow     Reason = "CT" // the client did not send in time
	ReasonLimit       Reason = "CL" // the client's message is over a limit
	ReasonMethod      Reason = "MN" // CONNECT and TRACE
	ReasonConnect     Reason = "UC" // connect failed and the request may not wait
	ReasonOriginTLS   Reason = "US" // TLS to the origin failed and the request may not wait
	ReasonLost        Reason = "UN" // connection lost, must not be sent again
	ReasonTimeout     Reason = "UF" // no first byte in time
	ReasonJunk        Reason = "UJ" // the origin's answer is no HTTP
	ReasonBroken      Reason = "UD" // response broken off
	ReasonNoEndpoint  Reason = "DN" // no usable endpoint
	ReasonUnreachable Reason = "DU" // the active endpoint cannot be reached from this node
	ReasonUnconfirmed Reason = "DF" // this node cannot confirm which endpoint is active
	ReasonTunnelCut   Reason = "DX" // tunnel closed by a switch
	ReasonHoldTime    Reason = "HT" // waited hold.max_wait
	ReasonHoldFull    Reason = "HF" // hold.max_requests wait already
	ReasonNoProfile   Reason = "PR" // no profile carries this Host
	ReasonMisdirected Reason = "PV" // SNI and Host disagree
	ReasonBudget      Reason = "PB" // retry budget used up
	ReasonInternal    Reason = "IE" // a fault of our own
)

var allReasons = []Reason{
	ReasonOK, ReasonReplaced, ReasonAnother, ReasonFailedOver, ReasonHeld, ReasonClientGone, ReasonClientLeft, ReasonMalformed, ReasonTooSlow,
	ReasonLimit, ReasonMethod, ReasonConnect, ReasonOriginTLS, ReasonLost, ReasonTimeout, ReasonJunk, ReasonBroken, ReasonNoEndpoint,
	ReasonUnreachable, ReasonUnconfirmed, ReasonTunnelCut, ReasonHoldTime, ReasonHoldFull, ReasonNoProfile, ReasonMisdirected, ReasonBudget, ReasonInternal,
}

// statusGone is what the log says when nobody was there to read a status (nginx's 499).
const statusGone = 499

// own is what the client gets when we answer ourselves.
type own struct {
	status     int
	retryAfter int // seconds; 0: not said
}

var ownAnswers = map[Reason]own{
	ReasonMalformed:   {status: http.StatusBadRequest},
	ReasonTooSlow:     {status: http.StatusRequestTimeout},
	ReasonLimit:       {status: http.StatusRequestEntityTooLarge},
	ReasonMethod:      {status: http.StatusMethodNotAllowed},
	ReasonConnect:     {status: http.StatusBadGateway, retryAfter: 1},
	ReasonOriginTLS:   {status: http.StatusBadGateway, retryAfter: 1},
	ReasonLost:        {status: http.StatusBadGateway},
	ReasonTimeout:     {status: http.StatusGatewayTimeout},
	ReasonJunk:        {status: http.StatusBadGateway},
	ReasonNoEndpoint:  {status: http.StatusServiceUnavailable, retryAfter: 5},
	ReasonUnreachable: {status: http.StatusServiceUnavailable, retryAfter: 2},
	ReasonUnconfirmed: {status: http.StatusServiceUnavailable, retryAfter: 2},
	ReasonHoldTime:    {status: http.StatusServiceUnavailable, retryAfter: 2},
	ReasonHoldFull:    {status: http.StatusServiceUnavailable, retryAfter: 2},
	ReasonNoProfile:   {status: http.StatusNotFound},
	ReasonMisdirected: {status: http.StatusMisdirectedRequest},
	ReasonBudget:      {status: http.StatusBadGateway, retryAfter: 2},
	ReasonInternal:    {status: http.StatusInternalServerError},
}

// problem is an answer of our own, RFC 9457.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Reason Reason `json:"reason"`
}

// answer gives the client an answer of our own.
func (x *exchange) answer(why Reason, detail string) { x.answerAs(why, ownAnswers[why].status, detail) }

func (x *exchange) answerAs(why Reason, status int, detail string) {
	x.line.Reason, x.line.Status = string(why), status
	body, err := json.Marshal(problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Reason: why})
	if err != nil { // cannot happen: strings and a number
		body = nil
	}
	var b []byte
	add := func(name, value string) {
		b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
	}
	add("Content-Type", "application/problem+json")
	add("Content-Length", strconv.Itoa(len(body)))
	add("Cache-Control", "no-store")
	add("Date", time.Now().UTC().Format(http.TimeFormat))
	if after := ownAnswers[why].retryAfter; after > 0 {
		add("Retry-After", strconv.Itoa(after))
	}
	if why == ReasonMethod {
		add("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	b = x.debugHeaders(b, why)
	a := reply{at: time.Now(), status: status, extra: b, body: http1.BodyLength, closes: x.head == nil || !x.requestRead()}
	x.headPassed = true
	if err := x.sink.begin(&a); err != nil {
		x.broken = brokenEnd
		return
	}
	if x.head == nil || string(x.req().Method.Of(x.head)) != http.MethodHead {
		err = x.sink.write(body)
	}
	if err == nil {
		err = x.sink.end(nil)
	}
	if err != nil {
		x.broken = brokenEnd
		return
	}
	x.line.BytesOut += int64(len(body))
}

// requestRead reports that nothing of the request is on its way any more.
func (x *exchange) requestRead() bool {
	return x.req().Body == http1.BodyNone || x.up().over.Load()
}

// refuse answers what is no request.
func (x *exchange) refuse(f *http1.Fault) {
	x.rule = f.Rule
	x.p.figures.Rejected(string(f.Rule))
	switch status := f.Status(); status {
	case http.StatusBadRequest:
		x.answer(ReasonMalformed, f.Error())
	default:
		x.answerAs(ReasonLimit, status, f.Error())
	}
}

// badBody answers a request whose body cannot be read to its end.
func (x *exchange) badBody(err error) {
	var fault *http1.Fault
	switch {
	case errors.As(err, &fault):
		x.refuse(fault)
	case errors.Is(err, errTooLong):
		x.answerAs(ReasonLimit, http.StatusRequestEntityTooLarge, err.Error())
	case errors.Is(err, errFault):
		x.answer(ReasonInternal, err.Error())
	case errors.Is(err, wire.ErrTimeout):
		x.answer(ReasonTooSlow, "the request body came too slowly")
	default:
		x.leave()
	}
}

// fault contains a fault of our own to the request it happened to.
func (x *exchange) fault(what any, stack []byte) {
	x.p.figures.Panic()
	x.p.o.Logger.Error("a request hit a fault of the proxy itself", "fault", what, "stack", string(stack))
	if x.svc != nil {
		x.svc.leave(&x.lap.a)
	}
	if conn := x.lap.a.conn; conn != nil {
		_ = conn.Close() // nobody knows how far it got
	}
	if x.headPassed {
		x.line.Reason, x.broken = string(ReasonInternal), brokenReset
	} else {
		x.answer(ReasonInternal, "the proxy failed to carry this request")
	}
	x.ended()
	x.account()
}
