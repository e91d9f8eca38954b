package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"jurymast/internal/api/client"
	"jurymast/internal/app"
	"jurymast/internal/health"
	"jurymast/internal/preflight"
	"jurymast/internal/profile"
)

// liveFlags are the flags of check --live.
type liveFlags struct {
	on    bool
	nodes int
	rate  float64
}

func (l *liveFlags) check() error {
	switch {
	case !l.on && (l.nodes != 0 || l.rate != preflight.DefaultRate):
		return usagef("--nodes and --rate belong to --live; add it")
	case l.nodes < 0 || l.nodes > 1000:
		return usagef("--nodes %d; allowed: 1 to 1000", l.nodes)
	case !(l.rate > 0 && l.rate <= 1e9):
		return usagef("--rate %g; allowed: above 0, in requests per second", l.rate)
	}
	return nil
}

// preflight tries what a valid file describes. A running node is asked only when the caller names one.
func (c *cli) preflight(ctx context.Context, name string, f *profile.File, l *liveFlags) (*preflight.Report, error) {
	o := app.PreflightOptions{File: f, Name: name, Version: version, Nodes: l.nodes, Rate: l.rate}
	if firstOf(c.api, c.getenv("JURYMAST_API")) != "" {
		node, err := c.node()
		if err != nil {
			return nil, err
		}
		o.Cluster = cluster{node}
	}
	watched := isTerminal(c.errOut)
	if watched {
		o.Progress = func(done, total int) {
			fmt.Fprintf(c.errOut, "\rtrying endpoints and name servers: %d of %d", done, total)
		}
	}
	report := app.Preflight(ctx, o)
	if watched {
		fmt.Fprint(c.errOut, "\r\x1b[K")
	}
	if ctx.Err() != nil {
		return nil, &exitError{exitFinding, errors.New("interrupted")}
	}
	return &report, nil
}

// cluster asks a running node what all nodes see.
type cluster struct{ node *client.Client }

func (k cluster) Nodes(ctx context.Context) ([]preflight.Node, error) {
	members, err := k.node.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]preflight.Node, len(members))
	for i := range members {
		list[i] = preflight.Node{Name: members[i].Name, Location: members[i].Location}
	}
	return list, nil
}

func (k cluster) Votes(ctx context.Context, name string) ([]preflight.Vote, error) {
	status, err := k.node.Status(ctx, name)
	if gone, ok := errors.AsType[*client.NotFoundError](err); ok && gone != nil {
		return nil, preflight.ErrUnknownProfile
	}
	if err != nil {
		return nil, err
	}
	var list []preflight.Vote
	for i := range status.Endpoints {
		e := &status.Endpoints[i]
		for j := range e.Votes {
			list = append(list, voteOf(e.Name, &e.Votes[j]))
		}
	}
	return list, nil
}

func voteOf(endpoint string, b *health.Ballot) preflight.Vote {
	return preflight.Vote{
		Endpoint: endpoint, Node: b.Node, Location: b.Location, Opinion: b.Opinion.String(), Reason: b.Reason, Since: b.Since, Blind: b.Blind,
	}
}

// textWidth is where the text of findings is broken.
const textWidth = 112

// writeFindings shows findings in groups, the worst group first. Infos are short, what and what was seen: nothing needs
// to be done about them, and JSON has the rest.
func writeFindings(p *printer, r *preflight.Report) {
	for _, group := range []struct {
		severity preflight.Severity
		title    string
		colour   colour
	}{{preflight.Error, "ERRORS", red}, {preflight.Warning, "WARNINGS", yellow}, {preflight.Info, "GOOD TO KNOW", 0}} {
		head := true
		for i := range r.Findings {
			f := &r.Findings[i]
			if f.Severity != group.severity {
				continue
			}
			if head {
				p.printf("\n")
				p.paint(group.colour, group.title)
				p.printf("\n")
				head = false
			}
			writeFinding(p, f)
		}
	}
}

func writeFinding(p *printer, f *preflight.Finding) {
	place := firstOf(f.Profile, f.Zone)
	if f.Zone != "" {
		place = "zone " + f.Zone
	}
	if f.Endpoint != "" {
		place += " / " + f.Endpoint
	}
	p.printf("  %s  [%s]\n", firstOf(place, "this node"), f.Code)
	p.wrap("    ", "    ", f.What)
	seen := "      "
	if f.Severity > preflight.Info {
		p.wrap("    why:  ", "          ", f.Why)
		p.wrap("    do:   ", "          ", f.Remedy)
		seen = "    seen: "
	}
	for _, line := range f.Evidence {
		p.wrap(seen, strings.Repeat(" ", len(seen)+2), line)
		seen = strings.Repeat(" ", len(seen))
	}
}

// wrap writes text in lines of textWidth; the first begins with lead, the others with next. Runs of blanks stay as they
// are where a line is not broken.
func (p *printer) wrap(lead, next, text string) {
	if text == "" {
		return
	}
	line, width := lead, utf8.RuneCountInString(lead)
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case width+1+n > textWidth:
			p.printf("%s\n", strings.TrimRight(line, " "))
			line, width = next, utf8.RuneCountInString(next)
		default:
			line, width = line+" ", width+1
		}
		line, width = line+word, width+n
	}
	p.printf("%s\n", line)
}

// writePreflight ends the view of `check --live`.
func writePreflight(p *printer, r *preflight.Report) {
	p.printf("\npreflight from this machine, %s", r.At.In(p.zone).Format(time.DateTime))
	p.printf("\n")
	writeFindings(p, r)
	counts := map[preflight.Severity]int{}
	for i := range r.Findings {
		counts[r.Findings[i].Severity]++
	}
	shade, text := green, "preflight ok: "
	switch preflight.Worst(r.Findings) {
	case preflight.Error:
		shade, text = red, "preflight failed: "
	case preflight.Warning:
		shade, text = yellow, "preflight: "
	case preflight.Info:
	}
	var words []string
	if n := counts[preflight.Error]; n > 0 {
		words = append(words, count(n, "error"))
	}
	if n := counts[preflight.Warning]; n > 0 {
		words = append(words, count(n, "warning"))
	}
	words = append(words, count(counts[preflight.Info], "info"))
	p.printf("\n")
	p.paint(shade, text+strings.Join(words, ", "))
	p.printf("\n")
}
