package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
)

const zoneStatusHelp = `Shows zones as they are served: where they come from, the serial, and, of a signed zone, the stage of its keys, how many
sets of records are signed, and when the oldest signature expires.`

const zoneDSHelp = `Prints what the parent of a signed zone has to be given: the DS record for its zone, the CDS and CDNSKEY records with
which the zone asks for it by itself (RFC 7344), and the fields that forms of registrars have. While a roll waits for the DS,
these are the ones of the new key. Give nothing to the parent before this says that it may be done.`

func newZone(c *cli) *cobra.Command {
	return newGroup("zone", "Look after zones: how they are served, their DNSSEC keys, and what they share",
		newZoneList(c), newZoneStatus(c), newZoneDS(c), newZoneKeys(c), newZoneCDS(c), newZoneTransfers(c), newZoneNotify(c), newCookies(c), newSecondary(c), newZoneRefresh(c))
}

func newZoneList(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the zones", Long: zoneStatusHelp, Args: arguments()}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		zones, err := node.Zones(cmd.Context())
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, zones, func(p *printer) { writeZones(p, *zones) })
	}
	return cmd
}

func newZoneStatus(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "status [ZONE]", Short: "Show how a zone is served, or all", Long: zoneStatusHelp, Args: arguments("[ZONE]"), ValidArgsFunction: c.zoneNames,
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		if len(args) == 0 {
			zones, err := node.Zones(cmd.Context())
			if err != nil {
				return c.failure(err)
			}
			return c.print(*output, zones, func(p *printer) { writeZones(p, *zones) })
		}
		z, err := node.Zone(cmd.Context(), args[0])
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, z, func(p *printer) { writeZone(p, z) })
	}
	return cmd
}

func newZoneDS(c *cli) *cobra.Command {
	digest := 2
	cmd := &cobra.Command{Use: "ds ZONE", Short: "Print what the parent of a signed zone has to be given", Long: zoneDSHelp, Args: arguments("ZONE"), ValidArgsFunction: c.zoneNames}
	cmd.Flags().IntVar(&digest, "digest", 2, "`TYPE` of the digest: 2 (SHA-256) or 4 (SHA-384)")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if digest != 2 && digest != 4 {
			return usagef("%s: --digest %d: allowed are 2 (SHA-256) and 4 (SHA-384)", cmd.CommandPath(), digest)
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		ds, err := node.ZoneDS(cmd.Context(), args[0], digest)
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, ds, func(p *printer) { writeDS(p, ds) })
	}
	return cmd
}

func writeZones(p *printer, zones []api.ZoneStatus) {
	rows := [][]cell{plain("ZONE", "KIND", "SERIAL", "SIGNED", "KEYS", "OLDEST EXPIRES")}
	for i := range zones {
		z := &zones[i]
		row := plain(z.Name, z.Kind, strconv.FormatUint(uint64(z.Serial), 10), "no", "-", "-")
		switch {
		case absent(z):
			row[2], row[3] = cell{z.State, red}, cell{text: "-"}
		case z.Foreign:
			row[3] = cell{byPrimary, green}
		}
		if s := z.Signing; s != nil {
			row[3] = cell{signedText(s), signedColour(s)}
			row[4] = cell{text: firstOf(s.Stage, "none yet")}
			if s.Oldest != nil {
				row[5] = cell{text: p.clock(*s.Oldest)}
			}
		}
		rows = append(rows, row)
	}
	p.table("", rows)
}

const byPrimary = "by its primary"

// absent: questions for the zone get SERVFAIL.
func absent(z *api.ZoneStatus) bool { return z.State == "missing" || z.State == "expired" }

func signedText(s *api.ZoneSigning) string {
	switch {
	case s.Stage == "":
		return "waits for keys"
	case s.Sets == 0:
		return "not yet"
	case s.Waiting > 0:
		return fmt.Sprintf("%d of %d, %d waiting", s.Signed, s.Sets, s.Waiting)
	}
	return "yes"
}

func signedColour(s *api.ZoneSigning) colour {
	switch {
	case s.Failing > 0 || s.Trouble != "":
		return red
	case s.Waiting > 0 || s.Sets == 0 || s.Stage == "":
		return yellow
	}
	return green
}

func writeZone(p *printer, z *api.ZoneStatus) {
	if absent(z) {
		p.printf("zone %s: %s, ", z.Name, z.Kind)
		p.paint(red, z.State)
		p.printf(": questions get SERVFAIL; look with: jurymast zone secondary %s\n", z.Name)
	} else {
		p.printf("zone %s: %s, serial %d, %d names\n", z.Name, z.Kind, z.Serial, z.Names)
	}
	p.printf("served by: %s\n", listed(z.Nodes))
	p.printf("profiles: %s\n", listed(z.Profiles))
	writeSigned(p, z)
	if z.Transfers != nil {
		p.printf("\ntransfers\n")
		writeTransferState(p, z.Transfers)
	}
}

func writeSigned(p *printer, z *api.ZoneStatus) {
	s := z.Signing
	switch {
	case s == nil && z.Foreign:
		p.printf("signed: %s\n", byPrimary)
		return
	case s == nil && absent(z):
		return
	case s == nil:
		p.printf("not signed\n")
		return
	}
	writeSecretTrouble(p, s.Trouble)
	p.printf("signed: %s", signedText(s))
	if s.Stage != "" {
		p.printf(" (%d sets, %d signed, %d waiting, %d failing)", s.Sets, s.Signed, s.Waiting, s.Failing)
	}
	p.printf("\n")
	if s.Oldest != nil && s.Newest != nil {
		p.printf("signatures expire: first %s, last %s\n", p.clock(*s.Oldest), p.clock(*s.Newest))
	}
	if s.Stage != "" {
		p.printf("keys: %s\n\n", s.Stage)
		writeKeyTable(p, s.Keys)
	}
}

func writeKeyTable(p *printer, keys []api.ZoneKey) {
	rows := [][]cell{plain("KEY", "ROLE", "ALGORITHM", "STATE", "SINCE", "MADE", "DS")}
	for i := range keys {
		k := &keys[i]
		row := plain(strconv.Itoa(int(k.Tag)), k.Role, fmt.Sprintf("%s (%d)", k.Algorithm, k.Number), k.State, p.clock(k.Since), p.clock(k.Made), "-")
		switch {
		case k.Role == "zsk":
		case k.Silent && k.Parent:
			row[6] = cell{"unknown; last seen at the parent", yellow}
		case k.Silent:
			row[6] = cell{"unknown", yellow}
		case k.Parent:
			row[6] = cell{"at the parent", green}
		default:
			row[6] = cell{text: "not at the parent"}
		}
		rows = append(rows, row)
	}
	p.table("", rows)
}

func writeDS(p *printer, ds *api.ZoneDS) {
	switch {
	case ds.Off:
		p.paint(yellow, "; SIGNING IS SWITCHED OFF: have this removed from the parent of "+ds.Zone+"; the keys stay until no server of it has a DS")
		p.printf("\n")
	case ds.Ready:
		p.printf("; this may be given to the parent of %s\n", ds.Zone)
	case ds.ReadyAt != nil:
		p.paint(yellow, fmt.Sprintf("; NOT YET: give this to the parent after %s; caches hold unsigned records until then", p.clock(*ds.ReadyAt)))
		p.printf("\n")
	default:
		p.paint(yellow, "; NOT YET: not every node has signed the zone; look with: jurymast zone keys "+ds.Zone)
		p.printf("\n")
	}
	for i := range ds.Keys {
		k := &ds.Keys[i]
		p.printf("%s. %d IN DS %s\n", ds.Zone, ds.TTL, k.DS)
	}
	if ds.Off {
		return
	}
	p.printf("\n; the zone itself can ask for it, see jurymast zone cds\n")
	for i := range ds.Keys {
		p.printf("%s. %d IN CDS %s\n", ds.Zone, ds.TTL, ds.Keys[i].DS)
	}
	for i := range ds.Keys {
		p.printf("%s. %d IN CDNSKEY %s\n", ds.Zone, ds.TTL, ds.Keys[i].DNSKEY)
	}
	for i := range ds.Keys {
		k := &ds.Keys[i]
		p.printf("\n; for a registrar's form\n")
		for _, line := range [][2]string{
			{"Key tag", strconv.Itoa(int(k.Tag))},
			{"Algorithm", fmt.Sprintf("%d (%s)", k.Number, algorithmName(k.Number))},
			{"Digest type", fmt.Sprintf("%d (SHA-%d)", k.DigestNo, map[uint8]int{2: 256, 4: 384}[k.DigestNo])},
			{"Digest", k.Digest},
			{"Flags", fmt.Sprintf("%d (KSK)", k.Flags)},
			{"Protocol", "3"},
			{"Public key", k.Public},
		} {
			p.printf("; %-12s %s\n", line[0]+":", line[1])
		}
	}
}

// algorithmName is what forms of registrars call an algorithm.
func algorithmName(n uint8) string {
	name := map[uint8]string{13: "ECDSA P-256 with SHA-256", 15: "Ed25519"}[n]
	return firstOf(name, strings.TrimSpace(fmt.Sprint("algorithm ", n)))
}
