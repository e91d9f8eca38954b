package nameserver

import "encoding/binary"

// ServedZone is a zone as it is answered from.
type ServedZone struct {
	Serial uint32
	Names  int // of ordinary records, empty ones between them too
}

// Zones are the zones in force, by name.
func (s *Server) Zones() map[string]ServedZone {
	conf, _ := s.opt.Hub.Load().Config(s.m.slot).(*config)
	if conf == nil {
		return nil
	}
	out := make(map[string]ServedZone, len(conf.zones))
	for _, z := range conf.zones {
		one := ServedZone{Names: z.Size()}
		if soa := z.SOA.Data[0]; len(soa) >= soaNumbers {
			one.Serial = binary.BigEndian.Uint32(soa[len(soa)-soaNumbers:])
		}
		out[z.Name] = one
	}
	return out
}
