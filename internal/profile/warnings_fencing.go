package profile

import (
	"net/url"
	"slices"
)

// fencing warns where DNS would lead clients of a strict profile past the proxy, which alone keeps endpoints apart.
func (w *advisor) fencing(a *at, p *Profile) {
	if p.Fencing != Strict {
		return
	}
	for i := range p.Endpoints {
		e, place := &p.Endpoints[i], a.child("endpoints").element(i)
		switch {
		case e.Target.Profile != "":
		case e.Origin == "":
			w.warn(place.child("target"), "is where requests go, too: with fencing: strict DNS must lead clients to the proxy; write the proxy's name or addresses as target, and this place as origin")
		case slices.Contains(append(slices.Clone(e.Target.Addrs), e.Target.Host), originHost(e.Origin)):
			w.warn(place.child("target"), "is the host of origin: with fencing: strict DNS must lead clients to the proxy; write the proxy's name or addresses as target")
		}
	}
}

func originHost(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
