package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
	"jurymast/internal/api/client"
)

// isVerb marks a verb that holds others and does something by itself as well.
const isVerb = "verb"

// withVerbs makes a verb that holds others; alone it does what it did, a word it does not know is a usage error.
func withVerbs(cmd *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	cmd.Annotations = map[string]string{isVerb: "yes"}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return wrongVerb(cmd, args[0])
		}
		return nil
	}
	cmd.AddCommand(verbs...)
	return cmd
}

const sealHelp = `Shows how the secrets in the store are sealed: which key, which records, and which nodes have which keys. Keys are named
by their ids; neither keys nor secrets are ever shown. The key file is that of node.store.seal.`

const rotateHelp = `Seals every secret in the store with another key. At no point is there a record whose key is not in the file, so a crash
loses nothing.

A node alone (embedded store) does it all: it adds a new key to its key file, seals every record with it, and then TAKES THE
OLD KEY OUT of the file. Copies of the store made before can be opened with the old key alone: keep a copy of the key file,
apart from them, for as long as you keep them. On a terminal you are asked first.

With several nodes, first add the new key as one more line to the key file of every node and send each SIGHUP:

  openssl rand -hex 32 >> /etc/jurymast/seal.key

The change is refused while a live node does not have the key. No file is changed: when it is done, take the old line out
yourself, and keep it as long as you keep copies of the store from before.`

const forgetHelp = `Gives up a sealed record for ever, as when its key is lost: what it was for makes a new secret. For dns-cookies that means
that clients' cookies are replaced once. For dnssec-ZONE the nodes that still use the keys write them again; when none does, new
keys are made, and the zone is bogus for resolvers until the parent has their DS.`

func newSeal(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "seal", Short: "Show how the secrets in the store are sealed", Long: sealHelp}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		s, err := node.Seal(cmd.Context())
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, s, func(p *printer) { writeSeal(p, s) })
	}
	return withVerbs(cmd, newSealRotate(c), newSealForget(c))
}

func newSealRotate(c *cli) *cobra.Command {
	var note string
	var yes bool
	cmd := &cobra.Command{Use: "rotate", Short: "Seal every secret in the store with another key", Long: rotateHelp, Args: arguments()}
	cmd.Flags().StringVar(&note, "note", "", "why; kept in the journal")
	confirmFlag(cmd, &yes)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		if err := c.confirmRotation(cmd.Context(), node, yes); err != nil {
			return err
		}
		s, err := node.RotateSeal(cmd.Context(), note)
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, s, func(p *printer) { writeSeal(p, s) })
	}
	return cmd
}

// confirmRotation asks before a node alone takes the old key out of its file.
func (c *cli) confirmRotation(ctx context.Context, node *client.Client, yes bool) error {
	n, err := node.Node(ctx)
	if err != nil {
		return c.failure(err)
	}
	s, err := node.Seal(ctx)
	if err != nil {
		return c.failure(err)
	}
	if n.Store.Kind != "embedded" || s.File == "" {
		return nil
	}
	return c.confirm(yes, "This takes the old key out of %s when all is sealed anew, and copies of the store from before need it. Keep a copy of that file first. Go on?", s.File)
}

func newSealForget(c *cli) *cobra.Command {
	var note string
	var yes bool
	cmd := &cobra.Command{
		Use: "forget NAME", Short: "Give up a sealed record whose key is lost", Long: forgetHelp, Args: arguments("NAME"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&note, "note", "", "why; kept in the journal")
	confirmFlag(cmd, &yes)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		if err := c.confirm(yes, "The secret %s is lost for ever. Give it up?", args[0]); err != nil {
			return err
		}
		s, err := node.ForgetSealed(cmd.Context(), args[0], note)
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, s, func(p *printer) { writeSeal(p, s) })
	}
	return cmd
}

func writeSeal(p *printer, s *api.SealStatus) {
	if s.Message != "" {
		p.printf("%s\n", oneLine(s.Message))
	}
	writeSecretTrouble(p, s.Trouble)
	switch {
	case s.Key == "" && s.File == "":
		p.printf("nothing is sealed: this node has no key file (node.store.seal)\n")
	case s.Key == "":
		p.printf("nothing is sealed yet\n")
	default:
		p.printf("sealed with key %s", s.Key)
		if s.Since != nil {
			p.printf(" since %s", p.clock(*s.Since))
		}
		if s.By != "" {
			p.printf(" by %s", oneLine(s.By))
		}
		if s.Previous != "" {
			p.printf(", before that with %s", s.Previous)
		}
		p.printf("\n")
	}
	if s.File != "" {
		p.printf("key file %s: %s\n", s.File, listed(s.Keys))
	}
	if len(s.Records) > 0 {
		p.printf("\n")
		rows := [][]cell{plain("RECORD", "KEY")}
		for _, r := range s.Records {
			row := plain(r.Name, r.Key)
			if r.Key != s.Key {
				row[1] = cell{r.Key + " (not yet " + s.Key + ")", yellow}
			}
			rows = append(rows, row)
		}
		p.table("", rows)
	}
	p.printf("\n")
	rows := [][]cell{plain("NODE", "HAS KEYS")}
	for _, n := range s.Nodes {
		row := plain(n.Name, listed(n.Keys))
		if s.Key != "" && !slices.Contains(n.Keys, s.Key) {
			row[1].colour = red
		}
		rows = append(rows, row)
	}
	p.table("", rows)
}

func listed(ids []string) string {
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}

func writeSecretTrouble(p *printer, trouble string) {
	if trouble != "" {
		p.paint(red, "TROUBLE: "+oneLine(trouble))
		p.printf("\n")
	}
}
