package main

import (
	"net/netip"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
)

func newExplain(c *cli) *cobra.Command {
	var client, qtype string
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Show the answer a question would get now, and why",
		Long: `Shows the answer the nameserver would give to a question for NAME and every step that led to it. The node computes it
with the code that answers real questions.`,
		Example: `  jurymast explain integration.dr.example
  jurymast explain integration.dr.example --type AAAA --client 192.0.2.7`,
		Args:              arguments("NAME"),
		ValidArgsFunction: c.completeHostname,
	}
	cmd.Flags().StringVar(&client, "client", "", "`ADDR` the question comes from")
	cmd.Flags().StringVar(&qtype, "type", "A", "record `TYPE` asked for")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if client != "" {
			if _, err := netip.ParseAddr(client); err != nil {
				return usagef("%s: --client %q is no address; allowed: IPv4 or IPv6, for example 192.0.2.7", cmd.CommandPath(), client)
			}
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		e, err := node.Explain(cmd.Context(), args[0], qtype, client)
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
	p.printf("\n;; status: %s, kind: %s", e.Rcode, e.Kind)
	for _, f := range [][2]string{{"zone", e.Zone}, {"profile", e.Profile}, {"serving", e.Serving}, {"ttl", e.TTL}} {
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
	if e.Proxy != "" {
		p.printf(";; proxy: %s\n", oneLine(e.Proxy))
	}
	for i, s := range e.Trail {
		p.printf("%3d. %s", i+1, s.Step)
		if s.Rule != "" {
			p.printf(" [%s]", s.Rule)
		}
		if s.Input != "" {
			p.printf(" %s", oneLine(s.Input))
		}
		p.printf(" -> %s\n", oneLine(s.Result))
	}
}
