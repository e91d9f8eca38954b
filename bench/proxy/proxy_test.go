package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jurymast/bench/proxy/bare"
	"jurymast/bench/side"
	"jurymast/internal/profile"
)

func testRig(t *testing.T) *rig {
	r, err := newRig()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.rest()
		for _, fd := range append(r.listeners, r.ep) {
			closeFD(fd)
		}
	})
	return r
}

func nothing() error { return nil }

func shortly(v verb) plan {
	return plan{verb: v, connections: 20, warm: 20 * time.Millisecond, length: 50 * time.Millisecond, count: nothing, stop: nothing}
}

// counted is a load with answers in it: on a busy machine a window may be over before the first one comes, then the next is
// twice as long.
func counted(ctx context.Context, r *rig, port int, p plan) (*load, time.Duration, error) {
	for {
		l, err := r.run(ctx, port, p)
		if err != nil || l.answers > 0 || p.length > 5*time.Second {
			return l, p.length, err
		}
		p.length *= 2
	}
}

// TestRelay sends every kind of load through the bare relay: nothing is wrong, and everything is counted.
func TestRelay(t *testing.T) {
	r := testRig(t)
	port, err := side.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	table := filepath.Join(t.TempDir(), "hosts")
	text := bareProxy("").config(world{origins: r.ports})[0].text
	if err := os.WriteFile(table, text, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() { // as long as the test
		if err := bare.Main([]string{"-listen", fmt.Sprintf("127.0.0.1:%d", port), "-hosts", table}); err != nil {
			t.Log(err)
		}
	}()
	for try := 0; ; try++ {
		if _, err = r.run(t.Context(), port, plan{verb: verbGet, connections: 40, once: true, stop: func() error { return r.again(t.Context()) }}); err == nil {
			break
		}
		if try > 100 {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, v := range []verb{verbGet, verbPost, verbDown, verbUp, verbClose} {
		served := r.served
		l, _, err := counted(t.Context(), r, port, shortly(v))
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		if l.answers == 0 || r.served-served < l.answers {
			t.Errorf("%s: %d answers, %d served", v.name, l.answers, r.served-served)
		}
	}
	p := shortly(verbGet)
	p.rate = 1000
	l, length, err := counted(t.Context(), r, port, p)
	if err != nil {
		t.Fatal(err)
	}
	if most := 2 * int(length.Milliseconds()); l.answers == 0 || l.answers > most || int(l.latency.N) != l.answers || l.latency.Quantile(.5) <= 0 {
		t.Errorf("1000 a second for %v: %d answers, %d latencies", length, l.answers, l.latency.N)
	}
}

// TestDirect: without a proxy the client says itself what a proxy would; if nobody says it, the origin refuses.
func TestDirect(t *testing.T) {
	r := testRig(t)
	p := shortly(verbPost)
	p.direct = true
	if l, _, err := counted(t.Context(), r, 0, p); err != nil || l.answers == 0 {
		t.Fatal(l, err)
	}
	p.direct, p.connections = false, 1
	if _, err := r.run(t.Context(), r.ports[0], p); err == nil || !strings.Contains(err.Error(), "X-Forwarded-For") {
		t.Errorf("no X-Forwarded-For: %v", err)
	}
	p.connections = 2
	if _, err := r.run(t.Context(), r.ports[0], p); err == nil {
		t.Error("a request at the wrong origin is good")
	}
}

// TestWrong: whatever a bad proxy does fails the run.
func TestWrong(t *testing.T) {
	good := string(answer(0, small))
	for name, says := range map[string]string{
		"another status":  strings.Replace(good, "200 OK", "502 Bad Gateway", 1),
		"another host":    string(answer(1, small)),
		"another length":  strings.Replace(good, "Content-Length: 128", "Content-Length: 127", 1),
		"a changed body":  good[:len(good)-1] + "x",
		"too long":        good + "x",
		"an end":          good[:len(good)-1],
		"nothing":         "",
		"an unasked end":  good,
		"closes politely": strings.Replace(good, "Cache-Control: no-store", "Connection: close", 1),
	} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 4096))
				_, _ = io.WriteString(c, says)
				c.Close()
			}
		}()
		p := shortly(verbGet)
		p.connections, p.warm = 1, 5*time.Second // it fails at once
		a, _ := l.Addr().(*net.TCPAddr)
		if _, err := testRig(t).run(t.Context(), a.Port, p); err == nil {
			t.Errorf("%s: no failure", name)
		}
		l.Close()
	}
}

// TestSilence: a run that is given up ends, although nothing comes.
func TestGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := shortly(verbGet)
	p.direct = true
	if _, err := testRig(t).run(ctx, 0, p); err == nil {
		t.Error("it goes on")
	}
}

func TestJudge(t *testing.T) {
	const rest = "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Forwarded-Port: 1\r\n\r\n"
	const line = "GET /s?x HTTP/1.1\r\n"
	for text, want := range map[string]string{
		line + "host: app01.bench.example\r\nx-forwarded-for: 127.0.0.1\r\n" + rest:                               "",
		line + "Host: app02.bench.example\r\nX-Forwarded-For: 127.0.0.1\r\n" + rest:                               "came to origin 1",
		line + "Host: app1.bench.example\r\nX-Forwarded-For: 127.0.0.1\r\n" + rest:                                "no Host",
		line + "Host: app01.bench.example\r\nX-Forwarded-For: 127.0.0.2\r\n" + rest:                               "no X-Forwarded-For",
		line + "Host: app01.bench.example\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1\r\n" + rest: "twice",
		line + "Host: app01.bench.example\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n":                                  "-Proto",
		line + "Host: app01.bench.example\r\nX-Forwarded-For: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n" + rest: "Transfer-Encoding",
		line + "Host: app01.bench.example\r\nX-Forwarded-For: 127.0.0.1\r\nContent-Length: 1x\r\n" + rest:         "Content-Length",
		line + "Host: app01.bench.example\r\nHost: app01.bench.example\r\nX-Forwarded-For: 127.0.0.1\r\n" + rest:  "Host twice",
	} {
		s := &served{origin: 1}
		err := s.judge([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestPattern: a body that is shifted, cut or doubled is seen.
func TestPattern(t *testing.T) {
	if !matches(pattern[1000:2000], 1000) || !matches(pattern[large-1:], large-1) || !matches(nil, 5) {
		t.Error("a good body is refused")
	}
	for _, shift := range []int{1, 7, 256, 4096, 65536} {
		if matches(pattern[1000:2000], 1000+shift) {
			t.Errorf("shifted by %d", shift)
		}
	}
	if matches(pattern[:2], large-1) {
		t.Error("too long")
	}
}

// TestConfigs: what Jurymast is started with is a good configuration, and everybody knows every host.
func TestConfigs(t *testing.T) {
	w := world{dir: "/tmp/bench", port: 8080, admin: 9460, origins: []int{1, 2, 3, 4, 5, 6, 7, 8}, connections: 100}
	f, err := profile.DecodeFile("jurymast.yaml", jurymastConfig(w)[0].text)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Profiles) != hosts {
		t.Errorf("%d profiles", len(f.Profiles))
	}
	for _, p := range []*proxy{jurymastProxy(""), haproxyProxy(), nginxProxy(), bareProxy("")} {
		var all []byte
		for _, f := range p.config(w) {
			all = append(all, f.text...)
		}
		for i := range hosts {
			if !bytes.Contains(all, []byte(host(i))) {
				t.Errorf("%s does not know %s", p.name, host(i))
			}
		}
	}
}

// TestMissing: a proxy that is not there is told by its package and fails a strict run; an unknown one is an error, the subject too.
func TestMissing(t *testing.T) {
	known := []*proxy{{name: jurymast, program: "sh"}, {name: "haproxy", pkg: "haproxy-package", program: "no-such-program"}, {name: "bare", program: "sh"}}
	b := &bench{settings: settings{Proxies: "jurymast,haproxy,bare@A=1@B=2"}}
	if err := b.findProxies(known); err != nil {
		t.Fatal(err)
	}
	if len(b.proxies) != 2 || b.proxies[1].name != "bare@A=1@B=2" || strings.Join(b.proxies[1].env, " ") != "A=1 B=2" {
		t.Errorf("%+v", b.proxies)
	}
	if len(b.report.Missing) != 1 || !strings.Contains(b.report.Missing[0], "apt install haproxy-package") {
		t.Errorf("missing: %q", b.report.Missing)
	}
	if b.report.end("", true) == nil || b.report.end("", false) != nil {
		t.Error("a missing proxy fails a strict run, and only that")
	}
	for _, bad := range []string{"squid", "haproxy,bare"} {
		if (&bench{settings: settings{Proxies: bad}}).findProxies(known) == nil {
			t.Errorf("-proxies %s is good", bad)
		}
	}
}

// TestVerdicts: a missed goal fails a strict run, a run that did not count fails any.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		value, limit float64
		met          bool
	}{{1.1, 1, false}, {1, 1, true}} {
		a := &outcome{proxy: &proxy{name: jurymast}, Runs: side.Runs{{"us": c.value}}}
		h := &outcome{proxy: &proxy{name: "haproxy"}, Runs: side.Runs{{"us": 1}}}
		var b bench
		b.ratios("x", "us", []*outcome{a, h}, c.limit)
		if len(b.report.Goals) != 1 || b.report.Goals[0].Met != c.met || (b.report.end("", true) == nil) != c.met || b.report.end("", false) != nil {
			t.Errorf("%+v: %+v", c, b.report.Goals)
		}
	}
	r := report{Rows: []row{{Why: "pair 1: 502"}}}
	if r.end("", false) == nil {
		t.Error("a run that does not count is good")
	}
}
