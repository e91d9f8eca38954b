package alarm

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestScenarios plays the files of testdata: what is told at each time, and nothing else.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			play(t, string(text))
		})
	}
}

func play(t *testing.T, text string) {
	t.Helper()
	var m Machine
	marks := map[Kind]Gauge{}
	number := func(text string) float64 {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	line := 0
	for text := range strings.Lines(text) {
		line++
		text, _, _ = strings.Cut(text, "#")
		words := strings.Fields(text)
		switch {
		case len(words) == 0:
			continue
		case words[0] == "calm":
			m.Calm, _ = time.ParseDuration(words[1])
			continue
		case words[0] == "mark":
			marks[Kind(words[1])] = Gauge{Kind: Kind(words[1]), Mark: number(words[2]), Falls: len(words) > 3}
			continue
		}
		at, err := time.ParseDuration(words[0])
		if err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
		var gauges []Gauge
		var want []string
		for _, w := range words[1:] {
			kind, value, is := strings.Cut(w, "=")
			if !is {
				want = append(want, w)
				continue
			}
			g := marks[Kind(kind)]
			if g.Unread = value == "-"; !g.Unread {
				g.Value = number(value)
			}
			gauges = append(gauges, g)
		}
		var got []string
		for _, c := range m.Step(time.Unix(0, 0).Add(at), gauges) {
			got = append(got, map[bool]string{true: "raised", false: "cleared"}[c.Raised], string(c.Kind))
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("line %d: told %q, want %q", line, got, want)
		}
	}
}
