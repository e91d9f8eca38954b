package zone

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/profile"
)

const (
	// DefaultTTL of records without one, in seconds.
	DefaultTTL = 3600

	// maxRecords of one zone: $GENERATE multiplies a short text.
	maxRecords = 1_000_000

	// maxSet bounds one set, in bytes: with header, question and OPT it has to fit a message of 65535.
	maxSet     = 65535 - 12 - wire.MaxName - 4 - 11
	recordHead = 12 // bytes of a record before its data, the owner compressed
)

// The timers of a generated SOA, in seconds. MINIMUM is short because a name that is missing now may be a service's
// tomorrow.
const (
	soaTTL, soaRefresh, soaRetry, soaExpire, soaMinimum = 3600, 3600, 600, 1209600, 60
)

// SignedExpire is EXPIRE of a generated SOA in seconds where secondaries get signatures, and the most that is safe there:
// these have 8 days less an hour left whenever a secondary hears of the zone, so one that hears no more stops before they
// expire.
const SignedExpire = 7 * 24 * 3600

// Parse reads and checks a zone. SOA and NS are made from Nameservers and Hostmaster when the text has none; the
// serial is then the generation of the documents, which is the same on all nodes and only grows (modulo 2^32, as
// serials do [RFC 1982]). The error is *Faults, every bad record at once: what the zone parser cannot read is left out
// and the rest read again.
func Parse(doc *profile.Zone, generation uint64) (*Zone, error) {
	faults := &Faults{Zone: doc.Name}
	text, prepared, whole := prepare(doc)
	faults.List = prepared.faults
	if !whole {
		return nil, faults.ordered()
	}
	records := 0
	for {
		p, err := newParser(doc, text)
		if err != nil {
			faults.List = append(faults.List, faultOf(err))
			return nil, faults
		}
		found, syntax := p.text()
		if syntax == nil {
			if faults.List = append(faults.List, found...); len(faults.List) > 0 {
				return nil, faults.ordered()
			}
			p.zone.Warnings = prepared.hints
			return p.finish(faults, generation)
		}
		faults.List = append(faults.List, syntax)
		records += p.count
		rest, ok := without(text, syntax.Line)
		if !ok || syntax.Line == 0 || len(faults.List) == maxFaults || records > maxRecords {
			faults.List = append(faults.List, found...)
			return nil, faults.ordered()
		}
		text = rest
	}
}

func (p *parser) finish(faults *Faults, generation uint64) (*Zone, error) {
	for _, step := range []func() error{func() error { return p.generate(generation) }, p.check} {
		if err := step(); err != nil {
			faults.List = append(faults.List, faultOf(err))
			return nil, faults
		}
	}
	return p.zone, nil
}

func faultOf(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return &Fault{Text: err.Error()}
}

// parser builds one zone. first remembers where a node's first record stands, for messages about later checks.
type parser struct {
	doc   *profile.Zone
	zone  *Zone
	in    *lineReader
	name  wire.Name // scratch
	first map[*Node]int
	line  int32 // of the record that is added
	count int
}

func newParser(doc *profile.Zone, text string) (*parser, error) {
	apex, err := PackName(doc.Name)
	if err != nil {
		return nil, err
	}
	z := &Zone{Name: doc.Name, DNSSEC: doc.DNSSEC, Transfer: doc.Transfer, nodes: map[string]*Node{}}
	p := &parser{doc: doc, zone: z, in: &lineReader{text: text}, first: map[*Node]int{}}
	p.name.Set(apex)
	z.labels = p.name.Labels()
	z.node(&p.name)
	return p, nil
}

// lineReader counts the lines the zone parser has taken, because parsed records do not say where they stood.
type lineReader struct {
	text string
	at   int
	line int
}

func (r *lineReader) ReadByte() (byte, error) {
	if r.at >= len(r.text) {
		return 0, io.EOF
	}
	c := r.text[r.at]
	r.at++
	if c == '\n' {
		r.line++
	}
	return c, nil
}

func (r *lineReader) Read(b []byte) (int, error) {
	for i := range b {
		c, err := r.ReadByte()
		if err != nil {
			return i, err
		}
		b[i] = c
	}
	return len(b), nil
}

// taken is the last line that was read, at least in part.
func (r *lineReader) taken() int {
	if r.at >= len(r.text) && !strings.HasSuffix(r.text, "\n") {
		return r.line + 1
	}
	return max(1, r.line)
}

// text reads the records: found are those that cannot be in this zone, syntax is where reading ended early.
func (p *parser) text() (found []*Fault, syntax *Fault) {
	text := p.in.text
	if i := strings.IndexFunc(text, control); i >= 0 {
		line := 1 + strings.Count(text[:i], "\n")
		return nil, &Fault{Line: line, Text: fmt.Sprintf("control character %q; write it as \\DDD", text[i])}
	}
	list := entries(text)
	zp := dns.NewZoneParser(p.in, dns.Fqdn(p.doc.Name), "")
	zp.SetDefaultTTL(DefaultTTL)
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		line := p.in.taken()
		e := entryAt(list, line)
		if e != nil {
			line = e.first
		}
		if len(found) > 0 && found[len(found)-1].Line == line {
			continue // $GENERATE
		}
		if err := p.record(rr, line); err != nil {
			found = append(found, e.refused(text, line, err))
		}
		if p.count > maxRecords || len(found) == maxFaults {
			break
		}
	}
	if err := zp.Err(); err != nil {
		return found, syntaxFault(text, err, entryAt(list, p.in.taken()))
	}
	return found, nil
}

func control(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f }

func (p *parser) record(rr dns.RR, line int) error {
	h := rr.Header()
	if p.count++; p.count > maxRecords {
		return fmt.Errorf("more than %d records; split the zone", maxRecords)
	}
	if h.Class != dns.ClassINET {
		return fmt.Errorf("class %s: only IN is served", dns.Class(h.Class))
	}
	if h.Rrtype == 0 || h.Rrtype == dns.TypeOPT || h.Rrtype >= 128 && h.Rrtype <= 255 {
		return fmt.Errorf("%s %s: not a type that can be stored in a zone", h.Name, dns.Type(h.Rrtype))
	}
	if p.doc.DNSSEC.Enabled && madeBySigning(h.Rrtype) {
		return fmt.Errorf("%s %s: the zone is signed here, so these records are made here; remove it", h.Name, dns.Type(h.Rrtype))
	}
	owner, err := PackName(h.Name)
	if err != nil {
		return err
	}
	p.name.Set(owner)
	if !p.zone.contains(&p.name) {
		return fmt.Errorf("%s is outside the zone; the names of this text end in %s", h.Name, dns.Fqdn(p.doc.Name))
	}
	rdata, err := packData(rr)
	if err != nil {
		return fmt.Errorf("%s %s: %w", h.Name, dns.Type(h.Rrtype), err)
	}
	n := p.zone.node(&p.name)
	p.line = int32(min(line, math.MaxInt32)) //nolint:gosec // bounded
	if p.first[n] == 0 {
		p.first[n], n.line = line, p.line
	}
	return p.add(n, h, rdata)
}

// madeBySigning are the types that come with signing a zone, and not from its text.
func madeBySigning(typ uint16) bool {
	switch typ {
	case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY:
		return true
	}
	return false
}

// add puts one record into its set.
func (p *parser) add(n *Node, h *dns.RR_Header, rdata []byte) error {
	set := n.Set(h.Rrtype)
	switch {
	case h.Ttl > math.MaxInt32:
		return fmt.Errorf("%s: TTL %d: 0 to %d are allowed", h.Name, h.Ttl, math.MaxInt32)
	case h.Rrtype == dns.TypeSOA && n != p.zone.Apex:
		return fmt.Errorf("%s SOA: only the apex %s has one", h.Name, dns.Fqdn(p.doc.Name))
	case h.Rrtype == dns.TypeCNAME && n == p.zone.Apex:
		return fmt.Errorf("%s: a CNAME at the apex, where SOA and NS are, is not possible", h.Name)
	case set != nil && (h.Rrtype == dns.TypeCNAME || h.Rrtype == dns.TypeSOA || h.Rrtype == dns.TypeDNAME):
		return fmt.Errorf("%s: a second %s; a name has one", h.Name, dns.Type(h.Rrtype))
	case set == nil && n.Set(dns.TypeCNAME) != nil, h.Rrtype == dns.TypeCNAME && len(n.Sets) > 0:
		return fmt.Errorf("%s: CNAME beside other records; a name with a CNAME has nothing else", h.Name)
	case set != nil && set.TTL != h.Ttl:
		return fmt.Errorf("%s %s: TTL %d, but other records of this set have %d; a set has one TTL", h.Name, dns.Type(h.Rrtype), h.Ttl, set.TTL)
	case set == nil:
		n.Sets = append(n.Sets, RRset{Type: h.Rrtype, TTL: h.Ttl, Data: [][]byte{rdata}, line: p.line})
		return nil
	}
	size := 0
	for _, d := range set.Data {
		if bytes.Equal(d, rdata) {
			return nil // twice the same record is one
		}
		size += recordHead + len(d)
	}
	if size+recordHead+len(rdata) > maxSet {
		return fmt.Errorf("%s %s: the set is too large for any answer; at most %d bytes fit", h.Name, dns.Type(h.Rrtype), maxSet)
	}
	set.Data = append(set.Data, rdata)
	return nil
}

// packData is the RDATA in wire form without compression.
func packData(rr dns.RR) ([]byte, error) {
	buf := make([]byte, dns.Len(rr)+wire.MaxName)
	end, err := dns.PackRR(rr, buf, 0, nil, false)
	switch {
	case err == nil:
	case strings.Contains(err.Error(), "repeated SVCB keys"):
		return nil, errors.New("a parameter stands twice; keep one")
	default:
		return nil, err
	}
	_, start, err := dns.UnpackDomainName(buf[:end], 0)
	if err != nil {
		return nil, err
	}
	data := slices.Clone(buf[start+10 : end])
	if t := rr.Header().Rrtype; t == dns.TypeSVCB || t == dns.TypeHTTPS {
		if err := checkService(data); err != nil {
			return nil, err
		}
	}
	// What we write must be readable again, and what we walk over when writing must be whole.
	if _, _, err := dns.UnpackRR(buf[:end], 0); err != nil || len(data) == 0 && !mayBeEmpty(rr) {
		return nil, errors.New("the data is not complete")
	}
	return data, nil
}

func mayBeEmpty(rr dns.RR) bool {
	t := rr.Header().Rrtype
	return t == dns.TypeAPL || t == dns.TypeNULL || t > dns.TypeANY
}

// generate adds the SOA and NS that the text left out.
func (p *parser) generate(generation uint64) error {
	apex, origin := p.zone.Apex, dns.Fqdn(p.doc.Name)
	needNS, needSOA := apex.Set(dns.TypeNS) == nil, apex.Set(dns.TypeSOA) == nil
	if (needNS || needSOA) && len(p.doc.Nameservers) == 0 {
		return errors.New("no NS or SOA at the apex: name the servers under nameservers, or write both into records")
	}
	if needNS {
		for _, ns := range p.doc.Nameservers {
			if err := p.generated(fmt.Sprintf("%s %d IN NS %s", origin, DefaultTTL, dns.Fqdn(ns))); err != nil {
				return fmt.Errorf("nameservers: %q: %w", ns, err)
			}
		}
	}
	if needSOA {
		mbox, expire := hostmaster(p.doc), soaExpire
		if p.doc.DNSSEC.Enabled && p.doc.Transfer != nil {
			expire = SignedExpire
		}
		serial := strconv.FormatUint(uint64(max(1, uint32(generation))), 10) //nolint:gosec // modulo 2^32, as serials count
		err := p.generated(fmt.Sprintf("%s %d IN SOA %s %s %s %d %d %d %d", origin, soaTTL, dns.Fqdn(p.doc.Nameservers[0]), mbox, serial,
			soaRefresh, soaRetry, expire, soaMinimum))
		if err != nil {
			return fmt.Errorf("hostmaster: %q: %w", p.doc.Hostmaster, err)
		}
	}
	return nil
}

func (p *parser) generated(text string) error {
	rr, err := dns.NewRR(text)
	if err != nil || rr == nil {
		return errors.New("not a host name")
	}
	return p.record(rr, 0)
}

// hostmaster is the mailbox of the SOA; ops@example.org is written ops.example.org, dots before the @ escaped.
func hostmaster(doc *profile.Zone) string {
	if doc.Hostmaster == "" {
		return "hostmaster." + dns.Fqdn(doc.Name)
	}
	if user, host, ok := strings.Cut(doc.Hostmaster, "@"); ok {
		return strings.ReplaceAll(user, ".", `\.`) + "." + dns.Fqdn(host)
	}
	return dns.Fqdn(doc.Hostmaster)
}
