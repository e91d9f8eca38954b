package profile

import (
	"fmt"
	"strconv"
	"strings"
)

// Selector chooses endpoints by what they are called and where they stand. It is written as terms with commas between
// them, all of which must hold:
//
//	profile=NAME      the profile's name
//	endpoint=NAME     the endpoint's name
//	label:KEY=VALUE   a label of the endpoint, else of its profile
//	location=REGION   the region of the endpoint's location
//
// Values are whole, never parts of a name; names and regions compare without case, labels exactly. A value with a
// comma, or with blanks around it, stands in double quotes. The zero Selector matches nothing.
type Selector struct {
	terms []term
}

type term struct {
	kind       string // profile, endpoint, label or location
	key, value string // key: labels only
}

// The words in front of a term's equals sign.
const (
	termProfile  = "profile"
	termEndpoint = "endpoint"
	termLocation = "location"
	termLabel    = "label"
)

const selectorHelp = "allowed: profile=NAME, endpoint=NAME, label:KEY=VALUE, location=REGION, with commas between them"

// ParseSelector reads a selector of at least one term.
func ParseSelector(text string) (Selector, error) {
	var s Selector
	rest, more := text, true
	for more {
		var t term
		var err error
		if t, rest, more, err = cutTerm(rest); err != nil {
			return Selector{}, err
		}
		s.terms = append(s.terms, t)
	}
	return s, nil
}

// cutTerm reads the first term; more says that a comma and so another term follow.
func cutTerm(text string) (t term, rest string, more bool, err error) {
	word, after, ok := strings.Cut(text, "=")
	word = strings.TrimSpace(word)
	if !ok || strings.Contains(word, ",") {
		first, _, _ := strings.Cut(text, ",")
		return term{}, "", false, fmt.Errorf("%q is no term of a selector; %s", strings.TrimSpace(first), selectorHelp)
	}
	t.kind = word
	if kind, key, labelled := strings.Cut(word, ":"); labelled {
		t.kind, t.key = kind, strings.TrimSpace(key)
	}
	switch t.kind {
	case termProfile, termEndpoint, termLocation:
		if t.key != "" || strings.Contains(word, ":") {
			return term{}, "", false, fmt.Errorf("%q is no term of a selector; write %s=VALUE", word, t.kind)
		}
	case termLabel:
		if t.key == "" {
			return term{}, "", false, fmt.Errorf("%q names no label; write label:KEY=VALUE", word)
		}
	default:
		return term{}, "", false, fmt.Errorf("%q is no term of a selector; %s", word, nearTerm(t.kind)+selectorHelp)
	}
	if t.value, rest, more, err = cutValue(after); err != nil {
		return term{}, "", false, err
	}
	if t.value == "" {
		return term{}, "", false, fmt.Errorf("%q has no value; write the whole name behind the equals sign", word)
	}
	return t, rest, more, nil
}

func nearTerm(word string) string {
	if near := nearest(word, []string{termProfile, termEndpoint, termLabel, termLocation}); near != "" {
		return fmt.Sprintf("did you mean %q? ", near)
	}
	return ""
}

// cutValue reads a value up to the next comma, or the text between quotes.
func cutValue(text string) (value, rest string, more bool, err error) {
	trimmed := strings.TrimLeft(text, " \t")
	if !strings.HasPrefix(trimmed, `"`) {
		value, rest, more = strings.Cut(text, ",")
		return strings.TrimSpace(value), rest, more, nil
	}
	quoted, err := strconv.QuotedPrefix(trimmed)
	if err == nil {
		value, err = strconv.Unquote(quoted)
	}
	if err != nil {
		return "", "", false, fmt.Errorf("%s has no closing quote; write \"VALUE\"", trimmed)
	}
	rest = strings.TrimSpace(trimmed[len(quoted):])
	if rest == "" {
		return value, "", false, nil
	}
	rest, more = strings.CutPrefix(rest, ",")
	if !more {
		return "", "", false, fmt.Errorf("%q stands behind the closing quote; write a comma before the next term", rest)
	}
	return value, rest, true, nil
}

// Match reports that every term holds for that endpoint of that profile.
func (s Selector) Match(p *Profile, e *Endpoint) bool {
	for _, t := range s.terms {
		if !t.match(p, e) {
			return false
		}
	}
	return len(s.terms) > 0
}

func (t term) match(p *Profile, e *Endpoint) bool {
	switch t.kind {
	case termProfile:
		return strings.EqualFold(p.Name, t.value)
	case termEndpoint:
		return strings.EqualFold(e.Name, t.value)
	case termLocation:
		return strings.EqualFold(e.Location.Region, t.value)
	}
	value, ok := e.Labels[t.key]
	if !ok {
		value, ok = p.Labels[t.key]
	}
	return ok && value == t.value
}

// String is the selector in the form ParseSelector reads.
func (s Selector) String() string {
	terms := make([]string, len(s.terms))
	for i, t := range s.terms {
		word, value := t.kind, t.value
		if t.key != "" {
			word += ":" + t.key
		}
		if strings.ContainsAny(value, ",\"") || strings.TrimSpace(value) != value || strconv.Quote(value) != `"`+value+`"` {
			value = strconv.Quote(value)
		}
		terms[i] = word + "=" + value
	}
	return strings.Join(terms, ",")
}
