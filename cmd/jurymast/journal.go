package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"jurymast/internal/api/client"
	"jurymast/internal/health"
)

func newEvents(c *cli) *cobra.Command {
	var follow bool
	var name string
	var limit int
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happened: votes, verdicts, decisions, fences, acts, alarms",
		Long: `Shows the newest entries of the journal, oldest first. With --follow it stays and shows what happens from then on, until
it is interrupted. -o json prints one JSON object per line.`,
		Args: arguments(),
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "stay and show what happens")
	cmd.Flags().StringVar(&name, "profile", "", "only `PROFILE`")
	cmd.Flags().IntVar(&limit, "limit", defaultEntries, "how many entries, 1 to 10000")
	_ = cmd.RegisterFlagCompletionFunc("profile", c.completeProfile)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkLimit(cmd, limit); err != nil {
			return err
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		r := &reader{c: c, node: node, format: *output, query: client.JournalQuery{Profile: name, Limit: limit}}
		if err := r.read(cmd.Context()); err != nil {
			return err
		}
		if name != "" && (follow || r.seen == nil) { // what is gone has a past, and no future
			if _, err := node.Status(cmd.Context(), name); err != nil {
				return c.missing(cmd.Context(), node, err, name)
			}
		}
		if !follow {
			return nil
		}
		return r.follow(cmd.Context())
	}
	return cmd
}

// reader prints every entry once. Entries of several nodes may arrive a little out of order.
type reader struct {
	c      *cli
	node   *client.Client
	format format
	query  client.JournalQuery
	seen   map[string]bool // ids of what is printed
	floor  string          // id of the first entry printed: what is older was not asked for
	anchor string          // the profile whose state opens every connection
}

// read prints what the journal holds beyond what is printed.
func (r *reader) read(ctx context.Context) error {
	list, err := r.node.Journal(ctx, r.query)
	if err != nil {
		return r.c.failure(err)
	}
	for i := range list {
		if err := r.print(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// follow prints what happens until ctx ends. Every connection begins with the states of all profiles: the journal is
// read again then, so that nothing is lost between reading it and listening, or while the connection was gone.
func (r *reader) follow(ctx context.Context) error {
	r.query.Limit = maxEntries
	err := r.node.Follow(ctx, r.query.Profile, func(e client.Event) error {
		switch {
		case e.Link != nil:
			r.tell(e.Link)
		case e.Entry != nil:
			return r.print(e.Entry)
		case e.Status != nil && (r.anchor == "" || r.anchor == e.Status.Name):
			r.anchor = e.Status.Name
			return r.read(ctx)
		}
		return nil
	})
	var exit *exitError
	switch {
	case err == nil, ctx.Err() != nil:
		return nil // interrupted, as announced
	case errors.As(err, &exit):
		return err
	}
	return r.c.failure(err)
}

// tell keeps silence and a lost node apart. It goes beside the entries, which a program may read.
func (r *reader) tell(l *client.Link) {
	if l.Err == nil {
		fmt.Fprintf(r.c.errOut, "connection to %s is back\n", r.c.apiURL())
		return
	}
	fmt.Fprintf(r.c.errOut, "connection to %s lost, trying again\n", r.c.apiURL())
}

// print prints an entry unless it is printed or too old, and moves the beginning of the next reading forward.
func (r *reader) print(e *health.Entry) error {
	if e.ID != "" && (r.seen[e.ID] || e.ID < r.floor) {
		return nil
	}
	if r.seen == nil {
		r.seen, r.floor = map[string]bool{}, e.ID
	}
	if len(r.seen) > 2*maxEntries {
		clear(r.seen)
	}
	r.seen[e.ID] = true
	if from := e.At.Add(-clockSkew); from.After(r.query.Since) {
		r.query.Since = from
	}
	return r.c.printEntries(r.format, []health.Entry{*e})
}

func newAudit(c *cli) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who ordered or changed what",
		Args:  arguments(),
	}
	cmd.Flags().IntVar(&limit, "limit", defaultEntries, "how many entries, 1 to 10000")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkLimit(cmd, limit); err != nil {
			return err
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		list, err := node.Audit(cmd.Context(), limit)
		if err != nil {
			return c.failure(err)
		}
		return c.printEntries(*output, list)
	}
	return cmd
}

const (
	defaultEntries = 100
	maxEntries     = 10000
	clockSkew      = 10 * time.Second // between nodes, when a reading is continued
)

func checkLimit(cmd *cobra.Command, limit int) error {
	if limit < 1 || limit > maxEntries {
		return usagef("%s: --limit %d; allowed: 1 to 10000", cmd.CommandPath(), limit)
	}
	return nil
}

// printEntries writes one line per entry: tables cannot be aligned while they grow, so the columns are fixed.
func (c *cli) printEntries(f format, list []health.Entry) error {
	for i := range list {
		var err error
		switch f {
		case formatJSON, formatYAML:
			var text []byte
			if text, err = encode(f, list[i], ""); err == nil && f == formatYAML {
				text = append([]byte("---\n"), text...)
			}
			if err == nil {
				_, err = c.out.Write(text)
			}
		case formatTable:
			err = c.print(f, nil, func(p *printer) { writeEntry(p, &list[i]) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func writeEntry(p *printer, e *health.Entry) {
	where := e.Profile
	if e.Endpoint != "" {
		where += "/" + e.Endpoint
	}
	p.printf("%s  %-8s  %-24s  ", e.At.In(p.zone).Format("2006-01-02 15:04:05.000 MST"), e.Kind, firstOf(where, "-"))
	switch {
	case e.From != "" && e.To != "":
		p.printf("%s -> ", e.From)
		p.paint(entryColour(e.To), e.To)
	case e.To != "":
		p.paint(entryColour(e.To), e.To)
	default:
		p.printf("%s", firstOf(e.From, "-"))
	}
	if e.Epoch > 0 {
		p.printf("  epoch %d", e.Epoch)
	}
	if e.Reason != "" {
		p.printf("  %s", p.line(e.Reason))
	}
	if e.Note != "" {
		p.printf("  (%s)", oneLine(e.Note))
	}
	by := e.Node
	if e.By != "" {
		by = fmt.Sprintf("%s on %s", e.By, e.Node)
	}
	p.printf("  by %s\n", oneLine(by))
}

func entryColour(word string) colour {
	switch word {
	case "up":
		return green
	case "down":
		return red
	}
	return statusColour(word)
}
