package profile

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestRangesAgreeWithTheSubnets: an address lies in a range of an endpoint exactly when it lies in one of its subnets,
// and the ranges are sorted, merged and do not touch.
func TestRangesAgreeWithTheSubnets(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var texts [2][]string
		for i := range texts {
			for range 1 + dice.IntN(6) { // each endpoint has its half of 192.0.2.0/24
				low := i*128 + dice.IntN(128)
				texts[i] = append(texts[i], fmt.Sprintf("192.0.2.%d-192.0.2.%d", low, low+dice.IntN((i+1)*128-low)))
			}
		}
		p, err := DecodeProfile("p", fmt.Appendf(nil, "{name: p, hostnames: [p.example], routing: subnet, endpoints: [{name: a, target: a.example, subnets: [%s]}, {name: b, target: b.example, subnets: [%s]}]}",
			strings.Join(texts[0], ", "), strings.Join(texts[1], ", ")))
		if err != nil {
			t.Fatal(err)
		}
		for last := range 256 {
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(last)})
			want := -1
			for i := range texts {
				for _, text := range texts[i] {
					if from, to, _ := parseSubnet(text); from.Compare(addr) <= 0 && addr.Compare(to) <= 0 {
						want = i
					}
				}
			}
			got := slices.IndexFunc(p.Ranges, func(s SubnetRange) bool { return s.From.Compare(addr) <= 0 && addr.Compare(s.To) <= 0 })
			if (got < 0) != (want < 0) || got >= 0 && p.Ranges[got].Endpoint != want {
				t.Fatalf("%s: range %d of %v, want endpoint %d of %v", addr, got, p.Ranges, want, texts)
			}
		}
		for i := 1; i < len(p.Ranges); i++ {
			before, next := p.Ranges[i-1], p.Ranges[i]
			if !before.To.Less(next.From) || before.Endpoint == next.Endpoint && before.To.Next() == next.From {
				t.Fatalf("ranges %v are not sorted and merged", p.Ranges)
			}
		}
	}
}

func TestParseSubnet(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.0/8":              "10.0.0.0 10.255.255.255",
		"192.0.2.7":               "192.0.2.7 192.0.2.7",
		"192.0.2.0/31":            "192.0.2.0 192.0.2.1",
		"0.0.0.0/0":               "0.0.0.0 255.255.255.255",
		"::/0":                    ":: ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"2001:db8::/127":          "2001:db8:: 2001:db8::1",
		"::ffff:192.0.2.1":        "192.0.2.1 192.0.2.1",
		"192.0.2.1 - 192.0.2.9":   "192.0.2.1 192.0.2.9",
		"2001:db8::1-2001:db8::2": "2001:db8::1 2001:db8::2",
	} {
		from, to, why := parseSubnet(text)
		if got := from.String() + " " + to.String(); why != "" || got != want {
			t.Errorf("%s is %s %s, want %s", text, got, why, want)
		}
	}
	for _, text := range []string{"", "-", "10.0.0.1/8", "10.0.0.0/33", "a-b", "10.0.0.1-::1", "10.0.0.2-10.0.0.1", "fe80::1%eth0", "fe80::1%eth0-fe80::2%eth0", "1-2-3"} {
		if from, to, why := parseSubnet(text); why == "" {
			t.Errorf("%q is %s to %s", text, from, to)
		}
	}
}

// TestDefaultsAreBounded: a small file must not become a large set of documents.
func TestDefaultsAreBounded(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	fmt.Fprintf(&text, "defaults: {labels: {a: %s}}\nprofiles:\n", strings.Repeat("x", 600<<10))
	for i := range 500 {
		fmt.Fprintf(&text, "  - {name: p%d, hostnames: [p%d.example]}\n", i, i)
	}
	_, err := DecodeFile("f", []byte(text.String()))
	if err == nil || !strings.Contains(err.Error(), "f:1:11: defaults: has 614") {
		t.Errorf("got %.200v", err)
	}
}
