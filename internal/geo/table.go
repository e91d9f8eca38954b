package geo

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gaissmai/bart"
)

// Bounds of a latency table.
const (
	maxMillis   = 60000 // the largest latency, in milliseconds
	maxRegions  = 4096  // different regions in one table
	maxProblems = 20    // lines an error speaks of
	maxLine     = 1024  // bytes of one line
)

// Table is an operator's latency table: client prefix x region -> latency. It is immutable; a nil Table is empty.
type Table struct {
	leaves  bart.Table[*Row] // disjoint, see split
	regions []string         // canonical, in the order of their first line
	written []string         // the same as their first lines have them
	index   map[string]uint16
	rows    int
}

// Row is what a table says about some client. One that names no region says that nothing is known, and of how many others
// that is true as well.
type Row struct {
	Bits  uint8 // length of the longest prefix around the client that this holds for: 0-32 for IPv4, 0-128 for IPv6
	table *Table
	cells []cell // by region
}

type cell struct {
	region uint16
	micros uint32
}

// ParseTable reads the lines "prefix,region,ms". Empty lines, comments (# at the start) and a header line are skipped.
// The prefix is CIDR without host bits, the region any name (compared as Canonical has it), ms a decimal number from 0 to
// 60000. A prefix may have many regions, each once. The error has a line of its own for every mistake, 20 at most; which file
// it is about is for the caller to say.
func ParseTable(r io.Reader) (*Table, error) {
	p := &tableParser{t: &Table{index: map[string]uint16{}}, rows: map[netip.Prefix]*Row{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxLine), maxLine)
	n := 1
	for ; lines.Scan(); n++ {
		p.line(n, lines.Text())
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		p.problem(n, "longer than %d bytes; each line is prefix,region,ms", maxLine)
	} else if err != nil {
		return nil, fmt.Errorf("line %d: %w", n, err)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	for _, row := range p.rows {
		slices.SortFunc(row.cells, func(a, b cell) int { return int(a.region) - int(b.region) })
		row.cells = slices.Clip(row.cells)
	}
	p.split()
	return p.t, nil
}

// split makes the table of what it answers: disjoint prefixes, gaps included, each as long as what it says holds for all
// of it. So a row's Bits may be told to a resolver that keeps the answer for the whole prefix [RFC 7871 7.2.1].
func (p *tableParser) split() {
	var v4, v6 []netip.Prefix
	for prefix := range p.rows {
		if prefix.Addr().Is4() {
			v4 = append(v4, prefix)
		} else {
			v6 = append(v6, prefix)
		}
	}
	p.cover(netip.PrefixFrom(netip.IPv4Unspecified(), 0), v4, nil)
	p.cover(netip.PrefixFrom(netip.IPv6Unspecified(), 0), v6, nil)
}

// cover fills one prefix, in which the given ones lie, with leaves. outer is what a longer one inherits.
func (p *tableParser) cover(prefix netip.Prefix, inside []netip.Prefix, outer []cell) {
	if i := slices.Index(inside, prefix); i >= 0 {
		outer = p.rows[prefix].cells
		inside = slices.Delete(inside, i, i+1)
	}
	if len(inside) == 0 {
		if prefix.Bits() > 0 || outer != nil { // a family nobody speaks of needs no leaf
			p.t.leaves.Insert(prefix, &Row{Bits: uint8(prefix.Bits()), table: p.t, cells: outer}) //nolint:gosec // G115: at most 128
		}
		return
	}
	low, high := halves(prefix)
	var left, right []netip.Prefix
	for _, in := range inside {
		if low.Contains(in.Addr()) {
			left = append(left, in)
		} else {
			right = append(right, in)
		}
	}
	p.cover(low, left, outer)
	p.cover(high, right, outer)
}

// halves are the two prefixes one bit longer.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits()
	raw := p.Addr().AsSlice()
	raw[bits/8] |= 0x80 >> (bits % 8)
	upper, _ := netip.AddrFromSlice(raw)
	return netip.PrefixFrom(p.Addr(), bits+1), netip.PrefixFrom(upper, bits+1)
}

type tableParser struct {
	t        *Table
	rows     map[netip.Prefix]*Row
	began    bool // a line that is no comment has been seen
	problems []string
	more     int // problems beyond the list
}

func (p *tableParser) problem(n int, format string, args ...any) {
	if len(p.problems) == maxProblems {
		p.more++
		return
	}
	p.problems = append(p.problems, fmt.Sprintf("line %d: ", n)+fmt.Sprintf(format, args...))
}

func (p *tableParser) err() error {
	if len(p.problems) == 0 {
		return nil
	}
	if p.more > 0 {
		p.problems = append(p.problems, fmt.Sprintf("and %d more", p.more))
	}
	return errors.New(strings.Join(p.problems, "\n"))
}

func (p *tableParser) line(n int, text string) {
	if n == 1 {
		text = strings.TrimPrefix(text, "\ufeff") // spreadsheets mark UTF-8 so
	}
	text = strings.TrimSpace(text)
	if text == "" || text[0] == '#' {
		return
	}
	fields := strings.Split(text, ",")
	for i, f := range fields {
		fields[i] = strings.TrimSpace(strings.Trim(strings.TrimSpace(f), `"`))
	}
	first := !p.began
	p.began = true
	if first && strings.EqualFold(fields[0], "prefix") {
		return
	}
	if len(fields) != 3 {
		p.problem(n, "%d fields; each line is prefix,region,ms, such as 192.0.2.0/24,eu-central,12.5", len(fields))
		return
	}
	prefix, ok1 := p.prefix(n, fields[0])
	region, ok2 := p.region(n, fields[1])
	micros, ok3 := p.micros(n, fields[2])
	if ok1 && ok2 && ok3 {
		p.add(n, prefix, region, micros)
	}
}

func (p *tableParser) prefix(n int, s string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		if a, err := netip.ParseAddr(s); err == nil {
			p.problem(n, "%s is an address; write it as the prefix %s/%d", a, a, a.BitLen())
		} else {
			p.problem(n, "%.60q is no prefix; allowed is CIDR, such as 192.0.2.0/24 or 2001:db8::/32", s)
		}
	case prefix.Addr().Is4In6():
		p.problem(n, "%s is IPv4 written as IPv6; write it as IPv4", prefix)
	case prefix != prefix.Masked():
		p.problem(n, "%s has bits set behind the prefix; did you mean %s?", prefix, prefix.Masked())
	default:
		return prefix, true
	}
	return netip.Prefix{}, false
}

func (p *tableParser) region(n int, s string) (uint16, bool) {
	name := Canonical(s)
	if name == "" {
		p.problem(n, "the region is empty; name the one an endpoint's location.region names, such as eu-central")
		return 0, false
	}
	if i, ok := p.t.index[name]; ok {
		return i, true
	}
	if len(p.t.regions) == maxRegions {
		p.problem(n, "%.60q is one region too many; at most %d different ones are allowed", s, maxRegions)
		return 0, false
	}
	i := uint16(len(p.t.regions)) //nolint:gosec // G115: below maxRegions
	p.t.index[name] = i
	p.t.regions, p.t.written = append(p.t.regions, name), append(p.t.written, s)
	return i, true
}

func (p *tableParser) micros(n int, s string) (uint32, bool) {
	ms, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.Trim(s, "0123456789.") != "" || ms > maxMillis {
		p.problem(n, "%.60q is no latency; allowed is a number of milliseconds from 0 to %d, such as 12 or 12.5", s, maxMillis)
		return 0, false
	}
	return uint32(math.Round(ms * 1000)), true
}

func (p *tableParser) add(n int, prefix netip.Prefix, region uint16, micros uint32) {
	row, ok := p.rows[prefix]
	if !ok {
		row = &Row{}
		p.rows[prefix] = row
		p.t.rows++
	}
	for _, c := range row.cells {
		if c.region == region {
			p.problem(n, "%s has a latency to %s already; keep one line", prefix, p.t.regions[region])
			return
		}
	}
	row.cells = append(row.cells, cell{region: region, micros: micros})
}

// Find is what the longest prefix that contains a says; in a gap a row that names no region, nil when the table has no
// prefix of a's family. It does not allocate.
func (t *Table) Find(a netip.Addr) *Row {
	if t == nil || !a.IsValid() {
		return nil
	}
	row, _ := t.leaves.Lookup(a.Unmap())
	return row
}

// Len is the number of prefixes.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return t.rows
}

// Written lists the regions of the table as their first lines have them, in the order of Regions. The slice is the caller's.
func (t *Table) Written() []string {
	if t == nil {
		return nil
	}
	return slices.Clone(t.written)
}

// Regions lists the regions of the table in canonical form, in the order of their first line. The slice is the caller's.
func (t *Table) Regions() []string {
	if t == nil {
		return nil
	}
	return slices.Clone(t.regions)
}

// To is the latency to a region, named in canonical form; false when the row does not name it. A row stands for itself:
// what a shorter prefix says about other regions does not count. It does not allocate; a nil Row knows no region.
func (r *Row) To(region string) (time.Duration, bool) {
	if r == nil {
		return 0, false
	}
	i, ok := r.table.index[region]
	if !ok {
		return 0, false
	}
	at, ok := slices.BinarySearchFunc(r.cells, i, func(c cell, i uint16) int { return int(c.region) - int(i) })
	if !ok {
		return 0, false
	}
	return time.Duration(r.cells[at].micros) * time.Microsecond, true
}

// Len is the number of regions the row names.
func (r *Row) Len() int {
	if r == nil {
		return 0
	}
	return len(r.cells)
}
