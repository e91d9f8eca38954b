package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"jurymast/internal/app"
	"jurymast/internal/certificates"
	"jurymast/internal/cluster/seal"
	"jurymast/internal/places"
	"jurymast/internal/profile"
)

// onThisMachine is what serve would refuse here and now although the text is right: files and variables of the node
// section that are missing. They are warnings, because the file may be meant for another machine. name is the file's:
// location files are relative to it, everything else to where the command runs, as for serve.
func onThisMachine(name string, f *profile.File) (list profile.Problems) {
	n := &f.Node
	warn := func(message string, steps ...any) {
		list = append(list, f.Problem(profile.SeverityWarning, message, steps...))
	}
	for _, o := range []struct {
		key     string
		written string
		options places.Options
	}{
		{"database", n.Geo.Database, places.Options{Database: besideName(name, n.Geo.Database)}},
		{"latency", n.Geo.Latency, places.Options{Latency: besideName(name, n.Geo.Latency)}},
	} {
		if o.written == "" {
			continue
		}
		p, err := places.Open(o.options)
		if err != nil {
			warn("serve on this machine refuses the file: "+firstLine(err), "node", "geo", o.key)
			continue
		}
		p.Close()
	}
	certificateFiles(n.Proxy.TLS.Certificates, warn, "node", "proxy", "tls", "certificates")
	certificateFiles(n.Nameserver.Certificates, warn, "node", "nameserver", "certificates")
	logFolders(n, warn)
	secretFiles(n, warn)
	for i := range f.TSIG {
		if key, err := app.CheckTSIGKey(&f.TSIG[i]); err != nil {
			warn(firstLine(err)+": this machine does not have the key; whatever is signed with it fails here", "tsig", i, "secret", key)
		}
	}
	used := usedSecrets(f)
	for _, secret := range slices.Sorted(maps.Keys(n.Secrets)) {
		source := n.Secrets[secret]
		missing, key := secretFault(source)
		if missing == "" {
			continue
		}
		consequence := "a profile that uses the secret is refused on this machine"
		if slices.Contains(used, secret) || source.Env != "" && slices.Contains(used, "$"+source.Env) {
			consequence = "serve on this machine refuses the file, because a profile uses the secret"
		}
		warn(missing+": "+consequence, "node", "secrets", secret, key)
	}
	return list
}

// certificateFiles warns of certificates that serve would refuse, and of those that clients would.
func certificateFiles(files []profile.CertificateFiles, warn func(message string, steps ...any), steps ...any) {
	for i := range files {
		place := append(slices.Clone(steps), i)
		set, err := certificates.Load(files[i : i+1])
		if err != nil {
			warn("serve on this machine refuses the file: "+firstLine(err), place...)
			continue
		}
		for _, c := range set.Infos() {
			if fault := c.Fault(time.Now()); fault != "" {
				warn("clients refuse the certificate "+c.File+": "+fault, place...)
			}
		}
	}
}

// logFolders warns of logs that could not be opened because their folder is missing.
func logFolders(n *profile.Node, warn func(message string, steps ...any)) {
	for _, log := range []struct{ front, key, file string }{
		{"nameserver", "query_log", n.Nameserver.QueryLog.File}, {"nameserver", "dnstap", n.Nameserver.Dnstap.File}, {"proxy", "access_log", n.Proxy.AccessLog.File},
	} {
		if log.file == "" || log.file == "-" {
			continue
		}
		switch folder, err := os.Stat(filepath.Dir(log.file)); {
		case err != nil:
			warn("serve on this machine refuses the file: "+firstLine(err)+"; make the folder, it is not made for you", "node", log.front, log.key, "file")
		case !folder.IsDir():
			warn(fmt.Sprintf("serve on this machine refuses the file: %s is no folder", filepath.Dir(log.file)), "node", log.front, log.key, "file")
		}
	}
}

// secretFiles warns of key files that serve would refuse. One that a node alone would make is no fault.
func secretFiles(n *profile.Node, warn func(message string, steps ...any)) {
	const consequence = "serve on this machine refuses the file: "
	if file := n.Store.Seal.File; file != "" {
		_, err := seal.Read(file)
		if alone := len(n.Store.Endpoints) == 0; err != nil && (!alone || !errors.Is(err, fs.ErrNotExist)) {
			warn(consequence+firstLine(err), "node", "store", "seal", "file")
		}
	}
	c := &n.Nameserver.Cookies
	for _, one := range []struct{ key, file string }{{"current", c.Current.File}, {"next", c.Next.File}, {"previous", c.Previous.File}} {
		if one.file == "" {
			continue
		}
		if _, err := app.ReadCookieFile(one.file); err != nil {
			warn(consequence+firstLine(err), "node", "nameserver", "cookies", one.key, "file")
		}
	}
}

// usedSecrets are the names of secrets that profiles of the file use, and of environment variables behind a $.
func usedSecrets(f *profile.File) (names []string) {
	for i := range f.Profiles {
		names = append(names, f.Profiles[i].SecretNames()...)
		for _, env := range f.Profiles[i].EnvNames() {
			names = append(names, "$"+env)
		}
	}
	return names
}

// secretFault says what keeps a secret from being read here, and at which key; it never tells a content.
func secretFault(s profile.SecretSource) (fault, key string) {
	if s.Env != "" {
		if _, ok := os.LookupEnv(s.Env); !ok {
			return fmt.Sprintf("the environment variable %s is not set here", s.Env), "env"
		}
		return "", ""
	}
	if s.File == "" {
		return "", ""
	}
	if _, err := os.ReadFile(s.File); err != nil {
		return fmt.Sprintf("cannot be read here: %v", err), "file"
	}
	return "", ""
}

// firstLine keeps a finding on one line; a table with many wrong lines tells one of them.
func firstLine(err error) string {
	first, rest, more := strings.Cut(err.Error(), "\n")
	if more {
		first += fmt.Sprintf(" (and %s more)", count(1+strings.Count(rest, "\n"), "line"))
	}
	return first
}
