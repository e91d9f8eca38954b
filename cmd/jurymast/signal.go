package main

import (
	"time"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
)

const signalHelp = `Says that an endpoint with an external check (monitor.external) is up or down. It counts for the ttl of the check, or as
long as --ttl says; repeat it more often than that. The token is the endpoint's own, from the variable that --token-env
names, or from --token or JURYMAST_TOKEN.`

func newSignal(c *cli) *cobra.Command {
	var reason, tokenEnv string
	var ttl span
	cmd := &cobra.Command{
		Use:   "signal PROFILE ENDPOINT up|down",
		Short: "Say that an endpoint with an external check is up or down",
		Long:  signalHelp,
		Args:  arguments("PROFILE", "ENDPOINT", "up|down"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 2 {
				return []cobra.Completion{"up", "down"}, cobra.ShellCompDirectiveNoFileComp
			}
			return c.completeEndpoint(cmd, args, word)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; shown in status")
	cmd.Flags().StringVar(&tokenEnv, "token-env", "", "take the token from the environment variable `NAME`")
	cmd.Flags().Var(&ttl, "ttl", "how long it counts, at most the ttl of the check (default: that)")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		token := c.bearer()
		if tokenEnv != "" {
			token = c.getenv(tokenEnv)
		}
		switch {
		case args[2] != "up" && args[2] != "down":
			return usagef("%s: %q is no state; allowed: up, down", cmd.CommandPath(), args[2])
		case cmd.Flags().Changed("ttl") && ttl <= 0:
			return usagef("%s: --ttl %v is not above 0; allowed: a duration such as 30s, or leave it out", cmd.CommandPath(), time.Duration(ttl))
		case token == "" && tokenEnv != "":
			return usagef("%s: the environment variable %s holds no token; set it to the token of monitor.external", cmd.CommandPath(), tokenEnv)
		case token == "":
			return usagef("%s: a signal needs the token of monitor.external; name its variable with --token-env, or set JURYMAST_TOKEN", cmd.CommandPath())
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		request := api.SignalRequest{State: args[2], Reason: reason}
		if ttl > 0 {
			request.TTL = ttl.String()
		}
		result, err := node.Signal(cmd.Context(), args[0], args[1], token, request)
		if err != nil {
			return c.missing(cmd.Context(), node, err, args[:2]...)
		}
		return c.print(*output, result, func(p *printer) {
			p.printf("%s/%s: %s counts until %s\n", result.Profile, result.Endpoint, result.State, p.clock(result.Until))
		})
	}
	return cmd
}
