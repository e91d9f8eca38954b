package zone_test

import (
	"strings"
	"testing"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
)

// TestRemarks: what works but was hardly meant, with its place; the first record makes ns1 complete.
func TestRemarks(t *testing.T) {
	for _, c := range []struct{ records, want string }{
		{"", ""},
		{"@ NS ns2\n", "records line 2: dr.example. NS points to ns2.dr.example., which has no address record in this zone"},
		{"@ NS ns2\nns2 TXT x\n", "which has no address record in this zone"},
		{"@ NS ns2\nns2 AAAA ::1\n", ""},
		{"@ NS a.w\n*.w A 192.0.2.1\n", ""},
		{"@ NS ns2.elsewhere.test.\n", ""},
		{"sub NS ns.sub\n", "records line 2: sub.dr.example. NS points to ns.sub.dr.example., which lies below this delegation and has no address record here (glue)"},
		{"sub NS ns.sub\nns.sub A 192.0.2.1\n", ""},
		{"sub NS sub\nsub A 192.0.2.1\n", ""},
		{"sub NS ns.other\nother NS ns1\n", ""},
		{"sub NS ns1\na.sub TXT x\n", "records line 3: a.sub.dr.example. TXT lies below the delegation sub.dr.example., which hides it"},
		{"sub NS ns1\na.sub A 192.0.2.1\n", "records line 3: a.sub.dr.example. A lies below"},
		{"sub NS ns1\nsub TXT x\n", "records line 3: sub.dr.example. TXT lies at the delegation"},
		{"sub NS ns1\nsub DS 1 8 2 00\n", ""},
		{"sub DS 1 8 2 00\n", "records line 2: sub.dr.example. DS without NS"},
		{"@ DS 1 8 2 00\n", "records line 2: dr.example. DS: the DS of a zone stands in the zone above"},
		{"*.a NS ns1\n", "records line 2: *.a.dr.example. NS: servers and resolvers do not agree"},
		{"*.a DNAME x.test.\n", "records line 2: *.a.dr.example. DNAME: "},
		{"@ NS 192.0.2.1\n", "records line 2, column 6: NS points to 192.0.2.1, which is an address"},
		{"@ MX 10 2001:db8::1\n", "records line 2, column 9: MX points to 2001:db8::1, which is an address"},
		{"ä A 192.0.2.1\n", "records line 2, column 1: the name ä has bytes beyond ASCII"},
		{"$GENERATE 1-2 ä$ A 192.0.2.$\n", "records line 2, column 15: the name ä$ has bytes"},
		{"@ TXT \"ä\"\n", ""},
		{"m CNAME ns1\n@ MX (\n 10 m )\n", "records line 3: dr.example. MX points to m.dr.example., which is a CNAME"},
	} {
		z, err := zone.Parse(doc("ns1 A 192.0.2.1\n"+c.records), 1)
		if err != nil {
			t.Errorf("%q: %v", c.records, err)
			continue
		}
		list, _ := z.Lint(func(*wire.Name) bool { return true })
		switch {
		case c.want == "" && len(list) > 0:
			t.Errorf("%q: %v", c.records, list)
		case c.want != "" && (len(list) != 1 || !strings.HasPrefix(list[0].Error(), c.want) && !strings.Contains(list[0].Error(), c.want)):
			t.Errorf("%q: %v, want %s", c.records, list, c.want)
		}
	}
}

// TestServersOfTheDocument: name servers named beside the text have addresses as well, a profile's count.
func TestServersOfTheDocument(t *testing.T) {
	z, err := zone.Parse(doc(""), 1)
	if err != nil {
		t.Fatal(err)
	}
	all := func(*wire.Name) bool { return true }
	if _, list := z.Lint(all); len(list) != 1 || !strings.Contains(list[0].Text, "ns1.dr.example.") {
		t.Errorf("%v", list)
	}
	if _, list := z.Lint(func(*wire.Name) bool { return false }); len(list) > 0 {
		t.Errorf("of another zone: %v", list)
	}
	packed, _ := zone.PackName("ns1.dr.example")
	h := &zone.Host{}
	h.Name.Set(packed)
	if err := z.Attach(h); err != nil {
		t.Fatal(err)
	}
	if _, list := z.Lint(all); len(list) > 0 {
		t.Errorf("of a profile: %v", list)
	}
}
