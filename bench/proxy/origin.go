package main

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

// served is one connection from a proxy (or, for comparison, from the client itself) to an origin.
type served struct {
	fd      int
	origin  int    // which listener; origins and above: a standby
	partial []byte // of a head
	host    int    // of the request under way
	body    int    // bytes of its body still to come
	length  int    // of its body
	want    int    // bytes of body it wants
	out     []byte // what is still to be written
}

// acceptAll takes what waits at a listener.
func (r *rig) acceptAll(origin int) error {
	for {
		fd, ok, err := accept(r.listeners[origin])
		if err != nil || !ok {
			return err
		}
		noDelay(fd)
		s := &served{fd: fd, origin: origin}
		r.set(fd, slot{origin: s})
		r.accepted++
		if err := watch(r.ep, fd); err != nil {
			return err
		}
	}
}

// onOrigin serves what an event told of: it writes what is left and reads until there is no more.
func (r *rig) onOrigin(s *served, events uint32) error {
	if len(s.out) > 0 && !r.flushOrigin(s) {
		return nil
	}
	if events&^unix.EPOLLOUT == 0 {
		return nil
	}
	for {
		n, e := read(s.fd, r.buf)
		switch {
		case e == unix.EAGAIN:
			return nil
		case e != 0 || n == 0:
			r.dropOrigin(s)
			return nil // proxies close what they do not need
		}
		if err := r.take(s, r.buf[:n]); err != nil {
			return err
		}
		if n < len(r.buf) && events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
			return nil
		}
	}
}

func (r *rig) dropOrigin(s *served) {
	r.set(s.fd, slot{})
	closeFD(s.fd)
}

// take consumes bytes of requests.
func (r *rig) take(s *served, p []byte) error {
	for len(p) > 0 {
		if s.body > 0 {
			n := min(s.body, len(p))
			if !matches(p[:n], s.length-s.body) {
				return fmt.Errorf("the body of a request to %s is not what was sent, at byte %d", host(s.host), s.length-s.body)
			}
			s.body -= n
			p = p[n:]
		} else {
			if len(s.partial) > 0 {
				p = append(s.partial, p...)
				s.partial = nil
			}
			n := headLength(p)
			if n == 0 {
				s.partial = bytes.Clone(p)
				return nil
			}
			if err := s.judge(p[:n]); err != nil {
				r.refuse(s)
				return err
			}
			p = p[n:]
		}
		if s.body == 0 {
			r.respond(s)
		}
	}
	return nil
}

// judge checks what a proxy has to do: the right origin, Host as it was, X-Forwarded-For of its own.
func (s *served) judge(head []byte) error {
	s.host, s.length, s.want = -1, 0, small
	forwarded, proto, named, port, wrong := false, false, false, false, ""
	fields(head, func(f field) bool {
		switch {
		case f.is("host"):
			if s.host >= 0 {
				wrong = "Host twice"
			}
			s.host = hostNumber(f.value)
		case f.is("x-forwarded-for"):
			if forwarded {
				wrong = "X-Forwarded-For twice"
			}
			forwarded = string(f.value) == clientIP
		case f.is("x-forwarded-proto"):
			proto = string(f.value) == "http"
		case f.is("x-forwarded-host"):
			named = len(f.value) > 0
		case f.is("x-forwarded-port"):
			port = len(f.value) > 0
		case f.is("content-length"):
			if s.length = number(f.value); s.length < 0 {
				wrong = "Content-Length is no number"
			}
		case f.is("transfer-encoding"):
			wrong = "Transfer-Encoding where a length was sent"
		}
		return wrong == ""
	})
	switch {
	case wrong != "":
	case s.host < 0:
		wrong = "no Host of ours"
	case s.host%origins != s.origin:
		wrong = fmt.Sprintf("%s came to origin %d", host(s.host), s.origin)
	case !forwarded:
		wrong = "no X-Forwarded-For: " + clientIP
	case !proto || !named || !port:
		wrong = "no X-Forwarded-Proto, -Host or -Port"
	}
	if wrong != "" {
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		return fmt.Errorf("at the origin: %s (%s)", wrong, line)
	}
	s.body = s.length
	if i := bytes.IndexByte(head, '/'); string(head[i:i+3]) == "/l?" {
		s.want = large
	}
	return nil
}

// refuse answers 500; the run has failed.
func (r *rig) refuse(s *served) {
	s.out = []byte("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
	r.flushOrigin(s)
}

func (r *rig) respond(s *served) {
	r.served++
	if s.want == large {
		s.out = r.large[s.host]
	} else {
		s.out = r.small[s.host]
	}
	r.flushOrigin(s)
}

// flushOrigin writes what it can and tells whether that was all.
func (r *rig) flushOrigin(s *served) bool {
	for len(s.out) > 0 {
		n, e := write(s.fd, s.out)
		if e == unix.EAGAIN {
			return false
		}
		if e != 0 {
			s.out = nil // reading tells the end
			return true
		}
		s.out = s.out[n:]
	}
	return true
}
