package main

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTablesAlign(t *testing.T) {
	p := &printer{}
	p.table("  ", [][]cell{plain("NAME", "STATUS", "REASON"), {{"eu20", 0}, {"Online", green}, {"bär", 0}}, plain("a-long-name", "", "x")})
	want := "  NAME         STATUS  REASON\n  eu20         Online  bär\n  a-long-name  -       x\n"
	if got := p.text.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	coloured := &printer{colours: true}
	coloured.table("  ", [][]cell{{{"Online", green}, {"Degraded", red}, {"Checking", yellow}}})
	if got := coloured.text.String(); got != "  \x1b[32mOnline\x1b[0m  \x1b[31mDegraded\x1b[0m  \x1b[33mChecking\x1b[0m\n" {
		t.Errorf("%q", got)
	}
}

func TestNothingDrivesTheTerminal(t *testing.T) {
	p := &printer{colours: true}
	p.printf("%s\n", "a\x1b[2Jb\rc\u009bd")
	p.table("", [][]cell{{{"x\x07y", red}}})
	if got := p.text.String(); got != "a?[2Jb?c?d\n\x1b[31mx?y\x1b[0m\n" {
		t.Errorf("%q", got)
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := &printer{now: now}
	for _, c := range []struct {
		since time.Duration
		want  string
	}{
		{0, "now"},
		{12*time.Second + 900*time.Millisecond, "12s ago"},
		{3*time.Minute + 12*time.Second, "3m12s ago"},
		{59*time.Minute + 59*time.Second, "59m59s ago"},
		{5*time.Hour + 7*time.Minute, "5h7m ago"},
		{50 * time.Hour, "2d2h ago"},
		{-90 * time.Second, "in 1m30s"},
	} {
		if got := p.ago(now.Add(-c.since)); got != c.want {
			t.Errorf("%v: %q, want %q", c.since, got, c.want)
		}
	}
	if got := p.ago(time.Time{}); got != "" {
		t.Errorf("never: %q", got)
	}
}

// TestColoursAreForPeople: on a terminal and nowhere else, and not when asked to stop.
func TestColoursAreForPeople(t *testing.T) {
	tty := openTerminal(t)
	environment := map[string]string{}
	c := &cli{out: tty, getenv: func(k string) string { return environment[k] }}
	if !c.colours() {
		t.Error("no colours on a terminal")
	}
	environment["NO_COLOR"] = "1"
	if c.colours() {
		t.Error("colours with NO_COLOR")
	}
	delete(environment, "NO_COLOR")
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = null.Close() })
	for name, out := range map[string]any{"a buffer": &bytes.Buffer{}, os.DevNull: null} {
		if isTerminal(out) {
			t.Errorf("%s is taken for a terminal", name)
		}
	}
}

// openTerminal gives the application's side of a new pseudo-terminal.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { _ = control.Close() })
	fd := int(control.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	tty, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return tty
}

// TestAnUnwritableOutputIsAnError: a full disk behind `> file` must not look like success.
func TestAnUnwritableOutputIsAnError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	t.Cleanup(func() { _ = full.Close() })
	var said strings.Builder
	c := &cli{in: strings.NewReader(""), out: full, errOut: &said, getenv: func(string) string { return "" }, now: time.Now}
	if code := run(context.Background(), c, []string{"version"}); code != exitFinding || !strings.Contains(said.String(), "no space left") {
		t.Errorf("exit code %d, said %q", code, said.String())
	}
}
