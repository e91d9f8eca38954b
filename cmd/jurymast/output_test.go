package main

import (
	"reflect"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestYAMLReadsAsWritten: records of a zone stand line by line, and whatever the text is, it comes back the same.
func TestYAMLReadsAsWritten(t *testing.T) {
	type zone struct {
		Name    string `json:"name"`
		Records string `json:"records"`
		Serial  uint64 `json:"serial"`
	}
	for _, records := range []string{
		"@ 300 IN A 192.0.2.1\nwww 300 TXT \"a \\\\ b\"\n\tmail A 192.0.2.2\n", "no end of line\nat all", " blank first\nx\n", "x\n\n\n", "\n\nx", "# no\n: comment\n",
		"one line", "", "trailing \nblanks  \n", "a\r\nb\r\n", "a\x00b\nc", "---\n...\n", "- a\n- b\n", "é\n☃\n", "'\n\"\n", "%TAG\n!x\n", "a\u2028b\n",
	} {
		want := []zone{{"example.org", records, 1 << 60}, {"y", "n", 0}}
		text, err := encode(formatYAML, want, "  ")
		if err != nil {
			t.Fatal(err)
		}
		var got []zone
		if err := yaml.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q came back as %+v (%v) from\n%s", records, got, err, text)
		}
	}
	text, err := encode(formatYAML, zone{"example.org", "@ 300 IN A 192.0.2.1\nwww 300 IN A 192.0.2.2\n", 7}, "")
	if want := "name: example.org\nrecords: |\n  @ 300 IN A 192.0.2.1\n  www 300 IN A 192.0.2.2\nserial: 7\n"; err != nil || string(text) != want {
		t.Errorf("%v\n%s", err, text)
	}
}
