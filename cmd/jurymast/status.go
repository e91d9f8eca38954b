package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jurymast/internal/api"
	"jurymast/internal/api/client"
	"jurymast/internal/health"
	"jurymast/internal/profile"
)

func newStatus(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [PROFILE]",
		Short: "Show profiles, endpoints, votes, decisions and orders",
		Long: `Shows what is served and why. Without PROFILE it also shows the node: who leads, the members, the store, and, before
all else, what is wrong.`,
		Args:              arguments("[PROFILE]"),
		ValidArgsFunction: c.completeProfile,
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, err := c.node()
		if err != nil {
			return err
		}
		if len(args) == 1 {
			s, err := node.Status(cmd.Context(), args[0])
			if err != nil {
				return c.missing(cmd.Context(), node, err, args[0])
			}
			return c.print(*output, s, func(p *printer) { writeProfile(p, s, remark(cmd.Context(), node, s)) })
		}
		n, err := node.Node(cmd.Context())
		if err != nil {
			return c.failure(err)
		}
		list, err := node.Statuses(cmd.Context())
		if err != nil {
			return c.failure(err)
		}
		all := statusOfAll{Node: n, Profiles: list}
		return c.print(*output, all, func(p *printer) {
			gates, _ := node.AllOrders(cmd.Context()) // what is known is shown without them
			all.write(p, gates, all.remarks(cmd.Context(), node))
		})
	}
	return cmd
}

// statusOfAll is what `status -o json` prints without PROFILE.
type statusOfAll struct {
	Node     *api.NodeStatus     `json:"node"`
	Profiles []api.ProfileStatus `json:"profiles"`
}

// remarks asks for those on the first profiles that need any.
func (s statusOfAll) remarks(ctx context.Context, node *client.Client) map[string]remarks {
	all := map[string]remarks{}
	for i := range s.Profiles {
		if one := &s.Profiles[i]; needsRemark(one) && len(all) < maxRemarks {
			all[one.Name] = remark(ctx, node, one)
		}
	}
	return all
}

func (s statusOfAll) write(p *printer, orders []api.OrderStatus, all map[string]remarks) {
	writeTrouble(p, s.Node)
	for i := range orders {
		if o := &orders[i]; o.Gate != "" {
			p.paint(yellow, "OPEN GATE: "+o.Gate)
			p.printf(", %s\n", order(p, &o.OverrideStatus))
		}
	}
	writeNode(p, s.Node)
	if len(s.Profiles) == 0 {
		p.printf("\nno profiles; add some with jurymast apply -f FILE, or in the node's file\n")
	}
	for i := range s.Profiles {
		p.printf("\n")
		writeProfile(p, &s.Profiles[i], all[s.Profiles[i].Name])
	}
}

// writeTrouble says before all else what is wrong.
func writeTrouble(p *printer, n *api.NodeStatus) {
	if n.Config.Error != "" {
		p.paint(red, "CONFIGURATION REFUSED: "+firstOf(n.Config.File, "the file"))
		p.printf("; the older one stays in force\n%s\n", indented(n.Config.Error))
	}
	for _, alarm := range n.Alarms {
		p.paint(red, "ALARM: "+oneLine(alarm))
		p.printf("\n")
	}
}

func writeNode(p *printer, n *api.NodeStatus) {
	p.printf("node %s", n.Name)
	if n.Location != "" {
		p.printf(" (%s)", n.Location)
	}
	p.printf("  %s  ", n.Version)
	p.paint(nodeState(n))
	p.printf("  started %s  documents generation %d\n", p.ago(n.Started), n.Generation)
	for _, w := range n.WaitingFor {
		p.printf("  waiting for %s\n", oneLine(w))
	}
	leader := firstOf(n.Leader, "nobody")
	if n.Leads {
		leader += " (this node)"
	}
	p.printf("  leader   %s\n  members  %s\n", leader, members(n.Members))
	p.printf("  store    %s, ", n.Store.Kind)
	if n.Store.Reachable {
		p.printf("reachable")
	} else {
		p.paint(red, "NOT REACHABLE")
	}
	if n.Store.Detail != "" {
		p.printf(", %s", oneLine(n.Store.Detail))
	}
	p.printf("\n")
	if n.Config.File != "" {
		p.printf("  file     %s, applied %s\n", n.Config.File, firstOf(p.ago(n.Config.Applied), "never"))
	}
	writeLocations(p, n)
	writeFlattened(p, n)
	writeDriver(p, n.Driver)
	writeCertificates(p, n.Certificates, time.Now())
}

// nodeState is the node in one word, worst first.
func nodeState(n *api.NodeStatus) (colour, string) {
	switch {
	case n.Draining:
		return yellow, "draining"
	case n.Blind:
		return red, "blind: it sees everything down, its votes do not count"
	case !n.Ready:
		return yellow, "not ready"
	}
	return green, "ready"
}

func members(list []api.NodeMember) string {
	var out []string
	for _, m := range list {
		text := m.Name
		if m.Location != "" {
			text += " (" + m.Location + ")"
		}
		if m.Blind {
			text += " blind"
		}
		out = append(out, text)
	}
	return firstOf(strings.Join(out, ", "), "none")
}

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}

func writeProfile(p *printer, s *api.ProfileStatus, r remarks) {
	p.table("", profileRows(p, s))
	writeHalt(p, s)
	writePending(p, s, r)
	writeKept(p, s)
	writeAllDown(p, s, r)
	if s.Held != nil {
		p.printf("  held: %s\n", order(p, s.Held))
	}
	p.table("  ", endpointRows(p, s))
	writeStandings(p, s)
}

// profileRows is the heading and the row of a profile. Only a priority profile has a decision.
func profileRows(p *printer, s *api.ProfileStatus) [][]cell {
	serving := s.Serving
	if s.Stale {
		serving += " (stale)"
	}
	if s.Decision == nil && s.Routing != string(profile.Priority) {
		row := plain(s.Name, s.Routing, s.MonitorStatus, serving, s.TTL)
		row[2].colour = statusColour(s.MonitorStatus)
		return [][]cell{plain("PROFILE", "ROUTING", "STATUS", "SERVING", "TTL"), row}
	}
	row := plain(s.Name, s.MonitorStatus, serving, "", "", "", s.TTL, "")
	row[1].colour = statusColour(s.MonitorStatus)
	if d := s.Decision; d != nil {
		row[3].text, row[4].text, row[5].text, row[7].text = d.Active, fmt.Sprint(d.Epoch), p.ago(d.Since), p.line(d.Reason)
	}
	return [][]cell{plain("PROFILE", "STATUS", "SERVING", "ACTIVE", "EPOCH", "SINCE", "TTL", "REASON"), row}
}

func endpointRows(p *printer, s *api.ProfileStatus) [][]cell {
	heading := plain("ENDPOINT", "STATUS", "REAL", "OVERRIDE", "VOTES", "SINCE", "TTL", "REASON")
	method := strings.ToUpper(api.MatchHeading(s.Routing))
	if method != "" {
		heading = slices.Insert(heading, 1, cell{text: method})
	}
	rows := [][]cell{heading}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		name := e.Name
		if e.Nested != nil {
			name += " -> " + e.Nested.String()
		}
		row := plain(name, e.MonitorStatus, e.Real, order(p, e.Override), votes(e.Votes), p.ago(e.Since), e.TTL, p.line(e.Reason))
		row[1].colour = statusColour(e.MonitorStatus)
		if method != "" {
			row = slices.Insert(row, 1, cell{text: e.Matches(s.Routing)})
		}
		rows = append(rows, row)
	}
	return rows
}

// order is an override in few words.
func order(p *printer, o *api.OverrideStatus) string {
	if o == nil {
		return ""
	}
	text := o.Act
	if o.By != "" {
		text += " by " + o.By
	}
	if o.Until != nil {
		text += " until " + p.clock(*o.Until)
		if d := o.Until.Sub(p.now); d > 0 {
			text += " (" + human(d) + " left)"
		}
	}
	if o.Note != "" {
		text += ": " + oneLine(o.Note)
	}
	return text
}

// votes is one word per node: n1:up n2:down.
func votes(list []health.Ballot) string {
	var out []string
	for i := range list {
		text := list[i].Node + ":" + list[i].Opinion.String()
		if list[i].Blind {
			text += "(blind)"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}
