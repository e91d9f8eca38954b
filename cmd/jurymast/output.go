package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// format is the value of -o.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatYAML  format = "yaml"
)

func (f *format) String() string { return string(*f) }

// Type is the word in the help text.
func (f *format) Type() string { return "FORMAT" }

func (f *format) Set(text string) error {
	switch v := format(text); v {
	case formatTable, formatJSON, formatYAML:
		*f = v
		return nil
	}
	return errors.New("allowed: table, json, yaml")
}

// outputFlag adds -o, table by default.
func outputFlag(cmd *cobra.Command) *format {
	f := formatTable
	cmd.Flags().VarP(&f, "output", "o", "table, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return &f
}

// print writes value as JSON or YAML, or lets table write it for people.
func (c *cli) print(f format, value any, table func(p *printer)) error {
	switch f {
	case formatJSON, formatYAML:
		text, err := encode(f, value, "  ")
		if err != nil {
			return err
		}
		_, err = c.out.Write(text)
		return err
	case formatTable:
	}
	p := &printer{colours: c.colours(), now: c.now(), zone: time.Local}
	table(p)
	_, err := c.out.Write(p.text.Bytes())
	return err
}

// encode is value as JSON, or as YAML with the keys of the JSON in their order.
func encode(f format, value any, indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	text := quoted(b.Bytes())
	if f == formatYAML {
		return readable(text)
	}
	return text, nil
}

// quoted is JSON with everything that drives a terminal as \uXXXX; the encoder leaves some as it is.
func quoted(text []byte) []byte {
	if bytes.IndexFunc(text, drives) < 0 {
		return text
	}
	var b bytes.Buffer
	for _, r := range string(text) {
		if drives(r) {
			fmt.Fprintf(&b, "\\u%04x", r) // all of them are below 0x10000
			continue
		}
		b.WriteRune(r)
	}
	return b.Bytes()
}

// readable is JSON as YAML, with text of several lines, such as the records of a zone, line by line as it was written.
// What would not come back the same, text with a blank at the end of a line for example, or would drive a terminal, stays
// JSON, which is YAML too.
func readable(text []byte) ([]byte, error) {
	var value any
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.UseOrderedMap()).Decode(&value); err != nil {
		return text, nil //nolint:nilerr // JSON that this reader does not understand is still what was asked for
	}
	lines, err := yaml.MarshalWithOptions(guarded(value), yaml.UseLiteralStyleIfMultiline(true))
	if err != nil || bytes.IndexFunc(lines, drives) >= 0 || !says(lines, text) {
		return text, nil //nolint:nilerr // as above
	}
	return lines, nil
}

// guarded is a value whose texts that would drive a terminal are written in quotes, with escapes.
func guarded(value any) any {
	switch v := value.(type) {
	case string:
		if strings.IndexFunc(v, drives) >= 0 {
			return inQuotes(v)
		}
	case yaml.MapSlice:
		for i := range v {
			v[i].Value = guarded(v[i].Value)
		}
	case []any:
		for i := range v {
			v[i] = guarded(v[i])
		}
	}
	return value
}

// inQuotes is text that YAML gets as JSON would have it.
type inQuotes string

// MarshalYAML implements yaml.BytesMarshaler.
func (q inQuotes) MarshalYAML() ([]byte, error) {
	text, err := json.Marshal(string(q))
	return quoted(text), err
}

// says reports that a text in YAML and one in JSON say the same.
func says(lines, text []byte) bool {
	var read, want, got any
	if yaml.Unmarshal(lines, &read) != nil || json.Unmarshal(text, &want) != nil {
		return false
	}
	back, err := json.Marshal(read) // so that numbers are of one type
	return err == nil && json.Unmarshal(back, &got) == nil && reflect.DeepEqual(want, got)
}

// printer collects the text of a table view. What it is given may come from anywhere: control characters are shown
// as a question mark, so that no note or reason can drive the terminal.
type printer struct {
	text    bytes.Buffer
	colours bool
	now     time.Time
	zone    *time.Location // of the times shown
}

// colour is an ANSI foreground colour; 0 is none.
type colour int

const (
	red    colour = 31
	green  colour = 32
	yellow colour = 33
)

func (p *printer) printf(format string, args ...any) {
	p.text.WriteString(clean(fmt.Sprintf(format, args...)))
}

// paint is for words that end a line or stand alone: it writes text in a colour.
func (p *printer) paint(c colour, text string) {
	p.text.WriteString(p.painted(cell{text, c}))
}

func (p *printer) painted(c cell) string {
	if !p.colours || c.colour == 0 {
		return clean(c.text)
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", c.colour, clean(c.text))
}

// cell is one field of a table.
type cell struct {
	text   string
	colour colour
}

func plain(texts ...string) []cell {
	cells := make([]cell, len(texts))
	for i, t := range texts {
		cells[i].text = t
	}
	return cells
}

// table writes rows aligned; the first is the heading. An empty field is shown as a dash.
func (p *printer) table(indent string, rows [][]cell) {
	var widths []int
	for _, row := range rows {
		for i := range row {
			if row[i].text == "" {
				row[i].text = "-"
			}
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(clean(row[i].text)))
		}
	}
	for _, row := range rows {
		p.text.WriteString(indent)
		for i, c := range row {
			p.text.WriteString(p.painted(c))
			if i < len(row)-1 {
				p.text.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(clean(c.text))+2))
			}
		}
		p.text.WriteByte('\n')
	}
}

// drives reports a character that moves the cursor, changes colours or turns text around. Newlines and
// tabs, which zone text is full of, do not.
func drives(r rune) bool {
	return r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// clean makes every character that drives a terminal harmless, a tab a blank.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case drives(r):
			return '?'
		}
		return r
	}, text)
}

// oneLine is text without line breaks, for fields of a table.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// statusColour paints a monitor status.
func statusColour(status string) colour {
	switch status {
	case "Online":
		return green
	case "Degraded":
		return red
	case "CheckingEndpoint", "CheckingEndpoints":
		return yellow
	}
	return 0
}

// ago is a point in time as people say it: 3m12s ago.
func (p *printer) ago(t time.Time) string {
	switch d := p.now.Sub(t); {
	case t.IsZero():
		return ""
	case d < time.Second && d > -time.Second:
		return "now"
	case d < 0:
		return "in " + human(-d)
	default:
		return human(d) + " ago"
	}
}

// human is a duration in its two largest units.
func human(d time.Duration) string {
	switch d = d.Truncate(time.Second); {
	case d < time.Hour:
		return d.String()
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// count is "1 profile" or "3 profiles".
func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
