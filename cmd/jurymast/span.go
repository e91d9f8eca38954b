package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// span is a duration flag in Go's notation. What it refuses, it says how to write.
type span time.Duration

const spanNotation = "a number and a unit (s, m, h) like 30m, 36h or 1h30m"

// String is empty for the zero span, so that the help shows no default.
func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return time.Duration(*s).String()
}

// Type is the word in the help text.
func (*span) Type() string { return "duration" }

func (s *span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err == nil {
		*s = span(d)
		return nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return fmt.Errorf("the unit is missing; write %sm or %[1]sh; allowed: %s", text, spanNotation)
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n <= math.MaxUint16/24 {
			return fmt.Errorf("days are no unit; write %dh; allowed: %s", 24*n, spanNotation)
		}
	}
	return errors.New("not a duration; write " + spanNotation)
}
