package main

import (
	"regexp"
	"time"
)

// Times are shown in one form: local time with the name or offset of its zone, and the date when it is not today.

func (p *printer) clock(t time.Time) string {
	t = t.In(p.zone)
	if p.day(t) == p.day(p.now) {
		return t.Format("15:04:05 MST")
	}
	return t.Format("2006-01-02 15:04:05 MST")
}

func (p *printer) day(t time.Time) string { return t.In(p.zone).Format(time.DateOnly) }

var stamps = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)

// line is what a node says, on one line and with its times in our form.
func (p *printer) line(text string) string {
	return stamps.ReplaceAllStringFunc(oneLine(text), func(stamp string) string {
		t, err := time.Parse(time.RFC3339, stamp)
		if err != nil {
			return stamp
		}
		return p.clock(t)
	})
}
