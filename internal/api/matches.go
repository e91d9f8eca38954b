package api

import (
	"fmt"
	"strconv"
	"strings"

	"jurymast/internal/profile"
)

// maxListed is how many codes or networks Matches names.
const maxListed = 3

// MatchHeading names what a routing method looks at on an endpoint, "" when no column of its own is needed.
func MatchHeading(routing string) string {
	switch profile.Routing(routing) {
	case profile.Weighted:
		return "Weight"
	case profile.Geographic:
		return "Codes"
	case profile.Performance:
		return "Location"
	case profile.Subnet:
		return "Subnets"
	case profile.Priority, profile.Multivalue:
	}
	return ""
}

// Matches is what the routing method looks at on this endpoint, in few words.
func (s *EndpointStatus) Matches(routing string) string {
	subnets := ""
	switch n := len(s.Subnets); n {
	case 0:
	case 1:
		subnets = " and " + s.Subnets[0]
	default:
		subnets = fmt.Sprintf(" and %d subnets", n)
	}
	switch profile.Routing(routing) {
	case profile.Weighted:
		text := strconv.Itoa(s.ConfigWeight)
		if s.Weight > 0 {
			text += " (now " + strconv.FormatFloat(s.Weight, 'f', -1, 64) + ")"
		}
		return text
	case profile.Geographic:
		return shortened(s.Geo) + subnets
	case profile.Performance:
		return s.Location + subnets
	case profile.Subnet:
		if len(s.Subnets) == 0 {
			return "all others"
		}
		return shortened(s.Subnets)
	case profile.Priority, profile.Multivalue:
	}
	return ""
}

// String is the nested profile and how it stands: emea (2 of 3 Online, needs 1).
func (n *NestedStatus) String() string {
	if n.Status == "" {
		return n.Profile + " (not known yet)"
	}
	return fmt.Sprintf("%s (%d of %d Online, needs %d)", n.Profile, n.Online, n.Size, n.Needed)
}

func shortened(words []string) string {
	if len(words) > maxListed {
		return fmt.Sprintf("%s +%d", strings.Join(words[:maxListed], " "), len(words)-maxListed)
	}
	return strings.Join(words, " ")
}
