package profile

import (
	"fmt"
	"sort"
	"strings"
)

// Severity of a Problem. Errors keep a configuration from loading, warnings make `check` exit 1, infos only inform.
type Severity uint8

// The severities, worst first.
const (
	SeverityError Severity = iota
	SeverityWarning
	SeverityInfo
)

func (s Severity) String() string {
	switch s {
	case SeverityWarning:
		return "warning"
	case SeverityInfo:
		return "info"
	case SeverityError:
	}
	return "error"
}

// Problem is one finding in a configuration: where it is, and what to do about it.
type Problem struct {
	File         string
	Line, Column int    // both start at 1
	Path         string // profiles[0].monitor.interval; "" is the whole document
	Message      string
	Severity     Severity
}

// String is one line: `jurymast.yaml:12:7: profiles[0].monitor.intervall: unknown key; ...`. Errors carry no word for
// their severity, everything else does.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Severity != SeverityError {
		b.WriteString(p.Severity.String() + ": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems is every finding at once, in the order of the text. As an error it prints one line per problem.
type Problems []Problem //nolint:errname // a list of findings first; only some lists are errors

// Error is the text an operator reads.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Worst is the gravest severity present; ok is false for an empty list.
func (ps Problems) Worst() (worst Severity, ok bool) {
	worst = SeverityInfo
	for _, p := range ps {
		worst = min(worst, p.Severity)
	}
	return worst, len(ps) > 0
}

// report collects problems. One place has one error: what could not be decoded needs no second complaint about its
// value. Other findings are told once each, however many profiles share the defaults they are about.
type report struct {
	file string
	list Problems
	seen map[string]bool
}

func (r *report) errorf(a *at, format string, args ...any) {
	r.add(a, SeverityError, fmt.Sprintf(format, args...))
}

func (r *report) add(a *at, s Severity, message string) {
	r.adopt(Problem{File: r.file, Line: max(a.line, 1), Column: max(a.column, 1), Path: a.path(), Message: message, Severity: s})
}

func (r *report) adopt(p Problem) {
	key := p.Path
	if p.Severity != SeverityError {
		key = p.Path + "\x00" + p.Message
	}
	if r.seen[key] {
		return
	}
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[key] = true
	r.list = append(r.list, p)
}

// sorted is the list in the order of the text, nil when there is none.
func (r *report) sorted() Problems {
	sort.SliceStable(r.list, func(i, j int) bool {
		a, b := r.list[i], r.list[j]
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	return r.list
}

// err is the sorted list as an error, or nil.
func (r *report) err() error {
	if len(r.list) == 0 {
		return nil
	}
	return r.sorted()
}

// suggest words the end of a message about a word that is not allowed: the nearest one and the list.
func suggest(word string, allowed []string) string {
	return suggestChoice(word, allowed, func(string) bool { return false })
}

// suggestChoice is suggest for an enumeration: the words that this build does not carry out are marked in the list.
func suggestChoice(word string, allowed []string, later func(string) bool) string {
	marked := make([]string, len(allowed))
	for i, a := range allowed {
		marked[i] = a
		if later(a) {
			marked[i] += " (not yet)"
		}
	}
	list := "allowed: " + strings.Join(marked, ", ")
	if near := nearest(word, allowed); near != "" {
		return fmt.Sprintf("did you mean %q? %s", near, list)
	}
	return list
}

// nearest is the only allowed word that the given one begins (prio: priority) or that begins it (automatic: auto), else
// the one with the smallest edit distance, or "" when none is close.
func nearest(word string, allowed []string) string {
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	word = fold(word)
	if len(word) > 64 {
		return ""
	}
	if begun := begunBy(word, allowed, fold); begun != "" {
		return begun
	}
	best, bestAt := "", 1+max(1, len(word)/3)
	for _, a := range allowed {
		if d := editDistance(word, fold(a)); d < bestAt {
			best, bestAt = a, d
		}
	}
	return best
}

// begunBy is the only allowed word that begins with the given one, of at least two letters, or is its beginning, of at
// least four.
func begunBy(word string, allowed []string, fold func(string) string) string {
	found := ""
	for _, a := range allowed {
		begins := len(word) >= 2 && strings.HasPrefix(fold(a), word)
		begun := len(a) >= 4 && strings.HasPrefix(word, fold(a))
		switch {
		case !begins && !begun:
		case found != "":
			return ""
		default:
			found = a
		}
	}
	return found
}

// editDistance is Levenshtein's distance in bytes, with a swap of neighbours counted as one step.
func editDistance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
