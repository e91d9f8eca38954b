package secondary

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the scenarios anew")

// TestState plays testdata/state.txt: lines that begin with > are what came of the lines before.
func TestState(t *testing.T) {
	t.Parallel()
	const file = "testdata/state.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	p := player{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, ">") {
			line = "> " + p.tell()
		} else if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			p.play(t, words)
		}
		out.WriteString(line + "\n")
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if out.String() != string(text) {
		t.Errorf("not what %s says; look at the difference with -update", file)
	}
}

type player struct {
	s      State
	t      Timers
	now    int
	timers bool
}

func (p *player) at() time.Time { return time.Unix(int64(p.now), 0) }

func (p *player) play(t *testing.T, w []string) {
	t.Helper()
	number := func(i int) int {
		n, err := strconv.Atoi(w[i])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	span := func(i int) time.Duration {
		d, err := time.ParseDuration(w[i])
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	p.timers = w[0] == "soa"
	switch w[0] {
	case "soa":
		p.t = TimersOf(uint32(number(1)), uint32(number(2)), uint32(number(3)), Bounds{span(4), span(5)})
	case "begin":
		p.now = 0
		p.s = Begin(p.at())
	case "advance":
		p.now = number(1)
	case "look":
		p.s.Look()
	case "fail":
		p.s.Failed(p.at(), 0)
	case "succeed":
		p.s.Succeeded(p.t, p.at(), 0)
	case "notify":
		p.s.Notified(p.at())
	case "restore":
		p.s = Restore(p.t, time.Unix(int64(number(1)), 0), p.at(), 0)
	default:
		t.Fatalf("no word of a scenario: %s", w[0])
	}
}

func (p *player) tell() string {
	if p.timers {
		return fmt.Sprintf("refresh %v, retry %v, expire %v", p.t.Refresh, p.t.Retry, p.t.Expire)
	}
	out := fmt.Sprintf("%d %s", p.now, p.s.Phase(p.at()))
	switch {
	case p.s.Looking:
		out += ", looking"
	case p.s.Due(p.at()) && p.s.Has:
		out += ", due"
	default:
		out += fmt.Sprintf(", next %d", p.s.Next.Unix())
	}
	if p.s.Has {
		out += fmt.Sprintf(", expires %d", p.s.Expires().Unix())
	}
	return out
}

func TestJitterOnlyShortens(t *testing.T) {
	t.Parallel()
	for dice := range uint64(1000) {
		got := less(100*time.Second, dice*7_919_000_017)
		if got > 100*time.Second || got <= 90*time.Second {
			t.Fatalf("dice %d: %v", dice, got)
		}
	}
}

func TestSerials(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b  uint32
		newer bool
	}{
		{2, 1, true}, {1, 2, false}, {1, 1, false}, {0, 4294967295, true}, {4294967295, 0, false}, {2147483648, 1, true}, {2147483650, 1, false}, {100, 4294967290, true},
	} {
		if Newer(c.a, c.b) != c.newer {
			t.Errorf("Newer(%d, %d) is not %t", c.a, c.b, c.newer)
		}
	}
}
