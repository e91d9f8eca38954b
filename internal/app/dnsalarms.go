package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/health"
	"jurymast/internal/nameserver/alarm"
)

// oddEvery is the time between two looks at the numbers of the last minute.
const oddEvery = 10 * time.Second

// odd tells an operator of odd questions: in the journal when that begins and ends, in status and metrics meanwhile.
type odd struct {
	gauges func(now time.Time) []alarm.Gauge
	note   func(alarm.Change, time.Time)

	mu      sync.Mutex
	machine alarm.Machine
}

// run looks again and again until ctx ends.
func (o *odd) run(ctx context.Context) {
	tick := time.NewTicker(oddEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			o.look(time.Now())
		}
	}
}

func (o *odd) look(now time.Time) {
	gauges := o.gauges(now)
	o.mu.Lock()
	changes := o.machine.Step(now, gauges)
	o.mu.Unlock()
	for _, c := range changes {
		o.note(c, now)
	}
}

// raised are the alarms of now, for status.
func (o *odd) raised() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.machine.Raised()
}

var oddDesc = prometheus.NewDesc("jurymast_dns_alarm", "1 while questions are odd: unknown-types, nxdomain, network, malformed, refused; or signatures run out.", []string{"kind"}, nil)

// Describe implements prometheus.Collector, as does Collect.
func (o *odd) Describe(to chan<- *prometheus.Desc) { to <- oddDesc }

// Collect shows which alarms are raised.
func (o *odd) Collect(to chan<- prometheus.Metric) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, k := range alarm.Kinds {
		to <- prometheus.MustNewConstMetric(oddDesc, prometheus.GaugeValue, truth(o.machine.Is(k)), string(k))
	}
}

// newOdd looks at this node's nameserver.
func (a *App) newOdd() *odd {
	marks := a.file.Node.Nameserver.Alarms
	return &odd{
		machine: alarm.Machine{Calm: marks.ClearAfter},
		gauges: func(now time.Time) []alarm.Gauge {
			var signed []string
			for _, z := range a.hub.Load().Documents().Zones {
				signed = append(signed, z.Name)
			}
			return a.dns.Gauges(&marks, signed, now)
		},
		note: a.noteOdd,
	}
}

// noteOdd writes an alarm into the journal and the log.
func (a *App) noteOdd(c alarm.Change, now time.Time) {
	e := health.Entry{At: now.UTC(), Node: a.file.Node.Name, Kind: health.EntryAlarm, To: "raised", Reason: fmt.Sprintf("dns %s: %s", c.Kind, c.Text), Note: c.Evidence}
	if !c.Raised {
		e.From, e.To = "raised", "cleared"
		e.Reason += fmt.Sprintf("; it lasted %s", c.Lasted.Round(time.Second))
	}
	a.log.Warn("dns alarm", "kind", string(c.Kind), "raised", c.Raised, "what", c.Text, "evidence", c.Evidence)
	a.cluster.Note(e)
}
