package main

import (
	"bytes"
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

// Text of strangers drives no terminal in any form, and programs still get it as it is.
func TestTextThatDrivesTerminals(t *testing.T) {
	for _, text := range []string{"\x1b[2J", "a\n\x1b[31mb", "x\u009by", "a\nb\u009b", "\x7f", "a\u202eb\nc", "a\tb"} {
		want := map[string]string{"v": text}
		for _, f := range []format{formatJSON, formatYAML} {
			b, err := encode(f, want, "")
			if err != nil || bytes.ContainsAny(b, "\x1b\u009b\x7f\u202e") {
				t.Errorf("%s: %q, %v", f, b, err)
			}
			var got map[string]string
			if err := yaml.Unmarshal(b, &got); err != nil || got["v"] != text {
				t.Errorf("%s: %q became %q, %v", f, text, got["v"], err)
			}
		}
		p := &printer{}
		if p.printf("%s", text); bytes.ContainsAny(p.text.Bytes(), "\x1b\u009b\x7f\u202e") {
			t.Errorf("table: %q", p.text.String())
		}
	}
}
