package proxy

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// flushAfter is how long a byte of known-length response may wait for company. Others are flushed at once.
const flushAfter = 5 * time.Millisecond

// How much of a request body is read and thrown away to keep the client's connection, and for how long.
const (
	maxDiscard  = 64 << 10
	discardTime = 2 * time.Second
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// informational passes a 1xx on.
func (x *exchange) informational(code int, fields http.Header) {
	if !x.r.ProtoAtLeast(1, 1) {
		return // HTTP/1.0 knows none
	}
	h := x.w.Header()
	clear(h)
	maps.Copy(h, fields)
	stripHopByHop(h)
	x.w.WriteHeader(code)
	clear(h)
}

// relay passes the origin's answer on.
func (x *exchange) relay(resp *http.Response, c *choice) {
	defer resp.Body.Close()
	x.line.OriginStatus, x.line.Status = resp.StatusCode, resp.StatusCode
	x.line.Reason = x.served(c)
	if resp.StatusCode >= 500 && resp.StatusCode <= 599 && resp.StatusCode != http.StatusNotImplemented && resp.StatusCode != http.StatusHTTPVersionNotSupported {
		x.svc.charge(c, KindStatus)
	}
	x.svc.metric(c.endpoint, "ok")
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.tunnel(resp, c)
		return
	}
	x.head(resp)
	x.headPassed = true
	out := &flusher{w: x.w, rc: x.rc, now: resp.ContentLength < 0}
	fromOrigin, err := x.copy(out, resp.Body)
	out.stop(err != nil)
	switch {
	case err == nil:
		x.trailers(resp)
	case !fromOrigin || x.r.Context().Err() != nil:
		x.line.Reason = ReasonClientLeft
		panic(http.ErrAbortHandler)
	default:
		x.line.Reason = ReasonBroken
		x.svc.charge(c, KindBroken)
		panic(http.ErrAbortHandler) // the client must see that this is no complete answer
	}
}

// head copies status and fields, and keeps net/http from adding any.
func (x *exchange) head(resp *http.Response) {
	h := x.w.Header()
	clear(h)
	stripHopByHop(resp.Header)
	maps.Copy(h, resp.Header)
	for _, own := range []string{"Date", "Content-Type"} {
		if _, ok := h[own]; !ok {
			h[own] = nil
		}
	}
	for name := range resp.Trailer {
		h.Add("Trailer", name)
	}
	x.debugHeaders(h, x.line.Reason)
	x.closeIfPending(h)
	x.w.WriteHeader(resp.StatusCode)
}

// closeIfPending ends the client's connection after an answer that came before the request body: a client that waits
// for its 100, or that still has much to send, must not keep us waiting for the rest.
func (x *exchange) closeIfPending(h http.Header) {
	if n := x.r.ContentLength; x.pending() && (n < 0 || n > maxDiscard || x.r.Header.Get("Expect") != "") {
		h.Set("Connection", "close")
	}
}

// pending reports that something is left of the request body.
func (x *exchange) pending() bool { return x.r.ProtoMajor == 1 && !x.body.done(x.r.ContentLength) }

// forgetBody reads what is left of the request body, for discardTime and maxDiscard at most; not at all before a close.
// net/http must not find its end only after the handler: with full duplex it would then read the connection twice at
// once, and break it under the client's next request.
func (x *exchange) forgetBody() {
	if !x.pending() || x.line.Upgrade != "" {
		return
	}
	if x.w.Header().Get("Connection") == "close" {
		_ = x.rc.SetReadDeadline(time.Unix(1, 0)) // only a broken connection has no deadline, and it needs none
		return
	}
	_ = x.rc.SetReadDeadline(time.Now().Add(discardTime))
	_ = x.rc.Flush() // the client need not wait for the reading
	x.body.discard(maxDiscard)
}

// debugHeaders tells the client what was decided, when the profile wants that.
func (x *exchange) debugHeaders(h http.Header, why Reason) {
	if x.settings == nil || !x.settings.DebugHeaders {
		return
	}
	h.Set("Jurymast-Reason", string(why))
	if x.sent != nil {
		h.Set("Jurymast-Endpoint", x.sent.endpoint)
		h.Set("Jurymast-Epoch", strconv.FormatUint(x.sent.epoch, 10))
		if x.sent.keeps != "" {
			h.Set("Jurymast-Keeps", x.sent.keeps)
		}
	}
}

// trailers follow the body: announced ones under their name, others with net/http's prefix.
func (x *exchange) trailers(resp *http.Response) {
	h := x.w.Header()
	announced := map[string]bool{}
	for _, v := range h["Trailer"] {
		announced[http.CanonicalHeaderKey(v)] = true
	}
	for k, v := range resp.Trailer {
		if announced[k] {
			h[k] = v
		} else {
			h[http.TrailerPrefix+k] = v
		}
	}
}

// copy moves the body as it comes. fromOrigin tells whose fault an error is.
func (x *exchange) copy(out *flusher, body io.Reader) (fromOrigin bool, err error) {
	p := buffers.Get().(*[]byte) //nolint:errcheck // only buffers are in the pool
	defer buffers.Put(p)
	for {
		n, rerr := body.Read(*p)
		if n > 0 {
			if _, err := out.Write((*p)[:n]); err != nil {
				return false, err
			}
			x.line.BytesOut += int64(n)
		}
		if errors.Is(rerr, io.EOF) {
			return false, nil
		}
		if rerr != nil {
			return true, rerr
		}
		out.written()
	}
}

// flusher writes a response and flushes: at once when its length is unknown (events, streams), else soon.
type flusher struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	rc      *http.ResponseController
	now     bool
	timer   *time.Timer
	pending bool
	stopped bool
}

func (f *flusher) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.w.Write(p)
	if f.now {
		f.flush()
	}
	return n, err //nolint:wrapcheck // the caller only asks whether it failed
}

// written is called between reads: more is to come, what is there must not wait for it.
func (f *flusher) written() {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.now, f.pending:
	default:
		f.pending = true
		if f.timer == nil {
			f.timer = time.AfterFunc(flushAfter, f.late)
		} else {
			f.timer.Reset(flushAfter)
		}
	}
}

func (f *flusher) late() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = false
	if !f.stopped {
		f.flush()
	}
}

// flush may fail only when the client is gone; the next write says so.
func (f *flusher) flush() { _ = f.rc.Flush() }

// stop ends the late flushes. A response that breaks off is flushed first: a client that saw no byte at all would take
// the closed connection for a stale one and send its request again.
func (f *flusher) stop(broken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if broken || f.now { // net/http would give an unflushed short body a length that the origin has not given
		f.flush()
	}
	f.stopped = true
	if f.timer != nil {
		f.timer.Stop()
	}
}
