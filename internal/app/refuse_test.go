//go:build linux

package app_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jurymast/internal/store"
	"jurymast/internal/store/etcd"
)

// files are the regular files below a folder with what is in them.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		out[path] = fmt.Sprintf("%x", sha256.Sum256(text))
		return err
	})
	if !os.IsNotExist(err) {
		must(t, err)
	}
	return out
}

// refused starts a node that must not start, say why and change nothing.
func refused(t *testing.T, s *site, reasons ...string) {
	t.Helper()
	before := files(t, s.data)
	s.startNode()
	err := s.node.ended(10 * time.Second)
	if s.node.cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("ended with %v, want exit code 2\n%s", err, s.node.out)
	}
	for _, r := range reasons {
		if !s.node.said(r) {
			t.Errorf("it does not say %q:\n%s", r, s.node.out)
		}
	}
	if after := files(t, s.data); !maps.Equal(before, after) {
		t.Errorf("files were changed: %v, before %v", after, before)
	}
}

// used is a site whose node has run once and stopped in order.
func used(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.write(s.nodeText())
	s.startNode()
	s.awaitReady(20 * time.Second)
	s.node.stop(10 * time.Second)
	return s
}

func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change  func(s *site) string
		reasons []string
	}{
		"not yet": {
			func(s *site) string {
				return strings.Replace(s.text(), "proxy: {mode: failover}", "proxy: {mode: balance}", 1)
			},
			[]string{"not yet: spreading requests", "jurymast.yaml:"},
		},
		"no key to seal with": {
			func(s *site) string {
				return strings.Replace(s.text(), "nameservers: [ns1.dr.example]", "nameservers: [ns1.dr.example]\n    dnssec: {enabled: true}", 1)
			},
			[]string{"zones[0].dnssec.enabled", "node.store.seal", "jurymast.yaml:"},
		},
		"secret not set": {
			func(s *site) string {
				s.head = "  secrets: {PROBE: {env: JURYMAST_NO_SUCH_VARIABLE}}\n"
				s.euMore = ", monitor: {headers: {Authorization: {secret: PROBE}}}"
				return s.text()
			},
			[]string{"integration", "eu20", `secret "PROBE"`, "JURYMAST_NO_SUCH_VARIABLE is not set"},
		},
		"secret not listed": {
			func(s *site) string {
				s.euMore = ", monitor: {headers: {Authorization: {secret: PROBE}}}"
				return s.text()
			},
			[]string{`"PROBE"`, "node.secrets"},
		},
		"api for everybody": {
			func(s *site) string { return strings.Replace(s.text(), s.api, "0.0.0.0:9460", 1) },
			[]string{"0.0.0.0:9460", "reachable from other machines", "127.0.0.1"},
		},
		"unknown key": {
			func(s *site) string { return strings.Replace(s.text(), "ttl: 5s", "tll: 5s", 1) },
			[]string{"tll", "ttl", "jurymast.yaml:"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.write(c.change(s))
			refused(t, s, c.reasons...)
			if _, err := os.Stat(s.data); err == nil {
				t.Error("the data directory was made")
			}
		})
	}
}

func TestRefusedAddresses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.up()
	for word, take := range map[string]func(o *site){
		"dns":   func(o *site) { o.dns = s.dns },
		"proxy": func(o *site) { o.web = s.web },
		"api":   func(o *site) { o.api = s.api },
	} {
		o := newSite(t)
		take(o)
		o.write(o.text())
		o.startNode()
		if err := o.node.ended(10 * time.Second); err == nil || !o.node.said("address already in use") {
			t.Errorf("%s: %v\n%s", word, err, o.node.out)
		}
	}
	if !s.ready() || s.ask() != "127.0.0.11" {
		t.Error("the first node has suffered")
	}
}

func TestRefusedDirectories(t *testing.T) {
	t.Parallel()
	t.Run("foreign", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		must(t, os.MkdirAll(s.data, 0o700))
		must(t, os.WriteFile(filepath.Join(s.data, "letters.txt"), []byte("dear Ann"), 0o600))
		s.write(s.text())
		refused(t, s, s.data, "letters.txt", "is not empty")
	})
	t.Run("foreign store", func(t *testing.T) {
		t.Parallel()
		s := used(t)
		must(t, os.Remove(filepath.Join(s.data, "store", "jurymast-store.json")))
		refused(t, s, "does not belong to jurymast")
	})
	t.Run("corrupted store", func(t *testing.T) {
		t.Parallel()
		s := used(t)
		db := filepath.Join(s.data, "store", "member", "snap", "db")
		text, err := os.ReadFile(db)
		must(t, err)
		for i := range text {
			if i%512 < 64 {
				text[i] ^= 0xff
			}
		}
		must(t, os.WriteFile(db, text, 0o600))
		refused(t, s, db, "is damaged", "restore the data directory from a backup")
	})
	t.Run("in use", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		s.up()
		o := newSite(t)
		o.data = s.data
		o.write(o.text())
		o.startNode()
		if err := o.node.ended(10 * time.Second); err == nil || !o.node.said("in use by another jurymast") {
			t.Errorf("%v\n%s", err, o.node.out)
		}
		if !s.ready() || s.ask() != "127.0.0.11" {
			t.Error("the first node has suffered")
		}
	})
	t.Run("unknown format", func(t *testing.T) {
		t.Parallel()
		s := used(t)
		const later = `{"format":7,"cluster":"of a later version"}`
		meta := func(change bool) (text string) {
			st, err := etcd.Open(t.Context(), etcd.Options{Dir: filepath.Join(s.data, "store")})
			must(t, err)
			defer func() { must(t, st.Close()) }()
			if change {
				_, _, err = st.Commit(t.Context(), nil, []store.Op{store.Put("/jurymast/v1/meta", []byte(later))})
				must(t, err)
			}
			kvs, _, err := st.List(t.Context(), "/jurymast/")
			must(t, err)
			for _, kv := range kvs {
				text += kv.Key + " " + string(kv.Value) + "\n"
			}
			return text
		}
		before := meta(true)
		s.startNode()
		if err := s.node.ended(10 * time.Second); err == nil || !s.node.said("this build knows format 1") {
			t.Errorf("%v\n%s", err, s.node.out)
		}
		if after := meta(false); after != before || !strings.Contains(after, later) {
			t.Errorf("the store was changed:\n%s\nbefore:\n%s", after, before)
		}
	})
}
