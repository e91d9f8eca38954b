package profile

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// nameFault says what is wrong with the name of a profile, endpoint or node, or "". These names stand in store keys,
// API paths and logs: 1 to 260 characters, printable, no slash.
func nameFault(name string) string {
	switch {
	case name == "":
		return "is empty; write a name"
	case utf8.RuneCountInString(name) > 260:
		return "is longer than 260 characters; shorten it"
	case name == "." || name == "..":
		return "is no name; write a word"
	case strings.TrimSpace(name) != name:
		return "begins or ends with a blank; remove it"
	case strings.Contains(name, "/"):
		return "contains a slash, which separates names in API paths; use a dash"
	}
	for _, c := range name {
		if !unicode.IsPrint(c) {
			return "contains a character that cannot be printed; remove it"
		}
	}
	return ""
}

// hostNameFault says what is wrong with a DNS name, or "". Letters, digits, hyphens and underscores, labels of 1 to 63
// bytes, 253 in all (RFC 1035 section 2.3.4); a trailing dot is allowed.
func hostNameFault(name string) string {
	name = strings.TrimSuffix(name, ".")
	switch {
	case name == "":
		return "is empty; write a DNS name"
	case len(name) > 253:
		return "is longer than 253 bytes; shorten it"
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if why := labelFault(label); why != "" {
			return why
		}
	}
	if _, err := strconv.Atoi(labels[len(labels)-1]); err == nil {
		return "looks like an address but is none; correct it"
	}
	return ""
}

func labelFault(label string) string {
	switch {
	case label == "":
		return "has an empty label (two dots in a row or a dot in front); remove a dot"
	case len(label) > 63:
		return "has a label longer than 63 bytes; shorten it"
	case label[0] == '-' || label[len(label)-1] == '-':
		return "has a label that begins or ends with a hyphen; remove it"
	}
	for _, c := range label {
		switch {
		case c == '-' || c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9':
		case c >= 0x80:
			return "has letters outside ASCII; write its xn-- form"
		default:
			return "contains " + strconv.QuoteRune(c) + ", which no host name has; allowed: letters, digits, hyphens, dots"
		}
	}
	return ""
}

// hostPatternFault is hostNameFault for names that may begin with "*.".
func hostPatternFault(name string) string {
	if name == "*" {
		return "matches everything; write the names, or *.domain for all names one level below a domain"
	}
	rest := strings.TrimPrefix(name, "*.")
	if strings.Contains(rest, "*") {
		return "has * where it is not allowed; allowed: one leading *. as in *.example.org"
	}
	return hostNameFault(rest)
}

// cutPort splits host:port and [v6]:port. ok is false without a port.
func cutPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, "", false
	}
	host, port = s[:i], s[i+1:]
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		return host[1 : len(host)-1], port, true
	}
	if strings.Contains(host, ":") {
		return s, "", false
	}
	return host, port, true
}

// listenFault says what is wrong with a listening address host:port, or "". An empty host means all addresses.
func listenFault(s string) string {
	const remedy = "; write host:port like 127.0.0.1:5300 or [::1]:5300"
	host, port, ok := cutPort(s)
	if !ok {
		return "has no port" + remedy
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "has no valid port; allowed: 0 to 65535" + remedy
	}
	if host == "" {
		return ""
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	if why := hostNameFault(host); why != "" {
		return why + remedy
	}
	return ""
}

// loopback reports that host is this machine alone.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// tokenFault says what is wrong with an HTTP token (RFC 9110 section 5.6.2): header, cookie and method names.
func tokenFault(s string) string {
	if s == "" {
		return "is empty; write a name"
	}
	for _, c := range s {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c) {
			return "contains " + strconv.QuoteRune(c) + "; allowed: letters, digits and !#$%&'*+-.^_`|~"
		}
	}
	return ""
}

// headerValueFault says what is wrong with a header value, or "".
func headerValueFault(s string) string {
	for _, c := range s {
		if c < ' ' && c != '\t' || c == 0x7f {
			return "contains a line break or control character, which would let it forge further headers; remove it"
		}
	}
	return ""
}
