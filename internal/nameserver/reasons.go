package nameserver

import (
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/steer"
)

// Extended error codes used here [RFC 8914].
const (
	edeOther            = 0
	edeStaleAnswer      = 3
	edeNotReady         = 14
	edeProhibited       = 18
	edeNotAuthoritative = 20
	edeNotSupported     = 21
	edeInvalidQueryType = 30
)

// The reasons given with an answer. They are shared and never changed, and go to everybody who asks: they name no
// endpoint and no node.
var (
	whyForeign  = []wire.EDE{{Code: edeNotAuthoritative, Text: "no zone of this server encloses the name"}}
	whyTransfer = []wire.EDE{{Code: edeProhibited, Text: "zone transfers are not allowed"}}
	whyNoStream = []wire.EDE{{Code: edeNotSupported, Text: "zones are transferred over TCP and TLS"}}
	whyBusy     = []wire.EDE{{Code: edeOther, Text: "too many transfers at once, try again"}}
	whySerial   = []wire.EDE{{Code: edeNotReady, Text: "the zone's serial is not known yet"}}
	whyNotify   = []wire.EDE{{Code: edeProhibited, Text: "the sender is no primary of this zone"}}
	whyClass    = []wire.EDE{{Code: edeNotSupported, Text: "nothing of this class is told"}}
	whyChaos    = []wire.EDE{{Code: edeNotSupported, Text: "this name and type of class CH are not told"}}
	whyMeta     = []wire.EDE{{Code: edeInvalidQueryType}}
	whyEmpty    = []wire.EDE{{Code: edeNotReady, Text: "the configuration is not loaded yet"}}
	whyMissing  = []wire.EDE{{Code: edeNotReady, Text: "first health checks are not done yet"}}

	whyIsolated    = []wire.EDE{{Code: edeNotReady, Text: "this server cannot confirm which endpoint is active: it has lost its store"}}
	whyUnconfirmed = []wire.EDE{{Code: edeNotReady, Text: "this server has not confirmed yet which endpoint is active"}}
	whyPreparing   = []wire.EDE{{Code: edeNotReady, Text: "a switch to another endpoint is under way"}}

	whyNothing    = reason{}
	whyAllDown    = because("all endpoints are down, this one may be too")
	whyLastResort = because("all endpoints are down, this is the answer of last resort")
	whyAnyway     = because("what serves this client is down, and nothing else may")
	whyDisabled   = because("profile is disabled")
	whyStopped    = because("what serves this client is stopped")
	whyNoMapping  = because("nothing is configured for where this client is")
	whyClosed     = because("all endpoints are down, and the profile answers none of them")
	whyNobody     = because("no endpoint may be answered")
)

// whyDown are the rules that say more than that all are down.
var whyDown = map[steer.Rule]*reason{
	steer.RuleLastResort: &whyLastResort, steer.RuleGeoAnyway: &whyAnyway, steer.RuleSubnetAnyway: &whyAnyway,
}

// whyHalted is what is told while a profile is not answered although it could be.
var whyHalted = map[steer.Rule][]wire.EDE{
	steer.RuleIsolated: whyIsolated, steer.RuleUnconfirmed: whyUnconfirmed, steer.RulePreparing: whyPreparing,
}

// reason is what is told of a confirmed state, and of one that is not.
type reason struct{ fresh, stale []wire.EDE }

func because(text string) reason {
	why := []wire.EDE{{Code: edeOther, Text: text}}
	return reason{why, append(why[:1:1], whyStale...)}
}

var whyStale = []wire.EDE{{Code: edeStaleAnswer, Text: "last known state, not confirmed"}}

// because is what is told about a choice, nil when there is nothing to tell.
func (c *compiled) because(p *steer.Pick) []wire.EDE {
	why := &whyNothing
	switch p.Serving {
	case steer.ServingNotReady:
		return whyMissing
	case steer.ServingHalted:
		return whyHalted[p.Rule]
	case steer.ServingAllDown:
		why = &whyAllDown
		if special := whyDown[p.Rule]; special != nil {
			why = special
		}
	case steer.ServingNone:
		why = c.silence(p.Rule)
	case steer.ServingPreferred, steer.ServingPartial, steer.ServingFallback:
	}
	switch {
	case !p.Stale:
		return why.fresh
	case why.stale == nil:
		return whyStale
	}
	return why.stale
}

// silence is why nothing is answered.
func (c *compiled) silence(rule steer.Rule) *reason {
	switch {
	case c.view.Disabled:
		return &whyDisabled
	case rule == steer.RuleNoMapping:
		return &whyNoMapping
	case rule == steer.RuleStopped:
		return &whyStopped
	case rule == steer.RuleAllDown:
		return &whyClosed
	}
	return &whyNobody
}
