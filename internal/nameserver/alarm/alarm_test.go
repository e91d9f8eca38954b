package alarm

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRaisedAndCleared(t *testing.T) {
	m := Machine{Calm: 2 * time.Minute}
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	var got []string
	for i, v := range []float64{49, 50, 90, 40, 37, 37, 37, 37, 38, 36, 36, 36, 36, 36, 36, 36, 36, 36, 36, 36, 36, 36, 36, 36, 10} {
		for _, c := range m.Step(now, []Gauge{{Kind: NXDomain, Value: v, Mark: 50, Text: fmt.Sprint(v, " %"), Evidence: "names: a"}}) {
			got = append(got, fmt.Sprint(i, " ", c.Kind, " ", c.Raised, " ", c.Text, " ", c.Lasted))
		}
		now = now.Add(10 * time.Second)
	}
	// 38 is above three quarters of 50: the calm begins anew behind it.
	if want := "1 nxdomain true 50 % 0s|21 nxdomain false 36 % 3m20s"; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", strings.Join(got, "|"), want)
	}
}

func TestWhatIsCalm(t *testing.T) {
	raise := Gauge{Kind: Network, Value: 100, Mark: 80}
	for name, g := range map[string]struct {
		gauge Gauge
		calm  bool
	}{
		"unread":  {Gauge{Kind: Network, Value: 100, Mark: 80, Unread: true}, true},
		"off":     {Gauge{Kind: Network, Value: 100}, true},
		"between": {Gauge{Kind: Network, Value: 70, Mark: 80}, false},
		"below":   {Gauge{Kind: Network, Value: 59, Mark: 80}, true},
	} {
		m := Machine{}
		now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
		m.Step(now, []Gauge{raise})
		if !m.Is(Network) || len(m.Raised()) != 1 {
			t.Fatal("not raised")
		}
		m.Step(now, []Gauge{g.gauge})
		if m.Step(now, []Gauge{g.gauge}); m.Is(Network) == g.calm {
			t.Errorf("%s: raised %v", name, m.Is(Network))
		}
	}
	for _, g := range []Gauge{{Kind: Network, Value: 100, Mark: 80, Unread: true}, {Kind: Network, Value: 100}} {
		if m := (Machine{}); len(m.Step(time.Time{}, []Gauge{g})) != 0 {
			t.Errorf("%+v raises", g)
		}
	}
}

// Time left of signatures is bad when it is low.
func TestFalls(t *testing.T) {
	m := Machine{}
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	step := func(hours float64) []Change {
		return m.Step(now, []Gauge{{Kind: Signatures, Value: hours, Mark: 48, Falls: true, Text: "t"}})
	}
	if c := step(49); len(c) != 0 {
		t.Errorf("%v", c)
	}
	if c := step(48); len(c) != 1 || !c[0].Raised {
		t.Errorf("%v", c)
	}
	step(63)
	if c := step(63); len(c) != 0 {
		t.Errorf("cleared too early: %v", c)
	}
	step(65)
	if c := step(65); len(c) != 1 || c[0].Raised {
		t.Errorf("%v", c)
	}
}

func TestOrderOfRaised(t *testing.T) {
	m := Machine{}
	m.Step(time.Time{}, []Gauge{{Kind: Refused, Value: 9, Mark: 1, Text: "r"}, {Kind: UnknownTypes, Value: 9, Mark: 1, Text: "u", Evidence: "e"}})
	if got := strings.Join(m.Raised(), "|"); got != "odd questions (unknown-types): u; e|odd questions (refused): r" {
		t.Errorf("%q", got)
	}
}
