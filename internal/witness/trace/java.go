package trace

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	javaDefault = 30 // seconds, without a security manager
	maxJava     = 64 // processes shown
)

// The settings of a Java process that say how long it keeps addresses. Only the first is honoured by all of them; it is
// a security property, which the command line cannot set.
const (
	securityTTL = "networkaddress.cache.ttl"
	systemTTL   = "sun.net.inetaddr.ttl"
)

// java finds the Java processes of this host. Of their command lines it keeps the settings it knows and nothing else.
func (t *tracer) java() []JVM {
	out := []JVM{}
	list, err := os.ReadDir(filepath.Join(t.o.Root, "/proc"))
	if err != nil {
		return out
	}
	for _, e := range list {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || len(out) == maxJava {
			continue
		}
		text, err := t.read("/proc/" + e.Name() + "/cmdline")
		if err != nil || len(text) == 0 {
			continue
		}
		var args []string
		for a := range bytes.SplitSeq(text, []byte{0}) {
			args = append(args, string(a))
		}
		if base := path.Base(args[0]); base != "java" && base != "javaw" && base != "jre" {
			continue
		}
		out = append(out, t.jvm(pid, args))
	}
	slices.SortFunc(out, func(a, b JVM) int { return a.PID - b.PID })
	return out
}

// jvm reads the settings of one process in the order Java itself looks at them.
func (t *tracer) jvm(pid int, args []string) JVM {
	j := JVM{PID: pid}
	set := map[string]string{}
	for _, a := range args[1:] {
		if !strings.HasPrefix(a, "-") {
			break // the class: what follows is the program's own
		}
		if key, value, ok := strings.Cut(strings.TrimPrefix(a, "-D"), "="); strings.HasPrefix(a, "-D") {
			if set[key] = value; !ok {
				set[key] = ""
			}
		}
	}
	if _, there := set[securityTTL]; there {
		j.Note = "-D" + securityTTL + " has no effect, it is a security property"
	}
	for _, f := range t.securityFiles(pid, args[0], set["java.security.properties"]) {
		if n, ok := t.property(f, securityTTL); ok {
			j.TTL, j.From = n, f
			return j
		}
	}
	if n, err := strconv.Atoi(set[systemTTL]); err == nil {
		j.TTL, j.From = max(n, -1), "-D"+systemTTL
		return j
	}
	j.Default = true
	if manager, there := set["java.security.manager"]; there && manager != "disallow" && manager != "allow" {
		j.TTL, j.From = -1, "default with a security manager"
		return j
	}
	j.TTL, j.From = javaDefault, "default"
	return j
}

// securityFiles are where security properties are read from, the last word first.
func (t *tracer) securityFiles(pid int, program, extra string) (out []string) {
	if extra != "" {
		out = append(out, strings.TrimPrefix(strings.TrimPrefix(extra, "="), "file:"))
		if strings.HasPrefix(extra, "=") {
			return out // instead of the installation's
		}
	}
	exe, err := os.Readlink(filepath.Join(t.o.Root, "/proc", strconv.Itoa(pid), "exe"))
	if err != nil {
		exe = program
	}
	if !path.IsAbs(exe) {
		return out
	}
	home := path.Dir(path.Dir(exe))
	return append(out, home+"/conf/security/java.security", home+"/lib/security/java.security", home+"/jre/lib/security/java.security")
}

func (t *tracer) property(file, key string) (int, bool) {
	if !path.IsAbs(file) {
		return 0, false
	}
	text, err := t.read(file)
	if err != nil {
		return 0, false
	}
	value, found := 0, false
	for line := range strings.Lines(string(text)) {
		k, v, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(k) != key {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
			value, found = max(n, -1), true // any negative number is for ever
		}
	}
	return value, found
}
