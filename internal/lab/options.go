package lab

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// ControlOff as TenantOptions.Control means: no control listener.
const ControlOff = "off"

// TenantOptions describe one stand-in tenant. The zero value is a tenant of region EU20 on a free loopback port,
// open to everybody, without TLS.
type TenantOptions struct {
	// Listen is host:port; port 0 takes a free one (see Tenant.Addr). Default 127.0.0.1:0.
	Listen string
	// Control is host:port of a second listener that serves /lab/* alone, in clear text, and that no fault touches.
	// Default 127.0.0.1:0 (a free port, logged at start and shown by GET /lab/fault); "off" for none.
	Control string
	// Region is the name the flows answer with. Default EU20.
	Region string
	// Auth are the credentials with the role ESBMessaging.send. With Auth and RoleLess empty the runtime is open to all.
	Auth []Credential
	// RoleLess are valid log-ins without that role: 403.
	RoleLess []Credential
	// APIAuth are the credentials of the operations API. Empty: the API is open to all.
	APIAuth []Credential
	// Hosts is the route table: host names, `*.` wildcards allowed, without port. Any other Host gets the router's 404.
	// Empty: every host is mapped. /oauth/token and /api/v1 have hosts of their own in the original and are not limited.
	Hosts []string
	// CSRF protects the HTTPS senders other than /http/ping against cross-site request forgery.
	CSRF bool
	// ReturnException lets a failing flow answer with the exception's text in place of the MPL id.
	ReturnException bool
	// Quota is the number of messages licensed per calendar month (UTC); 0: no quota. It is accounted, never enforced.
	Quota int
	// WWWAuthenticate is that header on a 401 of the runtime. Empty: no such header; what the original sends is unknown.
	WWWAuthenticate string

	// TLS, when set, is used as it is. Otherwise CertFile and KeyFile, or SelfSigned, which makes a throw-away
	// authority (GET /lab/ca.pem) and a certificate for Hosts, localhost and the listening address.
	TLS               *tls.Config
	CertFile, KeyFile string
	SelfSigned        bool

	// DeployTime is how long a deployment takes, 0 to 1 h. Default 3 s; negative: none.
	DeployTime time.Duration
	// EndpointLag is how long after STARTED an artefact appears in ServiceEndpoints. Default 30 s; negative: none.
	EndpointLag time.Duration
	// Seed starts the generator of every random choice (share, jitter). 0: one is chosen; it is logged at start.
	Seed uint64
	// StopGrace is how long Close waits for requests in flight. Default 2 s.
	StopGrace time.Duration
	// Now is the clock of deployments, tokens and statistics. Default time.Now.
	Now func() time.Time
	// Logger gets one line per start, stop and fault. Default: none.
	Logger *slog.Logger
}

// AddAuth adds one "user:password" to Auth.
func (o *TenantOptions) AddAuth(text string) error { return addCredential(&o.Auth, "auth", text) }

// AddRoleLess adds one "user:password" to RoleLess.
func (o *TenantOptions) AddRoleLess(text string) error {
	return addCredential(&o.RoleLess, "role-less", text)
}

// AddAPIAuth adds one "user:password" to APIAuth.
func (o *TenantOptions) AddAPIAuth(text string) error {
	return addCredential(&o.APIAuth, "api-auth", text)
}

func addCredential(list *[]Credential, option, text string) error {
	c, err := ParseCredential(text)
	if err != nil {
		return fmt.Errorf("%s: %w", option, err)
	}
	*list = append(*list, c)
	return nil
}

// AddHosts adds host names separated by commas to Hosts.
func (o *TenantOptions) AddHosts(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if err := checkHost(name); err != nil {
			return err
		}
		o.Hosts = append(o.Hosts, name)
	}
	return nil
}

func checkHost(name string) error {
	plain := strings.TrimPrefix(name, "*.")
	switch {
	case plain == "":
		return fmt.Errorf("hosts: empty name in %q; want host names separated by commas, for example integration.dr.example,*.dr.example", name)
	case strings.ContainsAny(plain, "/ *@"):
		return fmt.Errorf("hosts: %q is no host name; want a name without scheme, path or inner wildcard", name)
	case net.ParseIP(plain) == nil && strings.Contains(plain, ":"):
		return fmt.Errorf("hosts: %q has a port; routes are by name alone, leave the port out", name)
	}
	return nil
}

// withDefaults returns a copy with every default filled in, or all that is wrong with o.
func (o *TenantOptions) withDefaults() (TenantOptions, error) {
	c := *o
	setDefault(&c.Listen, "127.0.0.1:0")
	setDefault(&c.Control, "127.0.0.1:0")
	setDefault(&c.Region, "EU20")
	setDefault(&c.DeployTime, 3*time.Second)
	setDefault(&c.EndpointLag, 30*time.Second)
	setDefault(&c.StopGrace, 2*time.Second)
	c.DeployTime, c.EndpointLag = max(c.DeployTime, 0), max(c.EndpointLag, 0)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, c.validate()
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o *TenantOptions) validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(o.Listen); err != nil {
		errs = append(errs, fmt.Errorf("listen: %q is no host:port (for example 127.0.0.1:9101): %w", o.Listen, err))
	}
	if o.Control != ControlOff {
		if _, _, err := net.SplitHostPort(o.Control); err != nil {
			errs = append(errs, fmt.Errorf("control: %q is neither host:port nor %q: %w", o.Control, ControlOff, err))
		}
	}
	if strings.ContainsFunc(o.Region, isControl) {
		errs = append(errs, fmt.Errorf("region: control character in %q; want a name such as EU20", o.Region))
	}
	if strings.ContainsFunc(o.WWWAuthenticate, isControl) {
		errs = append(errs, errors.New("www-authenticate: control character; want one header value such as Basic realm=\"x\""))
	}
	if o.Quota < 0 {
		errs = append(errs, fmt.Errorf("quota: %d is negative; want messages per month, 0 for no quota", o.Quota))
	}
	if o.DeployTime > time.Hour {
		errs = append(errs, fmt.Errorf("deploy-time: %v is over 1h; want 0s to 1h", o.DeployTime))
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		errs = append(errs, errors.New("tls: a certificate needs its key file and the other way round; give both or neither"))
	}
	for _, h := range o.Hosts {
		if err := checkHost(h); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// secure reports whether the tenant speaks TLS.
func (o *TenantOptions) secure() bool { return o.TLS != nil || o.CertFile != "" || o.SelfSigned }

// mapped reports whether the host of a request (with or without port) is in the route table.
func (o *TenantOptions) mapped(r *http.Request) bool {
	if len(o.Hosts) == 0 {
		return true
	}
	host := hostOnly(r.Host)
	for _, h := range o.Hosts {
		if tail, wild := strings.CutPrefix(h, "*"); wild {
			if len(host) > len(tail) && strings.EqualFold(host[len(host)-len(tail):], tail) {
				return true
			}
		} else if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}

// hostOnly cuts the port, the brackets of an IPv6 address and the trailing dot off a Host header.
func hostOnly(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}
