package nameserver

import (
	"jurymast/internal/nameserver/rrl"
)

// LimitStatus is how the limits stand. Counts are since the start.
type LimitStatus struct {
	On, Dry    bool // answers over UDP are limited; that is only counted
	Options    rrl.Options
	Level      rrl.Level         // of the loops' tables
	Suppressed map[string]uint64 // answers, by action: see jurymast_dns_rrl_total
	Networks   int               // limited now; 1000 may be more
	Limited    []rrl.Limited     // now, most suppressed first
	Gate       int               // TCP connections of one network a second; 0: no limit
	GateLevel  rrl.Level
	Refused    uint64 // TCP connections
}

// Limits tells who is limited now, the most suppressed ones of them.
func (s *Server) Limits(most int) LimitStatus {
	st := LimitStatus{Suppressed: s.suppressed(), Limited: s.watch.Limited(most), Networks: s.watch.Networks()}
	if s.limits != nil {
		st.On, st.Dry, st.Options, st.Level = true, s.limits.Dry(), s.limits.Options(), s.limits.Level()
	}
	st.Gate, st.GateLevel, st.Refused = s.gate.Rate(), s.gate.Level(), s.gate.Refused()
	return st
}
