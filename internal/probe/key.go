package probe

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"jurymast/internal/profile"
)

// Key returns the identity of the probe.
func (s Spec) Key() Key {
	h := sha256.New()
	var buf []byte
	put := func(parts ...string) {
		buf = buf[:0]
		for _, p := range parts {
			buf = append(append(append(strconv.AppendInt(buf, int64(len(p)), 10), ':'), p...), ',')
		}
		h.Write(append(buf, ';'))
	}
	num := func(n int64) string { return strconv.FormatInt(n, 10) }
	put(string(s.Protocol), num(int64(s.Port)), num(int64(s.Timeout)), num(int64(s.Parts.Connect)), num(int64(s.Parts.Status)),
		num(int64(s.Parts.Body)), num(int64(s.MaxLatency)), num(int64(s.bodyLimit())), strconv.FormatBool(s.Invert))
	put(s.Targets...)
	put(s.Method, s.Path, s.Host, s.Send, s.Expect.Text, s.Expect.Body, statusText(s.Expect.Status),
		strconv.FormatBool(s.Expect.Complete), strconv.FormatBool(s.Reset))
	for _, list := range [][]Header{s.Headers, s.Expect.Headers} {
		for _, l := range list {
			put(l.Name, l.value, strconv.FormatBool(l.Secret)) // what is masked for one must not be shown for another
		}
		put()
	}
	if s.Expect.BodyRegex != nil {
		put("regex", s.Expect.BodyRegex.String())
	}
	if s.Expect.JSON != nil {
		put("json", s.Expect.JSON.path, s.Expect.JSON.equals)
	}
	if s.Protocol == profile.HTTPS {
		put("tls", s.ServerName, strconv.FormatBool(s.Verify), num(int64(s.MinVersion)), num(int64(s.ExpiryWarn)))
		if s.identity != nil {
			put(string(s.identity.sum[:]))
		}
	}
	if q := s.Question; q != nil {
		put("question", q.Name, num(int64(q.Type)), strconv.FormatBool(q.TCP), num(int64(q.Rcode)))
		put(q.Answers...)
	}
	put(s.Program...)
	if v := s.Announce.Version(); v != 0 {
		put("announce", num(int64(v)))
	}
	return Key(h.Sum(nil))
}

// bodyLimit is how many bytes of an answer are looked at.
func (s *Spec) bodyLimit() int {
	if s.BodyLimit <= 0 {
		return BodyLimit
	}
	return s.BodyLimit
}

// String is one line for logs, secrets masked.
func (s Spec) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", s.Protocol, strings.Join(s.Targets, " "))
	if s.Port != 0 {
		fmt.Fprintf(&b, " port %d", s.Port)
	}
	if s.Announce.Version() != 0 {
		fmt.Fprintf(&b, " with PROXY protocol %s", s.Announce)
	}
	fmt.Fprintf(&b, ", timeout %s", s.Timeout)
	for _, part := range []struct {
		name string
		d    time.Duration
	}{{"connect", s.Parts.Connect}, {"status", s.Parts.Status}, {"body", s.Parts.Body}, {"max latency", s.MaxLatency}} {
		if part.d != 0 {
			fmt.Fprintf(&b, ", %s %s", part.name, part.d)
		}
	}
	switch s.Protocol {
	case profile.HTTP, profile.HTTPS:
		s.describeHTTP(&b)
	case profile.TCP:
		if s.Send != "" {
			fmt.Fprintf(&b, ", send %q", s.Send)
		}
		if s.Expect.Text != "" {
			fmt.Fprintf(&b, ", expect %q", s.Expect.Text)
		}
	case profile.DNS:
		if s.Question != nil {
			fmt.Fprintf(&b, ", %s", s.Question)
		}
	case profile.Exec:
		fmt.Fprintf(&b, ", %s", s.command(s.Program))
	}
	if s.Invert {
		b.WriteString(", inverted")
	}
	return b.String()
}

func (s *Spec) describeHTTP(b *strings.Builder) {
	fmt.Fprintf(b, ", %s %s, Host %s", s.Method, s.Path, s.Host)
	if s.Protocol == profile.HTTPS {
		fmt.Fprintf(b, ", SNI %s, verify %t", s.ServerName, s.Verify)
	}
	for _, h := range s.Headers {
		fmt.Fprintf(b, ", %s", h)
	}
	fmt.Fprintf(b, ", expect %s", statusText(s.Expect.Status))
	for _, h := range s.Expect.Headers {
		fmt.Fprintf(b, ", header %s", h)
	}
	if s.Expect.Body != "" {
		fmt.Fprintf(b, ", body contains %q", s.Expect.Body)
	}
	if s.Expect.BodyRegex != nil {
		fmt.Fprintf(b, ", body matches %q", s.Expect.BodyRegex)
	}
	if s.Expect.JSON != nil {
		fmt.Fprintf(b, ", json %s is %q", s.Expect.JSON.path, s.Expect.JSON.equals)
	}
	if s.Expect.Complete {
		b.WriteString(", body complete")
	}
}

// GoString masks like String.
func (s Spec) GoString() string { return strconv.Quote(s.String()) }

func statusText(ranges []profile.StatusRange) string {
	words := make([]string, len(ranges))
	for i, r := range ranges {
		words[i] = r.String()
	}
	return strings.Join(words, ", ")
}

// withoutPort is the host of a Host header: the name, or the bare address.
func withoutPort(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	u := url.URL{Host: host}
	return u.Hostname()
}
