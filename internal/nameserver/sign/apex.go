package sign

import (
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/zone"
)

// KeyTTL of the sets that keys bring to the apex, in seconds: an hour, so that a roll is over in hours.
const KeyTTL = 3600

// deleteKey and deleteDS ask the parent to remove the DS set [RFC 8078 4].
var (
	deleteKey = []byte{0, 0, protocol, 0, 0}
	deleteDS  = []byte{0, 0, 0, 0, 0}
)

// sets are what the keys bring to the apex: DNSKEY, CDS and CDNSKEY. owner is in wire form and lower case.
func (k *Keys) sets(owner []byte) ([]zone.RRset, error) {
	keys := zone.RRset{Type: dns.TypeDNSKEY, TTL: KeyTTL}
	for i := range k.Publish {
		keys.Data = append(keys.Data, k.Publish[i].Data())
	}
	list := []zone.RRset{keys}
	cds, cdnskey := zone.RRset{Type: dns.TypeCDS, TTL: KeyTTL}, zone.RRset{Type: dns.TypeCDNSKEY, TTL: KeyTTL}
	for i := range k.Announce {
		ds, err := k.Announce[i].DS(owner, SHA256)
		if err != nil {
			return nil, err
		}
		cds.Data, cdnskey.Data = append(cds.Data, ds), append(cdnskey.Data, k.Announce[i].Data())
	}
	if k.Delete {
		cds.Data, cdnskey.Data = [][]byte{deleteDS}, [][]byte{deleteKey}
	}
	if len(cds.Data) > 0 {
		list = append(list, cds, cdnskey)
	}
	return list, nil
}

// check says what would make the zone bogus.
func (k *Keys) check() error {
	switch {
	case len(k.Publish) == 0:
		return errors.New("no key is published")
	case len(k.KSK) == 0, len(k.ZSK) == 0:
		return errors.New("no key signs")
	}
	for _, list := range [][]Private{k.KSK, k.ZSK} {
		for i := range list {
			if list[i].signer == nil {
				return fmt.Errorf("%v has no secret", list[i])
			}
		}
	}
	return nil
}

// publishes reports that a signature of that key can be checked with the DNSKEY set.
func (k *Keys) publishes(p *Public) bool {
	for i := range k.Publish {
		if k.Publish[i].Equal(p) {
			return true
		}
	}
	return false
}
