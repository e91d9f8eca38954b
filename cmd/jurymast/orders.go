package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
	"jurymast/internal/api/client"
)

// orderFlags are what every order may carry.
type orderFlags struct {
	lasting    span
	note       string
	breakGlass bool
	yes        bool
	output     *format
}

// orderVerb is one verb that places or ends an order.
type orderVerb struct {
	act, use, short string
	long            string                        // the whole help, when short is not enough
	timed           bool                          // takes --for
	risky           bool                          // takes --break-glass: it may leave nothing usable
	asks            string                        // question on a terminal; %s is the profile
	asksWhen        func(*api.ProfileStatus) bool // the question is needed in this state; nil: always
	effect          string                        // printed after the order: what it does to clients and how to end it; %s is the profile
}

func newEndpoint(c *cli) *cobra.Command {
	force := newGroup("force", "Overrule the verdict on an endpoint",
		c.endpointVerb(orderVerb{act: "force-up", use: "up", short: "Treat an endpoint as up, whatever its probes say", timed: true}),
		c.endpointVerb(orderVerb{act: "force-down", use: "down", short: "Treat an endpoint as down, whatever its probes say", timed: true, risky: true}),
		c.endpointVerb(orderVerb{act: "force-off", use: "off", short: "End a forced state: the verdict counts again", risky: true}),
	)
	return newGroup("endpoint", "Order an endpoint in or out",
		c.endpointVerb(orderVerb{act: "disable", use: "disable", short: "Take an endpoint out of service", timed: true, risky: true}),
		c.endpointVerb(orderVerb{act: "enable", use: "enable", short: "End disable"}),
		c.endpointVerb(orderVerb{act: "drain", use: "drain", short: "Send nothing new to an endpoint", timed: true, risky: true}),
		c.endpointVerb(orderVerb{act: "undrain", use: "undrain", short: "End drain"}),
		force,
	)
}

func newProfile(c *cli) *cobra.Command {
	return newGroup("profile", "Order a whole profile",
		c.profileVerb(orderVerb{
			act: "disable", use: "disable", short: "Stop serving a profile", timed: true,
			asks: "Profile %s will not be answered any more. Disable it?",
		}),
		c.profileVerb(orderVerb{act: "enable", use: "enable", short: "Serve a profile again"}),
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
	cmd := &cobra.Command{Use: use, Short: v.short, Long: v.long, Args: arguments(names...), ValidArgsFunction: complete}
	f := cmd.Flags()
	if v.timed {
		f.Var(&o.lasting, "for", "end the order by itself after this time, for example 30m (default: until it is ended)")
	}
	f.StringVar(&o.note, "note", "", "why; kept in the journal")
	if v.risky {
		f.BoolVar(&o.breakGlass, "break-glass", false, "do it although no usable endpoint would be left")
	}
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
		if err := c.confirmOrder(cmd.Context(), node, &v, args[0], o.yes); err != nil {
			return err
		}
		return c.order(cmd.Context(), node, &v, args, o)
	}
	return cmd
}

// confirmOrder asks before an order that clients notice. The state that decides it is only read when somebody is there
// to answer.
func (c *cli) confirmOrder(ctx context.Context, node *client.Client, v *orderVerb, name string, yes bool) error {
	if v.asks == "" || yes || !isTerminal(c.in) {
		return nil
	}
	if v.asksWhen != nil {
		s, err := node.Status(ctx, name)
		if err != nil {
			return c.missing(ctx, node, err, name)
		}
		if !v.asksWhen(s) {
			return nil
		}
	}
	return c.confirm(yes, v.asks, name)
}

func (c *cli) order(ctx context.Context, node *client.Client, v *orderVerb, args []string, o orderFlags) error {
	request := api.OrderRequest{Act: v.act, Note: o.note, BreakGlass: o.breakGlass}
	if len(args) == 2 {
		request.Endpoint = args[1]
	}
	if o.lasting > 0 {
		request.For = o.lasting.String()
	}
	result, err := node.Order(ctx, args[0], request)
	if err != nil {
		return c.missing(ctx, node, err, args...)
	}
	return c.print(*o.output, result, func(p *printer) {
		p.printf("%s\n", firstOf(result.Message, fmt.Sprintf("%s: done", v.act)))
		for i := range result.Ended {
			p.printf("  ended: %s\n", order(p, &result.Ended[i]))
		}
		for i := range result.Placed {
			p.printf("  in force: %s\n", order(p, &result.Placed[i]))
		}
		if v.effect != "" {
			p.printf("  "+v.effect+"\n", args[0])
		}
	})
}
