package profile

import (
	"slices"
	"testing"
)

func TestDifferingKeys(t *testing.T) {
	was := defaultFile().Node
	is := was
	if got := DifferingKeys("node", was, is); got != nil {
		t.Errorf("equal values differ in %v", got)
	}
	is.Nameserver.Listen = []string{":53"}
	is.Nameserver.Cookies.Enabled = !was.Nameserver.Cookies.Enabled
	is.Secrets = map[string]SecretSource{"A": {Env: "A"}}
	if got, want := DifferingKeys("node", was, is), []string{"node.nameserver.cookies.enabled", "node.nameserver.listen", "node.secrets"}; !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("they differ in %v, want %v", got, want)
	}
}
