package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
	"jurymast/internal/app"
	"jurymast/internal/profile"
)

var kinds = []string{string(profile.KindProfile), string(profile.KindZone), string(profile.KindSafety), string(profile.KindTSIG)}

// kindOf takes the singular too.
func kindOf(cmd *cobra.Command, word string) (profile.Kind, error) {
	for _, k := range kinds {
		if word == k || word+"s" == k {
			return profile.Kind(k), nil
		}
	}
	return "", usagef("%s: %q is no kind of document; allowed: %s", cmd.CommandPath(), word, strings.Join(kinds, ", "))
}

func newApply(c *cli) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Store the profiles, zones, safety rules and TSIG keys of a file, all of them or none",
		Long: `Sends the profiles, zones, safety rules and TSIG keys of FILE to the node, which checks them and makes them the shared ones as one
change. What the file does not name stays as it is. A node section is left out: it belongs into the file of that machine.`,
		Example: `  jurymast apply -f profiles.yaml
  jurymast get profiles -o yaml | jurymast apply -f - --api http://127.0.0.1:9461`,
		Args: arguments(),
	}
	fileFlag(cmd, &file, "file", "f", "profiles, zones, safety rules and TSIG keys; - is standard input")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := required(cmd, "file"); err != nil {
			return err
		}
		documents, err := c.readDocuments(cmd, file)
		if err != nil {
			return err
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		result, err := node.Apply(cmd.Context(), documents)
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, result, func(p *printer) {
			for _, list := range []struct {
				verb  string
				names []string
			}{{"created", result.Created}, {"changed", result.Changed}, {"unchanged", result.Unchanged}} {
				for _, name := range list.names {
					p.printf("%-9s %s\n", list.verb, name)
				}
			}
			p.printf("generation %d\n", result.Generation)
		})
	}
	return cmd
}

// readDocuments judges the file here, where its lines are known; the node judges it again.
func (c *cli) readDocuments(cmd *cobra.Command, file string) ([]profile.Document, error) {
	name, text, err := c.readNamed(file)
	if err != nil {
		return nil, usagef("%w; give an existing file with -f, or - for standard input", err)
	}
	f, err := profile.DecodeFile(name, text)
	if err == nil {
		err = app.InlineZoneFiles(f, file)
	}
	if err != nil {
		return nil, usagef("the file is refused, nothing was changed:\n%w", err)
	}
	if len(f.Documents) == 0 {
		return nil, usagef("%s: %s names no profiles, zones, safety rules or TSIG keys; write at least one", cmd.CommandPath(), name)
	}
	return f.Documents, nil
}

func newGet(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get profiles|zones|safety|tsig [NAME]",
		Short: "Print stored documents",
		Long: `Prints stored documents as the operator wrote them, without defaults. -o yaml prints a file that jurymast apply takes;
-o json prints what the node keeps beside it too: the ETag for delete --if-match and the file that owns a document.`,
		Args:              arguments("profiles|zones|safety|tsig", "[NAME]"),
		ValidArgsFunction: c.completeDocument,
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kind, err := kindOf(cmd, args[0])
		if err != nil {
			return err
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		if len(args) == 2 {
			d, err := node.Document(cmd.Context(), kind, args[1])
			if err != nil {
				return c.missingDocument(cmd.Context(), node, err, kind, args[1])
			}
			return c.printDocuments(*output, kind, []api.Document{*d}, d)
		}
		list, err := node.Documents(cmd.Context(), kind)
		if err != nil {
			return c.failure(err)
		}
		return c.printDocuments(*output, kind, list, list)
	}
	return cmd
}

// printDocuments prints the list as a table, as a file for apply (YAML), or all that is known (JSON).
func (c *cli) printDocuments(f format, kind profile.Kind, list []api.Document, all any) error {
	if f == formatYAML {
		sources := make([]json.RawMessage, len(list))
		for i := range list {
			sources[i] = list[i].Source
		}
		all = map[profile.Kind][]json.RawMessage{kind: sources}
	}
	return c.print(f, all, func(p *printer) {
		rows := [][]cell{plain("NAME", "OWNER", "ETAG")}
		for i := range list {
			rows = append(rows, plain(list[i].Name, firstOf(list[i].Managed, "api"), list[i].ETag))
		}
		p.table("", rows)
	})
}

func newDelete(c *cli) *cobra.Command {
	var yes bool
	var ifMatch string
	cmd := &cobra.Command{
		Use:               "delete profiles|zones|safety|tsig NAME",
		Short:             "Delete a stored document",
		Args:              arguments("profiles|zones|safety|tsig", "NAME"),
		ValidArgsFunction: c.completeDocument,
	}
	cmd.Flags().StringVar(&ifMatch, "if-match", "", "delete only while the document has this `ETAG` (see jurymast get)")
	confirmFlag(cmd, &yes)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kind, err := kindOf(cmd, args[0])
		if err != nil {
			return err
		}
		if err := c.confirm(yes, "%s/%s will be deleted. Delete it?", kind, args[1]); err != nil {
			return err
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		if err := node.Delete(cmd.Context(), kind, args[1], ifMatch); err != nil {
			return c.missingDocument(cmd.Context(), node, err, kind, args[1])
		}
		fmt.Fprintf(c.out, "deleted %s/%s\n", kind, args[1])
		return nil
	}
	return cmd
}
