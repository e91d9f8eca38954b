package figures_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/proxy/figures"
)

var descText = regexp.MustCompile(`fqName: "([a-z_]+)".*variableLabels: \{([a-z,]*)\}`)

// TestMetricsAreDocumented: whoever reads a dashboard finds every metric in docs/proxy.md, with its labels.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "proxy.md"))
	if err != nil {
		t.Fatal(err)
	}
	descs := make(chan *prometheus.Desc, 100)
	figures.New(words).Describe(descs)
	close(descs)
	n := 0
	for d := range descs {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		if row := "| `" + m[1] + "` | " + strings.ReplaceAll(m[2], ",", ", "); !strings.Contains(string(text), row) {
			t.Errorf("docs/proxy.md has no row %q", row)
		}
		n++
	}
	if n < 15 {
		t.Errorf("only %d metrics were looked at", n)
	}
}
