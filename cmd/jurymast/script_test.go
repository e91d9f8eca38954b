package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"jurymast/internal/api"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"jurymast": main})
}

// patience bounds every wait of a script. Nothing waits that long unless it fails.
const patience = 30 * time.Second

// TestScripts runs the scripts of testdata/script, each in a folder of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "UTC")
			examples, err := filepath.Abs(filepath.Join("..", "..", "examples"))
			if err != nil {
				return err
			}
			env.Setenv("EXAMPLES", examples)
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else every program of a race build ends a second late
			return os.MkdirAll(filepath.Join(env.WorkDir, ".tmp"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":       exits,
			"node":        startFakeNode,
			"free-ports":  freePorts,
			"fill":        fill,
			"eventually":  eventually,
			"wait-ready":  waitReady,
			"gone":        gone,
			"wait-status": waitStatus,
			"post":        post,
			"hup":         hup,
		},
	})
}

// exits CODE PROGRAM ARGS... runs a program that must end with CODE.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// free-ports NAME... puts addresses on 127.0.0.1 that were free just now into the environment, for TCP and UDP.
func freePorts(ts *testscript.TestScript, _ bool, args []string) {
	var open []interface{ Close() error } // all at once, so that no port is handed out twice
	for _, name := range args {
		l, p := freePort(ts)
		open = append(open, l, p)
		ts.Setenv(name, l.Addr().String())
	}
	for _, c := range open {
		ts.Check(c.Close())
	}
}

func freePort(ts *testscript.TestScript) (net.Listener, net.PacketConn) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		p, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return l, p
		}
		ts.Check(l.Close())
	}
	ts.Fatalf("no port is free for both TCP and UDP")
	return nil, nil
}

// fill FILE... replaces $NAME by the environment in files.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// until polls what is no event for us: another process.
func until(ts *testscript.TestScript, what string, done func() (bool, string)) {
	deadline := time.Now().Add(patience)
	for {
		ok, last := done()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: not within %v; last: %s", what, patience, last)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// eventually PATTERN PROGRAM ARGS... runs a program until its output matches.
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	until(ts, "eventually "+strings.Join(args, " "), func() (bool, string) {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		return err == nil && pattern.MatchString(out), out
	})
}

// wait-ready URL waits until GET URL answers 200.
func waitReady(ts *testscript.TestScript, _ bool, args []string) {
	until(ts, "wait-ready "+args[0], func() (bool, string) {
		code, err := ask(http.MethodGet, args[0], "")
		return err == nil && code == http.StatusOK, fmt.Sprint(code, " ", err)
	})
}

// gone URL waits until a server at URL answers, and not with success.
func gone(ts *testscript.TestScript, _ bool, args []string) {
	until(ts, "gone "+args[0], func() (bool, string) {
		code, err := ask(http.MethodGet, args[0], "")
		return err == nil && code/100 != 2, fmt.Sprint(code, " ", err)
	})
}

// post URL BODY sends JSON and wants success.
func post(ts *testscript.TestScript, _ bool, args []string) {
	code, err := ask(http.MethodPost, args[0], args[1])
	ts.Check(err)
	if code/100 != 2 {
		ts.Fatalf("POST %s: status %d", args[0], code)
	}
}

func ask(method, url, body string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// hup sends SIGHUP to every `jurymast serve` of the script.
func hup(ts *testscript.TestScript, _ bool, _ []string) {
	for _, cmd := range ts.BackgroundCmds() {
		if len(cmd.Args) > 1 && cmd.Args[1] == "serve" {
			ts.Check(cmd.Process.Signal(syscall.SIGHUP))
		}
	}
}

// wait-status PROFILE KEY=VALUE... waits until the node of JURYMAST_API says so. Keys: active, epoch, serving,
// monitorStatus, stale, and the name of an endpoint for its monitor status.
func waitStatus(ts *testscript.TestScript, _ bool, args []string) {
	url := ts.Getenv("JURYMAST_API") + "/api/v1/profiles/" + args[0] + "/status"
	until(ts, "wait-status "+strings.Join(args, " "), func() (bool, string) {
		s, err := profileStatus(url)
		if err != nil {
			return false, err.Error()
		}
		for _, want := range args[1:] {
			key, value, _ := strings.Cut(want, "=")
			if s[key] != value {
				return false, fmt.Sprint(s)
			}
		}
		return true, ""
	})
}

func profileStatus(url string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var s api.ProfileStatus
	if err := json.NewDecoder(answer.Body).Decode(&s); err != nil {
		return nil, err
	}
	out := map[string]string{"serving": s.Serving, "monitorStatus": s.MonitorStatus, "stale": strconv.FormatBool(s.Stale)}
	if s.Decision != nil {
		out["active"], out["epoch"] = s.Decision.Active, strconv.FormatUint(s.Decision.Epoch, 10)
	}
	for i := range s.Endpoints {
		out[s.Endpoints[i].Name] = s.Endpoints[i].MonitorStatus
	}
	return out, nil
}
