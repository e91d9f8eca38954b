package nameserver_test

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// judge is a validator of its own for tests: it knows the keys of zones and what RFC 4035 5.4, RFC 6840 4 and RFC 9824 ask
// of answers, and nothing of how ours are made.
type judge struct {
	realms map[string]*realm // by apex, canonical text
	now    time.Time
	held   map[string]bool // signatures that have been verified, with what they sign
}

// realm is one zone of ours.
type realm struct {
	apex    string
	keys    []*dns.DNSKEY // none: not signed
	compact bool
}

// The verdicts.
const (
	saysAnswer   = "answer"
	saysNoData   = "no data"
	saysNoName   = "no name"
	saysReferral = "referral"
)

// path is a name as labels from the root down, in lower case: it compares canonically [RFC 4034 6.1].
func path(name string) []string {
	var buf [256]byte
	end, err := dns.PackDomainName(dns.Fqdn(name), buf[:], 0, nil, false)
	if err != nil {
		panic(err)
	}
	var out []string
	for i := 0; i < end-1; i += 1 + int(buf[i]) {
		label := bytes.Clone(buf[i+1 : i+1+int(buf[i])])
		for j, c := range label {
			if c >= 'A' && c <= 'Z' {
				label[j] = c + 'a' - 'A'
			}
		}
		out = append([]string{string(label)}, out...)
	}
	return out
}

func order(a, b string) int { return slices.Compare(path(a), path(b)) }

// inside reports that a name is another one or below it.
func inside(name, above string) bool {
	n, a := path(name), path(above)
	return len(n) >= len(a) && slices.Equal(n[:len(a)], a)
}

func same(a, b string) bool { return slices.Equal(path(a), path(b)) }

// up is the name without its first n labels.
func up(name string, n int) string {
	off := dns.Split(name)
	if n >= len(off) {
		return "."
	}
	return name[off[n]:]
}

// of is the zone a name belongs to: the closest one, for DS the one above its own.
func (j *judge) of(name string, typ uint16) *realm {
	var best *realm
	for _, r := range j.realms {
		if !inside(name, r.apex) || typ == dns.TypeDS && same(name, r.apex) {
			continue
		}
		if best == nil || len(path(r.apex)) > len(path(best.apex)) {
			best = r
		}
	}
	if best == nil && typ == dns.TypeDS {
		return j.of(name, dns.TypeA)
	}
	return best
}

type rrset struct {
	owner string
	typ   uint16
	list  []dns.RR
	stars int // labels of the owner that stand for a wildcard's
}

func gather(section []dns.RR) (sets []*rrset, sigs []*dns.RRSIG) {
	for _, rr := range section {
		h := rr.Header()
		if sig, is := rr.(*dns.RRSIG); is {
			sigs = append(sigs, sig)
			continue
		}
		i := slices.IndexFunc(sets, func(s *rrset) bool { return s.typ == h.Rrtype && same(s.owner, h.Name) })
		if i < 0 {
			sets, i = append(sets, &rrset{owner: h.Name, typ: h.Rrtype}), len(sets)
		}
		sets[i].list = append(sets[i].list, rr)
	}
	return sets, sigs
}

// trial is one answer being judged.
type trial struct {
	*judge
	m      *dns.Msg
	answer []*rrset
	author []*rrset
	nsec   []*dns.NSEC // whose signatures hold
	stars  []*rrset    // answered by wildcards, to be proved
}

// verdict judges the answer to a question with DO set, or with CO too.
func (j *judge) verdict(m *dns.Msg, co bool) (string, error) {
	t := &trial{judge: j, m: m}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError && m.Rcode != dns.RcodeYXDomain {
		return dns.RcodeToString[m.Rcode], nil
	}
	if err := t.signatures(); err != nil {
		return "", err
	}
	for i, rr := range t.nsec {
		if slices.ContainsFunc(t.nsec[:i], func(other *dns.NSEC) bool { return same(other.Hdr.Name, rr.Hdr.Name) }) {
			return "", fmt.Errorf("the NSEC of %s stands twice", rr.Hdr.Name)
		}
	}
	for _, set := range t.stars {
		next := up(set.owner, set.stars-1)
		if !slices.ContainsFunc(t.nsec, func(n *dns.NSEC) bool { return j.covers(n, next) }) {
			return "", fmt.Errorf("nothing proves that no name is nearer to %s than the wildcard", set.owner)
		}
	}
	return t.outcome(co)
}

// signatures checks every set that must have some.
func (t *trial) signatures() error {
	var sigs []*dns.RRSIG
	t.answer, sigs = gather(t.m.Answer)
	if err := t.check(t.answer, sigs, false); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	t.author, sigs = gather(t.m.Ns)
	if err := t.check(t.author, sigs, true); err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	if _, sigs = gather(t.m.Extra); len(sigs) > 0 {
		return fmt.Errorf("additional: glue is signed: %v", sigs[0])
	}
	return nil
}

func (t *trial) check(sets []*rrset, sigs []*dns.RRSIG, authority bool) error {
	used := 0
	for _, set := range sets {
		realm := t.of(set.owner, set.typ)
		if n, is := set.list[0].(*dns.NSEC); is && !slices.Contains(n.TypeBitMap, dns.TypeSOA) { // at a delegation it is the parent's
			realm = t.of(set.owner, dns.TypeDS)
		}
		if realm == nil {
			return fmt.Errorf("%s %s is not ours", set.owner, dns.Type(set.typ))
		}
		mine := slices.DeleteFunc(slices.Clone(sigs), func(s *dns.RRSIG) bool { return s.TypeCovered != set.typ || !same(s.Hdr.Name, set.owner) })
		used += len(mine)
		unsigned := len(realm.keys) == 0 || t.made(set) || authority && set.typ == dns.TypeNS && !same(set.owner, realm.apex) ||
			authority && set.typ == dns.TypeNS && t.parent(set.owner)
		if unsigned {
			if len(mine) > 0 {
				return fmt.Errorf("%s %s must not be signed", set.owner, dns.Type(set.typ))
			}
			continue
		}
		if err := t.signed(set, mine, realm); err != nil {
			return fmt.Errorf("%s %s: %w", set.owner, dns.Type(set.typ), err)
		}
		if authority && set.typ == dns.TypeNSEC {
			for _, rr := range set.list {
				t.nsec = append(t.nsec, rr.(*dns.NSEC)) //nolint:errcheck // the type says so
			}
		}
	}
	if used != len(sigs) {
		return fmt.Errorf("%d signatures of nothing", len(sigs)-used)
	}
	return nil
}

// parent reports that the apex of a zone of ours is delegated in this message.
func (t *trial) parent(name string) bool {
	return slices.ContainsFunc(t.m.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeNS && same(rr.Header().Name, name) }) &&
		!slices.ContainsFunc(t.m.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA })
}

// made reports that a CNAME was made from a DNAME of the same message.
func (t *trial) made(set *rrset) bool {
	if set.typ != dns.TypeCNAME {
		return false
	}
	return slices.ContainsFunc(t.m.Answer, func(rr dns.RR) bool {
		d, is := rr.(*dns.DNAME)
		return is && inside(set.owner, d.Hdr.Name) && !same(set.owner, d.Hdr.Name)
	})
}

func (t *trial) signed(set *rrset, sigs []*dns.RRSIG, realm *realm) error {
	if len(sigs) == 0 {
		return fmt.Errorf("no signature")
	}
	for _, sig := range sigs {
		if !same(sig.SignerName, realm.apex) {
			return fmt.Errorf("signed by %s, not by %s", sig.SignerName, realm.apex)
		}
		i := slices.IndexFunc(realm.keys, func(k *dns.DNSKEY) bool { return k.KeyTag() == sig.KeyTag && k.Algorithm == sig.Algorithm })
		if i < 0 {
			return fmt.Errorf("no key %d", sig.KeyTag)
		}
		if err := t.verify(sig, realm.keys[i], set.list); err != nil {
			return fmt.Errorf("%w: %v", err, sig)
		}
		if !sig.ValidityPeriod(t.now) {
			return fmt.Errorf("not valid at %v: %v", t.now, sig)
		}
		for _, rr := range set.list {
			if rr.Header().Ttl != sig.Hdr.Ttl || sig.Hdr.Ttl > sig.OrigTtl {
				return fmt.Errorf("TTL %d, of the signature %d, of origin %d", rr.Header().Ttl, sig.Hdr.Ttl, sig.OrigTtl)
			}
		}
		labels := dns.CountLabel(set.owner)
		if strings.HasPrefix(set.owner, "*.") {
			labels--
		}
		if set.stars = labels - int(sig.Labels); set.stars < 0 {
			return fmt.Errorf("%d labels", sig.Labels)
		}
	}
	if set.stars > 0 {
		if realm.compact {
			return fmt.Errorf("a wildcard's signature where the denial is compact")
		}
		if set.typ == dns.TypeNSEC && !slices.Contains(t.answer, set) {
			return fmt.Errorf("a proof made by a wildcard")
		}
		t.stars = append(t.stars, set)
	}
	return nil
}

// verify does that once for each signature and what it signs.
func (j *judge) verify(sig *dns.RRSIG, key *dns.DNSKEY, list []dns.RR) error {
	var what strings.Builder
	for _, rr := range append([]dns.RR{sig}, list...) {
		what.WriteString(rr.String())
	}
	if j.held[what.String()] {
		return nil
	}
	err := sig.Verify(key, list)
	j.held[what.String()] = err == nil
	return err
}

// covers reports that an NSEC record proves that there is no such name.
func (j *judge) covers(n *dns.NSEC, name string) bool {
	realm := j.of(n.Hdr.Name, dns.TypeNSEC)
	if !slices.Contains(n.TypeBitMap, dns.TypeSOA) {
		realm = j.of(n.Hdr.Name, dns.TypeDS)
	}
	if inside(name, n.Hdr.Name) && !same(name, n.Hdr.Name) {
		cut := slices.Contains(n.TypeBitMap, dns.TypeNS) && !slices.Contains(n.TypeBitMap, dns.TypeSOA)
		if cut || slices.Contains(n.TypeBitMap, dns.TypeDNAME) {
			return false
		}
	}
	return order(n.Hdr.Name, name) < 0 && (order(name, n.NextDomain) < 0 || same(n.NextDomain, realm.apex))
}

func (t *trial) at(name string) *dns.NSEC {
	for _, n := range t.nsec {
		if same(n.Hdr.Name, name) {
			return n
		}
	}
	return nil
}

func (t *trial) covered(name string) *dns.NSEC {
	for _, n := range t.nsec {
		if t.covers(n, name) {
			return n
		}
	}
	return nil
}

// outcome follows aliases to where they end and says what that is.
func (t *trial) outcome(co bool) (string, error) {
	name, typ := t.m.Question[0].Name, t.m.Question[0].Qtype
	for range 40 {
		var alias *dns.CNAME
		for _, set := range t.answer {
			if !same(set.owner, name) {
				continue
			}
			if set.typ == typ || typ == dns.TypeANY && !t.made(set) {
				return saysAnswer, t.spare(0)
			}
			if c, is := set.list[0].(*dns.CNAME); is {
				alias = c
			}
		}
		if alias == nil {
			break
		}
		name = alias.Target
	}
	realm := t.of(name, typ)
	soa := slices.ContainsFunc(t.author, func(s *rrset) bool { return s.typ == dns.TypeSOA })
	switch {
	case len(t.m.Answer) > 0 && (realm == nil || len(t.author) == len(t.nsec)):
		return saysAnswer, nil // it left our zones, or goes in a circle
	case !soa && slices.ContainsFunc(t.author, func(s *rrset) bool { return s.typ == dns.TypeNS }):
		return saysReferral, t.referral(name, typ)
	case !soa:
		return "", fmt.Errorf("neither an answer nor a denial")
	}
	if len(realm.keys) == 0 {
		return map[bool]string{true: saysNoName, false: saysNoData}[t.m.Rcode == dns.RcodeNameError], nil
	}
	if realm.compact {
		return t.compact(name, typ, co)
	}
	if t.m.Rcode == dns.RcodeNameError {
		return saysNoName, t.noName(name)
	}
	return saysNoData, t.noData(name, typ)
}

// spare says when there are more proofs than wildcards and n others need.
func (t *trial) spare(n int) error {
	if n += len(t.stars); len(t.nsec) > n {
		return fmt.Errorf("%d NSEC records where %d are enough: %v", len(t.nsec), n, t.nsec)
	}
	return nil
}

func (t *trial) referral(name string, typ uint16) error {
	for _, set := range t.author {
		if set.typ != dns.TypeNS {
			continue
		}
		realm := t.of(set.owner, dns.TypeDS)
		if !inside(name, set.owner) || typ == dns.TypeDS && same(name, set.owner) {
			return fmt.Errorf("a referral to %s", set.owner)
		}
		if len(realm.keys) == 0 {
			return nil
		}
		if slices.ContainsFunc(t.author, func(s *rrset) bool { return s.typ == dns.TypeDS && same(s.owner, set.owner) }) {
			return t.spare(0)
		}
		n := t.at(set.owner)
		if n == nil || !slices.Contains(n.TypeBitMap, dns.TypeNS) || slices.Contains(n.TypeBitMap, dns.TypeDS) || slices.Contains(n.TypeBitMap, dns.TypeSOA) {
			return fmt.Errorf("nothing proves that %s is not signed: %v", set.owner, n)
		}
		return t.spare(1)
	}
	return nil
}

// noName: the name is covered, and so is the wildcard at its closest encloser [RFC 4035 5.4].
func (t *trial) noName(name string) error {
	n := t.covered(name)
	if n == nil {
		return fmt.Errorf("nothing covers %s: %v", name, t.nsec)
	}
	star := "*." + encloser(name, n)
	if encloser(name, n) == "." {
		star = "*."
	}
	if t.covered(star) == nil {
		return fmt.Errorf("nothing covers %s: %v", star, t.nsec)
	}
	return t.spare(map[bool]int{true: 1, false: 2}[t.covers(n, star)])
}

// encloser is the longest name that both ends of what covers a name prove to exist.
func encloser(name string, n *dns.NSEC) string {
	common := max(dns.CompareDomainName(strings.ToLower(name), strings.ToLower(n.Hdr.Name)), dns.CompareDomainName(strings.ToLower(name), strings.ToLower(n.NextDomain)))
	return up(name, dns.CountLabel(name)-common)
}

// noData: the name's own record lists neither the type nor CNAME; or the name is empty, which the record that covers it
// shows by leading below it; or a wildcard's record does not list it.
func (t *trial) noData(name string, typ uint16) error {
	if n := t.at(name); n != nil {
		return cmp.Or(lists(n, typ), t.spare(1))
	}
	n := t.covered(name)
	if n == nil {
		return fmt.Errorf("nothing is told of %s: %v", name, t.nsec)
	}
	if inside(n.NextDomain, name) {
		return t.spare(1)
	}
	star := "*." + encloser(name, n)
	if w := t.at(star); w != nil {
		return cmp.Or(lists(w, typ), t.spare(map[bool]int{true: 1, false: 2}[w == n]))
	}
	if w := t.covered(star); w != nil && inside(w.NextDomain, star) {
		return t.spare(map[bool]int{true: 1, false: 2}[w == n])
	}
	return fmt.Errorf("neither %s nor %s is proved: %v", name, star, t.nsec)
}

func lists(n *dns.NSEC, typ uint16) error {
	cut := slices.Contains(n.TypeBitMap, dns.TypeNS) && !slices.Contains(n.TypeBitMap, dns.TypeSOA)
	switch {
	case slices.Contains(n.TypeBitMap, typ), slices.Contains(n.TypeBitMap, dns.TypeCNAME):
		return fmt.Errorf("the proof says it is there: %v", n)
	case !slices.Contains(n.TypeBitMap, dns.TypeNSEC), !slices.Contains(n.TypeBitMap, dns.TypeRRSIG):
		return fmt.Errorf("the proof denies itself: %v", n)
	case cut && typ != dns.TypeDS:
		return fmt.Errorf("the proof is the parent's: %v", n)
	}
	return nil
}

// compact: one record at the very name, with nothing between it and its next one [RFC 9824].
func (t *trial) compact(name string, typ uint16, co bool) (string, error) {
	n := t.at(name)
	if n == nil || len(t.nsec) != 1 {
		return "", fmt.Errorf("not one record at %s: %v", name, t.nsec)
	}
	if len(path(name)) > 0 && len(strings.Join(path(name), "."))+4 <= 255 && !same(n.NextDomain, `\000.`+name) {
		return "", fmt.Errorf("the next name is %s", n.NextDomain)
	}
	if slices.Contains(n.TypeBitMap, dns.TypeNXNAME) {
		if !slices.Equal(n.TypeBitMap, []uint16{dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNXNAME}) {
			return "", fmt.Errorf("NXNAME is not alone: %v", n)
		}
		if (t.m.Rcode == dns.RcodeNameError) != co {
			return "", fmt.Errorf("response code %s, CO %t", dns.RcodeToString[t.m.Rcode], co)
		}
		return saysNoName, nil
	}
	if t.m.Rcode != dns.RcodeSuccess {
		return "", fmt.Errorf("response code %s for a name that is there", dns.RcodeToString[t.m.Rcode])
	}
	return saysNoData, lists(n, typ)
}
