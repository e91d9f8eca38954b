package probe

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"
	"unicode"
)

const (
	masked    = "***"
	lineLimit = 240 // bytes of one text in a reason or a log
)

// masker hides the secrets of one Spec in texts that came from outside: an endpoint may echo what it was sent.
type masker []string

// masker returns the secrets of the spec in every form an endpoint is likely to echo, longest first.
func (s *Spec) masker() masker {
	var m masker
	for _, list := range [][]Header{s.Headers, s.Expect.Headers} {
		for _, h := range list {
			if h.Secret {
				m = append(m, forms(h.value)...)
			}
		}
	}
	m = append(m, confidences(s.Program)...)
	if m == nil {
		return nil
	}
	m = slices.DeleteFunc(m, func(s string) bool { return s == "" })
	slices.SortFunc(m, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	return slices.Compact(m)
}

// forms of a credential: as sent, without its scheme, and for Basic the pair and the password in the clear.
func forms(value string) []string {
	all := []string{value}
	scheme, token, ok := strings.Cut(value, " ")
	if !ok {
		return all
	}
	all = append(all, token)
	if strings.EqualFold(scheme, "Basic") {
		if pair, err := base64.StdEncoding.DecodeString(token); err == nil {
			_, password, _ := strings.Cut(string(pair), ":")
			all = append(all, string(pair), password)
		}
	}
	return all
}

// line makes one bounded printable line without secrets. Masking comes before cutting, so that no half of a secret is
// left; a secret that the text itself breaks off is masked too.
func (m masker) line(text string) string { return m.cut(text, lineLimit) }

// cut is line with another bound, in bytes.
func (m masker) cut(text string, limit int) string {
	if len(m) == 0 && len(text) <= limit && isPlain(text) {
		return text
	}
	for _, secret := range m {
		text = strings.ReplaceAll(text, secret, masked)
	}
	for _, secret := range m {
		for n := min(len(secret)-1, len(text)); n >= 4; n-- {
			if strings.HasSuffix(text, secret[:n]) {
				text = text[:len(text)-n] + masked
				break
			}
		}
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + " ..."
	}
	return text
}

// isPlain reports that text is printable ASCII with single blanks inside: nothing is left to do for it.
func isPlain(text string) bool {
	blank := byte(' ')
	for i := range len(text) {
		c := text[i]
		if c < ' ' || c > '~' || (c == ' ' && blank == ' ') {
			return false
		}
		blank = c
	}
	return text == "" || blank != ' '
}
