package main

import (
	"fmt"
	"strings"
	"time"

	"jurymast/internal/api"
)

// writeStandings says below the table what its columns have no room for.
func writeStandings(p *printer, s *api.ProfileStatus) {
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		if e.Paused {
			p.printf("  %s: paused by order, its verdict is frozen\n", e.Name)
		}
		if e.Probing {
			p.printf("  %s: disabled and still probed, it would be %s\n", e.Name, e.Real)
		}
		if e.Signal != nil {
			writeSignal(p, e.Name, e.Signal)
		}
	}
}

func writeSignal(p *printer, name string, s *api.SignalStatus) {
	p.printf("  %s: signal %s %s", name, s.State, p.ago(s.At))
	if s.By != "" {
		p.printf(" by %s", oneLine(s.By))
	}
	if s.Reason != "" {
		p.printf(": %s", oneLine(s.Reason))
	}
	if left := s.Until.Sub(p.now); left >= time.Second {
		p.printf("; it counts for another %s\n", human(left))
	} else {
		p.printf("; ")
		p.paint(yellow, "silent since "+strings.TrimSuffix(p.ago(s.Until), " ago"))
		p.printf(", on_silence counts\n")
	}
}

// writeKept names the endpoint that finishes what it has after a failback for new sessions.
func writeKept(p *printer, s *api.ProfileStatus) {
	if d := s.Decision; d != nil && d.Keeps != "" {
		p.printf("  %s keeps the requests and tunnels it has; new ones go to %s (failback new-sessions)\n", d.Keeps, d.Active)
	}
}

// writeLocations shows this node's files about where clients are.
func writeLocations(p *printer, n *api.NodeStatus) {
	for _, f := range n.Locations {
		unit := "prefix"
		if f.Kind != "latency table" {
			unit = "record"
		}
		p.printf("  %s %s", f.Kind, f.Path)
		if f.Type != "" {
			p.printf(", %s", oneLine(f.Type))
		}
		words := count(f.Records, unit)
		if unit == "prefix" && f.Records != 1 {
			words = fmt.Sprintf("%d prefixes", f.Records)
		}
		p.printf(", %s", words)
		if !f.Built.IsZero() {
			p.printf(", built %s", p.day(f.Built))
		}
		if f.Fault != "" {
			p.printf(", ")
			p.paint(red, "THE FILE AS IT IS NOW IS NOT USED")
		}
		p.printf("\n")
	}
}

// writeFlattened counts the targets whose addresses DNS answers in place of a CNAME, and names those with trouble.
func writeFlattened(p *printer, n *api.NodeStatus) {
	fresh := 0
	for i := range n.Flattened {
		t := &n.Flattened[i]
		if t.State == "fresh" {
			fresh++
			continue
		}
		p.printf("  target   %s ", t.Target)
		tone := yellow
		if t.State == "unknown" {
			tone = red
		}
		p.paint(tone, t.State)
		if len(t.Addresses) > 0 {
			p.printf(" %s, learned %s", strings.Join(t.Addresses, " "), p.ago(t.Learned))
		}
		if t.Trouble != "" {
			p.printf(": %s", oneLine(t.Trouble))
		}
		p.printf("\n")
	}
	if fresh > 0 {
		p.printf("  targets  %s answered with fresh addresses\n", count(fresh, "host name"))
	}
}

// writeCertificates tells what the fronts show to clients, and until when.
func writeCertificates(p *printer, list []api.Certificate, now time.Time) {
	const soon = 14 * 24 * time.Hour
	for _, c := range list {
		p.printf("  cert     %s %s (%s), ", c.Front, c.File, strings.Join(c.Names, ", "))
		ends := "ends " + c.NotAfter.Format(time.DateOnly)
		switch {
		case c.Fault != "":
			p.paint(red, ends)
		case c.NotAfter.Sub(now) < soon:
			p.paint(yellow, ends)
		default:
			p.printf("%s", ends)
		}
		if c.Fault != "" {
			p.printf(": %s", oneLine(c.Fault))
		}
		p.printf("\n")
	}
}

// writeDriver tells where hot questions are answered in the network driver, and where and why not.
func writeDriver(p *printer, d *api.DriverStatus) {
	if d == nil {
		return
	}
	p.printf("  driver   ")
	tone := red
	switch d.State {
	case "on":
		tone = green
	case "waiting":
		tone = yellow
	}
	p.paint(tone, d.State)
	if d.State == "on" {
		p.printf(", %s known, %d answered, %d passed to the sockets", count(d.Entries+d.Waiting, "question"), d.Answered, d.Missed+d.NoRoom)
	}
	if d.Left > 0 {
		p.printf(", %d do not fit", d.Left)
	}
	if d.Reason != "" {
		p.printf(": %s", oneLine(d.Reason))
	}
	p.printf("\n")
	for _, n := range d.Interfaces {
		p.printf("    %s ", n.Name)
		if n.Attached {
			p.paint(green, "attached")
		} else {
			p.paint(red, "not attached")
		}
		if n.Reason != "" {
			p.printf(": %s", oneLine(n.Reason))
		}
		p.printf("\n")
	}
}
