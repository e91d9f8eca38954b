package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// secretVitals shows in the metrics how shared secrets stand. A stage that does not end shows as its age.
type secretVitals struct {
	desk *secretDesk

	stage, age, waiting, trouble *prometheus.Desc
}

func newSecretVitals(desk *secretDesk) *secretVitals {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("jurymast_"+name, help, labels, nil)
	}
	return &secretVitals{
		desk:    desk,
		stage:   desc("dns_cookie_stage", "1 for the stage that the shared secret of DNS cookies is in: steady, publishing, switching or retiring.", "stage"),
		age:     desc("dns_cookie_stage_seconds", "Time since that stage began."),
		waiting: desc("dns_cookie_waiting_nodes", "Live nodes that have not acknowledged that stage."),
		trouble: desc("secret_trouble", "1 while this node cannot use a secret that is sealed in the store."),
	}
}

// Describe implements prometheus.Collector, as does Collect.
func (m *secretVitals) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.stage, m.age, m.waiting, m.trouble} {
		out <- d
	}
}

// Collect shows the moment; without a shared secret there is nothing to show of one.
func (m *secretVitals) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	c := m.desk.Cookies()
	gauge(m.trouble, truth(c.Trouble != ""))
	if c.Stage == "" || c.Since == nil {
		return
	}
	gauge(m.stage, 1, c.Stage)
	gauge(m.age, max(0, time.Since(*c.Since).Seconds()))
	waiting := 0
	for _, n := range c.Nodes {
		if !n.Acknowledged && (n.Source == "" || n.Source == "store") {
			waiting++
		}
	}
	gauge(m.waiting, float64(waiting))
}
