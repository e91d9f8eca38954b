package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"
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

// statusGone is what the log says when nobody was there to read a status (nginx's 499).
const statusGone = 499

// own is what the client gets when we answer ourselves.
type own struct {
	status     int
	retryAfter int // seconds; 0: not said
}

var ownAnswers = map[Reason]own{
	ReasonMalformed:   {status: http.StatusBadRequest},
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
func (x *exchange) answer(why Reason, detail string) {
	o := ownAnswers[why]
	x.line.Reason, x.line.Status = why, o.status
	body, err := json.Marshal(problem{Type: "about:blank", Title: http.StatusText(o.status), Status: o.status, Detail: detail, Reason: why})
	if err != nil { // cannot happen: strings and a number
		body = nil
	}
	h := x.w.Header()
	clear(h)
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	if o.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(o.retryAfter))
	}
	if why == ReasonMethod {
		h.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	x.debugHeaders(h, why)
	x.closeIfPending(h)
	x.w.WriteHeader(o.status)
	if n, err := x.w.Write(body); err == nil {
		x.line.BytesOut += int64(n)
	}
}
