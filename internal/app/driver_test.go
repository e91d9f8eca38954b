//go:build linux

package app_test

import (
	"strings"
	"testing"
	"time"
)

// A node that is told to answer in the network driver and cannot starts all the same, answers by sockets, and says why.
func TestDriverThatCannotBe(t *testing.T) {
	s := newSite(t)
	s.cookieText = "xdp: auto"
	s.up()
	eventually(t, 5*time.Second, "the reason is shown", func() bool {
		d := s.nodeStatus().Driver
		return d != nil && d.State == "refused" && strings.Contains(d.Reason, "listened on at port 53")
	})
	if got := s.ask(); got == "" {
		t.Error("the sockets do not answer")
	}
}
