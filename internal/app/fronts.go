package app

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/certificates"
	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/proxy/accesslog"
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
	if a.requests, err = a.accessLog(n.AccessLog); err != nil {
		return err
	}
	a.undo.add("access log", 5*time.Second, a.requests.Close)
	a.web, err = proxy.New(proxy.Options{
		Hub: a.hub, HTTP: n.HTTP, HTTPS: n.HTTPS, Certificates: certs, MinVersion: n.TLS.MinVersion, TrustedProxies: trusted, Locator: a.places,
		Confirmed:     func(term uint64) bool { return a.cluster.Confirmed(term) },
		ProxyProtocol: announcers, Limits: n.Limits,
		AccessLog: a.requests, NodeName: a.file.Node.Name, Logger: a.log, Registerer: metrics, Signal: a.signal,
	})
	return err
}

// accessLog opens what node.proxy.access_log names: file "" is off, "-" standard output.
func (a *App) accessLog(l profile.AccessLog) (*accesslog.Log, error) {
	if l.File == "" {
		return nil, nil //nolint:nilnil // off
	}
	o := accesslog.Options{File: l.File, Sample: l.Sample, Errors: l.Errors, PlainQuery: l.Query == profile.QueryPlain, Node: a.file.Node.Name, Logger: a.log}
	if l.File == "-" {
		o.File, o.Out = "", a.o.Out
	}
	log, err := accesslog.Open(o)
	if err != nil {
		return nil, fmt.Errorf("node.proxy.access_log.file: %w", err)
	}
	return log, nil
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
