package trace

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"
)

// dots are the full stops that separate labels beside that of ASCII [Unicode TS 46 2.3].
var dots = strings.NewReplacer("。", ".", "．", ".", "｡", ".")

// ParseName is a name as it is asked for: lower case, with a trailing dot, labels beyond ASCII in punycode, mapped as
// browsers do it [RFC 5891, Unicode TS 46]. Of labels in ASCII only the case is changed: not every name is one of a host.
func ParseName(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", fmt.Errorf("name %q is not in UTF-8; write other bytes as \\DDD", text)
	}
	labels := strings.Split(dots.Replace(text), ".")
	for i, l := range labels {
		if isASCII(l) {
			labels[i] = strings.ToLower(l)
			continue
		}
		coded, err := idna.Lookup.ToASCII(l)
		if err != nil {
			return "", fmt.Errorf("name %q: %w; write the label in punycode (xn--...)", text, err)
		}
		labels[i] = coded
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
