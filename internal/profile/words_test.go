package profile

import (
	"slices"
	"strings"
	"testing"
)

func TestNearestWord(t *testing.T) {
	t.Parallel()
	routing, modes := Routing("").Allowed(), FailbackMode("").Allowed()
	for _, c := range []struct {
		word    string
		allowed []string
		want    string
	}{
		{"prio", routing, "priority"},
		{"PRIO", routing, "priority"},
		{"priorty", routing, "priority"},
		{"geo", routing, "geographic"},
		{"p", routing, ""},
		{"", routing, ""},
		{"new_s", modes, "new-sessions"},
		{"m", modes, ""},
		{"re", []string{"rebind", "return"}, ""}, // begins both
		{"automatic", modes, "auto"},
		{"zzz", routing, ""},
	} {
		if got := nearest(c.word, c.allowed); got != c.want {
			t.Errorf("nearest(%q) = %q, want %q", c.word, got, c.want)
		}
	}
}

// TestLaterWords: a word is marked "(not yet)" exactly when NotYet refuses a profile that uses it.
func TestLaterWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words chooser
		use   func(p *Profile, word string)
	}{
		{Routing(""), func(p *Profile, w string) { p.Routing = Routing(w) }},
		{Fencing(""), func(p *Profile, w string) { p.Fencing = Fencing(w) }},
		{Compat(""), func(p *Profile, w string) { p.Compat = Compat(w) }},
		{FailbackMode(""), func(p *Profile, w string) { p.Failback.Mode = FailbackMode(w) }},
		{Protocol(""), func(p *Profile, w string) { p.Monitor.Protocol = Protocol(w) }},
		{AnswerForm(""), func(p *Profile, w string) { p.Answer = AnswerForm(w) }},
		{CheckingRule(""), func(p *Profile, w string) { p.Checking = CheckingRule(w) }},
		{ProxyMode(""), func(p *Profile, w string) { p.Proxy = defaultProxy(); p.Proxy.Mode = ProxyMode(w) }},
	} {
		for _, word := range c.words.Allowed() {
			p := defaultProfile()
			c.use(p, word)
			refused := len(NotYetProfile("p", p)) > 0
			if marked := laterWords(c.words)(word); marked != refused {
				t.Errorf("%T %s: marked %t, refused %t", c.words, word, marked, refused)
			}
			if list := suggestChoice("", c.words.Allowed(), laterWords(c.words)); refused != slices.Contains(strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ':' }), " "+word+" (not yet)") {
				t.Errorf("%s is wrong about %s", list, word)
			}
		}
	}
}
