package nameserver

import (
	"encoding/binary"

	"jurymast/internal/nameserver/zone"
)

// ServedZone is a zone as it is answered from.
type ServedZone struct {
	Serial uint32
	Names  int // of ordinary records, empty ones between them too

	Unloaded  bool // its records are not here, or are too old: questions get SERVFAIL
	Presigned bool // its primary has signed it
}

// Zones are the zones in force, by name.
func (s *Server) Zones() map[string]ServedZone {
	conf, _ := s.opt.Hub.Load().Config(s.m.slot).(*config)
	if conf == nil {
		return nil
	}
	out := make(map[string]ServedZone, len(conf.zones))
	for _, z := range conf.zones {
		one := ServedZone{Names: z.Size(), Unloaded: z.Unloaded, Presigned: z.Presigned}
		one.Serial, _ = serialOf(z.SOA)
		out[z.Name] = one
	}
	return out
}

// soaNumbers are the five at the end of an SOA, in bytes; the serial is the first of them.
const soaNumbers = 20

// serialOf is the serial in an SOA set. The one of a zone that is not loaded has no record.
func serialOf(set *zone.RRset) (uint32, bool) {
	if len(set.Data) == 0 || len(set.Data[0]) < soaNumbers {
		return 0, false
	}
	soa := set.Data[0]
	return binary.BigEndian.Uint32(soa[len(soa)-soaNumbers:]), true
}
