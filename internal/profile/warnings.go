package profile

import (
	"fmt"
	"slices"
	"strings"
)

// Warnings lists what a valid file says that its author may not have meant, sorted by line. Warnings make `check`
// exit 1, infos do not.
func Warnings(f *File) Problems {
	w := &advisor{report: &report{file: f.source}, profiles: map[string]*Profile{}}
	for i := range f.Profiles {
		w.profiles[f.Profiles[i].Name] = &f.Profiles[i]
	}
	root := &at{line: 1, column: 1}
	if f.root != nil {
		root = rootAt(f.root)
	}
	w.node(root.child("node"), f)
	zones := make([]string, len(f.Zones))
	for i := range f.Zones {
		zones[i] = f.Zones[i].Name
	}
	for i := range f.Zones {
		w.transfer(f.place("zones", i), f, &f.Zones[i])
		w.tsigNames(f.place("zones", i), f, &f.Zones[i])
	}
	for i := range f.Profiles {
		w.profile(f.place("profiles", i), f, &f.Profiles[i], zones)
	}
	return w.sorted()
}

// advisor collects findings that are no errors.
type advisor struct {
	*report
	profiles map[string]*Profile // of the file, by name
}

func (w *advisor) warn(a *at, format string, args ...any) {
	w.add(a, SeverityWarning, fmt.Sprintf(format, args...))
}

func (w *advisor) info(a *at, format string, args ...any) {
	w.add(a, SeverityInfo, fmt.Sprintf(format, args...))
}

func (w *advisor) node(a *at, f *File) {
	n := &f.Node
	w.xdp(a.child("nameserver"), &n.Nameserver)
	if len(n.Proxy.HTTPS) > 0 && len(n.Proxy.TLS.Certificates) == 0 {
		w.warn(a.child("proxy").child("https"), "listens without a certificate, so every handshake fails until one is activated; write proxy.tls.certificates")
	}
	if ns := &n.Nameserver; len(ns.TLS)+len(ns.HTTPS)+len(ns.QUIC) > 0 && len(ns.Certificates) == 0 {
		w.warn(a.child("nameserver"), "listens for encrypted DNS without a certificate, so every handshake fails; write nameserver.certificates: [{cert: dns.pem, key: dns.key}]")
	}
	if listens(n.Nameserver) && len(f.Zones) == 0 {
		w.warn(a.child("nameserver"), "answers for no zone; add one under zones, unless they are managed through the API")
	}
	if !singleMember(n) && n.Store.Seal.File == "" {
		w.info(a.child("store"), "nodes share no secrets through this store, because seal.file is missing: DNS cookies of one node mean nothing to the others; "+
			"make a key once with (umask 077; openssl rand -hex 32 > seal.key), copy it to every node and write seal: {file: /etc/jurymast/seal.key}")
	}
	if singleMember(n) {
		w.info(a.child("store"), "a single store member is a single point of failure for decisions; with several nodes name an etcd cluster in store.endpoints")
	}
}

func listens(ns NameserverFront) bool {
	return len(ns.Listen)+len(ns.TLS)+len(ns.HTTPS)+len(ns.QUIC) > 0
}

func singleMember(n *Node) bool { return len(n.Store.Endpoints) == 0 && len(n.Store.Members) == 0 }

func (w *advisor) profile(a *at, f *File, p *Profile, zones []string) {
	if p.Quorum.Rule == QuorumAtLeast && p.Quorum.N > 1 && singleMember(&f.Node) {
		w.warn(a.child("quorum"), "wants %d down votes, and with a store of its own this node is the only voter: no endpoint would ever be taken down; write majority, or name a shared store in store.endpoints", p.Quorum.N)
	}
	if len(zones) > 0 {
		w.hostnames(a.child("hostnames"), p, zones)
	}
	w.endpoints(a, p)
	w.fencing(a, p)
	w.routing(a, f, p)
	w.references(a, f, p)
	if p.Proxy == nil {
		return
	}
	if len(f.Node.Proxy.HTTP)+len(f.Node.Proxy.HTTPS) == 0 {
		w.warn(a.child("proxy"), "is carried by no listener of this node; write node.proxy.http or https, or remove the section")
	}
	if p.Proxy.Sessions != nil {
		w.sessions(a, p)
	}
}

func (w *advisor) hostnames(a *at, p *Profile, zones []string) {
	for i, h := range p.Hostnames {
		bare := strings.TrimPrefix(h, "*.")
		inside := slices.ContainsFunc(zones, func(zone string) bool { return bare == zone || strings.HasSuffix(bare, "."+zone) })
		if inside || p.DNS == DNSRequired { // the nameserver refuses it then
			continue
		}
		zone := bare
		if _, parent, ok := strings.Cut(bare, "."); ok && bare == h && strings.Contains(parent, ".") {
			zone = parent
		}
		w.warn(a.element(i), "%s lies in no zone of this file (%s), so the nameserver never answers for it; add the zone %s", h, strings.Join(zones, ", "), zone)
	}
}

func (w *advisor) endpoints(a *at, p *Profile) {
	list := a.child("endpoints")
	switch len(p.Endpoints) {
	case 0:
		w.warn(list, "there are none, so nothing can be answered; add at least two")
	case 1:
		w.info(list, "there is no standby; add a second endpoint to fail over to")
	}
	targets := map[string]*at{}
	for i := range p.Endpoints {
		e, place := &p.Endpoints[i], list.element(i)
		for _, t := range append([]string{e.Target.Host}, e.Target.Addrs...) {
			first, twice := targets[t]
			if twice && t != "" && p.Fencing != Strict { // there DNS names the proxy, always
				w.warn(place.child("target"), "%s is also the target in line %d: clients of DNS would not notice the switch; give each endpoint its own", t, first.line)
				break
			}
			targets[t] = place.child("target")
		}
		w.monitor(place.child("monitor"), &e.Monitor)
	}
	w.monitor(a.child("monitor"), &p.Monitor)
}

func (w *advisor) monitor(a *at, m *Monitor) {
	if verify := a.child("tls").child("verify"); verify.given() && !m.TLS.Verify {
		w.warn(verify, "probes accept any certificate, also an expired one or another host's, which clients would not; write true and mend the certificate")
	}
	if a.has("headers") && len(m.Headers) > 0 {
		w.info(a.child("headers"), "go with probes only, never with client requests")
	}
}

// iciKeys are the words by which a session key looks like SAP ICI, where agents live in one instance.
var iciKeys = []string{"soapuser", "ws_session_id"}

func (w *advisor) sessions(a *at, p *Profile) {
	s, place := p.Proxy.Sessions, a.child("proxy").child("sessions")
	for i, k := range s.Keys {
		looks := slices.Contains(iciKeys, strings.ToLower(k.Cookie)) || slices.Contains(iciKeys, strings.ToLower(k.Header))
		if looks && !place.has("presence") {
			w.warn(place.child("keys").element(i), "looks like SAP ICI, where agents on one instance do not see those on another; state presence: needed or not-needed")
			break
		}
	}
	if s.Presence == PresenceNeeded && p.Failback.Mode == FailbackAuto {
		w.warn(a.child("failback").child("mode"), "auto with presence needed cuts every session of a living instance when the preferred endpoint returns; write mode: manual")
	}
}
