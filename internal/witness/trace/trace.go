package trace

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Options of a trace. Name is needed; the rest has usable zero values.
type Options struct {
	Name        string
	Type        uint16           // asked for; 0: A
	Servers     []netip.AddrPort // the walk begins there instead of the root; their port is used for all servers
	ServersFrom string           // who names them, for the report
	Roots       []Root           // nil: the root servers of the Internet
	Resolvers   []Resolver       // asked beside the system's
	NoSystem    bool             // the system's resolvers are not asked
	Root        string           // folder that stands for the root of the file system; "": /
	NoLocal     bool             // caches of this host are not looked at

	Node   *Node             // what a node of ours says; nil: none was asked
	NSIDs  map[string]string // node by NSID
	Varies bool              // answers differ by client, weight or dice, as the node says
	Also   []string          // values that are right as well, when they vary

	Cap      time.Duration // longest time a cache that does not tell is taken to hold an answer; 0: the longest TTL
	Patience time.Duration // for one packet; 0: 1.5 s
}

const (
	patience = 1500 * time.Millisecond
	slots    = 24 // questions under way at once

	// maxQuestions bounds one trace: lying servers could make it ask others without end.
	maxQuestions = 2000
)

type tracer struct {
	o         Options
	name      string
	typ       uint16
	port      uint16 // of name servers
	resolvers []Resolver
	slots     chan struct{}
	asked     atomic.Int32 // questions so far
	truth     truth
	hosts     map[string][]netip.Addr
	notes     []string
}

// Run traces one name. It ends with ctx, and then reports what was found out by then. An error means that the name
// cannot be asked for.
func Run(ctx context.Context, o Options) (*Report, error) {
	name, err := ParseName(o.Name)
	if err != nil {
		return nil, err
	}
	if o.Patience <= 0 {
		o.Patience = patience
	}
	if o.Roots == nil {
		o.Roots = rootServers()
	}
	t := &tracer{o: o, name: name, typ: o.Type, port: resolverPort, slots: make(chan struct{}, slots), truth: truth{}, hosts: map[string][]netip.Addr{}}
	if t.typ == 0 {
		t.typ = dns.TypeA
	}
	switch {
	case len(o.Servers) > 0:
		t.port = o.Servers[0].Port()
	case len(o.Roots) > 0:
		t.port = o.Roots[0].Addr.Port()
	}
	t.gather()
	start := time.Now()
	r := &Report{Name: name, Type: dns.Type(t.typ).String(), Node: o.Node, Local: []Holder{}, Java: []JVM{}}
	if o.Name != name && o.Name+"." != name {
		r.Written = o.Name
	}
	r.Chain = t.beginning(ctx, name)
	if len(t.truth) == 0 {
		t.believeNode()
	}
	r.Caches = t.caches(ctx)
	t.reconsider(ctx, r)
	if !o.NoLocal {
		r.Local = append(append(append(r.Local, t.hostsEntry()...), t.resolved(ctx)...), t.nscd()...)
		r.Java = t.java()
	}
	if over(ctx) {
		t.note("the time was over before everything was asked")
	}
	r.At = time.Now().UTC()
	r.TookMS = milliseconds(time.Since(start))
	r.Outlook = t.outlook(r)
	r.Notes = t.notes
	return r, nil
}

// beginning is the chain, in the part of the time that name servers may take: behind a firewall that drops what goes to
// them, the resolvers still tell.
func (t *tracer) beginning(ctx context.Context, name string) []Link {
	limited, cancel := ctx, func() {}
	if end, ok := ctx.Deadline(); ok {
		limited, cancel = context.WithTimeout(ctx, time.Until(end)*3/4)
	}
	defer cancel()
	links := t.chain(limited, name)
	switch {
	case t.asked.Load() > maxQuestions:
		t.note("more than %d questions were needed, so name servers lead in circles or name very many others; the rest was not asked", maxQuestions)
		t.asked.Store(0) // resolvers are a few
	case over(limited) && !over(ctx):
		t.note("name servers took three quarters of the time; those that are left were not asked")
	}
	return links
}

// over reports that a time has ended. Sockets may notice before ctx does.
func over(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(end)
}

// gather is all resolvers, each once.
func (t *tracer) gather() {
	list := t.o.Resolvers
	if !t.o.NoSystem {
		list = slices.Concat(list, t.systemResolvers())
	}
	for _, r := range list {
		if len(t.resolvers) < maxResolvers && !slices.ContainsFunc(t.resolvers, func(o Resolver) bool { return o.Addr == r.Addr }) {
			t.resolvers = append(t.resolvers, r)
		}
	}
}

// note keeps a remark once.
func (t *tracer) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(t.notes, text) {
		t.notes = append(t.notes, text)
	}
}
