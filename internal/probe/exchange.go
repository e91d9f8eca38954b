package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"jurymast/internal/profile"
)

const (
	headLimit    = 1 << 20 // bytes read from one connection before the body
	maxInterim   = 8       // 1xx answers before the final one
	excerptLimit = 1024    // bytes of a body kept for the log
)

var readers = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

// exchange sends the request and judges the answer.
func (r *run) exchange(ctx context.Context, conn net.Conn) *failure {
	r.begin(ctx, conn, "status", r.spec.Parts.Status)
	if _, err := conn.Write(r.request()); err != nil {
		f := r.broke(ctx, err, ClassProtocol, "send the request", "sending the request")
		r.phase(PhaseRequest, f.reason)
		return f
	}
	r.phase(PhaseRequest, r.spec.Method+" "+r.spec.Path+" Host: "+r.spec.Host)

	limited := &io.LimitedReader{R: conn, N: headLimit}
	br, _ := readers.Get().(*bufio.Reader)
	br.Reset(limited)
	defer func() {
		br.Reset(nil)
		readers.Put(br)
	}()
	if _, err := br.Peek(1); err != nil {
		f := r.broke(ctx, err, ClassProtocol, "no answer", "waiting for the first byte")
		r.phase(PhaseFirstByte, f.reason)
		return f
	}
	r.phase(PhaseFirstByte, conn.RemoteAddr().String())

	resp, f := r.head(ctx, br, limited)
	if f != nil {
		r.phase(PhaseStatus, f.reason)
		return f
	}
	defer func() {
		conn.Close() // first, because closing the body reads the rest of it
		resp.Body.Close()
	}()
	r.phase(PhaseStatus, resp.Proto+" "+resp.Status)
	limited.N = math.MaxInt64 // the head is over; the body has limits of its own
	r.begin(ctx, conn, "body", r.spec.Parts.Body)
	return r.judge(ctx, conn, resp)
}

// request is the text that is sent.
func (r *run) request() []byte {
	s := r.spec
	var b strings.Builder
	write := func(words ...string) {
		for _, w := range words {
			b.WriteString(w)
		}
	}
	write(s.Method, " ", s.Path, " HTTP/1.1\r\nHost: ", s.Host, "\r\n")
	named := func(name string) bool {
		return slices.ContainsFunc(s.Headers, func(h Header) bool { return strings.EqualFold(h.Name, name) })
	}
	if !named("User-Agent") {
		agent := r.prober.UserAgent
		if agent == "" {
			agent = "jurymast-probe"
		}
		write("User-Agent: ", agent, "\r\n")
	}
	if !named("Accept") {
		write("Accept: */*\r\n")
	}
	for _, h := range s.Headers {
		write(h.Name, ": ", h.value, "\r\n")
	}
	if s.Method == http.MethodPost || s.Method == http.MethodPut || s.Method == http.MethodPatch {
		write("Content-Length: 0\r\n")
	}
	write("Connection: close\r\n\r\n")
	return []byte(b.String())
}

// head reads up to the final status line and its headers; interim 1xx answers are skipped.
func (r *run) head(ctx context.Context, br *bufio.Reader, limited *io.LimitedReader) (*http.Response, *failure) {
	req := &http.Request{Method: r.spec.Method}
	for range maxInterim {
		resp, err := http.ReadResponse(br, req)
		switch {
		case err != nil && limited.N <= 0:
			return nil, failed(ClassProtocol, "the header is longer than %d bytes", headLimit)
		case err != nil && !time.Now().Before(r.until): // a line that is cut short is told as malformed
			return nil, r.broke(ctx, os.ErrDeadlineExceeded, ClassProtocol, "no HTTP answer", "waiting for the header")
		case err != nil:
			return nil, r.broke(ctx, err, ClassProtocol, "no HTTP answer", "waiting for the header")
		case resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols:
			return resp, nil
		}
		resp.Body.Close()
	}
	return nil, failed(ClassProtocol, "more than %d interim answers", maxInterim)
}

// judge applies the rules: status, headers, body. Without a body rule the body is only read to be polite, and to show
// the start of it in the log.
func (r *run) judge(ctx context.Context, conn net.Conn, resp *http.Response) *failure {
	f := r.judgeStatus(resp)
	if f == nil {
		f = r.judgeHeaders(resp)
	}
	if f == nil && r.spec.Expect.hasBody() {
		m := matcher{expect: &r.spec.Expect}
		f = r.judgeBody(ctx, resp.Body, &m)
		r.phase(PhaseBody, excerpt(m.buf))
	} else {
		r.decided()
		_ = conn.SetReadDeadline(earlier(time.Now().Add(farewell), r.until))
		start, _ := io.ReadAll(io.LimitReader(resp.Body, excerptLimit))
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, int64(r.spec.bodyLimit()))) // a body that hangs or breaks decides nothing
		r.phase(PhaseBody, excerpt(start))
	}
	if f != nil {
		r.phase(PhaseRule, "failed: "+f.reason)
		return f
	}
	r.phase(PhaseRule, r.seen)
	return nil
}

func (r *run) judgeStatus(resp *http.Response) *failure {
	expected := r.spec.Expect.Status
	if slices.ContainsFunc(expected, func(s profile.StatusRange) bool {
		return s.Min <= resp.StatusCode && resp.StatusCode <= s.Max
	}) {
		r.seen = fmt.Sprintf("status %d", resp.StatusCode)
		return nil
	}
	to := ""
	if loc := resp.Header.Get("Location"); loc != "" && resp.StatusCode/100 == 3 {
		to = " to " + r.mask.line(loc) + " (not followed)"
	}
	return failed(ClassStatus, "status %d%s, expected %s", resp.StatusCode, to, statusText(expected))
}

func (r *run) judgeHeaders(resp *http.Response) *failure {
	for _, want := range r.spec.Expect.Headers {
		got := resp.Header.Values(want.Name)
		switch {
		case slices.Contains(got, want.value):
			r.seen += ", header " + want.Name
		case len(got) == 0:
			return failed(ClassHeader, "header %s is missing", want.Name)
		case want.Secret:
			return failed(ClassHeader, "header %s differs from the expected secret", want.Name)
		default:
			return failed(ClassHeader, "header %s is %q, expected %q", want.Name, r.mask.line(got[0]), want.value)
		}
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func excerpt(body []byte) string {
	if len(body) > excerptLimit {
		body = body[:excerptLimit]
	}
	if len(body) == 0 {
		return "empty"
	}
	return string(body)
}
