package profile

import (
	"path"
	"strings"
)

// CookieFile names a file with a secret of DNS cookies: 32 hex digits.
type CookieFile struct {
	File string `yaml:"file"`
}

// validateCookieFiles: whoever brings secrets of his own brings at least the one to issue, and each once.
func validateCookieFiles(r *report, a *at, c *Cookies) {
	seen := map[string]string{}
	for _, one := range []struct{ key, file string }{{"current", c.Current.File}, {"next", c.Next.File}, {"previous", c.Previous.File}} {
		place := a.child(one.key)
		switch first, twice := seen[one.file]; {
		case one.file == "":
			if place.given() {
				r.errorf(place, "names no file; write {file: /etc/jurymast/cookie-%s}, a file of 32 hex digits, or leave %[1]s out", one.key)
			}
			continue
		case twice:
			r.errorf(place.child("file"), "is the file of %s too; two secrets that are the same make a change of them impossible", first)
		}
		seen[one.file] = one.key
	}
	if c.Current.File == "" && len(seen) > 0 {
		r.errorf(a, "current is missing: no cookie could be made; write current: {file: ...} with the secret that the other servers issue")
	}
}

// validateSeal: the key must not lie in the directory it protects.
func validateSeal(r *report, a *at, n *Node) {
	file := a.child("store").child("seal")
	switch s := &n.Store; {
	case s.Seal.File != "":
		if liesIn(n.Data, s.Seal.File) {
			r.errorf(file.child("file"), "%s lies inside node.data (%s), so a copy of the data would open everything; put it elsewhere", s.Seal.File, n.Data)
		}
	case file.given():
		r.errorf(file, "names no file; write {file: /etc/jurymast/seal.key}")
	}
}

// liesIn reports that file lies in dir, as far as the texts tell.
func liesIn(dir, file string) bool {
	return dir != "" && path.IsAbs(dir) == path.IsAbs(file) && strings.HasPrefix(path.Clean(file), strings.TrimSuffix(path.Clean(dir), "/")+"/")
}
