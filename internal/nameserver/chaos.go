package nameserver

import (
	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
)

// chaosNames are the names of class CH that ask for a server's software and for its own name.
var chaosNames = [2][2]string{{"version.bind", "version.server"}, {"id.server", "hostname.bind"}}

// chaos is one text of class CH and the names it stands at, in wire form; without a text it is not told.
type chaos struct {
	names [2][]byte
	set   *zone.RRset
}

func chaosOf(texts ...string) (list [2]chaos) {
	for i := range list {
		for j, name := range chaosNames[i] {
			list[i].names[j], _ = zone.PackName(name) // constants
		}
		if texts[i] != "" {
			list[i].set = &zone.RRset{Type: dns.TypeTXT, Data: [][]byte{characterStrings(texts[i])}}
		}
	}
	return list
}

// characterStrings is a text as RDATA of TXT, in pieces of at most 255 bytes.
func characterStrings(text string) (data []byte) {
	for {
		n := min(len(text), 255)
		data = append(append(data, byte(n)), text[:n]...)
		if text = text[n:]; text == "" {
			return data
		}
	}
}

// ofChaos answers class CH: the texts that are configured, and nothing else.
func (r *response) ofChaos(q *wire.Query) {
	for i := range r.set.chaos {
		c := &r.set.chaos[i]
		for _, name := range c.names {
			if c.set == nil || !wire.EqualFold(q.Name.Key(0), name) || q.Type != dns.TypeTXT && q.Type != dns.TypeANY {
				continue
			}
			r.aa, r.class = true, dns.ClassCHAOS
			r.add(&q.Name, c.set)
			return
		}
	}
	why := whyClass
	if r.set.chaos[0].set != nil || r.set.chaos[1].set != nil {
		why = whyChaos // something of the class is
	}
	r.fail(wire.Refused, why...)
}
