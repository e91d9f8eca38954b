package secondary

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"jurymast/internal/profile"
)

// server is a primary to be asked.
type server struct {
	addr netip.AddrPort
	key  string
}

// order is the primaries in which they are asked: who told of a change first, who has failed lately last, else as written.
func order(doc *profile.Secondary, first netip.AddrPort, avoid map[netip.AddrPort]time.Time, now time.Time) []server {
	var list []server
	for i := range doc.From {
		if addr, ok := doc.From[i].Server(); ok { // validated
			list = append(list, server{addr, doc.From[i].Key})
		}
	}
	rank := func(s server) int {
		switch {
		case s.addr.Addr() == first.Addr() && first.IsValid():
			return -1
		case now.Before(avoid[s.addr]):
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b server) int { return rank(a) - rank(b) })
	return list
}

// look asks one primary after the other until one says something, and puts what came of it into the entry.
func (b *Book) look(ctx context.Context, e *Entry) {
	now := time.Now()
	e.mu.Lock()
	e.state.Look()
	doc, have, force := e.doc, e.content, e.info.force
	list := order(doc, e.info.first, e.info.avoid, now)
	e.info.first, e.info.force = netip.AddrPort{}, false
	e.mu.Unlock()
	var trouble []string
	old := server{}
	for _, s := range list {
		out, err := b.ask(ctx, e.name, s, doc, have, force)
		if ctx.Err() != nil {
			b.quit(e)
			return // cut short: this says nothing about anybody
		}
		b.m.look(e.name, &out, err)
		switch {
		case err != nil:
			e.mu.Lock()
			e.info.avoid[s.addr] = time.Now().Add(avoidFor)
			e.mu.Unlock()
			trouble = append(trouble, fmt.Sprintf("%s: %v", s.addr, err))
		case out.How == Older:
			old = s
			trouble = append(trouble, fmt.Sprintf("%s: it has serial %d, which is older than %d here; if it was set back on purpose, fetch it with: jurymast zone refresh %s --whole",
				s.addr, out.Serial, have.Serial, e.name))
		default:
			b.succeeded(e, s, &out, trouble)
			return
		}
	}
	if old.addr.IsValid() { // they are alive and have nothing newer
		b.succeeded(e, old, &Outcome{How: Older}, trouble)
		return
	}
	b.failed(e, strings.Join(trouble, "; "))
}

func (b *Book) ask(ctx context.Context, name string, s server, doc *profile.Secondary, have *Content, force bool) (Outcome, error) {
	j := Job{Zone: name, Server: s.addr, Have: have, Force: force, Check: Check{doc.ZONEMD}}
	if s.key != "" {
		if j.Key = b.opt.Keys(s.key); j.Key == nil {
			return Outcome{}, fmt.Errorf("the TSIG key %s is not here; look at its secret on this node", s.key)
		}
	}
	return b.opt.Client.Look(ctx, j)
}

// quit ends a look without a result.
func (b *Book) quit(e *Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state.Looking, e.state.Next = false, time.Now()
}

func (e *Entry) ended() {
	close(e.info.ended)
	e.info.ended = make(chan struct{})
}

func (b *Book) succeeded(e *Entry, s server, out *Outcome, trouble []string) {
	now := time.Now()
	e.mu.Lock()
	before, serial := e.state.Phase(now), uint32(0)
	if e.content != nil {
		serial = e.content.Serial
	}
	if out.Content != nil {
		e.content = out.Content
		e.info.took, e.info.how, e.info.bytes, e.info.refused, e.info.dirty = now, out.How, out.Bytes, out.Refused, true
	}
	c := e.content
	e.info.primary, e.info.trouble, e.info.older = s.addr, strings.Join(trouble, "; "), out.How == Older
	delete(e.info.avoid, s.addr)
	e.state.Succeeded(c.Timers(bounds(e.doc)), now, rand.Uint64()) //nolint:gosec // spreading looks is no secret
	e.ended()
	e.mu.Unlock()
	if out.Content == nil {
		b.touch(e, now)
	} else {
		b.transferred(e.name, s, out, serial)
	}
	if before == Failing || before == Expired {
		b.log.Info("a secondary zone is confirmed again", "zone", e.name, "primary", s.addr, "serial", c.Serial)
		b.opt.Tell(Event{e.name, EventRecovered, fmt.Sprintf("%s confirms serial %d", s.addr, c.Serial)})
	}
}

func (b *Book) transferred(name string, s server, out *Outcome, before uint32) {
	c := out.Content
	b.log.Info("a secondary zone was transferred", "zone", name, "primary", s.addr, "serial", c.Serial, "before", before, "how", out.How,
		"records", len(c.Records), "bytes", out.Bytes, "zonemd", c.Digest, "differences_refused", out.Refused)
	for _, w := range c.Tree.Warnings {
		b.log.Warn("a transferred zone has something that was hardly meant", "zone", name, "what", w.Text)
	}
	b.opt.Tell(Event{name, EventTransferred, fmt.Sprintf("serial %d after %d from %s (%s), %d records", c.Serial, before, s.addr, out.How, len(c.Records))})
}

func (b *Book) failed(e *Entry, trouble string) {
	now := time.Now()
	e.mu.Lock()
	e.info.trouble, e.info.older = trouble, false
	e.state.Failed(now, rand.Uint64()) //nolint:gosec // spreading looks is no secret
	failures, next, end := e.state.Failures, e.state.Next, e.state.Expires()
	e.ended()
	e.mu.Unlock()
	if failures == 1 {
		b.log.Warn("a secondary zone cannot be fetched; what is here is kept until it expires", "zone", e.name, "error", trouble, "next", next, "expires", end)
		b.opt.Tell(Event{e.name, EventFailing, trouble})
	}
}

// Refresh has a zone looked for now; whole has it fetched whole, whatever its serial. It waits until that has ended or ctx
// does. ok is false for what is no secondary zone in use.
func (b *Book) Refresh(ctx context.Context, name string, whole bool) (ok bool) {
	b.mu.Lock()
	e := b.all[name]
	b.mu.Unlock()
	if e == nil {
		return false
	}
	e.mu.Lock()
	if e.end == nil {
		e.mu.Unlock()
		return false
	}
	rounds := 1
	if e.state.Looking {
		rounds = 2 // the look under way may have read what is old
	}
	e.info.force = e.info.force || whole
	e.state.Notified(time.Now())
	ended := e.info.ended
	e.nudge()
	e.mu.Unlock()
	for range rounds {
		select {
		case <-ended:
		case <-ctx.Done():
			return true
		}
		e.mu.Lock()
		ended = e.info.ended
		e.mu.Unlock()
	}
	return true
}
