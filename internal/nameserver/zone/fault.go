package zone

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxFaults of one text are told: whoever wrote more mends these first.
const maxFaults = 20

// Fault is one thing that is wrong with a zone.
type Fault struct { //nolint:errname // a fault of the text; Faults is what callers get
	Line, Column int // in the records, from 1; 0 is unknown, or not about the records
	Text         string
}

func (f *Fault) Error() string {
	switch {
	case f.Line > 0 && f.Column > 0:
		return fmt.Sprintf("records line %d, column %d: %s", f.Line, f.Column, f.Text)
	case f.Line > 0:
		return fmt.Sprintf("records line %d: %s", f.Line, f.Text)
	}
	return f.Text
}

// Faults are all faults of one zone in the order of its text, at most 20.
type Faults struct { //nolint:errname // a list first
	Zone string
	List []*Fault
}

func (f *Faults) Error() string {
	lines := make([]string, len(f.List))
	for i, one := range f.List {
		lines[i] = fmt.Sprintf("zone %s: %v", f.Zone, one)
	}
	return strings.Join(lines, "\n")
}

// ordered is the list as it is told: by line, one per line, bounded.
func (f *Faults) ordered() *Faults {
	slices.SortStableFunc(f.List, func(a, b *Fault) int { return cmp.Compare(a.Line, b.Line) })
	f.List = slices.CompactFunc(f.List, func(a, b *Fault) bool { return a.Line == b.Line })
	f.List = f.List[:min(len(f.List), maxFaults)]
	return f
}

// Clash is what stands in the way of a profile's host name.
type Clash struct { //nolint:errname // said of two names; it is matched by its type
	Zone string
	Line int    // of the records, from 1; 0 is unknown
	What string // what is there
	Then string // why that is a problem and what to do
}

func (c *Clash) Error() string {
	if c.Line > 0 {
		return c.Told("records line " + strconv.Itoa(c.Line))
	}
	return c.Told("")
}

// Told is the message with the place of the records in other words.
func (c *Clash) Told(place string) string {
	if place != "" {
		place = " (" + place + ")"
	}
	return c.What + place + c.Then
}

// The library's messages, and what its lexer finds before the grammar does.
var (
	parseError = regexp.MustCompile(`(?s)^dns: (.*): ("(?:[^"\\]|\\.)*") at line: (\d+):(\d+)$`)
	badData    = regexp.MustCompile(`^(?:bad|error in) (\S+) `)
)

// refused is an error about the record at an entry, with the place in it where that is known.
func (e *entry) refused(text string, line int, err error) *Fault {
	f := &Fault{Line: line, Text: err.Error()}
	_, digit := errors.AsType[hex.InvalidByteError](err)
	_, base64text := errors.AsType[base64.CorruptInputError](err)
	switch {
	case errors.Is(err, hex.ErrLength):
		f.Text = "an odd number of hexadecimal digits; each byte has two"
	case base64text:
		f.Text = "this is no base64; write letters, digits, + and /, with = at the end to a multiple of 4"
	case digit:
		f.Text = "a character is no hexadecimal digit; write each byte as two of 0 to 9 and a to f"
	default:
		return f
	}
	if e == nil || e.isGenerate() {
		return f
	}
	words := e.words
	if !e.bare {
		words = words[1:]
	}
	r := record(words)
	if r.typ == nil || len(r.data) == 0 {
		return f
	}
	what, at := f.Text, r.data[len(r.data)-1].at
	for _, w := range r.data {
		if i := notHex(w.text); digit && i >= 0 {
			what, at = fmt.Sprintf("%q is no hexadecimal digit; write each byte as two of 0 to 9 and a to f", firstRune(w.text[i:])), w.at+i
			break
		}
	}
	return faultAt(text, at, fmt.Sprintf("record of type %s: %s", strings.ToUpper(r.typ.text), what))
}

// syntaxFault puts an error of the zone parser in our words and finds where it begins. at is the last entry it read.
func syntaxFault(text string, err error, at *entry) *Fault {
	m := parseError.FindStringSubmatch(err.Error())
	if m == nil {
		return &Fault{Text: "records: " + strings.TrimPrefix(err.Error(), "dns: ")}
	}
	line, _ := strconv.Atoi(m[3]) // digits, by the expression
	end, _ := strconv.Atoi(m[4])
	if at.isGenerate() && !strings.Contains(m[1], "$GENERATE") {
		return at.expanded(text, m, max(line, 1))
	}
	token, unquoteErr := strconv.Unquote(m[2])
	if unquoteErr != nil {
		token = m[2]
	}
	if token == "extra closing brace" { // the lexer's message in place of the text
		m[1], token = token, ")"
	}
	f := &Fault{Line: max(line, 1), Text: words(m[1], strings.TrimSpace(token))}
	s := spanOf(text, f.Line)
	switch {
	case s.quote.line > 0:
		f.Line, f.Column = s.quote.line, s.quote.column
		f.Text = "a quote is opened here and not closed in this line; write the closing quote"
	case s.open.line > 0:
		f.Line, f.Column = s.open.line, s.open.column
		f.Text = "this ( is never closed; write the closing )"
	default:
		f.Column = tokenColumn(lineOf(text, f.Line), token, end)
	}
	return f
}

// tokenColumn is where a token begins that ends about at a byte column of a line.
func tokenColumn(line, token string, end int) int {
	if token = strings.TrimSpace(token); token == "" {
		return utf8.RuneCountInString(strings.TrimRight(line, " \t\r")) + 1
	}
	at := strings.LastIndex(line[:min(end, len(line))], token)
	if at < 0 {
		at = max(strings.Index(line, token), 0)
	}
	return utf8.RuneCountInString(line[:at]) + 1
}

func lineOf(text string, number int) string {
	for ; number > 1; number-- {
		_, text, _ = strings.Cut(text, "\n")
	}
	line, _, _ := strings.Cut(text, "\n")
	return line
}

const recordForm = "; write NAME TTL TYPE VALUE like www 300 A 192.0.2.1"

// words are the library's message in plain words, with a remedy.
func words(message, token string) string {
	switch {
	case strings.Contains(message, "INCLUDE"):
		return "$INCLUDE is possible only in a file that zones[].file names, and in what that includes; put the included records into the text"
	case message == "unexpected newline" || token == "" && strings.HasPrefix(message, "bad "):
		return ended(message)
	case strings.HasPrefix(message, "expecting RR type"), message == "unknown RR type", message == "unknown class",
		message == "not a TTL" && strings.Trim(token[:min(1, len(token))], "0123456789") != "":
		return fmt.Sprintf("%q is no record type, class or TTL%s", token, recordForm)
	case strings.Contains(message, "$GENERATE"):
		return fmt.Sprintf("%q cannot stand in a $GENERATE; write ${OFFSET,WIDTH,BASE} like ${0,3,d}: BASE is d, o, x or X, the numbers 0 to %d", token, maxNumber)
	case message == "":
		return fmt.Sprintf("%q has no value that is allowed there; write NAME=VALUE as the type's RFC says", token)
	case strings.HasPrefix(message, "garbage after"):
		return fmt.Sprintf("%q stands behind the end of the record; remove it, or put text with blanks in quotes", token)
	case message == "not a TTL", message == "expecting $TTL value, not this...":
		return fmt.Sprintf("%q is no TTL; write seconds like 300, or 5m", token)
	case message == "bad owner name", message == "bad origin name":
		return fmt.Sprintf("%q is no domain name; write labels of 1 to 63 letters, digits or hyphens with dots between them", token)
	case badData.MatchString(message):
		return badRecord(badData.FindStringSubmatch(message)[1], token)
	case message == "extra closing brace":
		return "this ) closes nothing; remove it, or write the opening ("
	case strings.HasPrefix(message, "no blank "), message == "syntax error at beginning":
		return "this is no record" + recordForm
	}
	return fmt.Sprintf("%s at %q%s", message, token, recordForm)
}

// hold says what a record of a type holds.
var hold = map[string]string{
	"A": "an IPv4 address like 192.0.2.1", "AAAA": "an IPv6 address like 2001:db8::1",
	"CNAME": "a host name like www.example.org.", "DNAME": "a host name like example.org.", "NS": "a host name like ns1.example.org.",
	"PTR": "a host name like www.example.org.", "MX": "a preference and a host name like 10 mail.example.org.",
	"SRV": "priority, weight, port and host name like 10 5 443 www.example.org.", "TXT": `texts in quotes like "v=spf1 -all"`,
	"CAA": `flags, tag and value like 0 issue "ca.example.org"`,
	"SOA": "server, mailbox, serial, refresh, retry, expire and minimum like ns1 ops 1 3600 600 1209600 60",
}

func badRecord(typ, token string) string {
	switch {
	case typ == "A" || typ == "AAAA":
		kind, _, _ := strings.Cut(hold[typ], " like ")
		return fmt.Sprintf("record of type %s: %s is no %s; write one like %s", typ, token, strings.TrimPrefix(kind, "an "), hold[typ][len(kind)+len(" like "):])
	case hold[typ] != "":
		return fmt.Sprintf("record of type %s: %q cannot stand there; write %s", typ, token, hold[typ])
	}
	return fmt.Sprintf("record of type %s: %q cannot stand there; write the data in the order of the type's RFC", typ, token)
}

func ended(message string) string {
	typ := ""
	if m := badData.FindStringSubmatch(message); m != nil {
		typ = m[1]
	}
	if hold[typ] == "" {
		return "the record ends too early" + recordForm
	}
	return fmt.Sprintf("record of type %s: it ends too early; write %s", typ, hold[typ])
}
