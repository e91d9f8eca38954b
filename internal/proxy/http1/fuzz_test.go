package http1_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"jurymast/internal/proxy/http1"
	"jurymast/internal/proxy/rawcases"
)

// view is how a parser sees the message at the beginning of some bytes.
type view struct {
	method, target, host string // of a request
	status               int    // of a response
	body                 string
	next                 int // where the message after it begins
}

// readers of requests beside ours. An error is a refusal, which is no disagreement.
var requestReaders = map[string]func([]byte) (view, error){"net/http": netRequest, "fasthttp": fastRequest}

func netRequest(b []byte) (v view, err error) {
	skip := emptyLine(b) // which its server skips elsewhere
	in := bufio.NewReader(bytes.NewReader(b[skip:]))
	r, err := http.ReadRequest(in)
	if err != nil {
		return v, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return v, err
	}
	rest, _ := io.Copy(io.Discard, in)
	return view{method: r.Method, target: r.RequestURI, host: r.Host, body: string(body), next: len(b) - int(rest)}, nil
}

func fastRequest(b []byte) (v view, err error) {
	var r fasthttp.Request
	r.Header.DisableNormalizing()
	in := bufio.NewReader(bytes.NewReader(b))
	if err := r.Header.Read(in); err != nil {
		return v, err
	}
	if err := r.ContinueReadBody(in, 1<<20, false); err != nil {
		return v, err
	}
	rest, _ := io.Copy(io.Discard, in)
	return view{
		method: string(r.Header.Method()), target: string(r.Header.RequestURI()), host: string(r.Header.Host()),
		body: string(r.Body()), next: len(b) - int(rest),
	}, nil
}

func emptyLine(b []byte) int {
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return 2
	}
	return 0
}

// ourRequest is our view; ok is false when the message is refused or not all there.
func ourRequest(b []byte) (r http1.Request, v view, ok bool) {
	r.Reset(http1.Limits{})
	n, f := r.Parse(b)
	if n == 0 || f != nil {
		return r, v, false
	}
	v = view{method: string(r.Method.Of(b)), target: string(r.Target.Of(b)), host: string(r.Host.Of(b))}
	v.body, v.next, ok = ourBody(b, n, r.Body, r.Length)
	return r, v, ok
}

func ourBody(b []byte, n int, kind http1.Body, length int64) (body string, next int, ok bool) {
	switch kind {
	case http1.BodyChunked:
		data, _, m, f := unchunk(string(b[n:]), 1<<20)
		return data, n + m, f == nil && m >= 0
	case http1.BodyLength:
		if length > int64(len(b)-n) {
			return "", 0, false
		}
		return string(b[n : n+int(length)]), n + int(length), true
	case http1.BodyClose:
		return string(b[n:]), len(b), true
	case http1.BodyNone:
	}
	return "", n, true
}

// sameInSteps: how the bytes arrive makes no difference. A line is judged when its end is there, or when it is first looked at,
// so the last one is given an end.
func sameInSteps(t *testing.T, b []byte, f feed) {
	t.Helper()
	b = append(bytes.Clone(b), '\n')
	if len(b) > 4<<10 {
		return
	}
	n, inBody, fault := f(string(b), len(b), http1.Limits{})
	for _, step := range []int{1, 5} {
		m, inBody2, again := f(string(b), step, http1.Limits{})
		if fault == nil && n != m || inBody != inBody2 || (fault == nil) != (again == nil) || fault != nil && fault.Rule != again.Rule {
			t.Fatalf("%q: %d %t %v, %d at a time %d %t %v", b, n, inBody, fault, step, m, inBody2, again)
		}
	}
}

// FuzzRequest: what we take, others who take it read in the same way: method, target, host, body, and where the next request
// begins.
func FuzzRequest(f *testing.F) {
	for _, c := range append(rawcases.Requests(), rawcases.Accepted()...) {
		if len(c.Text) < 1<<10 {
			f.Add([]byte(c.Text + rawcases.Hidden))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sameInSteps(t, b, feedRequest)
		r, ours, ok := ourRequest(b)
		if !ok {
			return
		}
		for name, read := range requestReaders {
			theirs, err := read(b)
			if err != nil {
				if why := mayRefuse(name, ours, err); why == "" {
					t.Fatalf("%q: %s refuses what we take: %v", b, name, err)
				}
				continue
			}
			if even(name, &r, ours, &theirs); ours != theirs {
				t.Fatalf("%q:\nours %+v\n%s %+v", b, ours, name, theirs)
			}
		}
	})
}

// mayRefuse lists what others refuse and we have to take, with the reason.
func mayRefuse(name string, ours view, err error) string {
	switch {
	case name == "fasthttp":
		return "it is no judge of what is right, only of what it takes"
	case strings.HasPrefix(err.Error(), "parse "):
		return "targets are passed on as they are, % included: what they mean is the origin's to say"
	case strings.Contains(err.Error(), "bad trailer key"):
		return "Trailer is a hint; the trailers themselves are judged when they come"
	case ours.method == http.MethodConnect:
		return "callers refuse it"
	}
	return ""
}

// even evens out the differences that are others' and not ours.
func even(name string, r *http1.Request, ours view, theirs *view) {
	switch {
	case name == "net/http" && r.Path != r.Target && strings.EqualFold(theirs.host, ours.host):
		theirs.host = ours.host // it takes that of an absolute target; they differ in letter case at most
	case name == "fasthttp" && r.Has(http1.Host) == 0 && theirs.host == "":
		theirs.host = ours.host // it looks for that of an absolute target elsewhere
	}
}

// FuzzResponse: the same for answers.
func FuzzResponse(f *testing.F) {
	for _, c := range rawcases.Responses() {
		if len(c.Text) < 1<<10 {
			f.Add([]byte(c.Text+"HTTP/1.1 200 OK\r\n\r\n"), c.HEAD)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, toHEAD bool) {
		sameInSteps(t, b, feedResponse(toHEAD))
		var r http1.Response
		r.Reset(http1.Limits{})
		n, fault := r.Parse(b, toHEAD)
		if n == 0 || fault != nil {
			return
		}
		body, next, ok := ourBody(b, n, r.Body, r.Length)
		if !ok {
			return
		}
		ours := view{status: r.Status, body: body, next: next}
		for name, read := range map[string]func([]byte, bool) (view, error){"net/http": netResponse, "fasthttp": fastResponse} {
			theirs, err := read(b, toHEAD)
			switch {
			case err != nil:
				if why := mayRefuseResponse(name, err); why == "" {
					t.Fatalf("%q: %s refuses what we take: %v", b, name, err)
				}
			case ours != theirs:
				if why := mayDifferResponse(name, &r, ours, theirs); why == "" {
					t.Fatalf("%q (to HEAD %t):\nours %+v\n%s %+v", b, toHEAD, ours, name, theirs)
				}
			}
		}
	})
}

func netResponse(b []byte, toHEAD bool) (v view, err error) {
	in := bufio.NewReader(bytes.NewReader(b))
	request := &http.Request{Method: http.MethodGet}
	if toHEAD {
		request.Method = http.MethodHead
	}
	r, err := http.ReadResponse(in, request)
	if err != nil {
		return v, err
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return v, err
	}
	rest, _ := io.Copy(io.Discard, in)
	return view{status: r.StatusCode, body: string(body), next: len(b) - int(rest)}, nil
}

func fastResponse(b []byte, toHEAD bool) (v view, err error) {
	in := bufio.NewReader(bytes.NewReader(b))
	var r fasthttp.Response
	r.SkipBody = toHEAD
	if err := r.ReadLimitBody(in, 1<<20); err != nil {
		return v, err
	}
	rest, _ := io.Copy(io.Discard, in)
	return view{status: r.StatusCode(), body: string(r.Body()), next: len(b) - int(rest)}, nil
}

func mayRefuseResponse(name string, err error) string {
	switch {
	case name == "fasthttp":
		return "it is no judge of what is right, only of what it takes"
	case strings.Contains(err.Error(), "bad trailer key"):
		return "Trailer is a hint; the trailers themselves are judged when they come"
	}
	return ""
}

func mayDifferResponse(name string, r *http1.Response, ours, theirs view) string {
	if name == "fasthttp" && r.Status < 200 && r.Status != 101 {
		return "it reads on to the final answer"
	}
	return ""
}

// FuzzChunks: what we take as a body, others who take it read in the same way; and how the bytes arrive makes no difference.
func FuzzChunks(f *testing.F) {
	for _, c := range append(rawcases.Requests(), rawcases.Accepted()...) {
		if _, body, found := strings.Cut(c.Text, "chunked\r\n\r\n"); found {
			f.Add(body + rawcases.Hidden)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		text += "\n" // as in sameInSteps
		data, tail, n, fault := unchunk(text, 1<<20)
		for _, step := range []int{1, 3} {
			data2, tail2, n2, fault2 := unchunk(text, step)
			a, b := fmt.Sprintf("%q %q %d %v", data, tail, n, fault), fmt.Sprintf("%q %q %d %v", data2, tail2, n2, fault2)
			if fault != nil {
				a, b = string(fault.Rule), fmt.Sprint(fault2)
				if fault2 != nil {
					b = string(fault2.Rule)
				}
			}
			if a != b {
				t.Fatalf("%q: %s, %d at a time %s", text, a, step, b)
			}
		}
		if fault != nil || n < 0 {
			return
		}
		head := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		for name, read := range requestReaders {
			theirs, err := read([]byte(head + text))
			switch {
			case err != nil && name == "net/http" && tail == "":
				t.Fatalf("%q: %s refuses what we take: %v", text, name, err)
			case err == nil && (theirs.body != data || theirs.next != len(head)+n):
				t.Fatalf("%q: %q to %d, %s %q to %d", text, data, n, name, theirs.body, theirs.next-len(head))
			}
		}
	})
}
