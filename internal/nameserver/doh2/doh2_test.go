package doh2_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"jurymast/internal/nameserver/doh2"
)

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

func frame(typ, flags byte, id uint32, payload string) string {
	n := len(payload)
	return string(binary.BigEndian.AppendUint32([]byte{byte(n >> 16), byte(n >> 8), byte(n), typ, flags}, id)) + payload
}

func head(lines ...string) string {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(lines); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: lines[i], Value: lines[i+1]})
	}
	return b.String()
}

func post(more ...string) string {
	return head(append([]string{":method", "POST", ":scheme", "https", ":authority", "x", ":path", "/dns-query"}, more...)...)
}

func number(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

// answers is a server whose answer is the question twice.
func answers(out io.Writer) doh2.Options {
	return doh2.Options{
		Streams: 4, Wait: func(bool) bool { return true }, Begun: func() time.Duration { return time.Second },
		Write: func(b []byte, _ time.Duration) error { _, err := out.Write(b); return err },
		Head: func(r *doh2.Request) ([]byte, bool, int) {
			switch {
			case r.Path != "/dns-query":
				return nil, false, 404
			case r.Method == "POST":
				return nil, true, 0
			}
			return []byte("got"), false, 0
		},
		Answer: func(q []byte) doh2.Reply { return doh2.Reply{Status: 200, MaxAge: 7, Body: append(q, q...)} },
		Refuse: func(status int) doh2.Reply { return doh2.Reply{Status: status, Body: []byte("no\n")} },
	}
}

// exchange sends everything at once and lists what came back: type, stream and, for errors, code.
func exchange(t testing.TB, sent string) (got []string, bodies map[uint32]string, err error) {
	t.Helper()
	var out bytes.Buffer
	err = doh2.Serve(bufio.NewReaderSize(strings.NewReader(sent), 4096), answers(&out))
	bodies = map[uint32]string{}
	names := []string{"data", "headers", "priority", "reset", "settings", "push", "ping", "goaway", "window"}
	for b := out.Bytes(); len(b) > 0; {
		n, id := int(b[0])<<16|int(b[1])<<8|int(b[2]), binary.BigEndian.Uint32(b[5:])
		if len(b) < 9+n || int(b[3]) >= len(names) {
			t.Fatalf("no frame: %x", b)
		}
		payload, what := b[9:9+n], names[b[3]]
		switch what {
		case "data":
			bodies[id] += string(payload)
		case "reset":
			what += " " + string('0'+payload[3])
		case "goaway":
			what += " " + string('0'+payload[7])
		case "settings", "window":
			what = ""
		}
		if what != "" {
			got = append(got, what)
		}
		b = b[9+n:]
	}
	return got, bodies, err
}

func TestServe(t *testing.T) {
	const data, headers, reset, settings, push, ping, goaway, window, continuation = 0, 1, 3, 4, 5, 6, 7, 8, 9
	begin := preface + frame(settings, 0, 0, "")
	get := head(":method", "GET", ":scheme", "https", ":path", "/dns-query")
	small := preface + frame(settings, 0, 0, "\x00\x04\x00\x00\x00\x02")
	for name, c := range map[string]struct {
		sent, want, body string // body of stream 1
	}{
		"get":                     {begin + frame(headers, 5, 1, get), "headers data goaway 0", "gotgot"},
		"post":                    {begin + frame(headers, 4, 1, post()) + frame(data, 0, 1, "a") + frame(data, 1, 1, "b"), "headers data goaway 0", "abab"},
		"padded, with priority":   {begin + frame(headers, 0x2d, 1, "\x02\x00\x00\x00\x00\x01"+get+"xx"), "headers data goaway 0", "gotgot"},
		"padded body":             {begin + frame(headers, 4, 1, post()) + frame(data, 9, 1, "\x03abxxx"), "headers data goaway 0", "abab"},
		"continued":               {begin + frame(headers, 1, 1, get[:2]) + frame(continuation, 4, 1, get[2:]), "headers data goaway 0", "gotgot"},
		"trailers":                {begin + frame(headers, 4, 1, post()) + frame(data, 0, 1, "a") + frame(headers, 5, 1, head("x", "y")), "headers data goaway 0", "aa"},
		"another path":            {begin + frame(headers, 5, 1, head(":method", "GET", ":path", "/")), "headers data goaway 0", "no\n"},
		"refused before its body": {begin + frame(headers, 4, 1, head(":method", "POST", ":path", "/")) + frame(data, 1, 1, "abc"), "headers data reset 0 goaway 0", "no\n"},
		"announced too long":      {begin + frame(headers, 4, 1, post("content-length", "65536")), "headers data reset 0 goaway 0", "no\n"},
		"no path":                 {begin + frame(headers, 5, 1, head(":method", "GET")), "reset 1 goaway 0", ""},
		"cancelled":               {begin + frame(headers, 4, 1, post()) + frame(reset, 0, 1, number(8)) + frame(data, 1, 1, "x"), "goaway 0", ""},
		"too many":                {begin + frame(headers, 4, 1, post()) + frame(headers, 4, 3, post()) + frame(headers, 4, 5, post()) + frame(headers, 4, 7, post()) + frame(headers, 4, 9, post()), "reset 7 goaway 0", ""},
		"ping":                    {begin + frame(ping, 0, 0, "12345678") + frame(ping, 1, 0, "12345678"), "ping goaway 0", ""},
		"unknown frame":           {begin + frame(77, 1, 3, "x") + frame(headers, 5, 1, get), "headers data goaway 0", "gotgot"},
		"no room":                 {small + frame(headers, 5, 1, get), "headers data goaway 0", "go"},
		"room later":              {small + frame(headers, 5, 1, get) + frame(window, 0, 1, number(1)) + frame(window, 0, 1, number(50)), "headers data data data goaway 0", "gotgot"},
		"room by a setting":       {small + frame(headers, 5, 1, get) + frame(settings, 0, 0, "\x00\x04\x00\x00\x01\x00"), "headers data data goaway 0", "gotgot"},

		"no preface":              {"GET /dns-query HTTP/1.1\r\nHost: x\r\n\r\n", "goaway 1", ""},
		"no settings":             {preface + frame(ping, 0, 0, "12345678"), "goaway 1", ""},
		"half a head":             {begin + frame(headers, 1, 1, get) + frame(ping, 0, 0, "12345678"), "goaway 1", ""},
		"continued from nothing":  {begin + frame(continuation, 4, 1, get), "goaway 1", ""},
		"even":                    {begin + frame(headers, 5, 2, get), "goaway 1", ""},
		"backwards":               {begin + frame(headers, 5, 3, get) + frame(headers, 5, 1, get), "headers data goaway 1", ""},
		"broken compression":      {begin + frame(headers, 5, 1, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "goaway 9", ""},
		"body of nothing":         {begin + frame(data, 0, 1, "x"), "goaway 1", ""},
		"push":                    {begin + frame(push, 0, 1, "x"), "goaway 1", ""},
		"window of 0":             {begin + frame(window, 0, 0, number(0)), "goaway 3", ""},
		"window too large":        {begin + frame(window, 0, 0, number(1<<31-1)), "goaway 3", ""},
		"too large a frame":       {begin + frame(data, 0, 1, strings.Repeat("x", 16385)), "goaway 6", ""},
		"more padding than frame": {begin + frame(headers, 4, 1, post()) + frame(data, 8, 1, "\x05x"), "goaway 1", ""},
		"head too long":           {begin + frame(headers, 1, 1, post("x", strings.Repeat("\x01", 7000), "y", strings.Repeat("\x01", 9300))) + frame(continuation, 0, 1, strings.Repeat("\x82", 600)), "goaway ;", ""},
		"pings without end":       {begin + strings.Repeat(frame(ping, 1, 0, "12345678"), 1100), "goaway ;", ""},
		"goodbye":                 {begin + frame(goaway, 0, 0, number(0)+number(0)) + frame(headers, 5, 1, get), "goaway 0", ""},
	} {
		got, bodies, err := exchange(t, c.sent)
		if strings.Join(got, " ") != c.want || bodies[1] != c.body && c.body != "" {
			t.Errorf("%s: %v %v (%v), want %s %q", name, got, bodies, err, c.want, c.body)
		}
		if misuse := !strings.HasSuffix(c.want, "goaway 0"); misuse != errors.Is(err, doh2.ErrMisuse) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A body of any size that is allowed is answered; one byte more is not.
func TestLongBodies(t *testing.T) {
	for size, status := range map[int]string{65535: "", 65536: "no\n"} {
		sent := preface + frame(4, 0, 0, "\x00\x04\x7f\xff\xff\xff") + frame(8, 0, 0, number(1<<30)) + frame(1, 4, 1, post())
		body := strings.Repeat("q", size)
		for rest := body; rest != ""; {
			n := min(len(rest), 16384)
			sent += frame(0, 0, 1, rest[:n])
			rest = rest[n:]
		}
		_, bodies, err := exchange(t, sent+frame(0, 1, 1, ""))
		want := status
		if want == "" {
			want = body + body
		}
		if bodies[1] != want {
			t.Errorf("%d bytes: %d came back (%v)", size, len(bodies[1]), err)
		}
	}
}

// FuzzServe: whatever comes, it ends, and what goes out is frames.
func FuzzServe(f *testing.F) {
	f.Add([]byte(frame(4, 0, 0, "") + frame(1, 5, 1, post())))
	f.Add([]byte(frame(4, 0, 0, "\x00\x04\x00\x00\x00\x02") + frame(1, 4, 1, post()) + frame(0, 1, 1, "question") + frame(8, 0, 1, number(9))))
	f.Fuzz(func(t *testing.T, sent []byte) {
		_, _, err := exchange(t, preface+string(sent))
		if err == nil {
			t.Error("it ended without a reason")
		}
	})
}

// A client that takes no notice of windows does not make the server hold more than one window of bodies.
func TestBodiesBeyondTheWindow(t *testing.T) {
	for name, c := range map[string]struct {
		streams, frames int
		padded          bool
		want            string
	}{
		"one stream":    {1, 3, false, "goaway 0"},
		"many streams":  {4, 3, false, "goaway 3"},
		"padded bodies": {1, 5, true, "goaway 3"},
	} {
		sent := preface + frame(4, 0, 0, "")
		for n := range uint32(c.streams) {
			sent += frame(1, 4, 2*n+1, post())
			for range c.frames {
				if c.padded {
					sent += frame(0, 8, 2*n+1, "\xff"+strings.Repeat("q", 16127)+strings.Repeat("\x00", 255))
					continue
				}
				sent += frame(0, 0, 2*n+1, strings.Repeat("q", 16384))
			}
		}
		if got, _, err := exchange(t, sent); strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v (%v), want %s", name, got, err, c.want)
		}
	}
}
