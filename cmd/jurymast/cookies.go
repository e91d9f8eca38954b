package main

import (
	"github.com/spf13/cobra"

	"jurymast/internal/api"
)

const cookiesHelp = `Shows the secret behind DNS cookies: where this node has it from, how far a change of it is, and which nodes have
acknowledged. Secrets are named by their tags and never shown.

  steady       one secret is issued and verified
  publishing   the next one is verified already, and issued when every live node has acknowledged
  switching    it is issued; the previous one is still verified
  retiring     nobody issues the previous one any more; it is dropped when its last cookie has run out (65 minutes)`

const rollHelp = `Changes the secret behind DNS cookies on all nodes, in stages, so that no cookie is refused on the way. The leader does it
every day by itself; this begins a change now. It is refused while one is under way, and on a node that has its secrets from
files (node.nameserver.cookies).`

func newCookies(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "cookies", Short: "Show the secret behind DNS cookies and how far its change is", Long: cookiesHelp}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		s, err := node.Cookies(cmd.Context())
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, s, func(p *printer) { writeCookies(p, s) })
	}
	return withVerbs(cmd, newCookiesRoll(c))
}

func newCookiesRoll(c *cli) *cobra.Command {
	var note string
	cmd := &cobra.Command{Use: "roll", Short: "Change the secret behind DNS cookies, in stages", Long: rollHelp, Args: arguments()}
	cmd.Flags().StringVar(&note, "note", "", "why; kept in the journal")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		s, err := node.RollCookies(cmd.Context(), note)
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, s, func(p *printer) { writeCookies(p, s) })
	}
	return cmd
}

// cookieSources say where a secret is from, for people.
var cookieSources = map[string]string{
	"store": "shared by all nodes, sealed in the store",
	"files": "from the files of node.nameserver.cookies",
	"own":   "this node's own until its next start; other nodes do not accept its cookies",
	"off":   "cookies are off on this node",
}

func writeCookies(p *printer, s *api.CookieStatus) {
	if s.Message != "" {
		p.printf("%s\n", oneLine(s.Message))
	}
	writeSecretTrouble(p, s.Trouble)
	p.printf("secret: %s\n", firstOf(cookieSources[s.Source], s.Source))
	if s.Stage != "" {
		p.printf("stage: %s", s.Stage)
		if s.Since != nil {
			p.printf(" since %s", p.clock(*s.Since))
		}
		if s.Due != nil {
			p.printf(", until %s", p.clock(*s.Due))
		}
		p.printf("\n")
	}
	if s.Ordered {
		p.printf("a change is ordered; the leader has not begun it yet\n")
	}
	for _, tag := range []struct{ what, tag string }{{"issued", s.Current}, {"verified, issued next", s.Next}, {"verified still", s.Previous}} {
		if tag.tag != "" {
			p.printf("%s: %s\n", tag.what, tag.tag)
		}
	}
	p.printf("\n")
	rows := [][]cell{plain("NODE", "SECRET", "ACKNOWLEDGED")}
	for _, n := range s.Nodes {
		row := plain(n.Name, firstOf(n.Source, "has not said"), "-")
		switch {
		case n.Acknowledged:
			row[2] = cell{"yes", green}
		case s.Stage != "" && (n.Source == "store" || n.Source == ""):
			row[2] = cell{"waited for", yellow}
		}
		rows = append(rows, row)
	}
	p.table("", rows)
}
