package trace

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/miekg/dns"
)

// ParseName is a name as it is asked for: lower case, with a trailing dot, labels beyond ASCII in punycode [RFC 3492].
func ParseName(text string) (string, error) {
	labels := strings.Split(strings.NewReplacer("。", ".", "．", ".").Replace(text), ".")
	for i, l := range labels {
		if isASCII(l) {
			labels[i] = strings.ToLower(l)
			continue
		}
		coded, err := punycode(l)
		if err != nil {
			return "", fmt.Errorf("name %q: %w", text, err)
		}
		labels[i] = "xn--" + coded
	}
	name := dns.Fqdn(strings.Join(labels, "."))
	if _, ok := dns.IsDomainName(name); !ok || text == "" {
		return "", fmt.Errorf("name %q is none; allowed: labels of 1 to 63 bytes with dots between, 253 bytes in all, other bytes as \\DDD", text)
	}
	return name, nil
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// The numbers of RFC 3492 5.
const (
	punyBase, punyMin, punyMax, punySkew, punyDamp = 36, 1, 26, 38, 700
	punyBias, punyFirst                            = 72, 128
)

// punycode encodes one label. Case is folded; what would need composing first is refused, because two texts that look
// alike must not become two names.
func punycode(label string) (string, error) {
	var runes []rune
	for _, r := range label {
		if r == utf8.RuneError || unicode.Is(unicode.Mn, r) || unicode.IsControl(r) || unicode.IsSpace(r) {
			return "", fmt.Errorf("%q has characters that cannot be encoded without composing them; write the name in punycode (xn--...)", label)
		}
		runes = append(runes, unicode.ToLower(r))
	}
	var out []byte
	for _, r := range runes {
		if r < utf8.RuneSelf {
			out = append(out, byte(r)) //nolint:gosec // ASCII
		}
	}
	basic := len(out)
	if basic > 0 {
		out = append(out, '-')
	}
	n, delta, bias := rune(punyFirst), 0, punyBias
	for done := basic; done < len(runes); {
		next := rune(unicode.MaxRune)
		for _, r := range runes {
			if r >= n && r < next {
				next = r
			}
		}
		delta += int(next-n) * (done + 1)
		n = next
		for _, r := range runes {
			if r < n {
				delta++
			}
			if r == n {
				out = punyNumber(out, delta, bias)
				bias = punyAdapt(delta, done+1, done == basic)
				delta = 0
				done++
			}
		}
		delta++
		n++
	}
	return string(out), nil
}

func punyNumber(out []byte, q, bias int) []byte {
	const digits = "abcdefghijklmnopqrstuvwxyz0123456789"
	for k := punyBase; ; k += punyBase {
		t := min(max(k-bias, punyMin), punyMax)
		if q < t {
			return append(out, digits[q])
		}
		out = append(out, digits[t+(q-t)%(punyBase-t)])
		q = (q - t) / (punyBase - t)
	}
}

func punyAdapt(delta, points int, first bool) int {
	if first {
		delta /= punyDamp
	} else {
		delta /= 2
	}
	delta += delta / points
	k := 0
	for ; delta > (punyBase-punyMin)*punyMax/2; k += punyBase {
		delta /= punyBase - punyMin
	}
	return k + (punyBase-punyMin+1)*delta/(delta+punySkew)
}
