package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
	"jurymast/internal/api/client"
)

const keysHelp = `Shows the DNSSEC keys of a zone, how far their change is, what it waits for, and which nodes have acknowledged. Private keys
are never shown.

  begin      everything is signed for the first time; the DS must wait until caches have forgotten unsigned records
  steady     nothing changes
  ahead      (another algorithm) the new keys sign, and are not shown yet
  publish    the new keys are shown
  change     the new keys take over; a new csk or ksk waits for its DS at all servers of the parent
  retire     the old keys are shown until no cache needs them
  withdraw   (another algorithm) the old keys are not shown any more, and sign on

Every stage waits until all live nodes have acknowledged it and caches have forgotten what was before.`

const keysRollHelp = `Changes keys of a zone, in stages, so that no resolver finds the zone bogus on the way. --role says which one: the csk or ksk
when it is left out. Another --algorithm or kind of --keys than now replaces all keys. A new csk or ksk needs its DS at the parent:
jurymast zone ds prints it, and CDS and CDNSKEY ask for it (jurymast zone cds).

--emergency signs with both keys at once, so that all waits run side by side, with larger answers; it takes over from a roll
whose new keys nobody relies on yet. It does not break the chain of trust: who must be faster than the parent's DS allows has
the DS removed at the parent, which leaves the zone unsigned for resolvers.`

const dsSeenHelp = `Says that the parent has the DS it should have, when its servers cannot be asked: in a roll the DS of the new key and
none of the old one, while signing is switched off none at all. If that is wrong, resolvers find the zone bogus.

The servers are asked once more. Any one that answers and shows something else is believed more: this is refused then, and is
taken back when one does so later. Without a terminal it needs --yes.`

const keysExportHelp = `Writes the private keys of a zone in BIND's format, a .key and a .private file for each, with mode 0600. It goes over the
node's unix socket alone (--api unix:///path), and the journal says who did it. Whoever has the files can sign for the zone.`

const keysImportHelp = `Brings keys made elsewhere into use: one csk, or a ksk and a zsk, each named by its .key or .private file, which lie side by
side. While the zone is signed for the first time (stage begin) they replace its keys, as when it moves here from another signer;
later they come in like those of another algorithm. It goes over the node's unix socket alone (--api unix:///path).`

const cdsHelp = `Says when the zone asks its parent for a DS with CDS and CDNSKEY records (RFC 7344, RFC 8078):

  auto      while a roll wants the DS changed (the default)
  publish   always, as for a parent that takes the first DS that way, too
  delete    asks the parent to remove the DS: the way out of DNSSEC
  off       never`

func newZoneKeys(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "keys ZONE", Short: "Show the DNSSEC keys of a zone and how far their change is", Long: keysHelp}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		k, err := node.ZoneKeys(cmd.Context(), args[0])
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, k, func(p *printer) { writeKeys(p, k) })
	}
	cmd = withVerbs(cmd, newKeysRoll(c), newKeysSeen(c), newKeysExport(c), newKeysImport(c))
	cmd.Args, cmd.ValidArgsFunction = arguments("ZONE"), c.zoneNames
	return cmd
}

// keyAct is a verb that changes keys and then shows them.
func (c *cli) keyAct(cmd *cobra.Command, act func(ctx context.Context, node *client.Client, args []string) (*api.ZoneKeys, error)) *cobra.Command {
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		k, err := act(cmd.Context(), node, args)
		if own := (*exitError)(nil); errors.As(err, &own) {
			return err // not confirmed, or a file that is not there
		}
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, k, func(p *printer) { writeKeys(p, k) })
	}
	return cmd
}

func newKeysRoll(c *cli) *cobra.Command {
	var r api.KeyRoll
	cmd := &cobra.Command{Use: "roll ZONE", Short: "Change keys of a zone, in stages", Long: keysRollHelp, Args: arguments("ZONE"), ValidArgsFunction: c.zoneNames}
	wordFlag(cmd, &r.Role, "role", "the key to replace", "csk", "ksk", "zsk")
	wordFlag(cmd, &r.Algorithm, "algorithm", "of the new keys", "ecdsa-p256", "ed25519")
	wordFlag(cmd, &r.Keys, "keys", "kind of the new keys", "csk", "ksk-zsk")
	cmd.Flags().BoolVar(&r.Emergency, "emergency", false, "as fast as the chain of trust allows")
	cmd.Flags().StringVar(&r.Note, "note", "", "why; kept in the journal")
	return c.keyAct(cmd, func(ctx context.Context, node *client.Client, args []string) (*api.ZoneKeys, error) {
		return node.RollZoneKeys(ctx, args[0], &r)
	})
}

// wordFlag adds a flag that takes one of a few words; the node refuses others.
func wordFlag(cmd *cobra.Command, value *string, name, usage string, words ...string) {
	cmd.Flags().StringVar(value, name, "", usage+": "+strings.Join(words, ", "))
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

func newKeysSeen(c *cli) *cobra.Command {
	var note string
	var ttl time.Duration
	var yes bool
	cmd := &cobra.Command{Use: "ds-seen ZONE", Short: "Say that the parent has the DS it should have", Long: dsSeenHelp, Args: arguments("ZONE"), ValidArgsFunction: c.zoneNames}
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "TTL of the DS at the parent; as it was seen, or a day")
	cmd.Flags().StringVar(&note, "note", "", "why; kept in the journal")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask; needed without a terminal")
	return c.keyAct(cmd, func(ctx context.Context, node *client.Client, args []string) (*api.ZoneKeys, error) {
		if !yes && !isTerminal(c.in) {
			return nil, &exitError{exitRefused, errors.New("not confirmed; nothing was changed: without a terminal this needs --yes, for if it is wrong resolvers find the zone bogus")}
		}
		if err := c.confirm(yes, "If the parent's servers do not have the DS that %s needs now, resolvers will find it bogus. Go on?", args[0]); err != nil {
			return nil, err
		}
		return node.SeeZoneDS(ctx, args[0], ttl, note)
	})
}

func newZoneCDS(c *cli) *cobra.Command {
	var note string
	cmd := &cobra.Command{Use: "cds ZONE auto|publish|delete|off", Short: "Say when a zone asks its parent for a DS", Long: cdsHelp, Args: arguments("ZONE", "auto|publish|delete|off")}
	cmd.Flags().StringVar(&note, "note", "", "why; kept in the journal")
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return []cobra.Completion{"auto", "publish", "delete", "off"}, cobra.ShellCompDirectiveNoFileComp
		}
		return c.zoneNames(cmd, args, word)
	}
	return c.keyAct(cmd, func(ctx context.Context, node *client.Client, args []string) (*api.ZoneKeys, error) {
		return node.UseZoneCDS(ctx, args[0], args[1], note)
	})
}

func newKeysImport(c *cli) *cobra.Command {
	var note string
	cmd := &cobra.Command{Use: "import ZONE FILE [FILE]", Short: "Bring keys made elsewhere into use", Long: keysImportHelp, Args: arguments("ZONE", "FILE", "[FILE]")}
	cmd.Flags().StringVar(&note, "note", "", "why; kept in the journal")
	return c.keyAct(cmd, func(ctx context.Context, node *client.Client, args []string) (*api.ZoneKeys, error) {
		var files []api.KeyFile
		for _, name := range args[1:] {
			name = strings.TrimSuffix(strings.TrimSuffix(name, ".key"), ".private")
			public, err1 := os.ReadFile(name + ".key")
			private, err2 := os.ReadFile(name + ".private")
			if err := errors.Join(err1, err2); err != nil {
				return nil, &exitError{exitUsage, err}
			}
			files = append(files, api.KeyFile{Name: filepath.Base(name), Public: string(public), Private: string(private)})
		}
		return node.ImportZoneKeys(ctx, args[0], files, note)
	})
}

func newKeysExport(c *cli) *cobra.Command {
	var note, dir string
	var secret bool
	cmd := &cobra.Command{Use: "export ZONE --out DIR | --show-secret", Short: "Write the private keys of a zone to files", Long: keysExportHelp, Args: arguments("ZONE"), ValidArgsFunction: c.zoneNames}
	cmd.Flags().StringVar(&dir, "out", "", "`DIR` that gets the files, with mode 0600")
	_ = cmd.MarkFlagDirname("out")
	cmd.Flags().BoolVar(&secret, "show-secret", false, "print the private keys instead")
	cmd.Flags().StringVar(&note, "note", "", "why; kept in the journal")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (dir == "") != secret {
			return usagef("%s: say where the private keys go: --out DIR, or --show-secret to print them", cmd.CommandPath())
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		out, err := node.ExportZoneKeys(cmd.Context(), args[0], note)
		if err != nil {
			return c.failure(err)
		}
		return c.writeKeyFiles(out, dir)
	}
	return cmd
}

// writeKeyFiles never overwrites a key.
func (c *cli) writeKeyFiles(out *api.KeyExport, dir string) error {
	for _, f := range out.Files {
		if dir == "" {
			_, _ = fmt.Fprintf(c.out, "%s\n%s", f.Public, f.Private)
			continue
		}
		for suffix, text := range map[string]string{".key": f.Public, ".private": f.Private} {
			path := filepath.Join(dir, filepath.Base(f.Name)+suffix)
			file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if errors.Is(err, fs.ErrExist) {
				err = fmt.Errorf("%s is there already, and is not overwritten; name another --out", path)
			}
			if err != nil {
				return &exitError{exitUsage, err}
			}
			_, err = file.WriteString(text)
			if err = errors.Join(err, file.Close()); err != nil {
				return &exitError{exitUsage, err}
			}
		}
		_, _ = fmt.Fprintf(c.out, "%s\n", filepath.Join(dir, filepath.Base(f.Name)+".private"))
	}
	return nil
}

func writeKeys(p *printer, k *api.ZoneKeys) {
	if k.Message != "" {
		p.printf("%s\n", oneLine(k.Message))
	}
	writeSecretTrouble(p, k.Trouble)
	switch {
	case k.Stage == "" && k.Wanted:
		p.printf("zone %s: no keys yet\n", k.Zone)
		return
	case k.Stage == "":
		p.printf("zone %s is not signed\n", k.Zone)
		return
	}
	p.printf("zone %s: %s", k.Zone, k.Stage)
	if k.Since != nil {
		p.printf(" since %s", p.clock(*k.Since))
	}
	if k.Roll != "" {
		p.printf(", %s roll: %s", k.Roll, oneLine(k.Why))
	}
	p.printf("\n")
	if k.Leaving != nil {
		p.paint(yellow, fmt.Sprintf("signing is switched off since %s; the zone is signed until its DS is gone from the parent", p.clock(*k.Leaving)))
		p.printf("\n")
	}
	if k.Next != nil {
		p.printf("waits for: %s", oneLine(k.Next.For))
		if k.Next.Until != nil {
			p.printf(", until %s", p.clock(*k.Next.Until))
		}
		p.printf("\n")
	}
	p.printf("CDS and CDNSKEY: %s\n", k.CDS)
	writeParent(p, &k.Parent)
	p.printf("\n")
	writeKeyTable(p, k.Keys)
	p.printf("\n")
	rows := [][]cell{plain("NODE", "ACKNOWLEDGED")}
	for _, n := range k.Nodes {
		row := plain(n.Name, "")
		row[1] = cell{"waited for", yellow}
		if n.Acknowledged {
			row[1] = cell{"yes", green}
		}
		rows = append(rows, row)
	}
	p.table("", rows)
}

func writeParent(p *printer, q *api.ZoneParent) {
	switch {
	case q.Heard == 0 && q.Silent != nil:
		p.paint(yellow, fmt.Sprintf("parent: unknown: no server answered since %s; last seen: %s", p.clock(*q.Silent), lastSeen(p, q)))
		p.printf("\n")
	case q.Heard == 0:
		p.printf("parent: not asked yet\n")
	default:
		p.printf("parent: %s, as %s since %s\n", dsText(q), servers(q), p.clock(*q.Since))
	}
	if q.Trouble != "" {
		p.paint(yellow, "  "+oneLine(q.Trouble))
		p.printf("\n")
	}
	if q.Word {
		p.printf("  an operator said that the DS is as it should be\n")
	}
	for _, ds := range q.DS {
		p.printf("  %s\n", oneLine(ds))
	}
}

func dsText(q *api.ZoneParent) string {
	if len(q.DS) == 0 {
		return "no DS"
	}
	return fmt.Sprintf("%d DS, TTL %s", len(q.DS), time.Duration(q.TTL)*time.Second)
}

func lastSeen(p *printer, q *api.ZoneParent) string {
	if q.Since == nil {
		return "nothing"
	}
	return dsText(q) + ", from " + p.clock(*q.Since)
}

// servers say something: how many, and of how many.
func servers(q *api.ZoneParent) string {
	switch {
	case q.Heard < q.Servers:
		return fmt.Sprintf("%d of %d servers say", q.Heard, q.Servers)
	case q.Servers == 1:
		return "1 server says"
	}
	return fmt.Sprintf("%d servers say", q.Servers)
}
