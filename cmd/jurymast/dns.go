package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
	"jurymast/internal/api/client"
)

// newDNS holds the verbs about questions a node has answered.
func newDNS(c *cli) *cobra.Command {
	return newGroup("dns", "Look at the questions a node answers", newDNSTop(c), newDNSLimits(c), newDNSLog(c))
}

// topLists are the words of --by.
var topLists = []string{"prefix", "name", "type", "rcode", "place"}

// topHeads are what a column of each list shows.
var topHeads = map[string]string{"prefix": "NETWORK", "name": "NAME", "type": "TYPE", "rcode": "RCODE", "place": "PLACE"}

func newDNSTop(c *cli) *cobra.Command {
	var want client.TopQuery
	var hour bool
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show what a node is asked most",
		Long: `Shows the networks, names, types, response codes or places with the most questions to one node in the last minute, or the
last hour. A network is that of the client subnet in the question, else of who sent it, at most an IPv4 /24 or IPv6 /56.
Places are known for questions to profiles, on a node with a database of places (node.geo.database). At high rates
questions are sampled: then +- tells how far off a number is, in 95 of 100 cases at most.`,
		Example: `  jurymast dns top
  jurymast dns top --by place --profile integration --hour`,
		Args: arguments(),
	}
	cmd.Flags().StringVar(&want.By, "by", "prefix", "`LIST`: "+strings.Join(topLists, ", "))
	cmd.Flags().StringVar(&want.Profile, "profile", "", "only questions to this `PROFILE`")
	cmd.Flags().BoolVar(&hour, "hour", false, "of the last hour, not the last minute")
	cmd.Flags().IntVarP(&want.Limit, "limit", "n", 20, "`LINES` at most")
	_ = cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(topLists, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("profile", c.completeProfile)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if hour {
			want.Span = "hour"
		}
		if !slices.Contains(topLists, want.By) {
			return usagef("%s: --by %s is no list; allowed: %s", cmd.CommandPath(), want.By, strings.Join(topLists, ", "))
		}
		if want.Limit < 1 || want.Limit > 1000 {
			return usagef("%s: --limit %d; allowed: 1 to 1000", cmd.CommandPath(), want.Limit)
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		l, err := node.Top(cmd.Context(), want)
		if err != nil && want.Profile != "" {
			return c.missing(cmd.Context(), node, err, want.Profile)
		}
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, l, func(p *printer) { writeTop(p, l, func() string { return whyNothing(cmd.Context(), node, want.By) }) })
	}
	return cmd
}

// whyNothing says what an empty list lacks.
func whyNothing(ctx context.Context, node *client.Client, by string) string {
	if by != "place" {
		return "no question was looked at"
	}
	n, err := node.Node(ctx)
	if err == nil && !slices.ContainsFunc(n.Locations, func(f api.LocationFile) bool { return f.Kind == "location database" }) {
		return "no places: this node has no database of places; name one in node.geo.database"
	}
	return "no places: no question to a profile was looked at"
}

func writeTop(p *printer, l *api.TopList, nothing func() string) {
	of := ""
	if l.Profile != "" {
		of = " to " + l.Profile
	}
	p.printf("%d questions%s since %s", l.Queries, of, p.clock(l.Since))
	if s := l.Until.Sub(l.Since).Seconds(); s > 0 {
		p.printf(", %.1f a second", float64(l.Queries)/s)
	}
	if l.Sampling > 1 {
		p.printf("; one in %d is looked at", l.Sampling)
	}
	p.printf("\n")
	if u := l.Unusual; u != nil && l.Queries > 0 {
		percent := func(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }
		p.printf("NXDOMAIN %s, REFUSED %s, malformed %s, unknown types %s, limited %s\n",
			percent(u.NXDomain), percent(u.Refused), percent(u.Malformed), percent(u.UnknownType), percent(u.Limited))
	}
	if len(l.Lines) == 0 {
		p.printf("  %s\n", nothing())
		return
	}
	rows := [][]cell{plain("QUERIES", "+-", "SHARE", topHeads[l.By])}
	for _, line := range l.Lines {
		about := ""
		if line.Error > 0 {
			about = fmt.Sprintf("%d", line.Error)
		}
		rows = append(rows, plain(fmt.Sprintf("%d", line.Queries), about, fmt.Sprintf("%.1f %%", 100*line.Share), oneLine(line.Value)))
	}
	p.table("  ", rows)
}

func newDNSLog(c *cli) *cobra.Command {
	duration := span(10 * time.Minute)
	cmd := &cobra.Command{
		Use:   "log [PROFILE]",
		Short: "Write every question for a profile into the query log for a while",
		Long: `Makes one node write every question for PROFILE into its query log (node.nameserver.query_log) for a while, whatever is
sampled otherwise. --for 0s ends it. Without PROFILE it shows where the log is and what is written.`,
		Example: `  jurymast dns log integration --for 10m
  jurymast dns log`,
		Args:              arguments("[PROFILE]"),
		ValidArgsFunction: c.completeProfile,
	}
	cmd.Flags().Var(&duration, "for", "how long, up to 24h; 0s ends it")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		var l *api.LogStatus
		if len(args) == 0 {
			l, err = node.QueryLog(cmd.Context())
		} else {
			l, err = node.WatchQueries(cmd.Context(), args[0], time.Duration(duration).String())
		}
		switch {
		case err != nil && len(args) > 0:
			return c.missing(cmd.Context(), node, err, args[0])
		case err != nil:
			return c.failure(err)
		}
		return c.print(*output, l, func(p *printer) { writeLogStatus(p, l) })
	}
	return cmd
}

func writeLogStatus(p *printer, l *api.LogStatus) {
	switch l.File {
	case "":
		p.printf("query log: off (node.nameserver.query_log.file)\n")
	case "-":
		p.printf("query log: standard output of the node\n")
	default:
		p.printf("query log: %s\n", l.File)
	}
	for _, w := range l.Watched {
		p.printf("  every question for %s until %s\n", w.Profile, p.clock(w.Until))
	}
}
