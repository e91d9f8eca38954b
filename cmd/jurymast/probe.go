package main

import (
	"github.com/spf13/cobra"

	"jurymast/internal/api"
)

func newProbe(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "probe PROFILE ENDPOINT",
		Short: "Probe one endpoint now and show every phase",
		Long: `Lets the node probe one endpoint now, as its monitor does, and shows what happened in each phase. The result is not
counted as evidence. Exit code 1 when the probe failed.`,
		Args:              arguments("PROFILE", "ENDPOINT"),
		ValidArgsFunction: c.completeEndpoint,
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		r, err := node.Probe(cmd.Context(), args[0], args[1])
		if err != nil {
			return c.missing(cmd.Context(), node, err, args...)
		}
		if err := c.print(*output, r, func(p *printer) { writeProbe(p, r) }); err != nil {
			return err
		}
		if !r.OK {
			return silently(exitFinding)
		}
		return nil
	}
	return cmd
}

func writeProbe(p *printer, r *api.ProbeResult) {
	p.printf("probe of %s/%s", r.Profile, r.Endpoint)
	if r.Address != "" {
		p.printf(" at %s", r.Address)
	}
	p.printf("\n")
	var rows [][]cell
	for _, phase := range r.Phases {
		rows = append(rows, plain(phase.Name, phase.Duration, oneLine(phase.Detail)))
	}
	p.table("  ", rows)
	verdict, shade := "ok", green
	if !r.OK {
		verdict, shade = "failed", red
		if r.Class != "" {
			verdict += " (" + r.Class + ")"
		}
	}
	p.paint(shade, verdict)
	p.printf(" after %s: %s\n", r.Total, oneLine(r.Reason))
}
