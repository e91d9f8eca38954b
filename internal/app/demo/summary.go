package demo

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"jurymast/internal/health"
)

// figures are what one switch cost, counted from the fault or its mending.
type figures struct {
	vote, decision, dns, http time.Duration // -1: not seen
}

// measure takes the times from the journal and from what the clients saw.
func (d *show) measure(from time.Time, entries []health.Entry, addr, region string) figures {
	f := figures{-1, -1, -1, -1}
	for _, e := range entries {
		switch after := e.At.Sub(from); {
		case e.Kind == health.EntryVote && f.vote < 0:
			f.vote = after
		case e.Kind == health.EntryDecision && f.decision < 0:
			f.decision = after
		}
	}
	if s, ok := d.dns.first(from, func(s seen) bool { return strings.HasPrefix(s.what, addr) }); ok {
		f.dns = s.at.Add(s.took).Sub(from)
	}
	if s, ok := d.web.first(from, func(s seen) bool { return strings.Contains(s.what, region) }); ok {
		f.http = s.at.Add(s.took).Sub(from)
	}
	return f
}

// summary prints the measured times and what was lost; anything lost through the proxy is an error.
func (d *show) summary(broke time.Time, failover []health.Entry, mended time.Time, failback []health.Entry) error {
	d.title("5. What it cost")
	out := d.measure(broke, failover, "127.0.0.12", "US21")
	back := d.measure(mended, failback, "127.0.0.11", "EU20")
	w := tabwriter.NewWriter(d.o.Out, 2, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "\tfailover\tfailback")
	for _, row := range []struct {
		name string
		a, b time.Duration
	}{
		{"first vote", out.vote, back.vote},
		{"decision", out.decision, back.decision},
		{"DNS answers the other endpoint", out.dns, back.dns},
		{"first request served by it", out.http, back.http},
	} {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", row.name, millis(row.a), millis(row.b))
	}
	_ = w.Flush()
	all, failed, slowest := d.web.sum(time.Time{})
	queries, unanswered, _ := d.dns.sum(time.Time{})
	_, _ = fmt.Fprintf(d.o.Out, "\nrequests through the proxy: %d, lost: %d, slowest: %v\nDNS queries: %d, unanswered: %d\n",
		all, failed, slowest.Round(time.Millisecond), queries, unanswered)
	switch {
	case failed > 0 || unanswered > 0:
		bad, _ := d.web.first(time.Time{}, func(s seen) bool { return s.what == "" })
		return fmt.Errorf("%d requests and %d queries were lost; none should be (first: %s)", failed, unanswered, bad.err)
	case out.decision < 0 || back.decision < 0:
		return errors.New("the journal does not show both decisions")
	}
	d.say("green", "nothing lost: the users did not notice")
	return nil
}

func millis(d time.Duration) string {
	if d < 0 {
		return "not seen"
	}
	return d.Round(time.Millisecond).String()
}
