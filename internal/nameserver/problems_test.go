package nameserver_test

import (
	"strings"
	"testing"

	"jurymast/internal/nameserver"
	"jurymast/internal/profile"
)

const problemFile = `zones:
  - name: dr.example
    nameservers: [ns1.dr.example]
    records: |  # beside the services

      ns1  300 A 127.0.0.1
      w  300 A 127.0.0.1
      d  300 NS x.example.
%s  - {name: c.example, file: sub/c.zone, nameservers: [ns1.dr.example]}
profiles:
  - name: p
    hostnames: [w.dr.example, ok.dr.example, a.d.dr.example]
    endpoints:
      - {name: a, target: 192.0.2.1}
%s`

// TestProblemsHavePlaces: what is wrong with records points at their line, in the file or in the zone file, and a host
// name in the way of a record names both places.
func TestProblemsHavePlaces(t *testing.T) {
	for _, c := range []struct{ name, records, endpoint, zoneFile, want string }{
		{"clashes", "", "", "", `
etc/j.yaml:12:17: profiles[0].hostnames[0]: zone dr.example has A records at the same name (etc/j.yaml line 7); remove them, the profile answers there
etc/j.yaml:12:46: profiles[0].hostnames[2]: zone dr.example delegates d.dr.example. to other name servers (etc/j.yaml line 8), so nobody would ask us for it; remove those NS records, or the host name`},
		{"records", "      a A 1.2.3.400\n      other.test. A 192.0.2.1\n      b A 1.2\n", "", "@ MX 10 m\n\nq A 1.2.3\n", `
etc/j.yaml:9:11: zones[0].records: record of type A: 1.2.3.400 is no IPv4 address; write one like 192.0.2.1
etc/j.yaml:10:7: zones[0].records: other.test. is outside the zone; the names of this text end in dr.example.
etc/j.yaml:11:11: zones[0].records: record of type A: 1.2 is no IPv4 address; write one like 192.0.2.1
etc/sub/c.zone:3:5: zones[1].file: record of type A: 1.2.3 is no IPv4 address; write one like 192.0.2.1`},
		{"quoted", "  - {name: q.example, nameservers: [n.x.example], records: \"a A 1\\nb A 2\\n\"}\n", "", "", `
etc/j.yaml:9:60: zones[1].records: line 1 of the text: record of type A: 1 is no IPv4 address; write one like 192.0.2.1
etc/j.yaml:9:60: zones[1].records: line 2 of the text: record of type A: 2 is no IPv4 address; write one like 192.0.2.1
etc/j.yaml:13:17: profiles[0].hostnames[0]: zone dr.example has A records at the same name (etc/j.yaml line 7); remove them, the profile answers there
etc/j.yaml:13:46: profiles[0].hostnames[2]: zone dr.example delegates d.dr.example. to other name servers (etc/j.yaml line 8), so nobody would ask us for it; remove those NS records, or the host name`},
	} {
		text := strings.Replace(strings.Replace(problemFile, "%s", c.records, 1), "%s", c.endpoint, 1)
		f, err := profile.DecodeFile("etc/j.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := f.InlineZoneFiles(func(string) ([]byte, error) { return []byte(c.zoneFile), nil }, nil); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got, want := nameserver.Problems(f).Error(), strings.TrimPrefix(c.want, "\n"); got != want {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", c.name, got, want)
		}
	}
}
