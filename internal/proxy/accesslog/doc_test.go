package accesslog_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jurymast/internal/proxy/accesslog"
)

// TestFieldsAreDocumented: whoever reads the log finds every field in docs/proxy.md.
func TestFieldsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "proxy.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Access log\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, plain := range []bool{false, true} {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(accesslog.LineOf(accesslog.Options{Node: "n", PlainQuery: plain}, whole()), &fields); err != nil {
			t.Fatal(err)
		}
		for name := range fields {
			if !strings.Contains(section, "`"+name+"`") {
				t.Errorf("docs/proxy.md does not say what %s is", name)
			}
		}
	}
}
