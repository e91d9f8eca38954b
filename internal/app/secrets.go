package app

import (
	"fmt"
	"os"
	"strings"

	"jurymast/internal/probe"
	"jurymast/internal/profile"
)

// secrets resolves the names that shared documents may use. Only what this node's own file lists under node.secrets
// can be read; a document can never name a file or a variable of its choice.
type secrets map[string]profile.SecretSource

// value returns the text of v. Errors name the secret, never its content.
func (s secrets) value(v profile.Value) (string, error) {
	switch {
	case v.Secret != "":
		src, ok := s[v.Secret]
		if !ok {
			return "", fmt.Errorf("secret %q is not listed under node.secrets of this node; list it there with env or file", v.Secret)
		}
		return read(v.Secret, src)
	case v.Env != "":
		for name, src := range s {
			if src.Env == v.Env {
				return read(name, src)
			}
		}
		return "", fmt.Errorf("environment variable %q is not listed under node.secrets of this node; list it there as NAME: {env: %s}", v.Env, v.Env)
	}
	return v.Text, nil
}

// proberOf is what probes of this node may use: its place, its secrets and its programs.
func proberOf(n *profile.Node) probe.Node {
	return probe.Node{
		Location: n.Location, Secrets: secrets(n.Secrets).value,
		Programs: func(name string) ([]string, bool) {
			argv, ok := n.Exec[name]
			return argv, ok
		},
	}
}

func read(name string, src profile.SecretSource) (string, error) {
	if src.Env != "" {
		if text, ok := os.LookupEnv(src.Env); ok {
			return text, nil
		}
		return "", fmt.Errorf("secret %q: the environment variable %s is not set", name, src.Env)
	}
	text, err := os.ReadFile(src.File)
	if err != nil {
		return "", fmt.Errorf("secret %q: %w", name, err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
