package nameserver_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"jurymast/internal/profile"
)

// landscape is a few zones that know each other, made from a seed: every feature zone text may have and every relation
// between names that a server has to get right. The same text is given to other servers and to ours.
//
//	one       the zone with everything
//	two       where chains of one lead to and come back from
//	child.one delegated by one and served beside it (not always)
type landscape struct {
	seed  uint64
	plain bool // only what gdnsd can load
	zones []*profile.Zone
	names []string // everything the zones speak of, absolute

	dice    *rand.Rand
	targets []string // what data may point to
	last    string   // owner of the line before, in the text being written
}

// plot is one zone while it is being made.
type plot struct {
	apex   string
	owners map[string][]string // lower case name -> lines, the first word of each is its type
	order  []string
	closed []string // DNAME owners: nothing may stand below them
	cuts   []string
	text   strings.Builder
}

// labels that names are made of. Few, so that names meet: ancestors, siblings, empty non-terminals.
var (
	plainLabels = []string{"a", "b", "c", "www", "mail", "Mixed", "x-1", "ent", "0", "xn--bcher-kva", strings.Repeat("l", 63)}
	oddLabels   = []string{
		"a", "b", "c", "www", "Mixed", "_sip", "_tcp", "ent", `odd\.dot`, `sp\032ace`, `n\000ul`, `hi\255`, `q\"t`, `b\\s`, `at\@`,
		`par\(en`, `semi\;c`, strings.Repeat("L", 63),
	}
)

func newLandscape(seed uint64, plain bool) *landscape {
	l := &landscape{seed: seed, plain: plain, dice: rand.New(rand.NewPCG(seed, 2026))}
	mark := "s"
	if plain {
		mark = "p"
	}
	one, two := fmt.Sprintf("one-%s%d.test.", mark, seed), fmt.Sprintf("Two-%s%d.test.", mark, seed)
	plots := []*plot{newPlot(one), newPlot(two)}
	if l.dice.IntN(3) > 0 && !plain { // gdnsd does not serve a zone below one of its own
		plots = append(plots, newPlot("child."+one))
	}
	for _, p := range plots {
		l.name(p)
	}
	l.targets = append(l.targets, "outside.invalid.", "ns.elsewhere.invalid.", "missing."+one, "missing."+two, "deep.er.missing."+one)
	for i, p := range plots {
		l.apex(p)
		if i == 0 && len(plots) == 3 {
			l.cut(p, plots[2].apex)
		}
		l.fill(p)
		l.zones = append(l.zones, &profile.Zone{Name: strings.TrimSuffix(strings.ToLower(p.apex), "."), Records: l.write(p)})
	}
	l.names = slices.Clone(l.targets)
	for _, p := range plots {
		l.names = append(l.names, p.apex)
		l.names = append(l.names, p.order...)
	}
	slices.Sort(l.names)
	l.names = slices.Compact(l.names)
	return l
}

func newPlot(apex string) *plot { return &plot{apex: apex, owners: map[string][]string{}} }

func (l *landscape) pick(list []string) string { return list[l.dice.IntN(len(list))] }

func (l *landscape) one(in int) bool { return l.dice.IntN(in) == 0 }

// name invents the names of a zone. What stands at them is decided when all are known.
func (l *landscape) name(p *plot) {
	labels := oddLabels
	if l.plain {
		labels = plainLabels
	}
	for range 22 {
		name := p.apex
		for range 1 + l.dice.IntN(3) {
			if name = l.pick(labels) + "." + name; len(name) > 180 {
				break
			}
		}
		if l.one(5) {
			name = "*." + name
			if l.one(4) {
				name = "under." + name
			}
		}
		if l.one(12) {
			name = "*." + p.apex
		}
		l.targets = append(l.targets, name)
	}
}

func (p *plot) add(owner, line string) {
	key := strings.ToLower(owner)
	if _, known := p.owners[key]; !known {
		p.order = append(p.order, owner)
	}
	if !slices.Contains(p.owners[key], line) {
		p.owners[key] = append(p.owners[key], line)
	}
}

func (l *landscape) apex(p *plot) {
	p.add(p.apex, fmt.Sprintf("SOA ns1.%s hostmaster.%s %d 3600 600 86400 %d", p.apex, p.apex, 1+l.dice.IntN(1<<30), []int{60, 300, 86400}[l.dice.IntN(3)]))
	p.add(p.apex, "NS ns1."+p.apex)
	p.add(p.apex, "NS ns.elsewhere.invalid.")
	p.add("ns1."+p.apex, "A 192.0.2.53")
	for range l.dice.IntN(3) {
		l.set(p, p.apex)
	}
}

// fill decides what stands at each name of the zone.
func (l *landscape) fill(p *plot) {
	for _, name := range l.targets {
		if !dns.IsSubDomain(p.apex, name) || strings.HasPrefix(name, "missing.") || strings.Contains(name, ".missing.") || l.taken(p, name) {
			continue
		}
		wild := strings.Contains(name, "*.")
		switch n := l.dice.IntN(20); {
		case n < 4:
			p.add(name, "CNAME "+l.alias(p))
		case n < 7 && !wild && l.free(p, name):
			l.cut(p, name)
		case n < 9 && !wild && !l.plain && l.free(p, name):
			l.redirect(p, name)
		case n == 9:
			l.large(p, name)
		default:
			for range 1 + l.dice.IntN(4) {
				l.set(p, name)
			}
		}
	}
	l.chain(p)
}

// alias is where a CNAME leads. gdnsd refuses loops, so for it only to what is there already.
func (l *landscape) alias(p *plot) string {
	if l.plain {
		there := slices.DeleteFunc(slices.Clone(p.order), func(name string) bool { return strings.HasPrefix(name, "chain") })
		return l.pick(append(there, "outside.invalid."))
	}
	return l.pick(l.targets)
}

// taken reports that nothing may be put at the name: it has records, or lies where a DNAME or the child zone begins.
func (l *landscape) taken(p *plot, name string) bool {
	if _, used := p.owners[strings.ToLower(name)]; used || strings.Contains(name, ".child.") && !strings.HasPrefix(p.apex, "child.") {
		return true
	}
	if slices.ContainsFunc(p.closed, func(above string) bool { return dns.IsSubDomain(above, name) }) {
		return true
	}
	// gdnsd takes nothing but addresses below a delegation.
	return l.plain && slices.ContainsFunc(p.cuts, func(above string) bool { return dns.IsSubDomain(above, name) })
}

// free reports that nothing of the zone stands below the name yet.
func (l *landscape) free(p *plot, name string) bool {
	return !slices.ContainsFunc(p.order, func(o string) bool { return dns.IsSubDomain(name, o) })
}

// cut delegates a name: with glue inside, with addresses beside, to servers elsewhere, signed or not, with much of it.
func (l *landscape) cut(p *plot, name string) {
	p.cuts = append(p.cuts, name)
	many := l.one(5) && !l.plain
	if many || !l.one(3) {
		for i := range map[bool]int{false: 1, true: 14}[many] {
			ns := fmt.Sprintf("ns%d.%s%s", i, strings.Repeat("long-name-of-a-server.", map[bool]int{true: 1}[many]), name)
			p.add(name, "NS "+ns)
			p.add(ns, fmt.Sprintf("A 192.0.2.%d", 100+i))
			if !l.one(3) {
				p.add(ns, fmt.Sprintf("AAAA 2001:db8::%x", 100+i))
			}
		}
	}
	if l.one(2) {
		p.add(name, "NS ns.elsewhere.invalid.")
	}
	if l.one(2) || len(p.owners[strings.ToLower(name)]) == 0 {
		p.add(name, "NS ns1."+p.apex)
	}
	if l.plain {
		return
	}
	if l.one(3) {
		p.add(name, "DS 4711 13 2 "+strings.Repeat("ab", 32))
	}
	if l.one(4) {
		p.add(name, "TXT \"hidden by the delegation\"")
	}
	if l.one(4) {
		p.add("hidden."+name, "TXT \"hidden below the delegation\"")
	}
}

// redirect is a DNAME: into the zone, into the other one, away, or so long that names no longer fit.
func (l *landscape) redirect(p *plot, name string) {
	target := l.pick(l.targets)
	if l.one(4) {
		target = strings.Repeat(strings.Repeat("t", 55)+".", 4)
	}
	p.closed = append(p.closed, name)
	p.add(name, "DNAME "+target)
	if l.one(3) {
		p.add(name, "A 192.0.2.77")
	}
}

// large is a set that does not fit everywhere.
func (l *landscape) large(p *plot, name string) {
	n := []int{4, 9, 15, 30, 70, 90}[l.dice.IntN(6)]
	for i := range n {
		if l.plain {
			p.add(name, fmt.Sprintf("A 192.0.%d.%d", 2+i/200, i%200))
			continue
		}
		p.add(name, fmt.Sprintf("TXT \"%03d %s\"", i, strings.Repeat("x", 60)))
	}
}

// chain leads a few steps through both zones.
func (l *landscape) chain(p *plot) {
	n := 2 + l.dice.IntN(4)
	for i := range n {
		next := fmt.Sprintf("chain%d.%s", i+1, p.apex)
		if i == n-1 {
			next = l.alias(p)
		}
		p.add(fmt.Sprintf("chain%d.%s", i, p.apex), "CNAME "+next)
	}
	if l.plain {
		return
	}
	p.add("loop1."+p.apex, "CNAME loop2."+p.apex)
	p.add("loop2."+p.apex, "CNAME loop1."+p.apex)
	p.add("self."+p.apex, "CNAME self."+p.apex)
	l.targets = append(l.targets, "chain0."+p.apex, "loop1."+p.apex)
}

// set puts one set of some type at a name.
func (l *landscape) set(p *plot, name string) {
	kinds := []func() string{
		func() string { return fmt.Sprintf("A 192.0.2.%d", l.dice.IntN(256)) },
		func() string { return fmt.Sprintf("AAAA 2001:db8::%x", l.dice.IntN(65536)) },
		func() string { return fmt.Sprintf("MX %d %s", l.dice.IntN(100), l.pick(l.targets)) },
		func() string {
			return l.pick([]string{`TXT "one" "two"`, `TXT plain`, `TXT "a;b(c) \"d\" \\ \200"`, `TXT ""`})
		},
		func() string { return fmt.Sprintf("SRV %d 5 443 %s", l.dice.IntN(9), l.pick(l.targets)) },
		func() string { return "PTR " + l.pick(l.targets) },
		func() string { return `CAA 0 issue "ca.invalid"` },
		func() string { return `NAPTR 10 100 "S" "SIP+D2U" "" ` + l.pick(l.targets) },
		func() string { return fmt.Sprintf(`TYPE65280 \# 4 %08x`, l.dice.Uint32()) },
		// From here on not for gdnsd.
		func() string { return `TYPE65281 \# 0` },
		func() string { return `A \# 4 c00002fe` },
		func() string { return `HINFO "Machine" "System"` },
		func() string { return "SSHFP 4 2 " + strings.Repeat("0f", 32) },
		func() string { return "TLSA 3 1 1 " + strings.Repeat("f0", 32) },
		func() string { return `SVCB 1 ` + l.pick(l.targets) + ` alpn="h2,h3" port=8443` },
		func() string { return `HTTPS 1 . alpn="h2" ipv4hint=192.0.2.1` },
		func() string { return "RP " + l.pick(l.targets) + " " + l.pick(l.targets) },
		func() string { return "LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m" },
		func() string { return "AFSDB 1 " + l.pick(l.targets) },
		func() string { return "KX 5 " + l.pick(l.targets) },
		func() string { return `SPF "v=spf1 -all"` },
		func() string { return "OPENPGPKEY bWFkZSB1cA==" },
		func() string { return `URI 10 1 "https://example.invalid/"` },
		func() string { return "EUI48 00-00-5e-00-53-2a" },
		func() string { return "MINFO " + l.pick(l.targets) + " " + l.pick(l.targets) },
	}
	if l.plain {
		kinds = kinds[:9]
	}
	kind := kinds[l.dice.IntN(len(kinds))]
	for range 1 + l.dice.IntN(3) {
		p.add(name, kind())
	}
}

// write makes master file text in changing forms: absolute and relative names, owners left out, units, parentheses,
// comments, letter case.
func (l *landscape) write(p *plot) string {
	l.last = ""
	fmt.Fprintf(&p.text, "$ORIGIN %s\n$TTL 1h\n; made from seed %d\n", p.apex, l.seed)
	for _, owner := range p.order {
		ttls := map[string]int{}
		for _, line := range p.owners[strings.ToLower(owner)] {
			typ, data, _ := strings.Cut(line, " ")
			kind := typ
			if l.plain && (typ == "A" || typ == "AAAA") {
				kind = "addresses" // gdnsd gives both families one TTL
			}
			if _, known := ttls[kind]; !known {
				ttls[kind] = []int{0, 60, 300, 3600, 5400, 86400}[l.dice.IntN(6)]
				if typ == "SOA" || l.plain && (typ == "NS" || ttls[kind] == 0) {
					ttls[kind] = 3600
				}
			}
			l.line(p, owner, ttls[kind], typ, data)
		}
	}
	return p.text.String()
}

func (l *landscape) line(p *plot, owner string, ttl int, typ, data string) {
	b := &p.text
	if l.last != owner || l.one(3) {
		b.WriteString(l.owner(p, owner))
	}
	l.last = owner
	b.WriteByte('\t')
	b.WriteString(l.head(ttl))
	if l.one(4) && !l.plain {
		typ = strings.ToLower(typ)
	}
	b.WriteString(typ + " ")
	switch first, rest, more := strings.Cut(data, " "); {
	case strings.HasPrefix(data, `\#`), !l.one(4), strings.HasPrefix(data, `"`): // the words stay in one line
		b.WriteString(data)
	case more:
		fmt.Fprintf(b, "( %s ; a comment ) \" in between\n\t\t%s )", first, rest)
	default:
		fmt.Fprintf(b, "(\n\t%s )", first)
	}
	if l.one(6) {
		b.WriteString(" ; \"comment")
	}
	b.WriteByte('\n')
}

// owner is a name as it may be written where the zone's apex is the origin.
func (l *landscape) owner(p *plot, name string) string {
	switch rel, inside := strings.CutSuffix(name, "."+p.apex); {
	case l.one(2):
		return l.shout(name)
	case name == p.apex:
		return "@"
	case inside && strings.HasPrefix(rel, "*.") && !l.plain && l.one(2):
		return `\` + rel // the same name
	case inside:
		return l.shout(rel)
	}
	return name
}

// shout changes letter case here and there; what follows a backslash stays.
func (l *landscape) shout(name string) string {
	if !l.one(4) || strings.Contains(name, `\`) {
		return name
	}
	return l.flip(name)
}

func (l *landscape) flip(name string) string {
	b := []byte(name)
	for i, c := range b {
		if (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') && l.one(2) {
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}

// head is TTL and class, which may stand in either order, or be left out.
func (l *landscape) head(ttl int) string {
	text := fmt.Sprint(ttl)
	switch {
	case ttl == 5400 && !l.plain && l.one(2):
		text = "1h30m"
	case ttl == 86400 && l.one(2):
		text = "1D"
	case ttl == 3600 && l.one(2):
		return "IN "
	}
	switch l.dice.IntN(3) {
	case 0:
		return text + " "
	case 1:
		return text + " IN "
	}
	return "IN " + text + " "
}

// asked is one question with everything about it that a server may look at.
type question struct {
	name       string
	qtype      uint16
	rd, cd, ad bool
	edns       bool
	size       uint16
	do         bool
}

func (q *question) String() string {
	flags := ""
	for word, set := range map[string]bool{" rd": q.rd, " cd": q.cd, " ad": q.ad, " do": q.do} {
		if set {
			flags += word
		}
	}
	if q.edns {
		flags += fmt.Sprintf(" edns %d", q.size)
	}
	return q.name + " " + dns.Type(q.qtype).String() + flags
}

func (q *question) message(id uint16) *dns.Msg {
	m := new(dns.Msg)
	m.Id, m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = id, q.rd, q.cd, q.ad
	m.Question = []dns.Question{{Name: q.name, Qtype: q.qtype, Qclass: dns.ClassINET}}
	if q.edns {
		m.SetEdns0(q.size, q.do)
	}
	return m
}

var askedTypes = []uint16{
	dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypeTXT, dns.TypeTXT, dns.TypeCNAME, dns.TypeDNAME, dns.TypeDS,
	dns.TypeSRV, dns.TypePTR, dns.TypeCAA, dns.TypeNAPTR, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeANY, dns.TypeDNSKEY, 1000, 65280, 65281,
}

// ask invents a question: a name of the zones or something close to one.
func (l *landscape) ask() *question {
	q := &question{name: l.mutate(l.pick(l.names)), qtype: askedTypes[l.dice.IntN(len(askedTypes))]}
	q.rd, q.cd, q.ad = l.one(4), l.one(8), l.one(8)
	if q.edns = l.one(2); q.edns {
		q.size, q.do = []uint16{0, 512, 700, 1232, 1400, 4096, 65535}[l.dice.IntN(7)], l.one(3)
	}
	return q
}

// mutate leaves half of the names as they are and changes a label or so of the others.
func (l *landscape) mutate(name string) string {
	parts := dns.SplitDomainName(name)
	switch l.dice.IntN(14) {
	case 0:
		parts = append([]string{l.pick(oddLabels)}, parts...)
	case 1:
		parts = append([]string{"x", "y"}, parts...)
	case 2:
		parts = append([]string{"*"}, parts...)
	case 3:
		parts = parts[min(1, len(parts)-1):]
	case 4:
		parts[0] = l.pick(oddLabels)
	case 5:
		parts[l.dice.IntN(len(parts))] = "changed"
	case 6:
		return l.flipSafely(name)
	case 7:
		long := strings.Repeat("p", 60)
		parts = append([]string{long, long}, parts...)
	}
	changed := strings.Join(parts, ".") + "."
	if _, err := dns.PackDomainName(changed, make([]byte, 256), 0, nil, false); err != nil {
		return name
	}
	return changed
}

func (l *landscape) flipSafely(name string) string {
	if strings.Contains(name, `\`) {
		return name
	}
	return l.flip(name)
}
