package nameserver

import (
	"sync"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/flatten"
	"jurymast/internal/nameserver/sign"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
)

const (
	signLookEvery = 10 * time.Minute // at everything a question could get
	signLookApart = time.Second      // at least, when documents change all the time
	clockStep     = 60               // seconds a clock is set by that may matter; slower drifts are seen by the next look
)

// presigner signs what questions could get before they do. It follows the snapshots, a set at a time on at most half of
// the processors, so that neither answers nor changes of health wait for it.
//
//	documents changed, other keys, a minute is over    all sets of all zones
//	view published                                     those of the profile's names
//	a target has other addresses                       those of flattened names
type presigner struct {
	s    *signing
	srv  *Server
	jobs chan job
	open sync.WaitGroup // jobs

	r       response // of the snapshot that is looked at
	name    wire.Name
	looked  time.Time // when the last look at everything began
	started time.Time // by the clock of the machine, and
	shown   time.Time // what the clock of signatures showed then
	again   bool      // one is due
	hosts   map[int][]hostNode
	answers map[*flatten.Target]*flatten.Answer
	trouble map[string]int // sets that fail, by zone
}

// hostNode is a profile's name in a signed zone.
type hostNode struct {
	zone *zone.Zone
	node *zone.Node
}

// job is one set to be signed.
type job struct {
	book *sign.Book
	set  sign.Set
}

// run starts what signs. It ends with the server.
func (s *signing) run(srv *Server) {
	p := &presigner{s: s, srv: srv, jobs: make(chan job), trouble: map[string]int{}, again: true}
	p.r.slot = srv.slot
	s.running.Go(p.loop)
	for range half() {
		s.running.Go(func() { p.work() })
		s.running.Go(srv.demand.work)
	}
}

// nudge has the presigner look what is new.
func (s *signing) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (p *presigner) work() {
	for {
		select {
		case j := <-p.jobs:
			p.s.ahead(j.book, &j.set)
			p.open.Done()
		case <-p.srv.stopping:
			return
		}
	}
}

// ahead signs a set before anybody asks. What fails is told by the look that asked for it.
func (s *signing) ahead(b *sign.Book, set *sign.Set) {
	switch again, err := b.Sign(set); {
	case err != nil:
		s.failed.Add(1)
	case again:
		s.signed[signedAgain].Add(1)
	default:
		s.signed[signedAhead].Add(1)
	}
}

func (p *presigner) loop() {
	tick := time.NewTicker(p.s.every)
	defer tick.Stop()
	p.started, p.shown = time.Now(), p.s.now()
	for {
		p.s.tick()
		p.watchClock()
		if !p.follow() {
			return
		}
		select {
		case <-p.srv.stopping:
			return
		case <-p.s.wake:
		case <-tick.C:
		}
	}
}

// watchClock has everything looked at when the clock was set: signatures may be over, or not hold yet.
func (p *presigner) watchClock() {
	now := p.s.now()
	expected := p.shown.Unix() + int64(time.Since(p.started)/time.Second)
	if off := now.Unix() - expected; off < -clockStep || off > clockStep {
		p.srv.log.Warn("the clock was set, signatures are looked at anew", "seconds", off)
		p.started, p.shown, p.again = time.Now(), now, true
	}
}

// follow looks at what is new. false: the server stops.
func (p *presigner) follow() bool {
	before, conf := p.r.snap, p.r.conf
	p.r.snap = p.srv.opt.Hub.Load()
	p.r.conf, _ = p.r.snap.Config(p.r.slot).(*config)
	if p.r.conf == nil {
		return true
	}
	keys := p.s.keysChanged.Swap(false)
	if p.r.conf != conf || keys || time.Since(p.looked) >= signLookEvery {
		p.again = true
	}
	if p.again && (keys || time.Since(p.looked) >= signLookApart) {
		p.again, p.looked = false, time.Now()
		return p.everything()
	}
	if before == nil || p.r.conf != conf || len(p.r.conf.books) == 0 {
		return true
	}
	for z, b := range p.r.conf.books {
		if !p.apex(z, b) { // the serial changes without the documents
			return false
		}
		p.again = p.again || b.Crowded() // by windows over endpoints that come and go
	}
	for i := range p.r.snap.Changed(before) {
		for _, h := range p.hosts[i] {
			if !p.host(h.zone, h.node) {
				return false
			}
		}
	}
	return p.flattened() && p.settled()
}

// settled waits for the jobs under way.
func (p *presigner) settled() bool {
	done := make(chan struct{})
	go func() { p.open.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-p.srv.stopping:
		return false
	}
}

// everything looks at all sets of all signed zones.
func (p *presigner) everything() bool {
	p.hosts = map[int][]hostNode{}
	for z, b := range p.r.conf.books {
		b.Begin()
		if !p.zone(z, b) {
			return false
		}
	}
	if !p.flattened() || !p.settled() {
		return false
	}
	for _, b := range p.r.conf.books {
		b.End()
		p.tell(b)
	}
	p.s.dropped(p.r.conf)
	return true
}

// tell logs that sets cannot be signed, and that they can be again.
func (p *presigner) tell(b *sign.Book) {
	st := b.Status()
	switch was := p.trouble[st.Zone]; {
	case st.Failing > 0 && was != st.Failing:
		p.srv.log.Error("sets of a zone cannot be signed; older signatures stay until they expire, then the answer is SERVFAIL",
			"zone", st.Zone, "sets", st.Failing, "error", st.Trouble, "first_expiration", st.Oldest)
	case st.Failing == 0 && was > 0:
		p.srv.log.Info("all sets of a zone can be signed again", "zone", st.Zone)
	}
	p.trouble[st.Zone] = st.Failing
}

// apex looks at what stands there without being written.
func (p *presigner) apex(z *zone.Zone, b *sign.Book) bool {
	live, soa := b.Live(), p.r.soa(z)
	for i := range live {
		if !p.keep(b, z.Apex.Name, &live[i], live[i].TTL) {
			return false
		}
	}
	return p.keep(b, z.Apex.Name, soa, soa.TTL)
}

func (p *presigner) zone(z *zone.Zone, b *sign.Book) bool {
	if !p.apex(z, b) {
		return false
	}
	for n, set := range z.Own() {
		if set.Type != dns.TypeSOA && !p.keep(b, n.Name, set, set.TTL) {
			return false
		}
	}
	for n := range z.All() {
		if n.Profile != zone.NoProfile {
			p.hosts[n.Profile] = append(p.hosts[n.Profile], hostNode{z, n})
			if !p.host(z, n) {
				return false
			}
		}
	}
	going := true
	p.r.denials(z, func(owner []byte, set *zone.RRset) bool {
		going = p.keep(b, owner, set, set.TTL)
		return going
	})
	return going
}

// keep has one set stay signed. false: the server stops.
func (p *presigner) keep(b *sign.Book, owner []byte, set *zone.RRset, original uint32) bool {
	if p.name.Set(owner) == 0 {
		return true
	}
	s := sign.Set{Owner: p.name.Key(0), Type: set.Type, TTL: original, Data: set.Data}
	if b.Keep(&s) {
		return true
	}
	s.Owner = append([]byte(nil), s.Owner...)
	p.open.Add(1)
	select {
	case p.jobs <- job{b, s}:
		return true
	case <-p.srv.stopping:
		p.open.Done()
		return false
	}
}

func (p *presigner) compiled(profile int) *compiled {
	part := p.r.snap.Part(profile)
	if part == nil {
		return nil
	}
	c, _ := part.Compiled(p.r.slot).(*compiled)
	return c
}

// host looks at everything a profile can answer at one of its names: each target, whatever its health, and the windows
// over those that are candidates now.
func (p *presigner) host(z *zone.Zone, n *zone.Node) bool {
	c, b := p.compiled(n.Profile), p.r.conf.books[z]
	if c == nil || b == nil {
		return true
	}
	keep := func(set *zone.RRset) bool { return set == nil || p.keep(b, n.Name, set, c.ceiling) }
	for i := range c.leaves {
		l := &c.leaves[i]
		switch {
		case l.alias == nil:
			if !keep(l.v4) || !keep(l.v6) {
				return false
			}
		case n.Flat:
			if !p.leads(l.host, keep, map[string]bool{}) {
				return false
			}
		default:
			if !keep(l.alias) {
				return false
			}
		}
		if n.Service && c.services != nil && !keep(c.services.leaves[i]) {
			return false
		}
	}
	if n.Service && c.services != nil && !keep(c.services.plain) {
		return false
	}
	return c.windows(keep)
}

// windows yields every window over the rings.
func (c *compiled) windows(keep func(*zone.RRset) bool) bool {
	for i := range c.rings {
		both := &c.rings[i]
		for _, typ := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
			in := both.of(typ)
			n, starts := len(in.leaf), len(in.leaf)
			if n == 0 {
				continue
			}
			if both.max >= n {
				starts = 1 // all of them in another order are the same set
			}
			for start := range starts {
				data, _ := in.window(uint64(start), both.max)
				if !keep(&zone.RRset{Type: typ, Data: data}) {
					return false
				}
			}
			if c.azure && starts > 1 {
				if data, _ := in.window(0, n); !keep(&zone.RRset{Type: typ, Data: data}) {
					return false
				}
			}
		}
	}
	return true
}

// leads yields the addresses a target's name may come to, as far as they are known now. seen keeps it from going in a
// circle.
func (p *presigner) leads(host string, keep func(*zone.RRset) bool, seen map[string]bool) bool {
	rt := p.r.conf.routes[host]
	if rt == nil || seen[host] {
		return true
	}
	seen[host] = true
	switch {
	case rt.abroad != "" && rt.target == nil:
		return true
	case rt.abroad != "":
		a := rt.target.Load()
		return keep(a.V4.Set) && keep(a.V6.Set)
	case rt.node == nil:
		return true
	case rt.node.Profile == zone.NoProfile:
		return keep(rt.node.Set(dns.TypeA)) && keep(rt.node.Set(dns.TypeAAAA))
	}
	c := p.compiled(rt.node.Profile)
	if c == nil {
		return true
	}
	for i := range c.leaves {
		l := &c.leaves[i]
		if l.alias != nil && !p.leads(l.host, keep, seen) || !keep(l.v4) || !keep(l.v6) {
			return false
		}
	}
	return c.windows(keep)
}

// flattened looks at the names whose targets have got other addresses.
func (p *presigner) flattened() bool {
	other := len(p.answers) != len(p.r.conf.flat)
	answers := make(map[*flatten.Target]*flatten.Answer, len(p.r.conf.flat))
	for _, t := range p.r.conf.flat {
		answers[t] = t.Load()
		other = other || p.answers[t] != answers[t]
	}
	if p.answers = answers; !other {
		return true
	}
	for _, list := range p.hosts {
		for _, h := range list {
			if h.node.Flat && !p.host(h.zone, h.node) {
				return false
			}
		}
	}
	return true
}

// Unsigned are the signed zones whose sets are not all signed with the keys in use yet, in no order.
func (s *Server) Unsigned() (zones []string) {
	conf, _ := s.opt.Hub.Load().Config(s.slot).(*config)
	if conf == nil {
		return nil
	}
	for z, b := range conf.books {
		if !b.Done() {
			zones = append(zones, z.Name)
		}
	}
	return zones
}

// dropped forgets books of zones that are gone and have no keys.
func (s *signing) dropped(c *config) {
	used := map[string]bool{}
	for _, b := range c.books {
		used[b.Zone()] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, b := range s.books {
		if !used[name] && !b.HasKeys() {
			delete(s.books, name)
		}
	}
}
