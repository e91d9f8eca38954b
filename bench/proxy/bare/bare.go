// Package bare is the least relay that Go can be with one goroutine per connection: what remains when a proxy neither checks,
// nor counts, nor limits anything. It is the floor that a benchmark shows beside real proxies, and never one itself: it believes
// whatever it is told.
//
//	read a head --> host's origin --> pooled connection --> head with four lines more --> answer as it comes --> pool
//
// Measured and left out, because it gains nothing here: writev instead of one copy for small heads, GOGC, more threads than cores,
// a second try to read before waiting.
package bare

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
)

// origin is where a host name leads, with the connections that rest.
type origin struct {
	addr  *net.TCPAddr
	lines []byte // what is added to a head, with its end
	mu    sync.Mutex
	idle  []*conn
}

// Main relays until it is killed.
func Main(args []string) error {
	f := flag.NewFlagSet("bare", flag.ContinueOnError)
	address := f.String("listen", "127.0.0.1:8080", "`ADDRESS`")
	table := f.String("hosts", "hosts", "`FILE` of lines: host name, address of its origin")
	if err := f.Parse(args); err != nil {
		return err
	}
	hosts, err := load(*table)
	if err != nil {
		return err
	}
	l, err := listen(*address)
	if err != nil {
		return err
	}
	for {
		c, err := l.accept()
		if err != nil {
			return err
		}
		go func() {
			if err := serve(c, hosts); err != nil && !errors.Is(err, io.EOF) {
				fmt.Fprintln(os.Stderr, "bare:", err)
			}
			_ = c.file.Close() // all is said
		}()
	}
}

func load(path string) (map[string]*origin, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	hosts := map[string]*origin{}
	for line := range strings.Lines(string(text)) {
		name, address, _ := strings.Cut(strings.TrimSpace(line), " ")
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			return nil, err
		}
		hosts[name] = &origin{addr: a, lines: fmt.Appendf(nil,
			"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: %s\r\nX-Forwarded-Port: 80\r\n\r\n", name)}
	}
	return hosts, nil
}

func (o *origin) take() (*conn, error) {
	o.mu.Lock()
	if n := len(o.idle); n > 0 {
		c := o.idle[n-1]
		o.idle = o.idle[:n-1]
		o.mu.Unlock()
		return c, nil
	}
	o.mu.Unlock()
	c, err := net.DialTCP("tcp", nil, o.addr)
	if err != nil {
		return nil, err
	}
	return wrap(c, c)
}

func (o *origin) put(c *conn) {
	o.mu.Lock()
	o.idle = append(o.idle, c)
	o.mu.Unlock()
}

// serve relays the requests of one connection.
func serve(c *conn, hosts map[string]*origin) error {
	for {
		b, n, err := c.await()
		if err != nil {
			return err
		}
		closing, err := exchange(c, hosts, *b, n)
		buffers.Put(b)
		if err != nil || closing {
			return err
		}
	}
}

// exchange relays one request, of which n bytes have come, and its answer.
func exchange(c *conn, hosts map[string]*origin, in []byte, n int) (closing bool, err error) {
	head := headLength(in[:n])
	for head == 0 {
		if n == len(in) {
			return false, errors.New("a head is too long")
		}
		k, err := c.read(in[n:])
		if err != nil {
			return false, err
		}
		n += k
		head = headLength(in[:n])
	}
	o := hosts[string(field(in[:head], "Host"))]
	if o == nil {
		return false, errors.New("an unknown host")
	}
	body := length(in[:head])
	if n > head+body {
		return false, errors.New("a request comes before the answer to another")
	}
	closing = len(field(in[:head], "Connection")) > 0
	up, err := o.take()
	if err != nil {
		return false, err
	}
	out, _ := buffers.Get().(*[]byte)
	defer buffers.Put(out)
	if err := forward(up, o, *out, in[:n], head); err != nil {
		return false, err
	}
	if err := pipe(up, c, *out, head+body-n); err != nil {
		return false, err
	}
	if err := answer(c, up, *out); err != nil {
		return false, err
	}
	o.put(up)
	return closing, nil
}

// forward writes the head with four lines more, and what of the body has come; the client's Connection is not the origin's.
func forward(up *conn, o *origin, out, in []byte, head int) error {
	if head+len(o.lines) > len(out) {
		return errors.New("a head is too long")
	}
	n := copy(out, in[:head-2])
	if i := bytes.Index(out[:n], []byte("Connection: close")); i >= 0 {
		copy(out[i:], "Was-Said:  to me.")
	}
	n += copy(out[n:], o.lines)
	k := copy(out[n:], in[head:])
	if err := up.write(out[:n+k]); err != nil {
		return err
	}
	return up.write(in[head+k:])
}

// answer relays one answer.
func answer(c, up *conn, p []byte) error {
	n, head := 0, 0
	for head == 0 {
		k, err := up.read(p[n:])
		if err != nil {
			return err
		}
		n += k
		head = headLength(p[:n])
	}
	if err := c.write(p[:n]); err != nil {
		return err
	}
	return pipe(c, up, p, head+length(p[:head])-n)
}

// pipe relays what is left of a body, in large pieces.
func pipe(to, from *conn, p []byte, left int) error {
	if left > len(p) {
		b, _ := pieces.Get().(*[]byte)
		defer pieces.Put(b)
		p = *b
	}
	for left > 0 {
		n, err := from.read(p[:min(left, len(p))])
		if err != nil {
			return err
		}
		if err := to.write(p[:n]); err != nil {
			return err
		}
		left -= n
	}
	return nil
}

var pieces = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

func headLength(p []byte) int {
	if i := bytes.Index(p, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return 0
}

// field is the value of the first field of that name in a complete head.
func field(head []byte, name string) []byte {
	for rest := head; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 || len(rest) < i+2+len(name) {
			return nil
		}
		rest = rest[i+1:]
		if rest[len(name)] == ':' && rest[0]|0x20 == name[0]|0x20 && strings.EqualFold(string(rest[:len(name)]), name) {
			value, _, _ := bytes.Cut(rest[len(name)+1:], []byte("\r\n"))
			return bytes.TrimLeft(value, " ")
		}
	}
}

func length(head []byte) int {
	n := 0
	for _, c := range field(head, "Content-Length") {
		n = n*10 + int(c-'0')
	}
	return n
}
