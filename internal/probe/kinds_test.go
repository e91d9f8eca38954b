package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
)

func short150(s *Spec) { s.Timeout = 150 * time.Millisecond }

// talker serves connections without reading a request first.
func talker(t *testing.T, serve func(c net.Conn)) netip.AddrPort {
	t.Helper()
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestTCPSendAndExpect(t *testing.T) {
	says := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = io.WriteString(c, text)
			_, _ = io.Copy(io.Discard, c)
		}
	}
	echo := func(c net.Conn) { _, _ = io.Copy(c, c) }
	for _, tc := range []struct {
		name       string
		serve      func(net.Conn)
		send, want string // as written in the monitor
		change     func(*Spec)
		class      Class
		reason     string // %s is the place
	}{
		{"banner", says("220 mail ESMTP\r\n"), "", "220 ", nil, "", "connected to %s, answer matches"},
		{"question and answer", echo, `PING\r\n`, `PING\x0d\n`, nil, "", "connected to %s, answer matches"},
		{"sent alone", echo, "hello", "", nil, "", "connected to %s"},
		{"text in two parts", func(c net.Conn) {
			_, _ = io.WriteString(c, "+PO")
			_, _ = io.CopyN(io.Discard, c, 1)
			_, _ = io.WriteString(c, "NG")
			_, _ = io.Copy(io.Discard, c)
		}, "xy", "+PONG", nil, "", "connected to %s, answer matches"},
		{"another text", func(c net.Conn) { _, _ = io.WriteString(c, "554 no") }, "", "220", nil, ClassBody, `the peer said 6 bytes without "220" and closed`},
		{"silent", says(""), "", "220", short150, ClassTimeout, `timeout after 150ms waiting for "220" (0 bytes came)`},
		{"silent in its part", says(""), "", "220", func(s *Spec) { s.Parts.Body = 100 * time.Millisecond }, ClassTimeout, `timeout after 100ms (timeouts.body) waiting for "220" (0 bytes came)`},
		{"reset", func(c net.Conn) {
			_, _ = io.CopyN(io.Discard, c, 1)
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
		}, "x", "220", nil, ClassProtocol, "no answer: connection reset by peer (0 bytes came)"},
		{"beyond the limit", says(strings.Repeat("x", 100) + "needle"), "", "needle", func(s *Spec) { s.BodyLimit = 64 }, ClassBody, `the peer did not say "needle" in its first 64 bytes`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			at := talker(t, tc.serve)
			p, e := service()
			e.Origin, e.Target = "", profile.Target{Addrs: []string{at.Addr().String()}}
			e.Monitor.Protocol, e.Monitor.Port, e.Monitor.Timeout = profile.TCP, int(at.Port()), 5*time.Second
			e.Monitor.Send, e.Monitor.Expect.Text = tc.send, tc.want
			s, err := SpecOf(p, e, Node{})
			if err != nil {
				t.Fatal(err)
			}
			if tc.change != nil {
				tc.change(&s)
			}
			want := strings.ReplaceAll(tc.reason, "%s", at.String())
			if got := Run(t.Context(), s); got.Class != tc.class || got.Obs.Reason != want {
				t.Errorf("%s %q, want %s %q\n%+v", got.Class, got.Obs.Reason, tc.class, want, got.Log)
			}
		})
	}
}

func TestD3TCPCloseReset(t *testing.T) {
	ended := make(chan error, 1)
	s := specFor(talker(t, func(c net.Conn) {
		_, err := io.Copy(io.Discard, c)
		ended <- err
	}))
	s.Protocol, s.Reset = profile.TCP, true
	got := Run(t.Context(), s)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "reset") || !got.Obs.OK {
		t.Errorf("the peer saw %v, want a reset; %+v", err, got)
	}
}

func TestUnescaped(t *testing.T) {
	for in, want := range map[string]string{
		`plain`: "plain", `a\r\n\t\\b`: "a\r\n\t\\b", `\x00\xfF`: "\x00\xff", `\\x41`: `\x41`,
		`\q`: "error", `\x4`: "error", `\xzz`: "error", `end\`: "error",
	} {
		got, err := unescaped("monitor.send", in)
		if err != nil && strings.Contains(err.Error(), "monitor.send: ") {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestHTTPRules(t *testing.T) {
	type change = func(*Spec)
	document := func(body string) func(net.Conn, string) {
		return answer(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	}
	is := func(path, equals string) change {
		return func(s *Spec) {
			rule, err := jsonRuleOf(profile.ExpectJSON{Path: path, Equals: equals})
			if err != nil {
				panic(err)
			}
			s.Expect.JSON = rule
		}
	}
	complete := func(s *Spec) { s.Expect.Complete = true }
	both := func(a, b change) change { return func(s *Spec) { a(s); b(s) } }
	health := `{"status":"UP","checks":[{"state":"up","n":1.50,"deep":{"ok":true}},[null,"x"]]}`
	for _, tc := range []struct {
		name   string
		serve  func(net.Conn, string)
		change change
		class  Class
		reason string
	}{
		{"json text", document(health), is("status", "UP"), "", "status 200, body matches"},
		{"json in a list", document(health), is("checks[0].state", "up"), "", "status 200, body matches"},
		{"json number as written", document(health), is("checks[0].n", "1.50"), "", "status 200, body matches"},
		{"json truth", document(health), is("checks[0].deep.ok", "true"), "", "status 200, body matches"},
		{"json object without blanks", document(`{"a": {"b": 1}}`), is("a", `{"b":1}`), "", "status 200, body matches"},
		{"json list of lists", document(health), is("checks[1][0]", "null"), "", "status 200, body matches"},
		{"json list at the top", document(`[{"a":"b"}]`), is("[0].a", "b"), "", "status 200, body matches"},
		{"json differs", document(health), is("checks[0].state", "down"), ClassBody, `body of 80 bytes says checks[0].state is "up", expected "down"`},
		{"json number is no other", document(health), is("checks[0].n", "1.5"), ClassBody, `body of 80 bytes says checks[0].n is 1.50, expected "1.5"`},
		{"json missing", document(health), is("checks[2].state", "up"), ClassBody, "body of 80 bytes has no checks[2].state in its JSON"},
		{"json of another shape", document(health), is("status.x", "up"), ClassBody, "body of 80 bytes has no status.x in its JSON"},
		{"no json", document("<html>"), is("a", "b"), ClassBody, "body of 6 bytes is no JSON: invalid character '<' looking for beginning of value"},
		{"half of it", document(`{"a":`), is("a", "b"), ClassBody, "body of 5 bytes is no JSON: it ends too early"},
		{"empty body", document(""), is("a", "b"), ClassBody, "body of 0 bytes is no JSON: it ends too early"},
		{"json before the body hangs", hang("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"a\":\"b\"}"), is("a", "b"), "", "status 200, body matches"},
		{"json beyond the limit", document(`{"x":"` + strings.Repeat("y", 100) + `"}`), both(is("x", "y"), func(s *Spec) { s.BodyLimit = 20 }), ClassBody, "body is no JSON: it ends too early in its first 20 bytes"},

		{"complete", answer(ok200), complete, "", "status 200, body complete (5 bytes)"},
		{"complete beyond the limit", document(strings.Repeat("x", 2<<20)), complete, "", "status 200, body complete (2097152 bytes)"},
		{"complete and matching", document("needle" + strings.Repeat("x", 1<<17)), both(complete, func(s *Spec) { s.Expect.Body = "needle" }), "", "status 200, body matches, body complete (131078 bytes)"},
		{"matching but broken", answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nneedle"), both(complete, func(s *Spec) { s.Expect.Body = "needle" }), ClassBody, "body broke after 6 bytes: connection closed in the middle"},
		{"hanging", hang("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"), both(complete, short150), ClassTimeout, "timeout after 150ms reading the whole body (2 bytes)"},

		{"slow", answer(ok200), func(s *Spec) { s.MaxLatency = 1 }, ClassLatency, ""},
		{"fast enough", answer(ok200), func(s *Spec) { s.MaxLatency = 4 * time.Second }, "", "status 200"},
		{"part of the status", hang(""), func(s *Spec) { s.Parts.Status = 80 * time.Millisecond }, ClassTimeout, "timeout after 80ms (timeouts.status) waiting for the first byte"},
		{"part of the head", hang("HTTP/1.1 2"), func(s *Spec) { s.Parts.Status = 80 * time.Millisecond }, ClassTimeout, "timeout after 80ms (timeouts.status) waiting for the header"},
		{"part of the body", hang("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"), both(complete, func(s *Spec) { s.Parts.Body = 80 * time.Millisecond }), ClassTimeout, "timeout after 80ms (timeouts.body) reading the whole body (2 bytes)"},
		{"the whole ends a part", hang(""), both(short150, func(s *Spec) { s.Parts.Status = time.Hour }), ClassTimeout, "timeout after 150ms waiting for the first byte"},

		{"inverted success", answer(ok200), func(s *Spec) { s.Invert = true }, ClassInverted, "inverted: status 200"},
		{"inverted failure", answer("HTTP/1.1 503 no\r\n\r\n"), func(s *Spec) { s.Invert = true }, "", "inverted: status 503, expected 200"},
		{"inverted latency", answer(ok200), func(s *Spec) { s.Invert, s.MaxLatency = true, 1 }, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := specFor(origin(t, tc.serve))
			tc.change(&s)
			got := Run(t.Context(), s)
			if got.Class != tc.class || (tc.reason != "" && got.Obs.Reason != tc.reason) || got.Obs.OK != (tc.class == "") {
				t.Errorf("%s %q, want %s %q\n%+v", got.Class, got.Obs.Reason, tc.class, tc.reason, got.Log)
			}
			if tc.class == ClassLatency && !regexp.MustCompile(`^took [0-9.]+[mµ]s, allowed 1ns$`).MatchString(got.Obs.Reason) {
				t.Errorf("reason %q", got.Obs.Reason)
			}
		})
	}
}

// TestInvertLeavesWhatSaysNothing: a node without sockets is no evidence, inverted or not.
func TestInvertLeavesWhatSaysNothing(t *testing.T) {
	for _, class := range []Class{ClassLocal, ClassCancelled, ClassPanic} {
		if got := (Result{Class: class}).inverted(); got.Class != class || got.Obs.OK || got.Obs.Reason != "" {
			t.Errorf("%s became %+v", class, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := specFor(origin(t, hang("")))
	s.Invert = true
	if got := Run(ctx, s); got.Class != ClassCancelled || got.Obs.OK {
		t.Errorf("cancelled: %+v", got)
	}
}

// nameServer answers on one port over UDP and TCP.
func nameServer(t *testing.T, handle func(w dns.ResponseWriter, q *dns.Msg)) netip.AddrPort {
	t.Helper()
	for range 10 { // the port must be free for both
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		u, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			l.Close()
			continue
		}
		for _, s := range []*dns.Server{{Listener: l}, {PacketConn: u}} {
			started := make(chan struct{})
			s.Handler, s.NotifyStartedFunc = dns.HandlerFunc(handle), func() { close(started) }
			go func() { _ = s.ActivateAndServe() }()
			<-started
			t.Cleanup(func() { _ = s.Shutdown() })
		}
		return netip.MustParseAddrPort(l.Addr().String())
	}
	t.Fatal("no port is free for UDP and TCP")
	return netip.AddrPort{}
}

func overUDP(w dns.ResponseWriter) bool { return w.RemoteAddr().Network() == "udp" }

func TestDNSProbe(t *testing.T) {
	reply := func(w dns.ResponseWriter, q *dns.Msg, rcode int, records ...string) {
		m := new(dns.Msg)
		m.SetRcode(q, rcode)
		for _, text := range records {
			rr, err := dns.NewRR(q.Question[0].Name + " 60 IN " + text)
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		_ = w.WriteMsg(m)
	}
	good := func(w dns.ResponseWriter, q *dns.Msg) { reply(w, q, dns.RcodeSuccess, "A 192.0.2.1", "A 192.0.2.2") }
	for _, tc := range []struct {
		name   string
		serve  func(w dns.ResponseWriter, q *dns.Msg)
		query  profile.Query
		change func(*Spec)
		class  Class
		reason string
	}{
		{"answered", good, profile.Query{}, nil, "", "NOERROR 192.0.2.1, 192.0.2.2"},
		{"over tcp", func(w dns.ResponseWriter, q *dns.Msg) {
			if !overUDP(w) {
				good(w, q)
			}
		}, profile.Query{Transport: "tcp"}, nil, "", "NOERROR 192.0.2.1, 192.0.2.2"},
		{"expected answer", good, profile.Query{Answers: []string{"192.0.2.2"}}, nil, "", "NOERROR 192.0.2.1, 192.0.2.2"},
		{"another answer", good, profile.Query{Answers: []string{"192.0.2.3"}}, nil, ClassBody, "NOERROR, but no answer is 192.0.2.3 (answers: 192.0.2.1, 192.0.2.2)"},
		{"names compare without case", func(w dns.ResponseWriter, q *dns.Msg) { reply(w, q, 0, "MX 10 Mail.Example.") }, profile.Query{Type: "mx", Answers: []string{"10 mail.example."}}, nil, "", "NOERROR 10 mail.example."},
		{"texts compare exactly", func(w dns.ResponseWriter, q *dns.Msg) { reply(w, q, 0, `TXT "Up"`) }, profile.Query{Type: "TXT", Answers: []string{`"up"`}}, nil, ClassBody, `NOERROR, but no answer is "up" (answers: "Up")`},
		{"refused by the server", func(w dns.ResponseWriter, q *dns.Msg) { reply(w, q, dns.RcodeServerFailure) }, profile.Query{}, nil, ClassStatus, "SERVFAIL, expected NOERROR"},
		{"expected rcode", func(w dns.ResponseWriter, q *dns.Msg) { reply(w, q, dns.RcodeNameError) }, profile.Query{Name: "gone.example", Rcode: "NXDOMAIN"}, nil, "", "NXDOMAIN"},
		{"cut off, then over tcp", func(w dns.ResponseWriter, q *dns.Msg) {
			if !overUDP(w) {
				good(w, q)
				return
			}
			m := new(dns.Msg)
			m.SetReply(q)
			m.Truncated = true
			_ = w.WriteMsg(m)
		}, profile.Query{Answers: []string{"192.0.2.1"}}, nil, "", "NOERROR 192.0.2.1, 192.0.2.2"},
		{"forged before the real one", func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg)
			m.SetRcode(q, dns.RcodeRefused)
			m.Id++
			_ = w.WriteMsg(m)
			other := q.Copy()
			other.Question[0].Name = "other.example."
			reply(w, other, dns.RcodeRefused)
			_, _ = w.Write([]byte("junk"))
			good(w, q)
		}, profile.Query{}, nil, "", "NOERROR 192.0.2.1, 192.0.2.2"},
		{"forged alone", func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg)
			m.SetReply(q)
			m.Id++
			_ = w.WriteMsg(m)
		}, profile.Query{}, short150, ClassTimeout, "timeout after 150ms waiting for an answer from %s (1 datagrams answered something else)"},
		{"another question over tcp", func(w dns.ResponseWriter, q *dns.Msg) {
			other := q.Copy()
			other.Question[0].Name = "other.example."
			reply(w, other, 0)
		}, profile.Query{Transport: "tcp"}, nil, ClassProtocol, "the answer belongs to another question"},
		{"silent", func(dns.ResponseWriter, *dns.Msg) {}, profile.Query{}, short150, ClassTimeout, "timeout after 150ms waiting for an answer from %s"},
		{"silent over tcp", func(dns.ResponseWriter, *dns.Msg) {}, profile.Query{Transport: "tcp"}, short150, ClassTimeout, "timeout after 150ms waiting for an answer"},
		{"closed over tcp", func(w dns.ResponseWriter, _ *dns.Msg) { _ = w.Close() }, profile.Query{Transport: "tcp"}, nil, ClassProtocol, "no DNS answer: connection closed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			at := nameServer(t, tc.serve)
			p, e := service()
			e.Origin, e.Target = "", profile.Target{Addrs: []string{"127.0.0.1"}}
			e.Monitor.Protocol, e.Monitor.Port, e.Monitor.Timeout, e.Monitor.Query = profile.DNS, int(at.Port()), 5*time.Second, tc.query
			s, err := SpecOf(p, e, Node{})
			if err != nil {
				t.Fatal(err)
			}
			if tc.change != nil {
				tc.change(&s)
			}
			got := Run(t.Context(), s)
			want := strings.ReplaceAll(tc.reason, "%s", at.String())
			if got.Class != tc.class || got.Obs.Reason != want || got.Obs.Addr != "127.0.0.1" {
				t.Errorf("%s %q, want %s %q\n%+v", got.Class, got.Obs.Reason, tc.class, want, got.Log)
			}
		})
	}
}

// TestDNSPlaces: a dead address costs its share of the timeout, and no server at all is a refused connection.
func TestDNSPlaces(t *testing.T) {
	at := nameServer(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		_ = w.WriteMsg(m)
	})
	s := Spec{
		Protocol: profile.DNS, Targets: []string{"127.0.0.9", "127.0.0.1"}, Port: int(at.Port()), Timeout: 5 * time.Second,
		Question: &Question{Name: "a.example.", Type: dns.TypeA},
	}
	if got := Run(t.Context(), s); !got.Obs.OK || got.Obs.Addr != "127.0.0.1" {
		t.Errorf("second address: %+v", got)
	}
	s.Targets = []string{"127.0.0.9"}
	for _, overTCP := range []bool{false, true} {
		s.Question.TCP = overTCP
		if got := Run(t.Context(), s); got.Class != ClassConnect || got.Obs.Reason != fmt.Sprintf("connect 127.0.0.9:%d: connection refused", at.Port()) {
			t.Errorf("nobody there: %+v", got)
		}
	}
}

// asProgram makes the test binary one of the programs that the exec tests run.
const asProgram = "as-program"

func program(args []string) {
	switch args[0] {
	case "say":
		fmt.Println(strings.Join(args[2:], "|"))
		code, _ := strconv.Atoi(args[1])
		os.Exit(code)
	case "environment":
		fmt.Fprintln(os.Stderr, strings.Join(os.Environ(), "|"))
	case "flood":
		for range 1000 {
			fmt.Print(strings.Repeat("x", 1000))
		}
	case "linger": // leaves a child that keeps a connection and the output open
		child := exec.Command(os.Args[0], asProgram, "hold", args[1])
		child.Stdout = os.Stdout
		_ = child.Start()
		if len(args) > 2 {
			fmt.Println("waiting")
			_ = child.Wait()
		}
	case "hold":
		c, err := net.Dial("tcp", args[1])
		if err == nil {
			_, _ = io.Copy(io.Discard, c)
		}
	}
}

func TestExec(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		argv   []string
		change func(*Spec)
		class  Class
		reason string
	}{
		{"exit 0", []string{self, asProgram, "say", "0", "fine"}, nil, "", "exit 0: fine"},
		{"exit 3", []string{self, asProgram, "say", "3", "replica lags"}, nil, ClassExec, "exit 3: replica lags"},
		{"one argument stays one", []string{self, asProgram, "say", "0", "{profile}/{endpoint}", "{target} {origin}", "{address}"}, nil, "", "exit 0: integration/eu 20; $(id)|127.0.0.1 http://127.0.0.1:81|127.0.0.1"},
		{"environment", []string{self, asProgram, "environment"}, nil, "", "exit 0: " + strings.Join(environment, "|")},
		{"nothing said", []string{self, asProgram, "silence"}, nil, "", "exit 0"},
		{"a flood", []string{self, asProgram, "flood"}, nil, "", "exit 0: " + strings.Repeat("x", outputLimit)},
		{"masked", []string{self, asProgram, "say", "1", "--password", "hunter2", "--api-token=s3cret99", "hunter2 s3cret99"}, nil, ClassExec, "exit 1: --password|***|--api-token=***|*** ***"},
		{"not there", []string{"/nonexistent/program"}, nil, ClassExec, "start /nonexistent/program: no such file or directory"},
		{"inverted", []string{self, asProgram, "say", "3", "gone"}, func(s *Spec) { s.Invert = true }, "", "inverted: exit 3: gone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := execSpec(t, tc.argv)
			if tc.change != nil {
				tc.change(&s)
			}
			if got := Run(t.Context(), s); got.Class != tc.class || got.Obs.Reason != tc.reason {
				t.Errorf("%s %q, want %s %q\n%+v", got.Class, got.Obs.Reason, tc.class, tc.reason, got.Log)
			}
			if shown := fmt.Sprintf("%v %#v", s, s); strings.Contains(shown, "hunter2") || strings.Contains(shown, "s3cret99") {
				t.Errorf("%s shows a secret", shown)
			}
		})
	}
}

func execSpec(t *testing.T, argv []string) Spec {
	t.Helper()
	p, e := service()
	e.Name, e.Origin, e.Target = "eu 20; $(id)", "http://127.0.0.1:81", profile.Target{Addrs: []string{"127.0.0.1"}}
	e.Monitor.Protocol, e.Monitor.Exec = profile.Exec, "check"
	s, err := SpecOf(p, e, Node{Programs: func(name string) ([]string, bool) { return argv, name == "check" }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestExecIsBounded: a program that found no place says nothing about its endpoint.
func TestExecIsBounded(t *testing.T) {
	for range maxPrograms {
		running <- struct{}{}
	}
	s := execSpec(t, []string{"/nonexistent/program"})
	s.Timeout = 50 * time.Millisecond
	if got := Run(t.Context(), s); got.Class != ClassLocal || !strings.HasPrefix(got.Obs.Reason, "64 programs of other checks ran") {
		t.Errorf("%+v", got)
	}
	for range maxPrograms {
		<-running
	}
	if got := Run(t.Context(), s); got.Class != ClassExec {
		t.Errorf("%+v", got)
	}
}

// TestExecEndsItsWholeGroup: at the timeout, at a cancel, and when the program itself is done, no child is left.
func TestExecEndsItsWholeGroup(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"timeout", "cancel", "done"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			came, gone := make(chan struct{}, 1), make(chan struct{}, 1)
			at := talker(t, func(c net.Conn) {
				came <- struct{}{}
				_, _ = io.Copy(io.Discard, c)
				gone <- struct{}{}
			})
			argv := []string{self, asProgram, "linger", at.String()}
			if how != "done" {
				argv = append(argv, "wait")
			}
			s := execSpec(t, argv)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if how == "timeout" {
				s.Timeout = 2 * time.Second
			}
			if how == "cancel" {
				go func() {
					<-came
					came <- struct{}{}
					cancel()
				}()
			}
			got := Run(ctx, s)
			want := map[string]Class{"timeout": ClassTimeout, "cancel": ClassCancelled, "done": ""}[how]
			if got.Class != want || (how == "timeout" && got.Obs.Reason != "timeout after 2s, the program was killed: waiting") {
				t.Errorf("%s %q, want %s", got.Class, got.Obs.Reason, want)
			}
			if took := got.Obs.Latency; took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			select {
			case <-came:
				<-gone // or the test hangs: the child lives on
			default: // it was ended before it could connect
			}
		})
	}
}

// TestConnectPart: timeouts.connect bounds resolving, connecting and the TLS handshake together.
func TestConnectPart(t *testing.T) {
	s := specFor(talker(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
	s.Protocol, s.Parts.Connect = profile.HTTPS, 80*time.Millisecond
	if got := Run(t.Context(), s); got.Class != ClassTimeout || got.Obs.Reason != "timeout after 80ms (timeouts.connect) in the TLS handshake" || got.Obs.Latency > 4*time.Second {
		t.Errorf("silent in the handshake: %+v", got)
	}
	s.Targets = []string{"no.such.name.invalid"}
	silent := &Prober{Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}}
	if got := silent.Run(t.Context(), s); got.Class != ClassResolve || got.Obs.Reason != "resolve no.such.name.invalid: timeout after 80ms (timeouts.connect)" {
		t.Errorf("silent resolver: %+v", got)
	}
	s = specFor(origin(t, func(c net.Conn, _ string) {
		_, _ = io.CopyN(io.Discard, c, 1) // nothing comes: the answer is late for the connect part, not for the probe
		_, _ = io.WriteString(c, ok200)
	}))
	s.Parts.Connect, s.Timeout, s.Parts.Status = 50*time.Millisecond, 150*time.Millisecond, 0
	if got := Run(t.Context(), s); got.Obs.Reason != "timeout after 150ms waiting for the first byte" {
		t.Errorf("the connect part must end with the connection: %+v", got)
	}
}
