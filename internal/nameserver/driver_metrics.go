package nameserver

import "github.com/prometheus/client_golang/prometheus"

var (
	driverOnDesc       = desc("driver_on", "1 while hot questions are answered in the network driver, 0 while they should be and are not; status says why.")
	driverAnswersDesc  = desc("driver_answers_total", "Questions answered in the network driver; queries, responses and answers count them too.")
	driverPassedDesc   = desc("driver_passed_total", "Questions the driver left to the sockets: missed (looked up in vain), no_room (the frame could not grow).", "why")
	driverEntriesDesc  = desc("driver_entries", "Questions the driver's table knows: answered, waiting (for a moment, for a free place), left (they do not fit).", "state")
	driverAttachedDesc = desc("driver_attached", "1 for a network interface whose driver answers, 0 for one that was asked to and does not.", "interface")
)

// gather brings what the driver has counted to where loops count, and tells of the driver itself unless to is nil.
func (m *metrics) gather(to chan<- prometheus.Metric) {
	if m.driver == nil {
		return
	}
	st := m.driver.look()
	if to == nil {
		return
	}
	s := sums{to: to}
	s.gauge(driverOnDesc, one(st.State == DriverOn))
	s.count(driverAnswersDesc, st.Answered)
	s.count(driverPassedDesc, st.Missed, "missed")
	s.count(driverPassedDesc, st.NoRoom, "no_room")
	s.gauge(driverEntriesDesc, float64(st.Entries), "answered")
	s.gauge(driverEntriesDesc, float64(st.Waiting), "waiting")
	s.gauge(driverEntriesDesc, float64(st.Left), "left")
	for _, n := range st.Interfaces {
		s.gauge(driverAttachedDesc, one(n.Attached), n.Name)
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// Driver is how the driver's part stands.
func (s *Server) Driver() DriverStatus {
	if s.driver == nil {
		return DriverStatus{State: DriverOff}
	}
	return s.driver.look()
}
