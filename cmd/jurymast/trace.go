package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"jurymast/internal/profile"
	"jurymast/internal/witness/trace"
)

const (
	traceTimeout = 20 * time.Second // of one look
	watchTimeout = 15 * time.Minute
	watchEvery   = 5 * time.Second
	traceRoom    = 2 * time.Second // for the node, which a trace does without
)

const traceHelp = `Shows who holds which answer for NAME, and until when: the name servers from the root down, over UDP and TCP; the resolvers
of this host and those named; the hosts file, systemd-resolved, nscd and Java processes of this host; and the time by
which the last cache has switched. It asks from this machine and needs no node; a running node adds what it knows.

Resolvers are asked without recursion first, so that looking fills no cache. Those that refuse that (systemd-resolved,
Unbound unless allow_snoop is set) are asked as clients ask. docs/trace.md explains every column, and the JSON.

Exit codes: 0 everybody who told holds the present answer, 1 somebody holds another one or no name server answered,
2 usage.`

// traceFlags are those of trace, as written.
type traceFlags struct {
	qtype, server, roots, file string
	resolvers                  []string
	noSystem, watch            bool
	timeout, every, longest    span
}

func newTrace(c *cli) *cobra.Command {
	f := traceFlags{every: span(watchEvery)}
	cmd := &cobra.Command{
		Use:   "trace NAME",
		Short: "Show who holds which answer, and when the last cache has switched",
		Long:  traceHelp,
		Example: `  jurymast trace integration.dr.example
  jurymast trace integration.dr.example --resolver 192.0.2.53 --watch
  jurymast trace integration.dr.example --server 127.0.0.1:5353 --no-system -o json`,
		Args:              arguments("NAME"),
		ValidArgsFunction: c.completeHostname,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.qtype, "type", "A", "record `TYPE` asked for")
	flags.StringVar(&f.server, "server", "", "begin at this name server, `ADDR[:PORT]`, not at the root; the port is used for all servers")
	fileFlag(cmd, &f.roots, "root", "", "root servers to begin at, in the form of named.root")
	flags.StringArrayVar(&f.resolvers, "resolver", nil, "`ADDR[:PORT]` of a resolver to ask as well; may be repeated")
	fileFlag(cmd, &f.file, "config", "c", "configuration whose node.nameserver.resolvers are asked as well")
	flags.BoolVar(&f.noSystem, "no-system", false, "do not ask the resolvers of /etc/resolv.conf")
	flags.BoolVar(&f.watch, "watch", false, "repeat until everybody holds the present answer")
	flags.Var(&f.every, "interval", "with --watch: between two looks, 1s or more")
	flags.Var(&f.timeout, "timeout", "give up after this time (default 20s, with --watch 15m)")
	flags.Var(&f.longest, "cap", "how long a cache that does not tell is taken to hold an answer (default: the longest TTL)")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o, err := c.traceOptions(cmd, &f, args[0])
		if err != nil {
			return err
		}
		limit := time.Duration(f.timeout)
		switch {
		case limit > 0:
		case f.watch:
			limit = watchTimeout
		default:
			limit = traceTimeout
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), limit)
		defer cancel()
		if f.watch {
			return c.watchTrace(ctx, o, *output, time.Duration(f.every))
		}
		r, err := c.trace(ctx, o)
		if err != nil {
			return err
		}
		if err := c.print(*output, r, func(p *printer) { writeTrace(p, r) }); err != nil {
			return err
		}
		return traceExit(cmd.Context(), r)
	}
	return cmd
}

// traceExit turns a report into the exit code.
func traceExit(ctx context.Context, r *trace.Report) error {
	switch {
	case ctx.Err() != nil:
		return &exitError{exitFinding, errors.New("interrupted")}
	case !r.Outlook.Agree:
		return silently(exitFinding)
	}
	return nil
}

// traceOptions reads the flags.
func (c *cli) traceOptions(cmd *cobra.Command, f *traceFlags, name string) (o trace.Options, err error) {
	o = trace.Options{Name: name, NoSystem: f.noSystem, Cap: time.Duration(f.longest)}
	if _, err := trace.ParseName(name); err != nil {
		return o, usagef("%s: %w", cmd.CommandPath(), err)
	}
	var ok bool
	if o.Type, ok = dns.StringToType[strings.ToUpper(f.qtype)]; !ok || o.Type == dns.TypeANY || o.Type == dns.TypeNone || o.Type >= dns.TypeIXFR && o.Type < dns.TypeANY {
		return o, usagef("%s: --type %q: not a type that can be traced; write a name such as A, AAAA, CNAME or MX", cmd.CommandPath(), f.qtype)
	}
	if f.server != "" && f.roots != "" {
		return o, usagef("%s: --server and --root exclude each other; give one of them", cmd.CommandPath())
	}
	if time.Duration(f.every) < time.Second {
		return o, usagef("%s: --interval %s; allowed: 1s or more", cmd.CommandPath(), f.every.String())
	}
	if f.timeout < 0 || f.longest < 0 {
		return o, usagef("%s: --timeout and --cap take no negative durations; leave them out for the default", cmd.CommandPath())
	}
	if f.server != "" {
		a, err := resolverFlag(cmd, "--server", f.server)
		if err != nil {
			return o, err
		}
		o.Servers, o.ServersFrom = []netip.AddrPort{a}, "--server"
	}
	if f.roots != "" {
		if o.Roots, err = readRoots(f.roots); err != nil {
			return o, usagef("%s: --root: %w", cmd.CommandPath(), err)
		}
	}
	for _, text := range f.resolvers {
		a, err := resolverFlag(cmd, "--resolver", text)
		if err != nil {
			return o, err
		}
		o.Resolvers = append(o.Resolvers, trace.Resolver{Addr: a, Source: "--resolver"})
	}
	return o, c.fileResolvers(f.file, &o)
}

func resolverFlag(cmd *cobra.Command, flag, text string) (netip.AddrPort, error) {
	a, ok := profile.ParseResolver(text)
	if !ok {
		return a, usagef("%s: %s %q is no address; write one like 192.0.2.53, or with a port 192.0.2.53:5353 or [2001:db8::53]:5353", cmd.CommandPath(), flag, text)
	}
	return a, nil
}

func readRoots(file string) ([]trace.Root, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return trace.ReadHints(bytes.NewReader(text), file)
}

// fileResolvers adds those a configuration names.
func (c *cli) fileResolvers(file string, o *trace.Options) error {
	if file == "" {
		return nil
	}
	name, text, err := c.readNamed(file)
	if err != nil {
		return usagef("%w; give an existing configuration file with -c", err)
	}
	f, err := profile.DecodeFile(name, text)
	if err != nil {
		return err
	}
	for _, s := range f.Node.Nameserver.Resolvers {
		if a, ok := profile.ParseResolver(s); ok {
			o.Resolvers = append(o.Resolvers, trace.Resolver{Addr: a, Source: "node.nameserver.resolvers"})
		}
	}
	return nil
}

// trace is one look, with what a node knows if one answers.
func (c *cli) trace(ctx context.Context, o trace.Options) (*trace.Report, error) {
	c.askNode(ctx, &o)
	r, err := trace.Run(ctx, o)
	if err != nil {
		return nil, usagef("trace: %w", err)
	}
	return r, nil
}

// watchTrace looks again and again: the whole view first and last, one line for each look between. As JSON or YAML each
// look is one document.
func (c *cli) watchTrace(ctx context.Context, o trace.Options, f format, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		r, err := c.trace(ctx, o)
		if err != nil {
			return err
		}
		over := r.Outlook.Agree || ctx.Err() != nil
		if err := c.showLook(f, r, first, over); err != nil {
			return err
		}
		if !over {
			select {
			case <-ctx.Done():
				over = true
			case <-tick.C:
			}
		}
		if !over {
			continue
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return &exitError{exitFinding, errors.New("interrupted")}
		}
		return traceExit(context.WithoutCancel(ctx), r)
	}
}

func (c *cli) showLook(f format, r *trace.Report, first, last bool) error {
	if f == formatJSON {
		text, err := encode(f, r, "")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "%s\n", compact(text))
		return err
	}
	return c.print(f, r, func(p *printer) {
		if first || last {
			writeTrace(p, r)
			return
		}
		p.printf("%s  ", p.clock(r.At))
		writeOutlook(p, r)
	})
}
