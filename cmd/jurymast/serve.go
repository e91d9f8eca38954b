package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"jurymast/internal/app"
)

const serveHelp = `Runs a node with the configuration in FILE until it is interrupted. It prints one line per listener; it is ready
when GET /readyz answers 200. The file is applied at start, about a second after it or a zone file has changed, and on
SIGHUP. A file with mistakes changes nothing, and jurymast status says what is wrong with it. That holds at a start as
well, unless the mistake may concern the node section: a node that has served before goes on with what it has stored.`

func newServe(c *cli) *cobra.Command {
	var o app.Options
	cmd := &cobra.Command{
		Use:   "serve -c FILE",
		Short: "Run a node",
		Long:  serveHelp,
		Args:  arguments(),
	}
	fileFlag(cmd, &o.File, "config", "c", "configuration file")
	cmd.Flags().StringVar(&o.Data, "data", "", "data directory, in place of node.data")
	_ = cmd.MarkFlagDirname("data")
	cmd.Flags().DurationVar(&o.ClockOffset, "clock-offset", 0, "shift the clock of signatures and key rolls, to rehearse them; resolvers with the right time find signed zones bogus")
	logging := addLogFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := required(cmd, "config"); err != nil {
			return err
		}
		o.Log, o.Out, o.Version = logging.logger(c), c.out, version
		o.Reload = hangups(cmd.Context())
		if err := app.Run(cmd.Context(), o); err != nil {
			return &exitError{exitUsage, err} // it ends by itself only when the file, an address or the data directory is wrong
		}
		return nil
	}
	return cmd
}

// hangups sends once per SIGHUP, several quick ones as one.
func hangups(ctx context.Context) <-chan struct{} {
	signals, reload := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
				select {
				case reload <- struct{}{}:
				default:
				}
			}
		}
	}()
	return reload
}

// fileFlag adds a flag that names a file, completed as such.
func fileFlag(cmd *cobra.Command, value *string, name, short, usage string) {
	cmd.Flags().StringVarP(value, name, short, "", "`FILE`: "+usage)
	_ = cmd.MarkFlagFilename(name, "yaml", "yml", "json")
}

// required says that a flag is missing, in our words and with our exit code.
func required(cmd *cobra.Command, name string) error {
	f := cmd.Flags().Lookup(name)
	if f.Value.String() != "" {
		return nil
	}
	return usagef("%s: %s is missing; usage: %s", cmd.CommandPath(), flagName(f)+" FILE", cmd.UseLine())
}
