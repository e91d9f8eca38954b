package trace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// Files of the system, below Options.Root.
const (
	resolvConf    = "/etc/resolv.conf"
	resolvedConf  = "/run/systemd/resolve/resolv.conf" // the servers systemd-resolved asks itself
	hostsFile     = "/etc/hosts"
	nscdConf      = "/etc/nscd.conf"
	nscdPositive  = 3600 // seconds, where its file says nothing
	resolverPort  = 53
	maxResolvers  = 32
	resolvedStub  = "127.0.0.53"
	resolvedProxy = "127.0.0.54"
)

// systemResolvers are those of /etc/resolv.conf, and behind systemd-resolved those that it asks.
func (t *tracer) systemResolvers() (out []Resolver) {
	for _, file := range []string{resolvConf, resolvedConf} {
		text, err := t.read(file)
		if err != nil {
			if file == resolvConf {
				t.note("%s: %v", file, plainFile(err))
			}
			continue
		}
		conf, err := dns.ClientConfigFromReader(bytes.NewReader(text))
		if err != nil {
			continue
		}
		for _, s := range conf.Servers {
			if a, err := netip.ParseAddr(s); err == nil {
				source := file
				if s == resolvedStub || s == resolvedProxy {
					source += " (systemd-resolved)"
				}
				out = append(out, Resolver{netip.AddrPortFrom(a.Unmap(), resolverPort), source})
			}
		}
	}
	return out
}

// read reads a file of ordinary size. Command lines of other people's processes name some: a pipe would be waited for, and
// a device may have no end.
func (t *tracer) read(file string) ([]byte, error) {
	f, err := os.OpenFile(filepath.Join(t.o.Root, file), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	switch info, err := f.Stat(); {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxFile: // below /proc sizes are 0, so what is read counts too
		return nil, errFile
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		return nil, errFile
	}
	return text, err
}

// maxFile is how long a file may be that is read, in bytes.
const maxFile = 4 << 20

var errFile = errors.New("not an ordinary file of at most 4 MiB")

func plainFile(err error) error {
	if pe, ok := err.(*os.PathError); ok { //nolint:errorlint // straight from os
		return pe.Err
	}
	return err
}

// hostsEntry is what the hosts file says of the name: it goes before all DNS, and no time ends it.
func (t *tracer) hostsEntry() (out []Holder) {
	text, err := t.read(hostsFile)
	if err != nil {
		return nil
	}
	var path []step
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		a, err := netip.ParseAddr(fields[0])
		if err != nil || t.typ != dns.TypeA && t.typ != dns.TypeAAAA || (t.typ == dns.TypeA) != a.Is4() {
			continue
		}
		for _, name := range fields[1:] {
			if dns.CanonicalName(name) == t.name {
				path = append(path, step{owner: t.name, typ: dns.Type(t.typ).String(), values: []string{a.String()}})
				break
			}
		}
	}
	for i := range path {
		h := Holder{Kind: "hosts", Source: hostsFile, Address: hostsFile, Cached: "yes", Forever: true, Records: path[i].records()}
		h.State = t.fixed(&path[i])
		if h.State == Old {
			h.Differs = path[i].text()
		}
		h.Note = "programs of this host use it and ask no resolver, until somebody changes the file"
		out = append(out, h)
	}
	return out
}

// fixed compares addresses that stand for the whole name, aliases or not.
func (t *tracer) fixed(s *step) State {
	if len(t.truth) == 0 {
		return Unknown
	}
	for _, list := range t.truth {
		for i := range list {
			for _, v := range list[i].values {
				if list[i].typ == s.typ && v == s.values[0] {
					return Current
				}
			}
		}
	}
	return Old
}

// nscd keeps answers of the system's own lookups and does not tell them.
func (t *tracer) nscd() (out []Holder) {
	for _, socket := range []string{"/run/nscd/socket", "/var/run/nscd/socket"} {
		if _, err := os.Stat(filepath.Join(t.o.Root, socket)); err != nil {
			continue
		}
		ttl, on := t.nscdTTL()
		if !on {
			return nil
		}
		return []Holder{{
			Kind: "nscd", Source: socket, Address: socket, State: Unknown, Cached: "unknown", Left: ttl,
			Until: time.Now().Add(time.Duration(ttl) * time.Second),
			Note:  fmt.Sprintf("nscd runs and does not tell what it holds; it keeps hosts up to %d s (%s); nscd -i hosts empties it", ttl, nscdConf),
		}}
	}
	return nil
}

// nscdTTL is how long it keeps hosts, in seconds, and whether it does.
func (t *tracer) nscdTTL() (ttl uint32, on bool) {
	ttl, on = nscdPositive, true
	text, err := t.read(nscdConf)
	if err != nil {
		return ttl, on
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) != 3 || f[1] != "hosts" {
			continue
		}
		switch f[0] {
		case "positive-time-to-live":
			if n, err := strconv.ParseUint(f[2], 10, 31); err == nil {
				ttl = uint32(n)
			}
		case "enable-cache":
			on = f[2] != "no"
		}
	}
	return ttl, on
}
