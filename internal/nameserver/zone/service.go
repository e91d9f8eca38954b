package zone

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
)

// dohVariable is in the template of a dohpath [RFC 9461 5].
var dohVariable = regexp.MustCompile(`\{[^}]*\bdns\b[^}]*\}`)

// checkService looks at the parameters of an SVCB or HTTPS record in wire form: what is refused here, other name servers
// and resolvers refuse as well, and then the record is lost to them [RFC 9460 2.2, 7, 8].
func checkService(rdata []byte) error {
	if len(rdata) < 3 {
		return errors.New("the data is not complete")
	}
	var target wire.Name
	rest := rdata[2:]
	n := target.Set(rest)
	if n == 0 {
		return errors.New("the data is not complete")
	}
	rest = rest[n:]
	var keys []uint16
	values := map[uint16][]byte{}
	for len(rest) > 0 {
		if len(rest) < 4 || len(rest) < 4+int(binary.BigEndian.Uint16(rest[2:])) {
			return errors.New("the parameters are not complete")
		}
		key, size := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if len(keys) > 0 && keys[len(keys)-1] >= key {
			return fmt.Errorf("parameter %s stands twice, or not in the order of the numbers", dns.SVCBKey(key))
		}
		keys, values[key] = append(keys, key), rest[4:4+size]
		rest = rest[4+size:]
	}
	for _, key := range keys {
		if fault := parameter(dns.SVCBKey(key), values[key]); fault != "" {
			return fmt.Errorf("parameter %s: %s", dns.SVCBKey(key), fault)
		}
	}
	if _, ok := values[uint16(dns.SVCB_ALPN)]; !ok && slices.Contains(keys, uint16(dns.SVCB_NO_DEFAULT_ALPN)) {
		return errors.New("parameter no-default-alpn without alpn leaves no protocol; add alpn")
	}
	return mandatory(values)
}

// parameter says what is wrong with the value of one.
func parameter(key dns.SVCBKey, value []byte) string {
	n := len(value)
	switch key {
	case dns.SVCB_ALPN:
		return protocols(value)
	case dns.SVCB_NO_DEFAULT_ALPN, dns.SVCB_OHTTP:
		if n > 0 {
			return "it has no value; remove = and what is behind it"
		}
	case dns.SVCB_PORT:
		if n != 2 {
			return "it holds one port; write one like port=8443"
		}
	case dns.SVCB_IPV4HINT:
		if n == 0 || n%4 != 0 {
			return "it holds IPv4 addresses, one at least; write them like ipv4hint=192.0.2.1,192.0.2.2"
		}
	case dns.SVCB_IPV6HINT:
		if n == 0 || n%16 != 0 {
			return "it holds IPv6 addresses, one at least; write them like ipv6hint=2001:db8::1"
		}
	case dns.SVCB_ECHCONFIG:
		if n == 0 {
			return "it has no value; write the configurations in base64"
		}
	case dns.SVCB_DOHPATH:
		if n == 0 || value[0] != '/' || !dohVariable.Match(value) {
			return "it holds a template with the variable dns; write one like dohpath=/dns-query{?dns}"
		}
	case dns.SVCB_MANDATORY: // looked at with all others
	}
	return ""
}

func protocols(value []byte) string {
	const form = "it holds protocols, one at least and none empty; write them like alpn=h3,h2"
	if len(value) == 0 {
		return form
	}
	for len(value) > 0 {
		n := int(value[0])
		if n == 0 || 1+n > len(value) {
			return form
		}
		value = value[1+n:]
	}
	return ""
}

// mandatory looks at the list of keys that a client has to know.
func mandatory(values map[uint16][]byte) error {
	list, ok := values[uint16(dns.SVCB_MANDATORY)]
	if !ok {
		return nil
	}
	if len(list) == 0 || len(list)%2 != 0 {
		return errors.New("parameter mandatory: it holds keys of this record, one at least; write them like mandatory=alpn,port")
	}
	var before []byte
	for ; len(list) > 0; list = list[2:] {
		key := binary.BigEndian.Uint16(list)
		_, there := values[key]
		switch {
		case key == uint16(dns.SVCB_MANDATORY):
			return errors.New("parameter mandatory: it names itself; remove mandatory from its list")
		case before != nil && bytes.Compare(before, list[:2]) >= 0:
			return fmt.Errorf("parameter mandatory: %s stands twice in its list; keep one", dns.SVCBKey(key))
		case !there:
			return fmt.Errorf("parameter mandatory: it names %s, which the record does not have; add %[1]s, or remove it from the list", dns.SVCBKey(key))
		}
		before = list[:2]
	}
	return nil
}
