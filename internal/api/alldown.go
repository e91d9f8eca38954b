package api

import (
	"strings"

	"jurymast/internal/profile"
)

// Fallen splits the endpoints of a profile that is all-down: those that are down, and those that would not be asked
// anyway, with the reason.
func (s *ProfileStatus) Fallen() (down, out []string) {
	for i := range s.Endpoints {
		if why := s.Endpoints[i].ineligible(); why != "" {
			out = append(out, s.Endpoints[i].Name+" ("+why+")")
		} else {
			down = append(down, s.Endpoints[i].Name)
		}
	}
	return down, out
}

// ineligible is why an endpoint is not even asked for when all are down, "" when it is.
func (s *EndpointStatus) ineligible() string {
	switch {
	case s.Override != nil && (s.Override.Act == "disable" || s.Override.Act == "drain"):
		return strings.TrimSuffix(s.Override.Act+" by "+s.Override.By, " by ")
	case s.MonitorStatus == "Disabled", s.MonitorStatus == "Inactive", s.MonitorStatus == "Stopped":
		return s.MonitorStatus
	}
	return ""
}

// level is what one profile on the way to an answer has done: the one that was asked, or one nested in it.
type level struct {
	routing, choice string
	eligible        int
}

// Answered is the answer of a profile that is all-down in few words: the endpoints on the way to it, and its records, as
// "eu > eu-1, A 192.0.2.1". Where dice decide, each question may get another one, so none is named.
func (e *Explanation) Answered() string {
	var names []string
	for i, l := range levels(e) {
		drawn := ""
		switch {
		case l.choice == "":
			continue
		case l.routing == string(profile.Multivalue):
			drawn = "some of %, from a random one on"
		case l.routing == string(profile.Weighted) && l.eligible > 1:
			drawn = "one of %, drawn by weight"
		}
		if drawn != "" {
			of := "them"
			if i > 0 {
				of = "its endpoints"
			}
			return strings.Join(append(names, strings.Replace(drawn, "%", of, 1)), " > ")
		}
		names = append(names, strings.Join(strings.Fields(l.choice), " "))
	}
	var words []string
	if len(names) > 0 {
		words = append(words, strings.Join(names, " > "))
	}
	for _, record := range e.Answer {
		if fields := strings.Fields(record); len(fields) > 4 { // name, TTL, class, type, data
			words = append(words, strings.Join(fields[3:], " "))
		}
	}
	return strings.Join(words, ", ")
}

// levels reads a trail from the profile that was asked down to the last one nested in it. The last choice of each counts:
// the method chooses first, the rule for all down after it.
func levels(e *Explanation) []level {
	var out []level
	at := map[string]int{}
	for _, s := range e.Trail {
		n, known := at[s.Profile]
		if !known {
			n = len(out)
			at[s.Profile] = n
			out = append(out, level{})
		}
		l := &out[n]
		switch s.Step {
		case "profile":
			if routing, ok := strings.CutPrefix(s.Result, "routing "); ok {
				l.routing, _, _ = strings.Cut(routing, ",")
			}
		case "endpoint":
			if strings.HasPrefix(s.Result, "eligible") {
				l.eligible++
			}
		case "choice":
			l.choice = s.Result
		}
	}
	return out
}
