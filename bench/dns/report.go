package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"jurymast/bench/side"
)

// report is what the JSON file holds.
type report struct {
	At       time.Time         `json:"at"`
	Machine  side.Machine      `json:"machine"`
	Settings settings          `json:"settings"`
	Servers  map[string]string `json:"servers"` // what each says of its version
	Missing  []string          `json:"missing,omitempty"`
	Rows     []row             `json:"rows"`
	Goals    []goal            `json:"goals"`
}

// row is one line of a table: one server in one case, medians.
type row struct {
	Measure string             `json:"measure"`
	Case    string             `json:"case"`
	Server  string             `json:"server"`
	Runs    int                `json:"runs"` // that counted
	Values  map[string]float64 `json:"values"`
	Why     string             `json:"why,omitempty"` // runs that did not count
}

// goal is one gate.
type goal struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Limit float64 `json:"limit"`
	Least bool    `json:"least,omitempty"` // the limit is the least, not the most
	Met   bool    `json:"met"`
	Why   string  `json:"why,omitempty"`
}

func (r *report) begin(b *bench) {
	r.At, r.Settings, r.Servers = time.Now().UTC().Truncate(time.Second), b.settings, map[string]string{}
	r.Machine = side.Here()
	fmt.Println(r.Machine)
	for _, s := range b.servers {
		r.Servers[s.name] = s.says()
		fmt.Printf("%-9s %s; %s\n", s.name, r.Servers[s.name], s.limits)
	}
	fmt.Printf("server on core %d, client on core %d, %d pairs of %d s\n", b.ServerCore, b.ClientCore, b.Pairs, b.Seconds)
}

// column is one figure of a table: its key in the values, its heading and its form.
type column struct{ key, head, form string }

// table prints the rows of a measure as they were added.
func (r *report) table(title, measure string, columns ...column) {
	fmt.Printf("\n%s\n", title)
	lines := [][]string{{"case", "server", "runs"}}
	for _, c := range columns {
		lines[0] = append(lines[0], c.head)
	}
	for _, w := range r.Rows {
		if w.Measure != measure {
			continue
		}
		line := []string{w.Case, w.Server, fmt.Sprint(w.Runs)}
		for _, c := range columns {
			v, ok := w.Values[c.key]
			if !ok {
				line = append(line, "-")
				continue
			}
			line = append(line, fmt.Sprintf(c.form, v))
		}
		lines = append(lines, line)
	}
	printAligned(lines)
	for _, w := range r.Rows {
		if w.Measure == measure && w.Why != "" {
			fmt.Printf("*** %s %s: %s\n", w.Case, w.Server, w.Why)
		}
	}
}

// printAligned puts words to the left and figures, from the third column on, to the right.
func printAligned(lines [][]string) {
	width := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			width[i] = max(width[i], len(cell))
		}
	}
	for _, line := range lines {
		for i, cell := range line {
			if i < 2 {
				fmt.Printf("%-*s  ", width[i], cell)
				continue
			}
			fmt.Printf("%*s  ", width[i], cell)
		}
		fmt.Println()
	}
}

// most adds a goal that a value must not exceed, least one that it must reach. A value that could not be had is 0 with a why.
func (r *report) most(name string, value, limit float64, why string) {
	r.judge(goal{Name: name, Value: value, Limit: limit, Met: why == "" && value <= limit, Why: why})
}

func (r *report) least(name string, value, limit float64, why string) {
	r.judge(goal{Name: name, Value: value, Limit: limit, Least: true, Met: why == "" && value >= limit, Why: why})
}

func (r *report) judge(g goal) {
	r.Goals = append(r.Goals, g)
	sign, word := "<=", "met"
	if g.Least {
		sign = ">="
	}
	if !g.Met {
		word = "MISSED"
	}
	if g.Why != "" {
		word += ": " + g.Why
	}
	fmt.Printf("goal      %s: %.3g (goal %s %.3g) %s\n", g.Name, g.Value, sign, g.Limit, word)
}

// end writes the file and says what was missed.
func (r *report) end(path string, strict bool) error {
	if path != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil { //nolint:gosec // figures for everybody
			return err
		}
	}
	if n := r.disturbed(); n > 0 {
		fmt.Printf("\n*** in %d of %d rows something else used more than %d %% of the server's core: measure again on a quiet machine\n", n, len(r.Rows), disturbance)
	}
	missed := slices.Clone(r.Missing)
	for _, g := range r.Goals {
		if !g.Met {
			missed = append(missed, "goal missed: "+g.Name)
		}
	}
	if len(missed) == 0 {
		return nil
	}
	text := strings.Join(missed, "; ")
	if strict {
		return errors.New(text)
	}
	fmt.Println("\n" + text)
	return nil
}

// disturbance is how many percent of the server's core others may use: its own kernel threads and clocks.
const disturbance = 5

func (r *report) disturbed() (n int) {
	for _, w := range r.Rows {
		if w.Values["other"] > disturbance {
			n++
		}
	}
	return n
}
