package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
	"jurymast/internal/api/client"
	"jurymast/internal/profile"
)

// orderFlags are what every order may carry.
type orderFlags struct {
	lasting     span
	selector    string
	note        string
	breakGlass  bool
	keepProbing bool
	yes         bool
	output      *format
}

// orderVerb is one verb that places or ends an order.
type orderVerb struct {
	act, use, short string
	long            string                        // the whole help, when short is not enough
	timed           bool                          // takes --for
	probes          bool                          // takes --keep-probing
	selects         string                        // act when --select takes the place of names; "": the same
	asks            string                        // question on a terminal; %s is the profile
	asksWhen        func(*api.ProfileStatus) bool // the question is needed in this state; nil: always
	effect          string                        // printed after the order: what it does to clients and how to end it; %s is the profile
}

func newEndpoint(c *cli) *cobra.Command {
	force := newGroup("force", "Overrule the verdict on an endpoint",
		c.endpointVerb(orderVerb{act: "force-up", use: "up", short: "Treat an endpoint as up, whatever its probes say", timed: true}),
		c.endpointVerb(orderVerb{act: "force-down", use: "down", short: "Treat an endpoint as down, whatever its probes say", timed: true}),
		c.endpointVerb(orderVerb{act: "force-off", use: "off", short: "End a forced state: the verdict counts again"}),
	)
	return newGroup("endpoint", "Order an endpoint in or out",
		c.endpointVerb(orderVerb{act: "disable", use: "disable", short: "Take an endpoint out of service", timed: true, probes: true}),
		c.endpointVerb(orderVerb{act: "enable", use: "enable", short: "End disable"}),
		c.endpointVerb(orderVerb{act: "drain", use: "drain", short: "Send nothing new to an endpoint", timed: true}),
		c.endpointVerb(orderVerb{act: "undrain", use: "undrain", short: "End drain"}),
		c.endpointVerb(orderVerb{act: "pause", use: "pause", short: "Freeze the verdict: probes are shown, not counted", timed: true}),
		c.endpointVerb(orderVerb{act: "unpause", use: "unpause", short: "End pause"}),
		force,
	)
}

func newProfile(c *cli) *cobra.Command {
	return newGroup("profile", "Order a whole profile",
		c.profileVerb(orderVerb{
			act: "disable", selects: "disable-profile", use: "disable", short: "Stop serving a profile", timed: true,
			asks: "Profile %s will not be answered any more. Disable it?",
		}),
		c.profileVerb(orderVerb{act: "enable", selects: "enable-profile", use: "enable", short: "Serve a profile again"}),
		c.profileVerb(orderVerb{
			act: "hold", use: "hold", short: "Let the requests of a profile wait at the proxy", long: holdHelp, timed: true,
			asks:     "Requests for profile %s will wait at the proxy, and get 503 when they have waited too long. Hold them?",
			asksWhen: servedNow,
			effect:   "requests wait at the proxy, at most proxy.hold.max_wait each, then get 503; end it with: jurymast profile resume %s",
		}),
		c.profileVerb(orderVerb{act: "resume", use: "resume", short: "End hold: the requests that wait are sent"}),
	)
}

const holdHelp = `Lets the requests of this profile wait at the proxy although an endpoint could serve them. Each waits at most
proxy.hold.max_wait, at most proxy.hold.max_requests wait, all others get 503: clients notice. Probes, DNS answers and
decisions go on, failover and failback too. Use it, with --for, while no new request may reach any endpoint.`

// servedNow: requests that are answered now would have to wait.
func servedNow(s *api.ProfileStatus) bool {
	return s.Held == nil && (s.Serving == "preferred" || s.Serving == "fallback")
}

func newFailback(c *cli) *cobra.Command {
	return c.profileVerb(orderVerb{act: "failback", use: "failback", short: "Return to the preferred endpoint that is healthy again"})
}

func (c *cli) endpointVerb(v orderVerb) *cobra.Command {
	return c.orderVerb(v, c.completeEndpoint, "PROFILE", "ENDPOINT")
}

func (c *cli) profileVerb(v orderVerb) *cobra.Command {
	return c.orderVerb(v, c.completeProfile, "PROFILE")
}

func (c *cli) orderVerb(v orderVerb, complete cobra.CompletionFunc, names ...string) *cobra.Command {
	var o orderFlags
	use := strings.Join(append([]string{v.use}, names...), " ")
	cmd := &cobra.Command{Use: use, Short: v.short, Long: v.long, ValidArgsFunction: complete}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("select") {
			return withoutNames(cmd, args, o.selector)
		}
		return arguments(names...)(cmd, args)
	}
	f := cmd.Flags()
	if v.timed {
		f.Var(&o.lasting, "for", "end the order by itself after this time, for example 30m (default: until it is ended)")
	}
	f.StringVar(&o.note, "note", "", "why; kept in the journal")
	f.StringVar(&o.selector, "select", "", "in place of names: `SELECTOR` of profile=NAME, endpoint=NAME, label:KEY=VALUE, location=REGION, with commas between them")
	if v.probes {
		f.BoolVar(&o.keepProbing, "keep-probing", false, "go on probing, so that status shows what it would be")
	}
	f.BoolVar(&o.breakGlass, "break-glass", false, "overrule min_usable, min_between and safety rules; kept in the journal")
	if v.asks != "" {
		confirmFlag(cmd, &o.yes)
	}
	o.output = outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("for") && o.lasting <= 0 {
			return usagef("%s: --for %v is not above 0; allowed: a duration such as 30m, or leave it out", cmd.CommandPath(), time.Duration(o.lasting))
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		if err := c.confirmOrder(cmd.Context(), node, &v, args, o); err != nil {
			return err
		}
		return c.order(cmd.Context(), node, &v, args, o)
	}
	return cmd
}

// withoutNames: a selector takes the place of names, not a place beside them.
func withoutNames(cmd *cobra.Command, args []string, selector string) error {
	if len(args) > 0 {
		return usagef("%s: %q stands beside --select; write names, or a selector", cmd.CommandPath(), args[0])
	}
	if _, err := profile.ParseSelector(selector); err != nil {
		return usagef("%s: --select: %w", cmd.CommandPath(), err)
	}
	return nil
}

// confirmOrder asks before an order that clients notice. The state that decides it is only read when somebody is there
// to answer.
func (c *cli) confirmOrder(ctx context.Context, node *client.Client, v *orderVerb, args []string, o orderFlags) error {
	if v.asks == "" || o.yes || !isTerminal(c.in) {
		return nil
	}
	if len(args) == 0 {
		return c.confirm(o.yes, v.asks, "selected by "+o.selector)
	}
	if v.asksWhen != nil {
		s, err := node.Status(ctx, args[0])
		if err != nil {
			return c.missing(ctx, node, err, args[0])
		}
		if !v.asksWhen(s) {
			return nil
		}
	}
	return c.confirm(o.yes, v.asks, args[0])
}

func (c *cli) order(ctx context.Context, node *client.Client, v *orderVerb, args []string, o orderFlags) error {
	lasting := ""
	if o.lasting > 0 {
		lasting = o.lasting.String()
	}
	if len(args) == 0 {
		result, err := node.Transact(ctx, api.TransactionRequest{
			Act: firstOf(v.selects, v.act), Select: o.selector, For: lasting, Note: o.note, BreakGlass: o.breakGlass, KeepProbing: o.keepProbing,
		})
		if err != nil {
			return c.failure(err)
		}
		return c.printOrder(*o.output, v, "--select "+quotedWhenNeeded(o.selector), result)
	}
	request := api.OrderRequest{Act: v.act, For: lasting, Note: o.note, BreakGlass: o.breakGlass, KeepProbing: o.keepProbing}
	if len(args) == 2 {
		request.Endpoint = args[1]
	}
	result, err := node.Order(ctx, args[0], request)
	if err != nil {
		return c.missing(ctx, node, err, args...)
	}
	return c.printOrder(*o.output, v, args[0], result)
}

// quotedWhenNeeded is a word as a shell takes it.
func quotedWhenNeeded(text string) string {
	if strings.ContainsAny(text, " \t\"'$&;|<>()*?\\") {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return text
}

func (c *cli) printOrder(f format, v *orderVerb, name string, result *api.OrderResult) error {
	return c.print(f, result, func(p *printer) {
		writeOrders(p, firstOf(result.Message, v.act+": done"), result)
		if v.effect != "" {
			p.printf("  "+v.effect+"\n", name)
		}
	})
}

// maxTargets is how many targets of one answer are listed for people; -o json has all.
const maxTargets = 50

// writeOrders lists what a transaction did, target by target.
func writeOrders(p *printer, message string, result *api.OrderResult) {
	lines := result.Steps
	if len(lines) == 0 {
		lines = []string{message}
	}
	for _, line := range lines {
		p.printf("%s\n", p.line(line))
	}
	if len(result.Steps) > 0 && len(result.Broken) > 0 {
		p.printf("glass was broken: %s\n", strings.Join(result.Broken, ", "))
	}
	for _, list := range []struct {
		what   string
		orders []api.OrderStatus
	}{{"ended", result.Ended}, {"in force", result.Placed}} {
		for i := range list.orders[:min(maxTargets, len(list.orders))] {
			o := &list.orders[i]
			text := order(p, &o.OverrideStatus)
			p.printf("  %s: %s: %s\n", list.what, targetOf(o), text)
		}
		if more := len(list.orders) - maxTargets; more > 0 {
			p.printf("  %s: %d more (-o json lists all)\n", list.what, more)
		}
	}
	for i, why := range result.Skipped {
		if i == maxTargets {
			p.printf("  left out: %d more\n", len(result.Skipped)-maxTargets)
			break
		}
		p.printf("  left out: %s\n", oneLine(why))
	}
}

// targetOf is what an order names: a gate, a profile or an endpoint.
func targetOf(o *api.OrderStatus) string {
	switch {
	case o.Gate != "":
		return "gate " + o.Gate
	case o.Endpoint != "":
		return o.Profile + "/" + o.Endpoint
	}
	return o.Profile
}
