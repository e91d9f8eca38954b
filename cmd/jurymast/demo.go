package main

import (
	"github.com/spf13/cobra"

	"jurymast/internal/app/demo"
)

// newDemo is what `make demo` runs; it is hidden because it serves nobody.
func newDemo(c *cli) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:    "demo",
		Short:  "Show one failover and failback on loopback, measured",
		Hidden: true,
		Args:   arguments(),
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "stay up after the show")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return demo.Run(cmd.Context(), demo.Options{Out: c.out, Keep: keep, Colour: c.colours()})
	}
	return cmd
}
