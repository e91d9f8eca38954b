package profile

import (
	"net/netip"
	"slices"
	"strings"
)

// routing tells what the routing method will do that may not be meant.
func (w *advisor) routing(a *at, f *File, p *Profile) {
	list := a.child("endpoints")
	known := f.Node.Geo
	switch p.Routing {
	case Geographic:
		hasWorld := slices.ContainsFunc(p.Endpoints, func(e Endpoint) bool { return slices.Contains(e.Geo, "WORLD") })
		if len(p.Endpoints) > 0 && !hasWorld {
			w.warn(list, "no endpoint has the code WORLD, so clients from elsewhere, and those nobody can place, get no answer; give one endpoint geo: [WORLD]")
		}
		if known.Database == "" {
			w.warn(a.child("routing"), "knows the place of no client without node.geo.database, so every client gets the endpoint of WORLD; name an MMDB file there")
		}
	case Performance:
		if known.Database == "" && known.Latency == "" {
			w.warn(a.child("routing"), "knows the place of no client without node.geo.database or node.geo.latency, so every client gets the endpoint with the lowest priority number; name a file there")
		}
	case Subnet:
		if len(p.Endpoints) > 0 && !slices.ContainsFunc(p.Endpoints, func(e Endpoint) bool { return len(e.Subnets) == 0 }) {
			w.warn(list, "every endpoint has subnets, so clients outside all of them get no answer; leave subnets out at one endpoint")
		}
	case Priority, Weighted, Multivalue:
	}
	if p.Routing != Multivalue {
		w.families(list, p)
	}
	if p.looksAtSubnets() {
		w.narrow(list, p)
	}
	if p.MinUsable > len(p.Endpoints) && len(p.Endpoints) > 0 {
		w.warn(a.child("min_usable"), "%d is more than the %d endpoints there are, so every order is refused; write a lower number", p.MinUsable, len(p.Endpoints))
	}
	addressed := slices.ContainsFunc(p.Endpoints, func(e Endpoint) bool { return len(e.Target.Addrs) > 0 })
	if p.AllDown.Target.Host != "" && addressed && p.Answer == AnswerCNAME {
		w.warn(a.child("all_down"), "answers a CNAME where addresses are answered else; caches that hold both answer wrongly for a while; write an address, or leave answer out")
	}
}

// Networks up to which resolvers tell where their clients are [RFC 7871 11.1].
const (
	toldIPv4 = 24
	toldIPv6 = 56
)

// narrow tells of subnets that are finer than what resolvers tell of their clients: a cache has to hold one answer for
// each of their parts. Parts of a network that one endpoint has side by side are one network.
func (w *advisor) narrow(a *at, p *Profile) {
	for i := range p.Endpoints {
		var own []SubnetRange
		places := map[int]int{} // entry -> number in own
		for j, text := range p.Endpoints[i].Subnets {
			if from, to, why := parseSubnet(text); why == "" {
				places[j] = len(own)
				own = append(own, SubnetRange{From: from, To: to})
			}
		}
		joined := merged(slices.Clone(own))
		for j, text := range p.Endpoints[i].Subnets {
			at, ok := places[j]
			if !ok {
				continue
			}
			begins := slices.ContainsFunc(joined, func(r SubnetRange) bool { return r.From == own[at].From })
			ends := slices.ContainsFunc(joined, func(r SubnetRange) bool { return r.To == own[at].To })
			if bits, low, high := toldOf(own[at]); begins && low != own[at].From || ends && high != own[at].To {
				w.info(a.element(i).child("subnets").element(j), "%s is finer than /%d, which is all resolvers tell of their clients: their caches then hold an answer for each part of that network; whole networks of /%d or shorter avoid that", text, bits, bits)
			}
		}
	}
}

// toldOf is the range that resolvers tell of a range: so many bits, from low to high.
func toldOf(r SubnetRange) (bits int, low, high netip.Addr) {
	bits = toldIPv6
	if r.From.Is4() {
		bits = toldIPv4
	}
	first, _ := r.From.Prefix(bits) // so many bits are there in either family
	last, _ := r.To.Prefix(bits)
	return bits, first.Addr(), lastOf(last)
}

// families tells that endpoints answer different families: the record type is looked at after the choice, so a
// question for the other one gets nothing (D25 of the specification).
func (w *advisor) families(a *at, p *Profile) {
	first := -1
	for i := range p.Endpoints {
		v4, v6 := familiesOf(p.Endpoints[i].Target)
		if !v4 && !v6 {
			continue
		}
		if first < 0 {
			first = i
			continue
		}
		if other4, other6 := familiesOf(p.Endpoints[first].Target); v4 != other4 || v6 != other6 {
			w.warn(a.element(i).child("target"), "has %s and endpoint %q has %s: whoever asks for the missing family gets no answer while this or that one is chosen; give both the same families", familyWords(v4, v6), p.Endpoints[first].Name, familyWords(other4, other6))
			return
		}
	}
}

func familiesOf(t Target) (v4, v6 bool) {
	for _, addr := range t.Addrs {
		if strings.Contains(addr, ":") {
			v6 = true
		} else {
			v4 = true
		}
	}
	return v4, v6
}

func familyWords(v4, v6 bool) string {
	switch {
	case v4 && v6:
		return "IPv4 and IPv6"
	case v6:
		return "IPv6 only"
	}
	return "IPv4 only"
}

// references tells about what the profile names outside itself: other profiles, and programs of this node.
func (w *advisor) references(a *at, f *File, p *Profile) {
	for i := range p.Endpoints {
		e, place := &p.Endpoints[i], a.child("endpoints").element(i)
		if name := e.Target.Profile; name != "" {
			if child := w.profiles[name]; child != nil {
				w.thresholds(place, e, child)
			} else {
				w.warn(place.child("target"), "no profile of this file is called %q; it must be in the store when this one gets there: serve with an empty store refuses the file", name)
			}
			continue
		}
		w.counted(place.child("monitor"), &e.Monitor)
		w.programs(place.child("monitor"), f, &e.Monitor)
	}
	w.counted(a.child("monitor"), &p.Monitor)
	w.programs(a.child("monitor"), f, &p.Monitor)
}

// counted tells about endpoints of other profiles that a calculated verdict written at a counts.
func (w *advisor) counted(a *at, m *Monitor) {
	if m.Calculated == nil {
		return
	}
	for i, of := range m.Calculated.Of {
		owner, _, foreign := strings.Cut(of, "/")
		if place := a.child("calculated").child("of").element(i); foreign && place.given() && w.profiles[owner] == nil {
			w.warn(place, "no profile of this file is called %q; it must be in the store when this one gets there: serve with an empty store refuses the file", owner)
		}
	}
}

// thresholds tells that a nested endpoint can never be online, or that its total is higher than written (D17).
func (w *advisor) thresholds(a *at, e *Endpoint, child *Profile) {
	all, v4, v6 := 0, 0, 0
	names := false
	for i := range child.Endpoints {
		has4, has6 := familiesOf(child.Endpoints[i].Target)
		names = names || !has4 && !has6
		all++
		if has4 {
			v4++
		}
		if has6 {
			v6++
		}
	}
	tooMany := func(key string, want, have int) {
		if want > have {
			w.warn(a.child(key), "wants %d, and profile %q has %d, so this endpoint is never online; write at most %d", want, child.Name, have, have)
		}
	}
	tooMany("min_child", e.MinChild, all)
	if !names { // the families of names and of further nested profiles are not known here
		tooMany("min_child_ipv4", e.MinChildIPv4, v4)
		tooMany("min_child_ipv6", e.MinChildIPv6, v6)
	}
	if both := e.MinChildIPv4 + e.MinChildIPv6; both > e.MinChild {
		w.info(a.child("min_child"), "%d is less than min_child_ipv4 and min_child_ipv6 together, so %d are needed; write that", e.MinChild, both)
	}
}

func (w *advisor) programs(a *at, f *File, m *Monitor) {
	if place := a.child("exec"); place.given() && m.Exec != "" && f.Node.Exec[m.Exec] == nil {
		w.warn(place, "%q is no program of this node, so its probes fail here; add it to node.exec, or let other nodes probe with vantage", m.Exec)
	}
	for i := range m.Checks {
		w.programs(a.child("checks").element(i), f, &m.Checks[i].Monitor)
	}
}
