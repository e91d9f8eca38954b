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

// TestRemarksHavePlaces: what was hardly meant is a warning at its line; servers that stand beside the text, which may
// get their addresses later, are a note.
func TestRemarksHavePlaces(t *testing.T) {
	const text = `zones:
  - name: dr.example
    nameservers: [ns1.dr.example]
    records: |
      @ 300 MX 10 192.0.2.1
      m  300 CNAME x
      @ 300 MX 10 m
      sub 300 NS ns.sub
`
	f, err := profile.DecodeFile("j.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	const want = `
j.yaml:5:19: warning: zones[0].records: MX points to 192.0.2.1, which is an address; a name has to stand there, so this is taken for one; write a host name that has the address
j.yaml:5:7: warning: zones[0].records: dr.example. MX points to m.dr.example., which is a CNAME; resolvers may refuse it
j.yaml:8:7: warning: zones[0].records: sub.dr.example. NS points to ns.sub.dr.example., which lies below this delegation and has no address record here (glue), so nobody can find it; add A or AAAA
j.yaml:3:18: info: zones[0].nameservers: dr.example. NS points to ns1.dr.example., which has no address record in this zone; add A or AAAA, or correct the name`
	if got := nameserver.Problems(f).Error(); got != strings.TrimPrefix(want, "\n") {
		t.Errorf("got\n%s\nwant%s", got, want)
	}
}

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
