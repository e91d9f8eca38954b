package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
	"jurymast/internal/profile"
)

const secondaryHelp = `Shows the zones that this node fetches from other servers: their serial, which primary has confirmed it and when, the next
look, and when the zone is given up unless a primary confirms it. With a ZONE, everything that is known of that one.

  current   a primary has confirmed it lately
  failing   the last look brought nothing; it is answered as it is until it expires
  expired   no primary has confirmed it for too long: questions get SERVFAIL
  missing   it was never here: questions get SERVFAIL`

const refreshHelp = `Asks the primaries of a secondary zone now, as a NOTIFY does, and waits for what comes of it. This node alone does so.

Exit codes: 0 a primary has confirmed what is here, or handed something newer over; 1 none did, or the transfer still runs.`

func newSecondary(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "secondary [ZONE]", Short: "Show the zones this node fetches from other servers", Long: secondaryHelp,
		Args: arguments("[ZONE]"),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		l, err := node.Secondary(cmd.Context())
		if err != nil {
			return c.failure(err)
		}
		if len(args) == 0 {
			return c.print(*output, l, func(p *printer) { writeSecondaries(p, l.Zones) })
		}
		name := profile.CanonicalName(args[0])
		i := slices.IndexFunc(l.Zones, func(t api.SecondaryZone) bool { return t.Zone == name })
		if i < 0 {
			return fmt.Errorf("there is no secondary zone %s on this node; jurymast zone secondary lists them", name)
		}
		return c.print(*output, &l.Zones[i], func(p *printer) { writeSecondary(p, &l.Zones[i]) })
	}
	return cmd
}

func newZoneRefresh(c *cli) *cobra.Command {
	var whole bool
	cmd := &cobra.Command{
		Use: "refresh ZONE", Short: "Look for a newer version of a secondary zone now", Long: refreshHelp, Args: arguments("ZONE"),
		Example: "  jurymast zone refresh other.example\n  jurymast zone refresh other.example --whole",
	}
	cmd.Flags().BoolVar(&whole, "whole", false, "fetch the whole zone, even when the primary has the same serial or an older one")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		t, err := node.RefreshZone(cmd.Context(), args[0], whole)
		if err != nil {
			return c.failure(err)
		}
		if err := c.print(*output, t, func(p *printer) { writeSecondary(p, t) }); err != nil {
			return err
		}
		return refreshExit(t)
	}
	return cmd
}

// refreshExit turns what came of a look into the exit code.
func refreshExit(t *api.SecondaryZone) error {
	switch {
	case t.Next == nil:
		return &exitError{exitFinding, fmt.Errorf("the look at zone %s still runs; jurymast zone secondary %[1]s shows what comes of it", t.Zone)}
	case t.State != "current" || t.Older:
		return silently(exitFinding)
	}
	return nil
}

var phaseColours = map[string]colour{"current": green, "failing": yellow, "expired": red, "missing": red}

func writeSecondaries(p *printer, list []api.SecondaryZone) {
	if len(list) == 0 {
		p.printf("no zone is fetched from other servers; write secondary: {from: [{address: 192.0.2.1}]} for one\n")
		return
	}
	rows := [][]cell{plain("ZONE", "STATE", "SERIAL", "RECORDS", "PRIMARY", "CONFIRMED", "NEXT", "EXPIRES")}
	for i := range list {
		t := &list[i]
		row := plain(t.Zone, t.State, fmt.Sprint(t.Serial), fmt.Sprint(t.Records), firstOf(t.Primary, "-"), whenever(p, t.Confirmed), whenever(p, t.Next), whenever(p, t.Expires))
		row[1] = cell{t.State, phaseColours[t.State]}
		rows = append(rows, row)
	}
	p.table("", rows)
	for i := range list {
		if t := &list[i]; t.Trouble != "" {
			p.printf("%s: %s\n", t.Zone, oneLine(t.Trouble))
		}
	}
}

func writeSecondary(p *printer, t *api.SecondaryZone) {
	p.printf("zone: %s\nstate: %s\n", t.Zone, t.State)
	if t.State != "missing" {
		p.printf("serial: %d, %d records\n", t.Serial, t.Records)
		p.printf("fetched: %s", whenever(p, t.Fetched))
		if t.How != "" {
			p.printf(" (%s, %d bytes)", t.How, t.Bytes)
		}
		p.printf("\nconfirmed: %s by %s\nexpires: %s\n", whenever(p, t.Confirmed), firstOf(t.Primary, "-"), whenever(p, t.Expires))
		p.printf("zonemd: %s\n", firstOf(t.ZONEMD, "-"))
		if t.Signed {
			p.printf("signed by its primary: no profile answers in it\n")
		}
	}
	p.printf("next look: %s\n", whenever(p, t.Next))
	for _, one := range t.Primaries {
		p.printf("primary: %s\n", one)
	}
	if t.Refused != "" {
		p.printf("differences were not enough: %s\n", oneLine(t.Refused))
	}
	if t.Trouble != "" {
		p.printf("trouble: %s\n", oneLine(t.Trouble))
	}
	for _, w := range t.Warnings {
		p.printf("warning: %s\n", oneLine(w))
	}
}

func whenever(p *printer, t *time.Time) string {
	if t == nil {
		return "-"
	}
	return p.clock(*t)
}
