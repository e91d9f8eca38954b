package secondary

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
)

// The example of RFC 8976 A.1.
const exampleSimple = `
example. 86400 IN SOA ns1 admin 2018031900 1800 900 604800 86400
 86400 IN NS ns1
 86400 IN NS ns2
 86400 IN ZONEMD 2018031900 1 1 ( c68090d90a7aed71 6bc459f9340e3d7c 1370d4d24b7e2fc3 a1ddc0b9a87153b9 a9713b3c9ae5cc27 777f98b8e730044c )
ns1 3600 IN A 203.0.113.63
ns2 3600 IN AAAA 2001:db8::63
`

func parse(t testing.TB, origin, text string) (records []zone.Record) {
	t.Helper()
	zp := dns.NewZoneParser(strings.NewReader(text), origin, "")
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		buf := make([]byte, dns.Len(rr)+300)
		end, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		name, at, err := readName(buf, 0)
		if err != nil {
			t.Fatal(err)
		}
		h := rr.Header()
		records = append(records, zone.Record{Owner: zone.NewOwner(name), Type: h.Rrtype, TTL: h.Ttl, Data: buf[at+10 : end]})
	}
	if err := zp.Err(); err != nil {
		t.Fatal(err)
	}
	return records
}

func TestZONEMD(t *testing.T) {
	t.Parallel()
	none := strings.Replace(exampleSimple, " 86400 IN ZONEMD", " 86400 IN TXT \"no\" ;", 1)
	for _, c := range []struct {
		name, text string
		rule       profile.ZONEMDRule
		want       Digest
		wrong      string
	}{
		{"right", exampleSimple, profile.ZONEMDAuto, DigestVerified, ""},
		{"right and required", exampleSimple, profile.ZONEMDRequired, DigestVerified, ""},
		{"letter case of names does not matter", strings.ReplaceAll(exampleSimple, "ns1", "NS1"), profile.ZONEMDAuto, DigestVerified, ""},
		{"a record more", exampleSimple + "x 60 A 192.0.2.1\n", profile.ZONEMDAuto, "", "does not match"},
		{"a TTL changed", strings.Replace(exampleSimple, "3600", "3601", 1), profile.ZONEMDAuto, "", "does not match"},
		{"changed and not looked at", exampleSimple + "x 60 A 192.0.2.1\n", profile.ZONEMDOff, DigestIgnored, ""},
		{"another serial", strings.Replace(exampleSimple, "admin 2018031900", "admin 2018031901", 1), profile.ZONEMDAuto, "", "serial"},
		{"another scheme", strings.Replace(exampleSimple, "2018031900 1 1", "2018031900 2 1", 1), profile.ZONEMDAuto, DigestUnknown, ""},
		{"another scheme, required", strings.Replace(exampleSimple, "2018031900 1 1", "2018031900 2 1", 1), profile.ZONEMDRequired, "", "not known"},
		{"none", none, profile.ZONEMDAuto, DigestNone, ""},
		{"none, required", none, profile.ZONEMDRequired, "", "has no ZONEMD"},
	} {
		content, err := NewContent("example", parse(t, "example.", c.text), Check{c.rule})
		switch {
		case c.wrong != "":
			wants(t, c.name, err, c.wrong)
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case content.Digest != c.want:
			t.Errorf("%s: %s", c.name, content.Digest)
		}
	}
}
