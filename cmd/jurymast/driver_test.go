package main

import (
	"testing"

	"jurymast/internal/api"
)

// What answers in the driver is counted, and what does not says why.
func TestDriverLines(t *testing.T) {
	for want, d := range map[string]*api.DriverStatus{
		"": nil,
		"  driver   on, 12 questions known, 400 answered, 21 passed to the sockets, 3 do not fit\n    eth0 attached\n    br0 not attached: it is virtual\n": {
			State: "on", Entries: 11, Waiting: 1, Left: 3, Answered: 400, Missed: 20, NoRoom: 1,
			Interfaces: []api.DriverInterface{{Name: "eth0", Attached: true}, {Name: "br0", Reason: "it is\nvirtual"}},
		},
		"  driver   refused: no rights\n    eth0 not attached\n": {State: "refused", Reason: "no rights", Interfaces: []api.DriverInterface{{Name: "eth0"}}},
		"  driver   waiting\n": {State: "waiting"},
	} {
		p := &printer{}
		writeDriver(p, d)
		if got := p.text.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}
