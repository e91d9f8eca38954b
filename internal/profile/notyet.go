package profile

import "reflect"

// NotYet lists what a file uses that decodes but that this build does not carry out. Starting with it anyway would
// promise something nobody does, so callers refuse the file. Every message begins with "not yet:".
func NotYet(f *File) Problems {
	r := &report{file: f.source}
	root := &at{line: 1, column: 1}
	if f.root != nil {
		root = rootAt(f.root)
	}
	notYetNode(r, root.child("node"), &f.Node)
	for i := range f.Zones {
		notYetZone(r, f.place("zones", i), &f.Zones[i])
	}
	for i := range f.Profiles {
		notYetProfile(r, f.place("profiles", i), &f.Profiles[i])
	}
	return r.sorted()
}

// NotYetProfile is NotYet for one shared profile. file stands in the messages; they have paths, and line 1.
func NotYetProfile(file string, p *Profile) Problems {
	r := &report{file: file}
	notYetProfile(r, &at{line: 1, column: 1}, p)
	return r.sorted()
}

// NotYetZone is NotYet for one shared zone.
func NotYetZone(file string, z *Zone) Problems {
	r := &report{file: file}
	notYetZone(r, &at{line: 1, column: 1}, z)
	return r.sorted()
}

func (r *report) notYet(a *at, used bool, what, meanwhile string) {
	if used {
		r.errorf(a, "not yet: %s; meanwhile %s", what, meanwhile)
	}
}

// later are the words of the enumerations that decode but that this build does not carry out: NotYet refuses them, and
// the lists of messages and of docs/configuration.md mark them.
var later = map[chooser]bool{
	ModeBalance: true, DenialNSEC3: true,
}

// laterWords says of each word of c's enumeration whether it is not carried out yet.
func laterWords(c chooser) func(string) bool {
	return func(word string) bool {
		v := reflect.New(reflect.TypeOf(c)).Elem()
		v.SetString(word)
		typed, ok := reflect.TypeAssert[chooser](v)
		return ok && later[typed]
	}
}

func notYetNode(r *report, a *at, n *Node) {
	r.notYet(a.child("store").child("members"), len(n.Store.Members) > 0,
		"an embedded store of several members", "run etcd on 3 machines and name it in store.endpoints")
}

func notYetZone(r *report, a *at, z *Zone) {
	r.notYet(a.child("dnssec").child("denial"), later[z.DNSSEC.Denial], "denying with hashed names", "use denial: compact, which no name can be read from either")
	r.notYet(a.child("dnssec").child("presigned"), z.DNSSEC.Presigned, "signatures from a file", "leave it out: a zone that is fetched from its primary (secondary) is served with the signatures it comes with, and others are signed here with dnssec.enabled")
}

func notYetProfile(r *report, a *at, p *Profile) {
	r.notYet(a.child("answer"), later[p.Answer], "resolving the targets ourselves", "use answer: auto, or write the targets' addresses")
	if p.Proxy != nil {
		proxy := a.child("proxy")
		r.notYet(proxy.child("mode"), later[p.Proxy.Mode], "spreading requests over several endpoints", "use mode: failover")
		r.notYet(proxy.child("sessions"), p.Proxy.Sessions != nil, "session affinity", "leave sessions out and write failback: {mode: manual}, so that no living instance loses its users")
	}
}
