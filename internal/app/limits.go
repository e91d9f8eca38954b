package app

import (
	"jurymast/internal/api"
	"jurymast/internal/profile"
)

// limitDesk is the API's way to the nameserver's limits.
type limitDesk App

// Limits implements api.Limits.
func (d *limitDesk) Limits(most int) api.DNSLimits {
	st := d.dns.Limits(most)
	out := api.DNSLimits{
		Mode: string(d.file.Node.Nameserver.RRL.Mode), Suppressed: st.Suppressed, Networks: st.Networks,
		Buckets:     api.LimitBuckets{Places: st.Level.Buckets, Used: st.Level.Used, Limited: st.Level.Limited, Forgotten: st.Level.Lost},
		Connections: api.LimitConnections{Rate: st.Gate, Networks: st.GateLevel.Used, Refused: st.Refused},
	}
	if out.Mode != string(profile.RRLOff) {
		o := &st.Options
		out.Rate, out.Window, out.Slip, out.IPv4Prefix, out.IPv6Prefix = o.Rate, o.Window.String(), o.Slip, o.Networks.IPv4, o.Networks.IPv6
	}
	for i := range st.Limited {
		l := &st.Limited[i]
		out.Limited = append(out.Limited, api.LimitLine{
			Network: l.Network.String(), Kind: l.Kind.String(), Name: l.Shown(), Since: l.Since.UTC(), Last: l.Last.UTC(), Suppressed: l.Suppressed,
		})
	}
	return out
}

// limits is nil for a node without listeners.
func (a *App) limits() api.Limits {
	if a.traffic() == nil {
		return nil
	}
	return (*limitDesk)(a)
}
