package zone

import (
	"bytes"
	"cmp"
	"strings"

	"jurymast/internal/nameserver/wire"
)

// Record is one record by itself, as it travels between servers.
type Record struct {
	Owner *Owner
	Type  uint16
	TTL   uint32 // seconds
	Data  []byte // RDATA in wire form, names not compressed; never changed
}

// Owner is the name of records. Records of one name share it, but need not.
type Owner struct {
	Name []byte // wire form, letter case as written
	sort string // sorts as names do
}

// NewOwner makes the owner of a whole name in wire form; it keeps the bytes. It is nil for what is no name.
func NewOwner(name []byte) *Owner {
	var n wire.Name
	if n.Set(name) != len(name) {
		return nil
	}
	return &Owner{Name: name, sort: sortKey(&n)}
}

// Within reports that the name is another one or lies below it.
func (o *Owner) Within(apex *Owner) bool { return strings.HasPrefix(o.sort, apex.sort) }

// Same reports that both are one name, letter case aside.
func (o *Owner) Same(p *Owner) bool { return o.sort == p.sort }

// CompareOwners is the canonical order of names [RFC 4034 6.1].
func CompareOwners(a, b *Owner) int { return cmp.Compare(a.sort, b.sort) }

// CompareRecords orders records by name, type and data. Records that compare equal are one and the same, whatever their
// TTL says.
func CompareRecords(a, b Record) int {
	if a.Owner != b.Owner {
		if c := CompareOwners(a.Owner, b.Owner); c != 0 {
			return c
		}
	}
	if c := cmp.Compare(a.Type, b.Type); c != 0 {
		return c
	}
	return bytes.Compare(a.Data, b.Data)
}

// sortKey is a name as bytes that sort as names do: labels from the root down in lower case, each with an end that is less
// than anything in it.
func sortKey(n *wire.Name) string {
	out := make([]byte, 0, wire.MaxName+8)
	for i := n.Labels() - 1; i >= 0; i-- {
		label := n.Key(i)
		for _, c := range label[1 : 1+label[0]] {
			if c <= 1 {
				out = append(out, 1, c+1)
				continue
			}
			out = append(out, c)
		}
		out = append(out, 0)
	}
	return string(out)
}

// Sort is what owners are ordered by: equal for one name in any letter case.
func (o *Owner) Sort() string { return o.sort }
