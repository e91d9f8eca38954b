package denial

import (
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
)

// Proof is the links that together prove something, each once.
type Proof struct {
	Links [2]Use
	N     int // of them
}

// Use is one link of a proof.
type Use struct {
	Link  int
	Types bool // its bitmap is part of the proof; else only what lies between it and its next name
}

func (p *Proof) add(u Use) {
	for i := range p.Links[:p.N] {
		if p.Links[i].Link == u.Link {
			p.Links[i].Types = p.Links[i].Types || u.Types
			return
		}
	}
	p.Links[p.N] = u
	p.N++
}

// Missing proves that there is neither the name nor a wildcard for it.
func (c *Chain) Missing(name *wire.Name) (p Proof) {
	p.add(Use{Link: c.Cover(name.Wire(0))})
	encloser := name.Wire(Encloser(c.z, name))
	star := append(make([]byte, 0, 2+len(encloser)), 1, '*')
	p.add(Use{Link: c.Cover(append(star, encloser...))})
	return p
}

// NoType proves that a name which exists has not some type, by the bitmap, or that it has none at all.
func (c *Chain) NoType(name []byte) (p Proof) {
	if i := c.At(name); i >= 0 {
		p.add(Use{Link: i, Types: true})
		return p
	}
	p.add(Use{Link: c.Cover(name)})
	return p
}

// Expanded proves that a wildcard was right to answer a name.
func (c *Chain) Expanded(name *wire.Name) (p Proof) {
	p.add(Use{Link: c.Cover(name.Wire(0))})
	return p
}

// NoTypeBelow proves that the wildcard which is there for a name has not some type. An empty wildcard, which has only
// names below it, is proved to have none.
func (c *Chain) NoTypeBelow(name *wire.Name, wildcard *zone.Node) (p Proof) {
	p = c.NoType(wildcard.Name)
	p.add(Use{Link: c.Cover(name.Wire(0))})
	return p
}

// Encloser is the label at which the closest name begins that exists and encloses the name: the name itself (0) when it
// exists. The name lies in the zone.
func Encloser(z *zone.Zone, name *wire.Name) int {
	for i := range name.Labels() {
		if z.Above(name, i) != nil {
			return i
		}
	}
	return name.Labels()
}
