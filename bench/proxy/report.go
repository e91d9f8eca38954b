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
	Proxies  map[string]string `json:"proxies"` // what each says of its version
	Missing  []string          `json:"missing,omitempty"`
	Rows     []row             `json:"rows"`
	Ratios   []ratio           `json:"ratios"`
	Goals    []goal            `json:"goals"`
}

// row is one line of a table: one proxy in one part, medians; and every run.
type row struct {
	Part   string      `json:"part"`
	Proxy  string      `json:"proxy"`
	Counts int         `json:"counts"` // how many runs do
	Values side.Values `json:"values"`
	Runs   side.Runs   `json:"runs"`
	Why    string      `json:"why,omitempty"` // runs that did not count
}

// ratio is Jurymast to another, over pairs.
type ratio struct {
	Name   string  `json:"name"`
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// goal is one gate: a value that must not exceed its limit.
type goal struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Limit float64 `json:"limit"`
	Met   bool    `json:"met"`
	Why   string  `json:"why,omitempty"`
}

func (r *report) begin(b *bench) {
	r.At, r.Settings, r.Machine, r.Proxies = time.Now().UTC().Truncate(time.Second), b.settings, side.Here(), map[string]string{}
	fmt.Println(r.Machine)
	for _, p := range b.proxies {
		r.Proxies[p.name] = p.versionLine()
		fmt.Printf("- %s: %s; %s\n", p.name, r.Proxies[p.name], p.says)
	}
	fmt.Printf("- proxy on core %d, client and origin on core %d, %d pairs of %v s\n", b.ProxyCore, b.ClientCore, b.Pairs, b.Seconds)
}

func (r *report) add(part string, o *outcome) {
	w := row{Part: part, Proxy: o.proxy.name, Runs: o.Runs, Why: strings.Join(o.why, "; ")}
	w.Values, w.Counts = o.Medians("")
	r.Rows = append(r.Rows, w)
}

// column is one figure of a table: its key in the values, its heading and its form.
type column struct{ key, head, form string }

// table prints the rows of a part, as Markdown that can be read as it is.
func (r *report) table(part, title string, columns []column) {
	fmt.Printf("\n### %s: %s\n\n", part, title)
	lines := [][]string{{"proxy", "runs"}, {"---", "---:"}}
	for _, c := range columns {
		lines[0], lines[1] = append(lines[0], c.head), append(lines[1], "---:")
	}
	for _, w := range r.Rows {
		if w.Part != part {
			continue
		}
		line := []string{w.Proxy, fmt.Sprint(w.Counts)}
		for _, c := range columns {
			if v, ok := w.Values[c.key]; ok {
				line = append(line, fmt.Sprintf(c.form, v))
			} else {
				line = append(line, "-")
			}
		}
		lines = append(lines, line)
	}
	printAligned(lines)
	for _, w := range r.Rows {
		if w.Part == part && w.Why != "" {
			fmt.Printf("*** %s: %s\n", w.Proxy, w.Why)
		}
	}
	fmt.Println()
}

// printAligned puts names to the left and figures to the right.
func printAligned(lines [][]string) {
	width := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			width[i] = max(width[i], len(cell))
		}
	}
	for _, line := range lines {
		fmt.Print("|")
		for i, cell := range line {
			w := width[i]
			if i == 0 {
				w = -w
			}
			fmt.Printf(" %*s |", w, cell)
		}
		fmt.Println()
	}
}

func (r *report) ratio(name string, median, least, most float64) {
	r.Ratios = append(r.Ratios, ratio{name, median, least, most})
	fmt.Printf("- ratio: %s: %.3f (%.3f to %.3f)\n", name, median, least, most)
}

func (r *report) judge(g goal) {
	r.Goals = append(r.Goals, g)
	word := "met"
	if !g.Met {
		word = "MISSED"
	}
	if g.Why != "" {
		word += ": " + g.Why
	}
	fmt.Printf("- goal: %s: %.3g (at most %.3g) %s\n", g.Name, g.Value, g.Limit, word)
}

// disturbance is how many percent of the proxy's core others may use: the kernel's threads and clocks.
const disturbance = 5

// end writes the file and says what was missed. A run that never counted is an error in any case.
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
	disturbed := 0
	var failed []string
	for _, w := range r.Rows {
		if w.Values["other"] > disturbance {
			disturbed++
		}
		if w.Why != "" {
			failed = append(failed, fmt.Sprintf("%s of %s: %s", w.Part, w.Proxy, w.Why))
		}
	}
	if disturbed > 0 {
		fmt.Printf("\n*** in %d of %d rows something else used more than %d %% of the proxy's core: measure again on a quiet machine\n", disturbed, len(r.Rows), disturbance)
	}
	if len(failed) > 0 {
		return errors.New(strings.Join(failed, "\n"))
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
	if strict {
		return errors.New(strings.Join(missed, "; "))
	}
	fmt.Println("\n" + strings.Join(missed, "; "))
	return nil
}
