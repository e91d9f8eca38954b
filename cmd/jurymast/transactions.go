package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"jurymast/internal/api"
)

// newOrders lists all that operators have ordered and that still holds.
func newOrders(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "orders [PROFILE]",
		Short:             "List the orders in force, over all profiles, and open gates",
		Args:              arguments("[PROFILE]"),
		ValidArgsFunction: c.completeProfile,
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		var list []api.OrderStatus
		if len(args) == 1 {
			if list, err = node.Orders(cmd.Context(), args[0]); err != nil {
				return c.missing(cmd.Context(), node, err, args[0])
			}
		} else if list, err = node.AllOrders(cmd.Context()); err != nil {
			return c.failure(err)
		}
		return c.print(*output, list, func(p *printer) { writeOrderTable(p, list) })
	}
	return cmd
}

// writeOrderTable has one row per order, however many targets it names.
func writeOrderTable(p *printer, list []api.OrderStatus) {
	if len(list) == 0 {
		p.printf("nothing is ordered\n")
		return
	}
	rows := [][]cell{plain("ORDER", "TARGETS", "BY", "SINCE", "ENDS", "NOTE", "ID")}
	for len(list) > 0 {
		o, n := &list[0], 1
		for n < len(list) && list[n].ID == o.ID {
			n++
		}
		const shown = 3
		var targets []string
		for i := range list[:min(n, shown)] {
			targets = append(targets, targetOf(&list[i]))
		}
		text := strings.Join(targets, ", ")
		if n > shown {
			text += fmt.Sprintf(" and %d more", n-shown)
		}
		ends := ""
		if o.Until != nil {
			ends = p.ago(*o.Until)
		}
		act := o.Act
		if o.KeepProbing {
			act += " (probed)"
		}
		rows = append(rows, plain(act, text, o.By, p.ago(o.At), ends, oneLine(o.Note), o.ID))
		list = list[n:]
	}
	p.table("", rows)
}

const applyHelp = `Orders everything in FILE as one change: all of it happens at once, or nothing. The rules (min_usable, min_between, safety
rules) judge the result. FILE is YAML or JSON of POST /api/v1/orders: one act, or steps. note and breakGlass are of the whole
change and stand beside the steps; a step takes act, targets, select, gate, for and keepProbing.`

const applyExample = `  jurymast order apply -f switch.yaml --note "a to b"
  # switch.yaml
  # steps:
  #   - {act: disable, targets: [{profile: site, endpoint: a}]}
  #   - {act: enable, targets: [{profile: site, endpoint: b}]}`

func newOrder(c *cli) *cobra.Command {
	return newGroup("order", "Order several things as one change", c.orderApply())
}

func (c *cli) orderApply() *cobra.Command {
	var file, note string
	var breakGlass bool
	cmd := &cobra.Command{Use: "apply [FILE]", Short: "Order everything in a file, all of it or nothing", Long: applyHelp, Example: applyExample, Args: arguments("[FILE]")}
	fileFlag(cmd, &file, "file", "f", "steps as YAML or JSON; - is standard input")
	cmd.Flags().StringVar(&note, "note", "", "why; kept in the journal; in place of the file's own")
	cmd.Flags().BoolVar(&breakGlass, "break-glass", false, "overrule min_usable, min_between and safety rules; kept in the journal")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 1 && file != "":
			return usagef("%s: FILE and -f name a file each; write one of them", cmd.CommandPath())
		case len(args) == 1:
			file = args[0]
		case file == "":
			return usagef("%s: FILE is missing; usage: %s", cmd.CommandPath(), cmd.UseLine())
		}
		request, err := c.readTransaction(file)
		if err != nil {
			return err
		}
		request.Note, request.BreakGlass = firstOf(note, request.Note), request.BreakGlass || breakGlass
		node, err := c.node()
		if err != nil {
			return err
		}
		result, err := node.Transact(cmd.Context(), *request)
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, result, func(p *printer) { writeOrders(p, result.Message, result) })
	}
	return cmd
}

// readTransaction reads one transaction; a key it does not know is an error with its place.
func (c *cli) readTransaction(file string) (*api.TransactionRequest, error) {
	name, read := file, os.ReadFile
	if file == "-" {
		name, read = "stdin", func(string) ([]byte, error) { return io.ReadAll(c.in) }
	}
	text, err := read(file)
	if err != nil {
		return nil, usagef("%w; give an existing file, or - for standard input", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict())
	r := &api.TransactionRequest{}
	err = decoder.Decode(r)
	switch {
	case errors.Is(err, io.EOF), err == nil && r.Act == "" && len(r.Steps) == 0:
		return nil, usagef("%s orders nothing; write act with targets, select or gate, or steps", name)
	case err != nil:
		if text := unknownKey(name, text, err); text != "" {
			return nil, usagef("%s is refused, nothing was changed:\n%s", name, text)
		}
		return nil, usagef("%s is refused, nothing was changed:\n%s", name, strings.TrimSpace(err.Error()))
	case !errors.Is(decoder.Decode(&struct{}{}), io.EOF):
		return nil, usagef("%s holds more than one document; write all steps into one", name)
	}
	return r, nil
}

func newGate(c *cli) *cobra.Command {
	return newGroup("gate", "Open and close the gates of safety rules", c.gateVerb("open", "Let orders pass a gate", true), c.gateVerb("close", "Let no order pass a gate any more", false), c.gateList())
}

func (c *cli) gateVerb(word, short string, opens bool) *cobra.Command {
	var lasting span
	var note string
	cmd := &cobra.Command{Use: word + " NAME", Short: short, Args: arguments("NAME"), ValidArgsFunction: cobra.NoFileCompletions}
	if opens {
		cmd.Flags().Var(&lasting, "for", "close it again after this time, for example 1h (default: until it is closed)")
	}
	cmd.Flags().StringVar(&note, "note", "", "why; kept in the journal")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if opens && cmd.Flags().Changed("for") && lasting <= 0 {
			return usagef("%s: --for %s is not above 0; allowed: a duration such as 1h, or leave it out", cmd.CommandPath(), cmd.Flag("for").Value)
		}
		request := api.TransactionRequest{Act: word + "-gate", Gate: args[0], Note: note}
		if lasting > 0 {
			request.For = lasting.String()
		}
		node, err := c.node()
		if err != nil {
			return err
		}
		result, err := node.Transact(cmd.Context(), request)
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, result, func(p *printer) { writeOrders(p, result.Message, result) })
	}
	return cmd
}

func (c *cli) gateList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the safety rules: gates and assertions as they stand", Args: arguments()}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		list, err := node.Safety(cmd.Context())
		if err != nil {
			return c.failure(err)
		}
		return c.print(*output, list, func(p *printer) { writeSafety(p, list) })
	}
	return cmd
}

func writeSafety(p *printer, list []api.SafetyListing) {
	if len(list) == 0 {
		p.printf("there are no safety rules; add some under safety: in the node's file, or with jurymast apply -f FILE\n")
		return
	}
	rows := [][]cell{plain("RULE", "GATE", "OF", "STATE")}
	for i := range list {
		s := list[i].Status
		if s == nil {
			rows = append(rows, plain(list[i].Name, "", "", "not in use yet"))
			continue
		}
		row := plain(list[i].Name, s.Gate, firstOf(s.Of, "everything"), "")
		switch {
		case s.Usable != nil:
			row[3].text = fmt.Sprintf("%d usable, at least %d must stay", *s.Usable, s.AtLeast)
		case s.Open != nil:
			row[3].text = "open: " + order(p, s.Open)
		default:
			row[3].text = "closed"
		}
		row[3].colour = map[bool]colour{true: green, false: yellow}[s.Holds]
		rows = append(rows, row)
	}
	p.table("", rows)
}
