package api

import (
	"context"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
)

type actorKey struct{}

// actorOf is who acts in this request.
func actorOf(ctx context.Context) string {
	by, _ := ctx.Value(actorKey{}).(string)
	return by
}

// changes reports that the request is one that may change something.
func changes(ctx context.Context) bool { return ctx.Value(actorKey{}) != nil }

// guarded lets only requests through that a program or person on this machine meant for us. A browser is not such a
// program by itself: a page from elsewhere can send it here (DNS rebinding, forged forms), so Host and Origin must
// be ours, and everything that changes something must be JSON, which such a page cannot send without asking first.
func (s *Server) guarded(mux *http.ServeMux) http.Handler {
	next := misses(mux)
	return http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
		w := &begun{ResponseWriter: to}
		defer s.fence(w, r)
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		p := s.judgeOrigin(r)
		if p == nil && offered(mux, r) { // what is not there is said first: no body would help
			p = judgeBody(r)
		}
		if p != nil {
			p.write(w)
			return
		}
		if writes(r) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			r = r.WithContext(context.WithValue(r.Context(), actorKey{}, actor(r)))
		}
		next.ServeHTTP(w, r)
	})
}

// fence keeps a panic inside its request. While nothing was sent the answer is 500; later the connection is cut: what was
// sent already cannot be trusted.
func (s *Server) fence(w *begun, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
		panic(p)
	}
	s.log.ErrorContext(r.Context(), "panic in a request; this is a bug", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if w.yes {
		panic(http.ErrAbortHandler)
	}
	newProblem(http.StatusInternalServerError, CodeInternal, "an internal error; the node's log says what happened").write(w)
}

// begun notes that an answer has begun.
type begun struct {
	http.ResponseWriter
	yes bool
}

// WriteHeader implements http.ResponseWriter, as does Write.
func (b *begun) WriteHeader(status int) {
	b.yes = true
	b.ResponseWriter.WriteHeader(status)
}

func (b *begun) Write(text []byte) (int, error) {
	b.yes = true
	return b.ResponseWriter.Write(text)
}

// Unwrap is for http.ResponseController: events are flushed.
func (b *begun) Unwrap() http.ResponseWriter { return b.ResponseWriter }

func writes(r *http.Request) bool {
	return !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, r.Method)
}

// judgeOrigin refuses, whatever is asked, what a page from elsewhere has sent; nil lets the request through.
func (s *Server) judgeOrigin(r *http.Request) *Problem {
	if !peerOf(r.Context()).socket && !s.ourHost(r.Host) {
		return newProblem(http.StatusForbidden, CodeForbidden, "Host must be localhost, 127.0.0.1, [::1] or the address of node.api.listen; a name that merely points here is refused (DNS rebinding)")
	}
	if origin := r.Header.Get("Origin"); origin != "" && !sameOrigin(origin, r.Host) {
		return newProblem(http.StatusForbidden, CodeForbidden, "Origin is another site; pages from elsewhere may not use this API")
	}
	return nil
}

// judgeBody refuses a body that this program does not take, or that a plain form could send.
func judgeBody(r *http.Request) *Problem {
	if !writes(r) || r.Method == http.MethodDelete && r.ContentLength == 0 {
		return nil // a page from elsewhere cannot send DELETE without a preflight, which nobody answers here
	}
	if r.ContentLength > maxBody {
		return newProblem(http.StatusRequestEntityTooLarge, CodeRequest, fmt.Sprintf("the body has %d bytes; allowed: at most %d", r.ContentLength, maxBody))
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != mediaJSON && (!takesYAML(r) || !slices.Contains(mediaYAML, kind)) {
		allowed := mediaJSON
		if takesYAML(r) {
			allowed += " or " + mediaYAML[0]
		}
		return newProblem(http.StatusUnsupportedMediaType, CodeRequest, "Content-Type must be "+allowed)
	}
	return nil
}

const mediaJSON = "application/json"

var mediaYAML = []string{"application/yaml", "application/x-yaml", "text/yaml"}

// takesYAML: documents may be sent as people write them. None of these types can be sent by a plain form either.
func takesYAML(r *http.Request) bool {
	return r.Method == http.MethodPut || r.URL.Path == pathApply
}

// ourHost looks at the name alone: the port may be another one behind a forwarded port.
func (s *Server) ourHost(hostport string) bool {
	host := hostOf(hostport)
	if strings.EqualFold(host, "localhost") {
		return true
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Unmap().IsLoopback() {
		return true
	}
	return s.o.Listen != "" && host != "" && strings.EqualFold(host, hostOf(s.o.Listen))
}

func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Scheme == "http" && u.Host != "" && strings.EqualFold(u.Host, host)
}
