package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
)

const zoneNotifyHelp = `Tells all secondaries of a zone (transfer.notify) its serial at once, whatever they know already: after a secondary was
away, say. Changes are told by themselves. The node that is asked sends, from its own address.`

const zoneTransfersHelp = `Shows what secondaries get of a zone from this node: the serial, from how many versions a difference (IXFR) can be told, what
each secondary has acknowledged, and who has fetched the zone.`

func newZoneNotify(c *cli) *cobra.Command {
	var note string
	cmd := &cobra.Command{Use: "notify ZONE", Short: "Tell all secondaries of a zone at once", Long: zoneNotifyHelp, Args: arguments("ZONE")}
	cmd.Flags().StringVar(&note, "note", "", "why; kept in the journal")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		t, err := node.NotifyZone(cmd.Context(), args[0], note)
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, t, func(p *printer) { writeTransfers(p, t) })
	}
	return cmd
}

func newZoneTransfers(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "transfers ZONE", Short: "Show what secondaries get of a zone", Long: zoneTransfersHelp, Args: arguments("ZONE")}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		t, err := node.ZoneTransfers(cmd.Context(), args[0])
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, t, func(p *printer) { writeTransfers(p, t) })
	}
	return cmd
}

func writeTransfers(p *printer, t *api.ZoneTransfers) {
	if t.Message != "" {
		p.printf("%s\n", oneLine(t.Message))
	}
	p.printf("zone: %s\n", oneLine(t.Zone))
	writeTransferState(p, t)
}

func writeTransferState(p *printer, t *api.ZoneTransfers) {
	switch {
	case t.Ready:
		p.printf("serial: %d, %d records, differences from %d versions\n", t.Serial, t.Records, t.Steps)
	case t.Serial != 0:
		p.printf("serial: %d, nothing to fetch yet\n", t.Serial)
	}
	if t.Waiting != "" {
		p.printf("waits: %s\n", oneLine(t.Waiting))
	}
	if len(t.Secondaries) > 0 {
		rows := [][]cell{plain("SECONDARY", "KEY", "ACKNOWLEDGED", "STATE")}
		for i := range t.Secondaries {
			s := &t.Secondaries[i]
			row := plain(s.Address, firstOf(s.Key, "-"), "-", "knows")
			if s.Acknowledged != nil {
				row[2].text = strconv.FormatUint(uint64(*s.Acknowledged), 10)
			}
			switch {
			case s.GivenUp:
				row[3] = cell{"given up: " + firstOf(oneLine(s.Trouble), "no answer"), red}
			case s.Pending && s.Trouble != "":
				row[3] = cell{"told again: " + oneLine(s.Trouble), yellow}
			case s.Pending:
				row[3] = cell{"being told", yellow}
			}
			rows = append(rows, row)
		}
		p.printf("\n")
		p.table("", rows)
	}
	if len(t.Fetches) > 0 {
		rows := [][]cell{plain("FETCHED BY", "SERIAL", "AS", "AT")}
		for _, f := range t.Fetches {
			rows = append(rows, plain(f.From, strconv.FormatUint(uint64(f.Serial), 10), f.Kind, p.clock(f.At)))
		}
		p.printf("\n")
		p.table("", rows)
	}
}
