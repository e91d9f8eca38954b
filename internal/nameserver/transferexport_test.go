package nameserver

// Looked reports that contents were made of what is published now.
func (s *Server) Looked() bool { return s.transfers.looked.Load() == s.opt.Hub.Load() }

// Tick takes the clock of signatures anew, and has the leader look.
func (s *Server) Tick() {
	s.signing.tick()
	nudge(s.transfers.told)
}

// RenewalDue reports that a serial with fresh signatures is to come.
func (s *Server) RenewalDue(zone string) bool {
	for _, c := range s.Contents() {
		if c.Zone == zone {
			return c.Renew == 0 || c.Now >= c.Renew // 0: the serial is there, its version not yet
		}
	}
	return true
}

// TSIGCount is how many signed questions came to a result.
func (s *Server) TSIGCount(result string) (n uint64) {
	for kind, name := range tsigNames {
		if name == result {
			for _, c := range s.m.everybody() {
				n += c.tsig[kind].Load()
			}
		}
	}
	return n
}
