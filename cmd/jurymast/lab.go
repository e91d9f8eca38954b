package main

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"jurymast/internal/lab"
)

func newLab(c *cli) *cobra.Command {
	return newGroup("lab", "Stand-ins to try things with, each breakable on command", newLabTenant(c))
}

const labTenantHelp = `Runs a stand-in for one regional integration tenant until it is interrupted. GET /http/health answers the region;
POST /lab/fault breaks it or mends it:

  jurymast lab tenant --listen 127.0.0.1:9101 --control 127.0.0.1:9111 --region EU20
  curl -d '{"kind":"error","for":"30s"}' http://127.0.0.1:9111/lab/fault

Credentials are user:password, cut at the first colon. Quote them with '...': client ids hold !, | and $.`

func newLabTenant(c *cli) *cobra.Command {
	var o lab.TenantOptions
	var hosts []string
	cmd := &cobra.Command{
		Use:   "tenant",
		Short: "Run a stand-in tenant until interrupted",
		Long:  labTenantHelp,
		Example: `  jurymast lab tenant --region EU20 --listen 127.0.0.1:9101
  jurymast lab tenant --region US21 --auth 'probe:secret' --tls --hosts integration.dr.example`,
		Args: arguments(),
	}
	output := outputFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:0", "address of the tenant; port 0 takes a free one")
	f.StringVar(&o.Control, "control", "127.0.0.1:0", "second address for /lab/* alone, which no fault touches; off for none")
	f.StringVar(&o.Region, "region", "EU20", "the name the flows answer with")
	f.Var(&credentials{add: o.AddAuth}, "auth", "user:password that may call flows; repeatable. Without it the flows are open to all")
	f.Var(&credentials{add: o.AddRoleLess}, "role-less", "user:password of a valid log-in without the role (403); repeatable")
	f.Var(&credentials{add: o.AddAPIAuth}, "api-auth", "user:password of the operations API; repeatable. Without it the API is open to all")
	f.StringSliceVar(&hosts, "hosts", nil, "host names with a route, *. wildcards allowed, comma-separated; any other Host gets 404 (default all)")
	f.BoolVar(&o.CSRF, "csrf", false, "demand a CSRF token from modifying requests")
	f.BoolVar(&o.ReturnException, "return-exception", false, "a failing flow answers with the exception's text in place of its message id")
	f.BoolVar(&o.SelfSigned, "tls", false, "speak TLS with a certificate made at start; its authority is at GET /lab/ca.pem")
	f.StringVar(&o.CertFile, "cert", "", "PEM chain to speak TLS with; needs --key")
	f.StringVar(&o.KeyFile, "key", "", "PEM key of --cert")
	f.IntVar(&o.Quota, "quota", 0, "messages licensed per calendar month (UTC), 0 for none; counted, never enforced")
	f.StringVar(&o.WWWAuthenticate, "www-authenticate", "", "that header on a 401 of the flows")
	f.DurationVar(&o.DeployTime, "deploy-time", 0, "how long a deployment takes, up to 1h; negative for none (default 3s)")
	f.DurationVar(&o.EndpointLag, "endpoint-lag", 0, "from STARTED to being listed in ServiceEndpoints; negative for none (default 30s)")
	f.DurationVar(&o.StopGrace, "stop-grace", 0, "how long a stop waits for requests in flight (default 2s)")
	f.Uint64Var(&o.Seed, "seed", 0, "start of the dice behind share and jitter, to repeat a run (default: random, logged)")
	logging := addLogFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(hosts) > 0 {
			if err := o.AddHosts(strings.Join(hosts, ",")); err != nil {
				return usagef("%s: %w", cmd.CommandPath(), err)
			}
		}
		o.Logger = logging.logger(c)
		return runTenant(cmd, c, o, *output)
	}
	return cmd
}

// tenantAddresses is what a script needs to know of a running tenant.
type tenantAddresses struct {
	Region  string `json:"region"`
	URL     string `json:"url"`
	Control string `json:"control,omitempty"` // POST faults here
}

func runTenant(cmd *cobra.Command, c *cli, o lab.TenantOptions, output format) error {
	t, err := lab.NewTenant(o)
	if err != nil {
		return usagef("%w", err)
	}
	if err := t.Start(cmd.Context()); err != nil {
		return err
	}
	at := tenantAddresses{Region: o.Region, URL: "http://" + t.Addr()}
	if o.SelfSigned || o.CertFile != "" {
		at.URL = "https://" + t.Addr()
	}
	if t.ControlAddr() != "" {
		at.Control = "http://" + t.ControlAddr() + "/lab/fault"
	}
	err = c.print(output, at, func(p *printer) {
		p.printf("tenant %s at %s\n", at.Region, at.URL)
		if at.Control != "" {
			p.printf("break it with POST %s\n", at.Control)
		}
	})
	if err != nil {
		return errors.Join(err, t.Close())
	}
	<-t.Done()
	return nil
}

// credentials feeds every value of a flag to the option that collects it, and shows none of them.
type credentials struct{ add func(string) error }

func (v *credentials) Set(text string) error { return v.add(text) }
func (v *credentials) String() string        { return "" }
func (v *credentials) Type() string          { return "USER:PASSWORD" }

// logFlags are --log-format and --log-level.
type logFlags struct {
	json  bool
	level slog.Level
}

func addLogFlags(cmd *cobra.Command) *logFlags {
	l := &logFlags{}
	cmd.Flags().Var((*logFormat)(&l.json), "log-format", "text or json")
	cmd.Flags().Var((*logLevel)(&l.level), "log-level", "debug, info, warn or error")
	_ = cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	return l
}

// logger writes to standard error.
func (l *logFlags) logger(c *cli) *slog.Logger {
	o := &slog.HandlerOptions{Level: l.level}
	if l.json {
		return slog.New(slog.NewJSONHandler(c.errOut, o))
	}
	return slog.New(slog.NewTextHandler(c.errOut, o))
}

type logFormat bool

func (v *logFormat) Type() string { return "FORMAT" }

func (v *logFormat) String() string {
	if *v {
		return "json"
	}
	return "text"
}

func (v *logFormat) Set(text string) error {
	switch text {
	case "text", "json":
		*v = text == "json"
		return nil
	}
	return errors.New("allowed: text, json")
}

type logLevel slog.Level

func (v *logLevel) Type() string   { return "LEVEL" }
func (v *logLevel) String() string { return strings.ToLower(slog.Level(*v).String()) }

func (v *logLevel) Set(text string) error {
	var l slog.Level
	switch text {
	case "debug", "info", "warn", "error":
		err := l.UnmarshalText([]byte(text))
		*v = logLevel(l)
		return err
	}
	return errors.New("allowed: debug, info, warn, error")
}
