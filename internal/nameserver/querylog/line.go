package querylog

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/tap"
	"jurymast/internal/nameserver/wire"
)

// line appends an entry as one line of JSON. Fields without a value are left out.
func (e *entry) line(b []byte, full bool) []byte {
	f := &e.facts
	b = append(b, `{"time":"`...)
	b = e.at.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(b, `","why":"`...)
	b = append(b, e.why...)
	b = append(b, `","transport":"`...)
	b = append(b, f.Transport.String()...)
	b = append(b, '"')
	if client := f.Client.Unmap(); client.IsValid() {
		if full {
			b = textField(b, "client", client.String())
		} else {
			b = textField(b, "client", network(client).String())
		}
	}
	if e.subnet > 0 {
		b = textField(b, "ecs", subnetText(e.told[:e.subnet], full))
	}
	b = append(b, `,"name":"`...)
	b = appendName(b, e.name[:e.length])
	b = append(b, '"')
	if e.length > 0 {
		b = textField(b, "type", dns.Type(f.Type).String())
	}
	b = textField(b, "rcode", rcodeText(f.Rcode))
	b = textField(b, "flags", flagsText(f.Flags, f.DO))
	b = numberField(b, "size", uint64(max(f.Size, 0)))
	if f.Limited != tap.Whole {
		b = textField(b, "limited", f.Limited.String())
	}
	for _, t := range [...]struct{ key, text string }{{"profile", f.Profile}, {"endpoint", f.Endpoint}, {"reason", f.Reason}} {
		if t.text != "" {
			b = textField(b, t.key, t.text)
		}
	}
	b = numberField(b, "ttl", uint64(f.TTL))
	if f.Epoch > 0 {
		b = numberField(b, "epoch", f.Epoch)
	}
	if e.took > 0 {
		b = append(b, `,"duration_us":`...)
		b = strconv.AppendFloat(b, float64(e.took)/float64(time.Microsecond), 'f', 1, 64)
	}
	return append(b, '}', '\n')
}

func textField(b []byte, key, text string) []byte {
	b = append(append(append(b, `,"`...), key...), `":"`...)
	return append(appendText(b, text), '"')
}

func numberField(b []byte, key string, n uint64) []byte {
	b = append(append(append(b, `,"`...), key...), `":`...)
	return strconv.AppendUint(b, n, 10)
}

// appendText escapes what JSON, a terminal or a tool that cuts lines would take for something else.
func appendText(b []byte, text string) []byte {
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r >= 0x7f && r <= 0xffff:
			b = appendHex(b, r)
		case r > 0xffff:
			b = appendHex(b, 0xd800+(r-0x10000)>>10)
			b = appendHex(b, 0xdc00+(r-0x10000)&0x3ff)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

func appendHex(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// appendName writes a name in presentation form [RFC 4343 2.1] inside a JSON text: what is not printable is \DDD, and
// the backslashes of that are doubled for JSON. A name that could not be read is empty.
func appendName(b, name []byte) []byte {
	if len(name) == 1 {
		return append(b, '.')
	}
	for len(name) > 1 {
		n := min(int(name[0]), len(name)-1)
		for _, c := range name[1 : 1+n] {
			switch {
			case c == '"' || c == '\\': // escaped for both
				b = append(b, '\\', '\\', '\\', c)
			case c == '.' || c == '(' || c == ')' || c == ';' || c == '@' || c == '$':
				b = append(b, '\\', '\\', c)
			case c <= ' ' || c >= 0x7f:
				b = append(b, '\\', '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			default:
				b = append(b, c)
			}
		}
		b, name = append(b, '.'), name[1+n:]
	}
	return b
}

// subnetText is a client subnet, cut like an address unless those may be written whole: a /32 is one.
func subnetText(d []byte, full bool) string {
	addr, bits, _ := wire.Subnet(d)
	told := netip.PrefixFrom(addr, bits)
	if cut := network(addr); !full && bits > cut.Bits() {
		return cut.String()
	}
	return told.String()
}

func rcodeText(rcode uint16) string {
	if rcode == wire.BadVers {
		return "BADVERS"
	}
	if text, ok := dns.RcodeToString[int(rcode)]; ok {
		return text
	}
	return "RCODE" + strconv.Itoa(int(rcode))
}

// flagsText is the flags of the answer's header that are set, and DO of the question.
func flagsText(flags uint16, do bool) string {
	var set []string
	for _, f := range [...]struct {
		bit  uint16
		word string
	}{{wire.FlagAA, "aa"}, {wire.FlagTC, "tc"}, {wire.FlagRD, "rd"}} {
		if flags&f.bit != 0 {
			set = append(set, f.word)
		}
	}
	if do {
		set = append(set, "do")
	}
	return strings.Join(set, " ")
}
