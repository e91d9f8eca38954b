package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
)

func newDNSLimits(c *cli) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "limits",
		Short: "Show whom a node gives fewer answers than they ask for",
		Long: `Shows the networks that get fewer DNS answers over UDP than they ask for (node.nameserver.rrl), or may open no more TCP
connections (node.nameserver.tcp.accept_rate), what is limited for each, and how full the tables are.`,
		Example: `  jurymast dns limits
  jurymast dns limits -n 100 -o json`,
		Args: arguments(),
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "`LINES` at most")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 1 || limit > 1000 {
			return usagef("%s: --limit %d; allowed: 1 to 1000", cmd.CommandPath(), limit)
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		l, err := node.Limits(cmd.Context(), limit)
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, l, func(p *printer) { writeLimits(p, l) })
	}
	return cmd
}

func writeLimits(p *printer, l *api.DNSLimits) {
	switch l.Mode {
	case "off":
		p.printf("answers: not limited (node.nameserver.rrl.mode: off)\n")
	default:
		only := ""
		if l.Mode != "on" {
			only = ", only counted (" + l.Mode + ")"
		}
		p.printf("answers: %d a second of each kind to one network (/%d, /%d)%s\n", l.Rate, l.IPv4Prefix, l.IPv6Prefix, only)
		would := ""
		if l.Mode != "on" {
			would = "would_"
		}
		p.printf("suppressed: %d dropped, %d empty with TC, %d told a cookie\n", l.Suppressed[would+"drop"], l.Suppressed[would+"slip"], l.Suppressed[would+"badcookie"])
		p.printf("buckets: %d places, %d used, %d limited, %d forgotten\n", l.Buckets.Places, l.Buckets.Used, l.Buckets.Limited, l.Buckets.Forgotten)
	}
	p.printf("connections: %d refused", l.Connections.Refused)
	if l.Connections.Rate > 0 {
		p.printf(", %d a second of one network", l.Connections.Rate)
	}
	p.printf("\n")
	if len(l.Limited) == 0 {
		p.printf("  nobody is limited now\n")
		return
	}
	p.printf("networks limited now: %d\n", l.Networks)
	rows := [][]cell{plain("SUPPRESSED", "NETWORK", "KIND", "NAME", "SINCE", "LAST")}
	for _, line := range l.Limited {
		rows = append(rows, plain(fmt.Sprintf("%d", line.Suppressed), line.Network, line.Kind, oneLine(line.Name), p.clock(line.Since), p.clock(line.Last.Truncate(time.Second))))
	}
	p.table("  ", rows)
}
