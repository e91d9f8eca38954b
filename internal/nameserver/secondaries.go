package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/secondary"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// whyUnloaded is told of a zone that could not be fetched, or not lately enough.
var whyUnloaded = []wire.EDE{{Code: edeNotReady, Text: "the zone has not been transferred, or has expired"}}

// transferred is the secondary zones of one configuration, with what they were when it was built.
type transferred struct {
	set    secondary.Set
	values map[string]*secondary.Answer // by name
}

// take notes what a zone is now.
func (t *transferred) take(name string) *secondary.Answer {
	if t == nil || t.set[name] == nil {
		return &secondary.Answer{Phase: secondary.Missing}
	}
	a := t.set[name].Load()
	t.values[name] = a
	return a
}

// outdated reports that some zone is not any more what it was.
func (t *transferred) outdated() bool {
	if t == nil {
		return false
	}
	for name, was := range t.values {
		if t.set[name].Load() != was {
			return true
		}
	}
	return false
}

// treeOf makes the tree of a zone of the documents: of its text, or of what its primary sent.
func (c *config) treeOf(doc *profile.Zone, generation uint64) (*zone.Zone, error) {
	if doc.Secondary == nil {
		return zone.Parse(doc, generation)
	}
	if a := c.fetched.take(doc.Name); a.Content != nil {
		return a.Content.Tree.Copy(doc.Order == profile.OrderRotate), nil
	}
	return zone.Unloaded(doc.Name)
}

// attachForeign puts a profile's host name into a zone whose records are somebody else's. The profile answers in place of
// addresses and aliases that the primary has at this name. Where it cannot answer at all, the host name is hidden: DNS
// answers what the primary has. Documents are not refused for what a primary has sent.
func (c *config) attachForeign(z *zone.Zone, p *profile.Profile, h *zone.Host, k *kinds, spots []spot) (flat bool, err error) {
	hide := func(why string) {
		text := fmt.Sprintf("profile %s: host name %s is not answered by the profile: %s", p.Name, zone.Text(h.Name.Wire(0)), why)
		c.hidden, c.warnings = append(c.hidden, text), append(c.warnings, text)
	}
	if z.Presigned {
		hide(fmt.Sprintf("zone %s is signed by its primary, and only who signs can change it; put the name into a zone of its own and delegate that there", z.Name))
		return false, nil
	}
	if z.Displace(&h.Name, h.Service) {
		c.warnings = append(c.warnings, fmt.Sprintf("profile %s: host name %s: zone %s has records of its own at this name; the profile answers in their place",
			p.Name, zone.Text(h.Name.Wire(0)), z.Name))
	}
	flat, _, err = k.form(p, z.NoAlias(&h.Name))
	if err == nil {
		h.Flat, h.Alias, h.May = flat, k.host != nil && !flat, everTypes(spots, flat, h.Service)
		err = z.Attach(h)
	}
	if _, theirs := errors.AsType[*zone.Clash](err); theirs {
		hide(err.Error())
		return false, nil
	}
	return flat, err
}

// prepare makes a configuration of documents. It may refuse them.
func (s *Server) prepare(docs *snapshot.Documents) (*config, error) {
	var fetched *transferred
	if s.opt.Fetched != nil {
		fetched = &transferred{set: s.opt.Fetched.Prepare(docs.Zones), values: map[string]*secondary.Answer{}}
	}
	c, err := buildWith(docs, fetched)
	if err != nil {
		return nil, err
	}
	if s.opt.Targets != nil {
		c.bind(s.opt.Targets)
	}
	s.signing.bind(c)
	s.transfers.bind(c)
	return c, nil
}

// noteConfig tells follow of another configuration. It runs whenever a snapshot is published.
func (s *Server) noteConfig() {
	if s.opt.Fetched == nil {
		return
	}
	select {
	case s.renew <- struct{}{}:
	default:
	}
}

// rest between two configurations made for transfers is this many times what the last one took, so that zones that change
// all the time leave the processor to others.
const rest = 4

// FollowSecondaries looks after secondary zones until ctx ends: it says which are in force, and when one of them has
// changed it builds the configuration of the documents in force anew, beside the one that answers, and puts it into its
// place. Health goes on meanwhile: its views are published into whichever configuration is current.
func (s *Server) FollowSecondaries(ctx context.Context) {
	book := s.opt.Fetched
	if book == nil {
		return
	}
	var inForce *config
	for {
		snap := s.opt.Hub.Load()
		c, _ := snap.Config(s.slot).(*config)
		if c != nil && c != inForce {
			inForce = c
			if c.fetched != nil {
				book.Use(c.fetched.set, snap.Documents().Zones)
			}
		}
		if c != nil && c.fetched.outdated() {
			if !wait(ctx, rest*s.renewed(snap)) {
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-s.renew:
		case <-book.Changed():
		}
	}
}

// renewed builds the configuration of a snapshot's documents anew and says how long that took.
func (s *Server) renewed(snap *snapshot.Snapshot) time.Duration {
	start := time.Now()
	c, err := s.rebuild(snap.Documents())
	if err != nil { // documents are not refused for what was transferred: this is a mistake in the program
		s.log.Error("transferred zones are not taken into service; what was answered before is", "error", err)
		return time.Minute
	}
	if s.opt.Hub.Reconfigure(snap.Documents(), s.slot, c) {
		for _, w := range c.warnings {
			s.log.Debug("configuration with transferred zones", "warning", w)
		}
	}
	return time.Since(start)
}

// rebuild is prepare behind a fence.
func (s *Server) rebuild(docs *snapshot.Documents) (c *config, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("failed inside: %v\n%s", p, stack())
		}
	}()
	return s.prepare(docs)
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Secondaries are the secondary zones of the documents in force.
func (s *Server) Secondaries() secondary.Set {
	if c, ok := s.opt.Hub.Load().Config(s.slot).(*config); ok && c != nil && c.fetched != nil {
		return c.fetched.set
	}
	return nil
}

// Hidden are the host names of profiles that lie in a zone signed by its primary, and are not answered for that reason, with
// what the matter is.
func (s *Server) Hidden() []string {
	if c, ok := s.opt.Hub.Load().Config(s.slot).(*config); ok && c != nil {
		return c.hidden
	}
	return nil
}

// notify takes a NOTIFY [RFC 1996]: from a primary of a secondary zone, signed as that is configured, it is NOERROR and the
// zone is looked for; any other for a zone of ours is refused, and another zone is not ours.
func (r *response) notify(q *wire.Query) {
	r.fail(wire.NotAuth, whyForeign...)
	if r.conf == nil || q.Class != dns.ClassINET {
		return
	}
	z := r.conf.zones[string(q.Name.Key(0))]
	if z == nil {
		return
	}
	r.fail(wire.Refused, whyNotify...)
	if r.notified != nil && z.Foreign && r.notified(strings.TrimSuffix(z.Name, "."), r.asker.source, r.key) {
		r.fail(wire.Success)
		r.aa = true
	}
}

// notified asks the book about a NOTIFY.
func (s *Server) notified(name string, from netip.Addr, key string) bool {
	return s.opt.Fetched.Notify(name, from, key) == secondary.Accepted
}
