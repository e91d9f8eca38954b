package main

import (
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
)

func newExplain(c *cli) *cobra.Command {
	var client, ecs, qtype string
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Show the answer a question would get now, and why",
		Long: `Shows the answer the nameserver would give to a question for NAME and every step that led to it. The node computes it
with the code that answers real questions. --ecs is the client subnet that a resolver tells (RFC 7871); it goes before the
address the question comes from. Where dice decide, each call throws them anew.`,
		Example: `  jurymast explain integration.dr.example
  jurymast explain integration.dr.example --type AAAA --client 192.0.2.7
  jurymast explain www.dr.example --client 203.0.113.53 --ecs 192.0.2.0/24`,
		Args:              arguments("NAME"),
		ValidArgsFunction: c.completeHostname,
	}
	cmd.Flags().StringVar(&client, "client", "", "`ADDR` the question comes from")
	cmd.Flags().StringVar(&ecs, "ecs", "", "client `SUBNET` in the question")
	cmd.Flags().StringVar(&qtype, "type", "A", "record `TYPE` asked for")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if client != "" {
			if _, err := netip.ParseAddr(client); err != nil {
				return usagef("%s: --client %q is no address; allowed: IPv4 or IPv6, for example 192.0.2.7", cmd.CommandPath(), client)
			}
		}
		if ecs != "" {
			if _, err := netip.ParsePrefix(ecs); err != nil {
				return usagef("%s: --ecs %q is no subnet; allowed: an IPv4 or IPv6 prefix, for example 192.0.2.0/24", cmd.CommandPath(), ecs)
			}
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		e, err := node.Explain(cmd.Context(), args[0], qtype, client, ecs)
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, e, func(p *printer) { writeExplanation(p, e) })
	}
	return cmd
}

// writeExplanation prints the answer as dig does, and the trail in numbered steps.
func writeExplanation(p *printer, e *api.Explanation) {
	p.printf(";; question: %s %s", e.Name, e.Type)
	if e.Client != "" {
		p.printf(", client %s", e.Client)
	}
	if e.ECS != "" {
		p.printf(", client subnet %s", e.ECS)
	}
	p.printf("\n;; status: %s", e.Rcode)
	through := e.Profile
	if len(e.Path) > 1 {
		through = strings.Join(e.Path, " > ")
	}
	for _, f := range [][2]string{
		{"kind", e.Kind}, {"zone", e.Zone}, {"profile", through}, {"endpoint", e.Endpoint}, {"reason", e.Reason}, {"serving", e.Serving}, {"ttl", e.TTL},
	} {
		if f[1] != "" {
			p.printf(", %s: %s", f[0], f[1])
		}
	}
	if e.Epoch > 0 {
		p.printf(", epoch: %d", e.Epoch)
	}
	if e.Stale {
		p.printf(", stale")
	}
	p.printf("\n")
	for _, record := range e.Answer {
		p.printf("%s\n", record)
	}
	if e.Subnet != "" {
		p.printf(";; client subnet of the answer: %s\n", e.Subnet)
	}
	for _, text := range e.Errors {
		p.printf(";; extended error: %s\n", oneLine(text))
	}
	if e.Proxy != "" {
		p.printf(";; proxy: %s\n", oneLine(e.Proxy))
	}
	for i, s := range e.Trail {
		p.printf("%3d. %s", i+1, s.Step)
		if s.Rule != "" {
			p.printf(" [%s]", p.line(s.Rule))
		}
		if s.Input != "" {
			p.printf(" %s", p.line(s.Input))
		}
		p.printf(" -> %s\n", p.line(s.Result))
	}
}
