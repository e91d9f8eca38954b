package profile

import "testing"

// A file without a node section is shared: which secrets there are is known to the nodes that get it.
func TestSharedFilesMayNameSecrets(t *testing.T) {
	const shared = `profiles: [{name: p, hostnames: [p.example], monitor: {headers: {A: {secret: S}}}, endpoints: [{name: e, target: 192.0.2.1}]}]`
	if _, err := DecodeFile("shared.yaml", []byte(shared)); err != nil {
		t.Errorf("refused: %v", err)
	}
	if _, err := DecodeFile("own.yaml", []byte("node: {name: n1}\n"+shared)); err == nil {
		t.Error("a node's own file names a secret that it does not list, and that is accepted")
	}
}
