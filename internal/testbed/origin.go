package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Fault is what an origin does to one request instead of answering it.
type Fault string

// The faults of a request. The empty Fault answers.
const (
	Fine            Fault = ""
	ResetUnread     Fault = "reset-unread"     // reset as soon as the head is there, nothing processed
	ResetNoAnswer   Fault = "reset-no-answer"  // process, then reset without a byte
	CloseNoAnswer   Fault = "close-no-answer"  // process, then close cleanly without a byte
	ResetMidBody    Fault = "reset-mid-body"   // promise 1000 bytes, send 500, reset
	CloseMidChunked Fault = "close-mid-chunks" // chunked body without its end
	Hang            Fault = "hang"             // process and never answer, until Kill or the client goes
	Junk            Fault = "junk"             // bytes that are no HTTP
	Storm           Fault = "storm"            // 1xx without end
	AnswerAndClose  Fault = "answer-and-close" // a good answer, then close without having said so: a stale connection
)

// Origin is an HTTP server on loopback that counts what it processed and misbehaves when told. Its address stays the
// same when it is killed and comes back.
type Origin struct {
	Name    string
	handler http.Handler

	mu     sync.Mutex
	addr   string
	fault  func(*http.Request) Fault
	accept func() Fault // ResetUnread resets right after accept
	conns  map[*net.TCPConn]struct{}
	srv    *http.Server
	done   chan struct{}
	seen   map[string]int // by X-Id
	total  int
}

// StartOrigin listens on a free loopback port. handler nil answers with the name.
func StartOrigin(name string, handler http.Handler) (*Origin, error) {
	if handler == nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, name) // the client may be gone
		})
	}
	o := &Origin{Name: name, handler: handler, addr: "127.0.0.1:0", conns: map[*net.TCPConn]struct{}{}, seen: map[string]int{}}
	return o, o.Restart()
}

// URL is the origin as a profile names it.
func (o *Origin) URL() string { return "http://" + o.Addr() }

// Addr is host:port, the same before and after a Kill.
func (o *Origin) Addr() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.addr
}

// Misbehave decides about each request; nil stops it.
func (o *Origin) Misbehave(f func(*http.Request) Fault) {
	o.mu.Lock()
	o.fault = f
	o.mu.Unlock()
}

// OnAccept decides about each connection; nil stops it.
func (o *Origin) OnAccept(f func() Fault) {
	o.mu.Lock()
	o.accept = f
	o.mu.Unlock()
}

// Processed is how often the request with this X-Id was processed.
func (o *Origin) Processed(id string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[id]
}

// Total is the number of requests processed.
func (o *Origin) Total() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.total
}

// Kill is the death of a process: the port refuses, every connection is reset.
func (o *Origin) Kill() {
	o.mu.Lock()
	srv, done := o.srv, o.done
	o.srv = nil
	for c := range o.conns {
		reset(c)
	}
	o.mu.Unlock()
	if srv != nil {
		_ = srv.Close() // closing is all that is wanted
		<-done
	}
}

// Restart listens again on the same address.
func (o *Origin) Restart() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.srv != nil {
		return errors.New("this origin is running")
	}
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", o.addr)
	if err != nil {
		return fmt.Errorf("origin %s: %w", o.Name, err)
	}
	o.addr = ln.Addr().String()
	o.srv = &http.Server{Handler: http.HandlerFunc(o.serve), ReadHeaderTimeout: time.Minute, ConnState: o.state}
	o.done = make(chan struct{})
	go func(srv *http.Server, done chan struct{}) {
		defer close(done)
		_ = srv.Serve(&resettingListener{ln, o}) // ends with Kill
	}(o.srv, o.done)
	return nil
}

func (o *Origin) state(c net.Conn, s http.ConnState) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch s {
	case http.StateNew:
		o.conns[tcp] = struct{}{}
	case http.StateClosed:
		delete(o.conns, tcp)
	case http.StateActive, http.StateIdle, http.StateHijacked:
	}
}

func (o *Origin) serve(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	f := Fine
	if o.fault != nil {
		f = o.fault(r)
	}
	o.mu.Unlock()
	if f == ResetUnread {
		broken(w, "", true)
		return
	}
	if f != Fine || r.Header.Get("X-Id") != "" {
		_, _ = io.Copy(io.Discard, r.Body) // a broken request shows in the counts
	}
	o.mu.Lock()
	o.total++
	if id := r.Header.Get("X-Id"); id != "" {
		o.seen[id]++
	}
	o.mu.Unlock()
	switch f {
	case Fine, ResetUnread:
		o.handler.ServeHTTP(w, r)
	case ResetNoAnswer:
		broken(w, "", true)
	case CloseNoAnswer:
		broken(w, "", false)
	case ResetMidBody:
		broken(w, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"+string(make([]byte, 500)), true)
	case CloseMidChunked:
		broken(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false)
	case Junk:
		broken(w, "220 mail.example ESMTP\r\n", false)
	case AnswerAndClose:
		broken(w, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false)
	case Storm:
		for range 1000 {
			w.WriteHeader(http.StatusEarlyHints)
		}
	case Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}

// broken writes text on the raw connection and ends it.
func broken(w http.ResponseWriter, text string, hard bool) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(c, text) // the other side may be gone
	if tcp, ok := c.(*net.TCPConn); ok && hard {
		reset(tcp)
	}
	_ = c.Close()
}

// reset makes the next close send RST.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// resettingListener lets connections die right after accept.
type resettingListener struct {
	net.Listener
	o *Origin
}

func (l *resettingListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // net/http reads it
		}
		l.o.mu.Lock()
		f := Fine
		if l.o.accept != nil {
			f = l.o.accept()
		}
		l.o.mu.Unlock()
		tcp, ok := c.(*net.TCPConn)
		if f == Fine || !ok {
			return c, nil
		}
		reset(tcp)
	}
}
