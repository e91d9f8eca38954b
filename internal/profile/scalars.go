package profile

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// duration reads Go's notation. A bare number is refused because nobody agrees on its unit.
func (d *decoder) duration(a *at, p *time.Duration) {
	switch a.n.kind {
	case kindInt, kindFloat:
		d.errorf(a, "%s has no unit; write %ss for seconds", a.n.text, a.n.text)
	case kindText:
		v, err := time.ParseDuration(a.n.text)
		if err != nil {
			d.errorf(a, "%s is not a duration; write a number and a unit (ms, s, m, h) like 500ms, 10s or 1h30m", a.n.shown())
			return
		}
		*p = v
	case kindBool, kindNull, kindList, kindMap, kindBad:
		d.errorf(a, "%s stands where a duration is needed; write one like 10s", a.n.shown())
	}
}

// sizeUnits are the units of a Size. Powers of 1024 only: 64KB means two things, 64KiB one.
var sizeUnits = []struct {
	suffix string
	factor int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}}

func (d *decoder) bytes(a *at, p *Size) {
	number, factor := a.n.text, int64(1)
	if a.n.kind == kindText {
		factor = 0
		for _, u := range sizeUnits {
			if rest, ok := strings.CutSuffix(number, u.suffix); ok {
				number, factor = strings.TrimSpace(rest), u.factor
				break
			}
		}
	}
	v, err := strconv.ParseInt(number, 10, 64)
	if err != nil || factor == 0 || v < 0 || v > math.MaxInt64/factor || (a.n.kind != kindText && a.n.kind != kindInt) {
		d.errorf(a, "%s is not a size; write a number and a unit (B, KiB, MiB, GiB) like 64KiB", a.n.shown())
		return
	}
	*p = Size(v * factor)
}

func (d *decoder) percent(a *at, p *Percent) {
	number, ok := strings.CutSuffix(a.n.text, "%")
	v, err := strconv.Atoi(strings.TrimSpace(number))
	if !ok || err != nil || v < 0 || v > 100 || a.n.kind != kindText {
		d.errorf(a, "%s is not a share; allowed: 0%% to 100%%, whole numbers, like 20%%", a.n.shown())
		return
	}
	*p = Percent(v)
}

// value reads a text that may be secret.
func (d *decoder) value(a *at, p *Value) {
	if a.n.kind != kindMap {
		if text, ok := d.text(a); ok {
			*p = Value{Text: text}
		}
		return
	}
	key, name, ok := d.single(a, "secret", "env")
	if !ok {
		return
	}
	*p = Value{Secret: name}
	if key == "env" {
		*p = Value{Env: name}
	}
}

// single reads a mapping with exactly one of the allowed keys and a non-empty text behind it.
func (d *decoder) single(a *at, allowed ...string) (key, text string, ok bool) {
	for _, e := range a.n.entries {
		if !slices.Contains(allowed, e.key) {
			d.errorf(a.keyOf(e), "unknown key; %s", suggest(e.key, allowed))
			return "", "", false
		}
	}
	if len(a.n.entries) != 1 {
		d.errorf(a, "exactly one key is needed; allowed: {%s: NAME}", strings.Join(allowed, ": NAME}, {"))
		return "", "", false
	}
	e := a.n.entries[0]
	text, ok = d.text(a.child(e.key))
	if ok && text == "" {
		d.errorf(a.child(e.key), "the name is empty; write one")
		return "", "", false
	}
	return e.key, text, ok
}

// target reads what DNS answers: a host name, an address, a list of addresses, or {profile: NAME}.
func (d *decoder) target(a *at, p *Target) {
	switch a.n.kind {
	case kindMap:
		if _, name, ok := d.single(a, "profile"); ok {
			*p = Target{Profile: name}
		}
	case kindList:
		d.targetList(a, p)
	case kindText, kindInt, kindFloat, kindBool, kindNull, kindBad:
		d.targetText(a, p, "a host name, an address, a list of addresses or {profile: NAME}")
	}
}

// targetText reads one host name or address.
func (d *decoder) targetText(a *at, p *Target, allowed string) {
	text, ok := d.text(a)
	if !ok {
		return
	}
	if addr, ok := parseAddr(text); ok {
		*p = Target{Addrs: []string{addr}}
		return
	}
	if why := hostNameFault(text); why != "" {
		d.errorf(a, "%q %s; allowed: %s", text, targetFault(text, why), allowed)
		return
	}
	*p = Target{Host: CanonicalName(text)}
}

// targetFault names the usual mistake, a URL or a port, before the letter that is wrong about it.
func targetFault(text, why string) string {
	if strings.Contains(text, "://") {
		return "is a URL and belongs in origin"
	}
	if host, port, ok := cutPort(text); ok && host != "" && port != "" {
		return "has a port, which DNS cannot answer; write the port in origin"
	}
	return why
}

func (d *decoder) targetList(a *at, p *Target) {
	if len(a.n.items) == 0 {
		d.errorf(a, "the list is empty; write at least one address")
		return
	}
	var out Target
	seen := map[string]bool{}
	for i := range a.n.items {
		item := a.element(i)
		text, ok := d.text(item)
		if !ok {
			continue
		}
		addr, ok := parseAddr(text)
		switch {
		case !ok:
			d.errorf(item, "%q is not an address; a list holds addresses only, because a name that is sometimes CNAME and sometimes A poisons caches; write one host name without a list, or addresses", text)
		case seen[addr]:
			d.errorf(item, "%s stands twice in the list; remove one", addr)
		default:
			seen[addr] = true
			out.Addrs = append(out.Addrs, addr)
		}
	}
	*p = out
}

// parseAddr is an IP address in its canonical text. Zones (fe80::1%eth0) mean nothing in DNS and are no addresses here.
func parseAddr(s string) (string, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return "", false
	}
	return addr.Unmap().String(), true
}

func (d *decoder) quorum(a *at, p *Quorum) {
	word, n, ok := d.ruleOrCount(a, "a quorum rule", "majority", "any", "all")
	if !ok {
		return
	}
	rules := map[string]QuorumRule{"majority": QuorumMajority, "any": QuorumAny, "all": QuorumAll, atLeast: QuorumAtLeast}
	*p = Quorum{Rule: rules[word], N: n}
}

func (d *decoder) combine(a *at, p *Combine) {
	if word, n, ok := d.ruleOrCount(a, "a rule for several checks", "all", "any"); ok {
		*p = Combine{Rule: CombineRule(word), N: n}
	}
}

const atLeast = "at_least"

// ruleOrCount reads one of the words, or {at_least: n}.
func (d *decoder) ruleOrCount(a *at, what string, words ...string) (word string, n int, ok bool) {
	allowed := "allowed: " + strings.Join(words, ", ") + ", {at_least: 2}"
	if a.n.kind != kindMap {
		if a.n.kind != kindText || !slices.Contains(words, a.n.text) {
			d.errorf(a, "%s is not %s; %s", a.n.shown(), what, allowed)
			return "", 0, false
		}
		return a.n.text, 0, true
	}
	for _, e := range a.n.entries {
		if e.key != atLeast {
			d.errorf(a.keyOf(e), "unknown key; %s", suggest(e.key, []string{atLeast}))
			return "", 0, false
		}
	}
	count := a.child(atLeast)
	if !count.given() {
		d.errorf(a, "is empty; %s", allowed)
		return "", 0, false
	}
	n, ok = d.whole(count)
	return atLeast, n, ok
}

// allDown reads serve, last-active, none or {target: X}.
func (d *decoder) allDown(a *at, p *AllDown) {
	words := []string{string(AllDownServe), string(AllDownLastActive), string(AllDownNone)}
	if a.n.kind != kindMap {
		if a.n.kind != kindText || !slices.Contains(words, a.n.text) {
			d.errorf(a, "%s is not allowed; %s, {target: X}", a.n.shown(), suggest(a.n.text, words))
			return
		}
		*p = AllDown{Rule: AllDownRule(a.n.text)}
		return
	}
	for _, e := range a.n.entries {
		if e.key != string(AllDownTarget) {
			d.errorf(a.keyOf(e), "unknown key; %s", suggest(e.key, []string{string(AllDownTarget)}))
			return
		}
	}
	place := a.child(string(AllDownTarget))
	if !place.given() {
		d.errorf(a, "is empty; allowed: %s, {target: X}", strings.Join(words, ", "))
		return
	}
	*p = AllDown{Rule: AllDownTarget}
	const allowed = "a host name, an address or a list of addresses"
	switch place.n.kind {
	case kindMap:
		d.errorf(place, "a mapping stands where the answer of last resort is needed; write %s", allowed)
	case kindList:
		d.targetList(place, &p.Target)
	case kindText, kindInt, kindFloat, kindBool, kindNull, kindBad:
		d.targetText(place, &p.Target, allowed)
	}
}

func (d *decoder) status(a *at, p *StatusRange) {
	low, high, ranged := strings.Cut(a.n.text, "-")
	if !ranged {
		high = low
	}
	minimum, err1 := strconv.Atoi(low)
	maximum, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || (a.n.kind != kindText && a.n.kind != kindInt) {
		d.errorf(a, "%s is not a status; write a code like \"200\" or a range like \"200-299\"", a.n.shown())
		return
	}
	if minimum < 100 || maximum > 599 || minimum > maximum {
		d.errorf(a, "%s is out of range; allowed: 100 to 599, the lower code first", a.n.text)
		return
	}
	*p = StatusRange{Min: minimum, Max: maximum}
}
