package app

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/api"
)

// configVitals show whether the file is refused and when it was taken last, for an alert.
type configVitals struct {
	config          *atomic.Pointer[api.ConfigStatus]
	refused, loaded *prometheus.Desc
}

func newConfigVitals(config *atomic.Pointer[api.ConfigStatus]) *configVitals {
	return &configVitals{
		config:  config,
		refused: prometheus.NewDesc("jurymast_config_refused", "1 while the configuration file as it stands is refused; the older one stays in force.", nil, nil),
		loaded:  prometheus.NewDesc("jurymast_config_loaded_timestamp_seconds", "When this process took the configuration file last, Unix time; 0 before the first time.", nil, nil),
	}
}

// Describe implements prometheus.Collector, as does Collect.
func (v *configVitals) Describe(out chan<- *prometheus.Desc) {
	out <- v.refused
	out <- v.loaded
}

// Collect shows the state of this moment.
func (v *configVitals) Collect(out chan<- prometheus.Metric) {
	c, taken := v.config.Load(), 0.0
	if !c.Applied.IsZero() {
		taken = float64(c.Applied.UnixMilli()) / 1000
	}
	out <- prometheus.MustNewConstMetric(v.refused, prometheus.GaugeValue, truth(c.Error != ""))
	out <- prometheus.MustNewConstMetric(v.loaded, prometheus.GaugeValue, taken)
}
