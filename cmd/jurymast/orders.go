package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
)

// orderFlags are what every order may carry.
type orderFlags struct {
	lasting    time.Duration
	note       string
	breakGlass bool
	yes        bool
	output     *format
}

// orderVerb is one verb that places or ends an order.
type orderVerb struct {
	act, use, short string
	timed           bool   // takes --for
	risky           bool   // takes --break-glass: it may leave nothing usable
	asks            string // question on a terminal; %s is the profile
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
		c.profileVerb(orderVerb{act: "hold", use: "hold", short: "Keep the active endpoint: no failover, no failback", timed: true}),
		c.profileVerb(orderVerb{act: "resume", use: "resume", short: "End hold"}),
	)
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
	cmd := &cobra.Command{Use: use, Short: v.short, Args: arguments(names...), ValidArgsFunction: complete}
	f := cmd.Flags()
	if v.timed {
		f.DurationVar(&o.lasting, "for", 0, "end the order by itself after this time, for example 30m (default: until it is ended)")
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
			return usagef("%s: --for %v is not above 0; allowed: a duration such as 30m, or leave it out", cmd.CommandPath(), o.lasting)
		}
		if v.asks != "" {
			if err := c.confirm(o.yes, v.asks, args[0]); err != nil {
				return err
			}
		}
		return c.order(cmd, v.act, args, o)
	}
	return cmd
}

func (c *cli) order(cmd *cobra.Command, act string, args []string, o orderFlags) error {
	request := api.OrderRequest{Act: act, Note: o.note, BreakGlass: o.breakGlass}
	if len(args) == 2 {
		request.Endpoint = args[1]
	}
	if o.lasting > 0 {
		request.For = o.lasting.String()
	}
	node, err := c.node()
	if err != nil {
		return err
	}
	result, err := node.Order(cmd.Context(), args[0], request)
	if err != nil {
		return c.failure(err)
	}
	return c.print(*o.output, result, func(p *printer) {
		p.printf("%s\n", firstOf(result.Message, fmt.Sprintf("%s: done", act)))
		for i := range result.Ended {
			p.printf("  ended: %s\n", order(p, &result.Ended[i]))
		}
		for i := range result.Placed {
			p.printf("  in force: %s\n", order(p, &result.Placed[i]))
		}
	})
}
