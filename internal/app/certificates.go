package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jurymast/internal/api"
	"jurymast/internal/certificates"
)

// shown are the certificates of the fronts, by the front's name.
func (a *App) shown(each func(front string, c *certificates.Info)) {
	for _, f := range []struct {
		front string
		set   *certificates.Set
	}{{"dns", a.dnsCerts.Get()}, {"https", a.web.CertificateSet()}} {
		infos := f.set.Infos()
		for i := range infos {
			each(f.front, &infos[i])
		}
	}
}

// certificateStatus tells of all certificates, and again of those that clients refuse.
func (a *App) certificateStatus(now time.Time) (list []api.Certificate, faults []string) {
	a.shown(func(front string, c *certificates.Info) {
		fault := c.Fault(now)
		list = append(list, api.Certificate{Front: front, File: c.File, Names: c.Names, NotAfter: c.NotAfter.UTC(), Fault: fault})
		if fault != "" {
			faults = append(faults, "clients refuse the certificate "+c.File+": "+fault)
		}
	})
	return list, faults
}

// certificateVitals show when certificates end, for an alert before that.
type certificateVitals struct {
	a     *App
	until *prometheus.Desc
}

func newCertificateVitals(a *App) *certificateVitals {
	return &certificateVitals{a: a, until: prometheus.NewDesc("jurymast_certificate_expiry_timestamp_seconds",
		"When a certificate that is shown to clients ends, Unix time; front is dns or https.", []string{"front", "file"}, nil)}
}

// Describe implements prometheus.Collector, as does Collect.
func (v *certificateVitals) Describe(out chan<- *prometheus.Desc) { out <- v.until }

// Collect shows the state of this moment.
func (v *certificateVitals) Collect(out chan<- prometheus.Metric) {
	first := map[[2]string]bool{} // a file may be named twice
	v.a.shown(func(front string, c *certificates.Info) {
		key := [2]string{front, c.File}
		if !first[key] {
			first[key] = true
			out <- prometheus.MustNewConstMetric(v.until, prometheus.GaugeValue, float64(c.NotAfter.Unix()), front, c.File)
		}
	})
}
