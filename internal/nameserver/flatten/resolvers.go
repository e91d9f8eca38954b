package flatten

import (
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
)

// Fixed returns the given resolvers always.
func Fixed(list []netip.AddrPort) func() []netip.AddrPort {
	list = slices.Clone(list)
	return func() []netip.AddrPort { return list }
}

const (
	resolvConf = "/etc/resolv.conf"
	rereadFor  = 5 * time.Second
)

// System returns the resolvers of /etc/resolv.conf, read again when they may have changed. own are the addresses we
// listen on ourselves: asking there would be asking us, and we resolve for nobody.
func System(own func() []netip.AddrPort, log *slog.Logger) func() []netip.AddrPort {
	return systemFrom(resolvConf, own, log)
}

func systemFrom(path string, own func() []netip.AddrPort, log *slog.Logger) func() []netip.AddrPort {
	var mu sync.Mutex
	var list []netip.AddrPort
	var read time.Time
	return func() []netip.AddrPort {
		mu.Lock()
		defer mu.Unlock()
		if !read.IsZero() && time.Since(read) < rereadFor {
			return list
		}
		read = time.Now()
		fresh, passed, err := parseConf(path, own())
		switch {
		case err != nil && list == nil:
			log.Warn("cannot read which resolvers the system uses", "file", path, "error", err)
		case err != nil: // it is being written: the last reading holds
			return list
		case slices.Equal(fresh, list):
		default:
			log.Info("resolvers for flattening", "file", path, "resolvers", fresh, "passed_over", passed)
		}
		list = fresh
		return list
	}
}

func parseConf(path string, own []netip.AddrPort) (list, passed []netip.AddrPort, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	conf, err := dns.ClientConfigFromReader(strings.NewReader(string(text)))
	if err != nil {
		return nil, nil, err
	}
	for _, s := range conf.Servers {
		a, ok := profile.ParseResolver(s)
		switch {
		case !ok:
		case ours(a, own):
			passed = append(passed, a)
		case !slices.Contains(list, a):
			list = append(list, a)
		}
	}
	return list, passed, nil
}

// ours reports that an address is one of those we listen on, wildcards included.
func ours(a netip.AddrPort, own []netip.AddrPort) bool {
	return slices.ContainsFunc(own, func(o netip.AddrPort) bool {
		same := o.Addr().Unmap() == a.Addr().Unmap() || o.Addr().IsUnspecified() && a.Addr().IsLoopback()
		return same && o.Port() == a.Port()
	})
}
