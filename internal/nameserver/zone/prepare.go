package zone

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
)

const byteOrderMark = "\ufeff"

// preparer looks at zone text before the zone parser does, for what that takes in silence or tells badly, and writes
// what it would read differently from other servers in a form that it reads as they do.
type preparer struct {
	text   string
	origin string
	owned  bool   // a record with a name came before
	ttl    string // of records without one
	fixed  bool   // by $TTL
	faults []*Fault
	hints  []*Fault
	edits  []edit
}

// edit puts other text between two byte offsets.
type edit struct {
	from, to int
	text     string
}

// prepare returns the text with the same number of lines. With faults, the records that have them are left out; whole
// is false when the rest cannot be judged without them.
func prepare(doc *profile.Zone) (text string, p *preparer, whole bool) {
	p = &preparer{text: doc.Records, origin: dns.Fqdn(doc.Name), ttl: strconv.Itoa(DefaultTTL)}
	for _, e := range entries(p.text) {
		if f := p.entry(&e); f != nil {
			p.faults = append(p.faults, f)
		}
		if len(p.faults) == maxFaults {
			break
		}
	}
	text = p.edited()
	for _, f := range p.faults {
		rest, ok := without(text, f.Line)
		if !ok {
			return text, p, false
		}
		text = rest
	}
	return text, p, len(p.faults) < maxFaults
}

func (p *preparer) edited() string {
	var out strings.Builder
	at := 0
	for _, e := range p.edits {
		out.WriteString(p.text[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.WriteString(p.text[at:])
	return out.String()
}

func (p *preparer) fault(at int, format string, args ...any) *Fault {
	return faultAt(p.text, at, fmt.Sprintf(format, args...))
}

func (p *preparer) hint(at int, format string, args ...any) {
	if len(p.hints) < maxFaults {
		p.hints = append(p.hints, p.fault(at, format, args...))
	}
}

func (p *preparer) entry(e *entry) *Fault {
	name := e.directive()
	switch {
	case strings.HasPrefix(p.text[e.at:], byteOrderMark):
		return p.fault(e.at, "a byte order mark (U+FEFF) stands before the text; remove it: save the file as UTF-8 without BOM")
	case e.escape >= 0:
		return p.badEscape(e.escape)
	case e.broken:
		return nil // the zone parser tells where
	case name == "$GENERATE":
		return p.generate(e)
	case name != "":
		return p.directive(name, e)
	case e.bare && strings.HasPrefix(e.words[0].text, "$"):
		return p.fault(e.words[0].at, "%s stands behind a blank; a directive begins in the first column", e.words[0].text)
	case e.bare && !p.owned:
		return p.fault(e.words[0].at, "the first record has no name it could take over; write the name before it, or @ for %s", p.origin)
	case e.bare:
		return p.record(record(e.words))
	}
	p.owned = true
	p.owner(e.words[0])
	return p.record(record(e.words[1:]))
}

func (p *preparer) badEscape(at int) *Fault {
	if at+1 == len(p.text) || p.text[at+1] == '\n' || p.text[at+1] == '\r' {
		return p.fault(at, `a backslash ends the line, and there is nothing it could escape; remove it, or write \\ for a backslash`)
	}
	end := at + 2
	for end < len(p.text) && end < at+4 && p.text[end] >= '0' && p.text[end] <= '9' {
		end++
	}
	return p.fault(at, `%s is no escape: \DDD is 000 to 255, always three digits; write those, or remove the backslash`, p.text[at:end])
}

func (p *preparer) directive(name string, e *entry) *Fault {
	values := map[string]string{"$TTL": "seconds like $TTL 300", "$ORIGIN": "a name like $ORIGIN sub." + p.origin}
	value, known := values[name]
	switch {
	case name == "$INCLUDE":
		return nil // the zone parser refuses it
	case !known:
		return p.fault(e.words[0].at, `%s is no directive; there are $TTL, $ORIGIN, $GENERATE and, in zone files, $INCLUDE; a name that begins with $ is written \%[1]s`,
			e.words[0].text)
	case len(e.words) < 2:
		return p.fault(e.words[0].at, "%s has no value; write %s", name, value)
	case name == "$TTL" && isTTL(e.words[1].text):
		p.ttl, p.fixed = e.words[1].text, true
	}
	return nil
}

func isTTL(text string) bool { return text != "" && strings.Trim(text, "0123456789smhdwSMHDW") == "" }

func (p *preparer) owner(w word) {
	for _, c := range []byte(w.text) {
		if c >= 0x80 {
			p.hint(w.at, `the name %s has bytes beyond ASCII, which resolvers ask for as punycode (xn--...); write that, or \DDD if these bytes are meant`, w.text)
			return
		}
	}
}

// record looks at one record behind its owner, and keeps the TTL that goes on to the next ones.
func (p *preparer) record(r parts) *Fault {
	if r.ttl != nil && !p.fixed && isTTL(r.ttl.text) {
		p.ttl = r.ttl.text
	}
	if r.typ == nil {
		return nil
	}
	typ, f := p.stored(r.typ)
	if f != nil {
		return f
	}
	if len(r.data) > 0 && r.data[0].text == `\#` {
		return p.generic(typ, r)
	}
	if dns.TypeToRR[typ] == nil {
		return p.fault(r.typ.at, `the data of type %s has no form of its own here; write it as \# LENGTH HEX like \# 4 c0000201`, r.typ.text)
	}
	return p.targets(typ, r.data)
}

// stored is a type that may stand in a zone.
func (p *preparer) stored(w *word) (uint16, *Fault) {
	typ, _ := typeOf(w.text)
	switch {
	case typ > 65535:
		return 0, p.fault(w.at, "%s is no type; allowed: TYPE1 to TYPE65535", w.text)
	case typ == 0 || typ == int(dns.TypeOPT) || typ >= 128 && typ <= 255:
		return 0, p.fault(w.at, "%s is not a type that can be stored in a zone, it stands in messages alone; remove the record", w.text)
	}
	return uint16(typ), nil //nolint:gosec // at most 65535, see above
}

// generic looks at data that is written as \# LENGTH HEX [RFC 3597 5].
func (p *preparer) generic(typ uint16, r parts) *Fault {
	if len(r.data) < 2 {
		return p.fault(r.data[0].at, `\# has no length; write \# LENGTH HEX like \# 4 c0000201`)
	}
	length, err := strconv.ParseUint(r.data[1].text, 10, 16)
	if err != nil {
		return p.fault(r.data[1].at, `%q is no length; \# LENGTH HEX counts bytes, 0 to 65535`, r.data[1].text)
	}
	var digits strings.Builder
	for _, w := range r.data[2:] {
		if i := notHex(w.text); i >= 0 {
			return p.fault(w.at+i, "%q is no hexadecimal digit; write each byte as two of 0 to 9 and a to f", firstRune(w.text[i:]))
		}
		digits.WriteString(w.text)
	}
	data, err := hex.DecodeString(digits.String())
	switch {
	case err != nil:
		return p.fault(r.data[1].at, `an odd number of hexadecimal digits follows, %d; each byte has two`, digits.Len())
	case len(data) != int(length):
		return p.fault(r.data[1].at, `\# says %d bytes, but %d follow; write \# %[2]d, or the bytes that are missing`, length, len(data))
	}
	wire := []byte{0}
	wire = binary.BigEndian.AppendUint16(wire, typ)
	wire = binary.BigEndian.AppendUint16(wire, dns.ClassINET)
	wire = binary.BigEndian.AppendUint32(wire, 0)
	wire = binary.BigEndian.AppendUint16(wire, uint16(length))
	if _, _, err := dns.UnpackRR(append(wire, data...), 0); err != nil {
		name, form := dns.Type(typ).String(), "what the type's RFC says"
		if hold[name] != "" {
			form = hold[name]
		}
		return p.fault(r.data[0].at, "these %d bytes are not the data of a record of type %s; it holds %s", length, name, form)
	}
	return nil
}

func firstRune(text string) string {
	for _, c := range text {
		return string(c)
	}
	return ""
}

// notHex is where a text has the first byte that is no hexadecimal digit, or -1.
func notHex(text string) int {
	for i := range len(text) {
		if c := text[i] | 0x20; (c < '0' || c > '9' || text[i] < '0') && (c < 'a' || c > 'f') {
			return i
		}
	}
	return -1
}

// targets looks at names that are hardly names: an address as a host, and a mailbox with its @.
func (p *preparer) targets(typ uint16, data []word) *Fault {
	host, mailbox := -1, -1
	switch typ {
	case dns.TypeNS:
		host = 0
	case dns.TypeMX:
		host = 1
	case dns.TypeSOA:
		host, mailbox = 0, 1
	case dns.TypeRP:
		mailbox = 0
	}
	if mailbox >= 0 && mailbox < len(data) {
		w := data[mailbox]
		if i := strings.IndexByte(w.text, '@'); i >= 0 && w.text != "@" && !strings.Contains(w.text[:i], `\`) {
			dots := strings.ReplaceAll(w.text[:i], ".", `\.`) + "." + strings.TrimSuffix(w.text[i+1:], ".") + "."
			return p.fault(w.at, "the mailbox %s has an @; in zone text it is a name, with a dot in its place: write %s", w.text, dots)
		}
	}
	if host >= 0 && host < len(data) {
		w := data[host]
		if addr, err := netip.ParseAddr(strings.TrimSuffix(w.text, ".")); err == nil {
			p.hint(w.at, "%s points to %s, which is an address; a name has to stand there, so this is taken for one; write a host name that has the address",
				dns.Type(typ), addr)
		}
	}
	return nil
}
