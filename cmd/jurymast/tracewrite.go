package main

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"jurymast/internal/witness/trace"
)

// Widths of the columns that may be long, so that lines mostly fit 100 columns.
const (
	wideName   = 26
	wideAnswer = 34
)

// cut shortens text to n characters.
func cut(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-3]) + "..."
}

// writeTrace prints a report for people: from the root to the caches, and the outlook last, where the eye ends.
func writeTrace(p *printer, r *trace.Report) {
	p.printf("%s %s, seen from here at %s\n", strings.TrimSuffix(r.Name, "."), r.Type, p.clock(r.At))
	if r.Written != "" {
		p.printf("  written %s\n", r.Written)
	}
	writeTraceNode(p, r)
	for i := range r.Chain {
		writeLink(p, &r.Chain[i])
	}
	writeChain(p, r)
	p.printf("\nresolvers\n")
	writeHolders(p, r.Caches, "none was asked (--resolver, /etc/resolv.conf)")
	if len(r.Local) > 0 || len(r.Java) > 0 {
		p.printf("\nthis host\n")
		writeHolders(p, r.Local, "")
		writeJava(p, r)
	}
	for i, note := range r.Notes {
		if i == 0 {
			p.printf("\n")
		}
		p.wrap("note: ", "      ", oneLine(note))
	}
	p.printf("\n")
	writeOutlook(p, r)
	writeBounds(p, r)
}

func writeTraceNode(p *printer, r *trace.Report) {
	n := r.Node
	if n == nil {
		return
	}
	if n.Trouble != "" {
		p.wrap("  node: ", "        ", "says nothing: "+n.Trouble)
		return
	}
	text := "has no profile for it"
	if n.Profile != "" {
		text = fmt.Sprintf("profile %s, %s, TTL %d s", n.Profile, n.Routing, n.TTL)
		if n.Active != "" {
			text += fmt.Sprintf(", %s since %s (epoch %d: %s)", n.Active, p.clock(n.Since), n.Epoch, n.Reason)
		}
	}
	p.wrap("  node "+n.Name+": ", "    ", oneLine(text))
}

func writeLink(p *printer, l *trace.Link) {
	p.printf("\ndelegation of %s\n", l.Name)
	var rows [][]cell
	for _, h := range l.Hops {
		what, shade := "answers", green
		switch {
		case h.Trouble != "":
			what, shade = h.Trouble, yellow
		case h.Refers != "":
			what, shade = "refers to "+h.Refers+" ("+count(len(h.Names), "server")+")", 0
		}
		rows = append(rows, []cell{{cut(h.Zone, wideName), 0}, {cut(h.Server, wideName), 0}, {h.Address, 0}, {fmt.Sprintf("%.1f ms", h.TookMS), 0}, {what, shade}})
	}
	if len(rows) > 0 {
		p.table("  ", append([][]cell{plain("ZONE", "SERVER", "ADDRESS", "TOOK", "IT")}, rows...))
	}
	if l.Trouble != "" {
		p.printf("  ")
		p.paint(red, oneLine(l.Trouble))
		p.printf("\n")
	}
	if len(l.Servers) == 0 {
		return
	}
	p.printf("name servers of %s\n", l.Zone)
	rows = [][]cell{plain("SERVER", "ADDRESS", "VIA", "AA", "TTL", "SERIAL", "NODE", "TOOK", "ANSWER")}
	for i := 0; i < len(l.Servers); i++ {
		s, via := &l.Servers[i], l.Servers[i].Transport
		if i+1 < len(l.Servers) && same(s, &l.Servers[i+1]) {
			via = "udp tcp"
			i++
		}
		rows = append(rows, serverRow(s, via))
	}
	p.table("  ", rows)
}

// same tells that both transports of one address say the same.
func same(a, b *trace.Server) bool {
	return a.Address == b.Address && a.Trouble == b.Trouble && a.Differs == b.Differs && a.TTL == b.TTL && a.Serial == b.Serial &&
		a.AA == b.AA && a.Rcode == b.Rcode && answerText(a.Records, "") == answerText(b.Records, "")
}

func serverRow(s *trace.Server, via string) []cell {
	aa, serial, ttl := "no", "", ""
	if s.AA {
		aa = "yes"
	}
	if s.Serial > 0 {
		serial = fmt.Sprint(s.Serial)
	}
	text, shade := cut(answerText(s.Records, s.Rcode), wideAnswer), colour(0)
	if s.Trouble != "" {
		text, shade, aa = oneLine(s.Trouble), yellow, ""
	} else {
		ttl = fmt.Sprint(s.TTL)
	}
	if s.Differs {
		text, shade = "DIFFERS "+text, red
	}
	node := s.Node
	if node == "" {
		node = s.NSID
	}
	return []cell{{cut(s.Name, wideName), 0}, {s.Address, 0}, {via, 0}, {aa, 0}, {ttl, 0}, {serial, 0}, {cut(node, 16), 0}, {fmt.Sprintf("%.1f ms", s.TookMS), 0}, {text, shade}}
}

// answerText is the end of a way in short: its records, and how many aliases led there.
func answerText(list []trace.Record, rcode string) string {
	if len(list) == 0 {
		return rcode
	}
	last := list[len(list)-1]
	var values []string
	aliases := 0
	for _, r := range list {
		if r.Name == last.Name && r.Type == last.Type {
			values = append(values, r.Value)
		} else {
			aliases++
		}
	}
	text := last.Type + " " + strings.Join(values, " ")
	switch {
	case aliases == 1:
		text += " (1 alias)"
	case aliases > 1:
		text += fmt.Sprintf(" (%d aliases)", aliases)
	}
	return text
}

// writeChain shows each record of a way with aliases: for how long name servers tell it, and what is left of it where.
func writeChain(p *printer, r *trace.Report) {
	var told []trace.Record
	for i := range r.Chain {
		told = append(told, r.Chain[i].Records...)
	}
	if len(told) == 0 || len(told) == 1 && len(r.Caches) == 0 {
		return
	}
	const columns = 3 // of resolvers that fit
	head := plain("NAME", "RECORD", "TOLD")
	var held []*trace.Holder
	for i := range r.Caches {
		if h := &r.Caches[i]; len(h.Records) > 0 && len(held) < columns {
			held = append(held, h)
			head = append(head, cell{text: cut(h.Address, 21)})
		}
	}
	rows := [][]cell{head}
	for _, rec := range told {
		row := plain(cut(rec.Name, wideName), cut(rec.Type+" "+rec.Value, wideAnswer), fmt.Sprintf("%d s", rec.TTL))
		for _, h := range held {
			row = append(row, leftOf(h, &rec))
		}
		rows = append(rows, row)
	}
	p.printf("\nrecords, and what is left of them\n")
	p.table("  ", rows)
}

// leftOf is what a cache has left of a record, or what it holds instead.
func leftOf(h *trace.Holder, rec *trace.Record) cell {
	other := cell{text: "not held"}
	for _, r := range h.Records {
		switch {
		case r.Name != rec.Name:
		case r.Type == rec.Type && r.Value == rec.Value:
			return cell{text: fmt.Sprintf("%d s", r.TTL)}
		default:
			other = cell{fmt.Sprintf("OTHER %d s", r.TTL), red}
		}
	}
	return other
}

func writeHolders(p *printer, list []trace.Holder, none string) {
	if len(list) == 0 {
		if none != "" {
			p.printf("  %s\n", none)
		}
		return
	}
	rows := [][]cell{plain("WHO", "STATE", "LEFT", "HELD", "AD", "ANSWER")}
	for i := range list {
		h := &list[i]
		shade := map[trace.State]colour{trace.Current: green, trace.Empty: green, trace.Old: red, trace.Unknown: yellow}[h.State]
		left, ad := "", "no"
		switch {
		case h.Forever:
			left = "for ever"
		case h.State == trace.Old:
			left = fmt.Sprintf("%d s", h.Left)
		case h.State == trace.Unknown && h.Left > 0:
			left = fmt.Sprintf("<= %d s", h.Left)
		case len(h.Records) > 0:
			left = fmt.Sprintf("%d s", ttlOf(h.Records))
		}
		if h.AD {
			ad = "yes"
		}
		state := string(h.State)
		if h.Stale {
			state = "stale"
		}
		text := firstOf(oneLine(h.Trouble), answerText(h.Records, h.Rcode))
		rows = append(rows, []cell{{cut(h.Address, wideName+8), 0}, {state, shade}, {left, 0}, {h.Cached, 0}, {ad, 0}, {cut(text, wideAnswer), 0}})
	}
	p.table("  ", rows)
	for i := range list {
		h := &list[i]
		if h.Note != "" {
			p.wrap("    "+h.Address+": ", "      ", oneLine(h.Note))
		}
		for _, e := range h.Errors {
			p.wrap("    "+h.Address+": ", "      ", "extended error "+oneLine(e))
		}
	}
}

func ttlOf(list []trace.Record) (ttl uint32) {
	for i, r := range list {
		if i == 0 || r.TTL < ttl {
			ttl = r.TTL
		}
	}
	return ttl
}

func writeJava(p *printer, r *trace.Report) {
	for _, j := range r.Java {
		keeps := fmt.Sprintf("keeps addresses %d s", j.TTL)
		if j.TTL < 0 {
			keeps = "keeps addresses for ever"
		}
		text := fmt.Sprintf("%s, whatever their TTL (%s)", keeps, oneLine(j.From))
		if j.Note != "" {
			text += "; " + oneLine(j.Note)
		}
		p.wrap(fmt.Sprintf("  java %d: ", j.PID), "    ", text)
	}
}

// writeOutlook is the one line people look for.
func writeOutlook(p *printer, r *trace.Report) {
	o := &r.Outlook
	var who []string
	if o.Old > 0 {
		who = append(who, count(o.Old, "cache")+" with another answer")
	}
	if o.Differ > 0 {
		who = append(who, count(o.Differ, "answer")+" of name servers that differ")
	}
	if o.Unknown > 0 {
		who = append(who, fmt.Sprintf("%d unknown", o.Unknown))
	}
	tell := strings.Join(who, ", ")
	switch {
	case !o.Answered:
		p.paint(red, "no name server tells the present answer")
		if tell != "" {
			p.printf("; %s", tell)
		}
	case o.Agree && tell == "":
		p.paint(green, "everybody who was asked holds the present answer")
	case o.Agree:
		p.paint(green, "everybody who told holds the present answer")
		p.printf("; %s, by %s at the latest", tell, p.until(o.By))
	case o.By.At.IsZero() || o.By.Seconds == 0:
		p.paint(red, "not everybody has switched")
		p.printf(": %s", firstOf(tell, o.By.Reason))
	default:
		p.paint(yellow, "everybody has switched by "+p.until(o.By))
		p.printf(": %s", tell)
	}
	p.printf("\n")
}

func (p *printer) until(b trace.Bound) string {
	if b.Seconds == 0 {
		return "now"
	}
	return fmt.Sprintf("%s, in %s", p.clock(b.At), (time.Duration(b.Seconds) * time.Second).String())
}

// writeBounds gives the reasons, and the times of those nobody could ask.
func writeBounds(p *printer, r *trace.Report) {
	o := &r.Outlook
	p.wrap("  why:    ", "          ", oneLine(o.By.Reason))
	for _, text := range o.Never {
		p.wrap("  never:  ", "          ", oneLine(text))
	}
	if o.Java != nil {
		p.wrap("  Java:   ", "          ", "by "+p.until(*o.Java)+": "+oneLine(o.Java.Reason))
	}
	if o.Others != nil {
		p.wrap("  others: ", "          ", "by "+p.until(*o.Others)+": "+oneLine(o.Others.Reason))
	}
}
