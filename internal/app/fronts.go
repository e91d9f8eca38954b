package app

import (
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/certificates"
	"jurymast/internal/profile"
	"jurymast/internal/proxy"
)

// buildProxy makes the HTTP front; it takes its addresses at once.
func (a *App) buildProxy(metrics prometheus.Registerer) error {
	n := &a.file.Node.Proxy
	certs, err := certificates.Load(n.TLS.Certificates)
	if err != nil {
		return err
	}
	trusted, err := prefixes("node.proxy.trusted_proxies", n.TrustedProxies)
	if err != nil {
		return err
	}
	announcers, err := prefixes("node.proxy.proxy_protocol", n.ProxyProtocol)
	if err != nil {
		return err
	}
	log, err := a.accessLog(n.AccessLog)
	if err != nil {
		return err
	}
	a.web, err = proxy.New(proxy.Options{
		Hub: a.hub, HTTP: n.HTTP, HTTPS: n.HTTPS, Certificates: certs, MinVersion: n.TLS.MinVersion, TrustedProxies: trusted, Locator: a.places,
		Confirmed: func(term uint64) bool { return a.cluster.Confirmed(term) },
		ProxyProtocol: announcers, Limits: n.Limits,
		AccessLog: log, Sample: n.AccessLog.Sample, NodeName: a.file.Node.Name, Logger: a.log, Registerer: metrics, Signal: a.signal,
	})
	return err
}

// accessLog opens what node.proxy.access_log.file names: "" is off, "-" standard output.
func (a *App) accessLog(l profile.AccessLog) (io.Writer, error) {
	switch l.File {
	case "":
		return nil, nil //nolint:nilnil // off
	case "-":
		return a.o.Out, nil
	}
	f, err := os.OpenFile(l.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) //nolint:gosec // the operator's own file names it; log readers are a group
	if err != nil {
		return nil, fmt.Errorf("node.proxy.access_log.file: %w", err)
	}
	return f, nil
}

func prefixes(key string, texts []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(texts))
	for _, s := range texts {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			addr, bad := netip.ParseAddr(s)
			if bad != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		out = append(out, p)
	}
	return out, nil
}
