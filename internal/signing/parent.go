package signing

import (
	"fmt"
	"slices"
	"time"
)

// hear takes in what the parent's servers said, and reports whether anything changed. When none of them answered, what
// they said before is kept, as what was seen last.
func (s *Set) hear(p *Parent, now time.Time) bool {
	if p == nil || p.Asked.Before(s.DS.At) {
		return false // asked earlier than what is known: by a node that led before
	}
	next := *p
	next.Asked = time.Time{}
	if p.Heard == 0 {
		next.At, next.DS, next.Common, next.TTL, next.All = s.DS.At, s.DS.DS, s.DS.Common, s.DS.TTL, false
		if next.Silent = s.DS.Silent; next.Silent.IsZero() {
			next.Silent = now
		}
	}
	changed := !s.DS.same(&next)
	if changed {
		s.DS = next
	}
	if p.Heard > 0 && len(p.DS) > 0 {
		changed = s.DSTTL.see(p.TTL, now) || changed
	}
	return changed
}

// contradicted says what a server of the parent that answers shows and must not: while the zone leaves signing a DS, in a
// roll that changes the DS one of an old key, or not the new one. "": none does; silence says nothing.
func (s *Set) contradicted() string {
	switch {
	case s.DS.Heard == 0:
		return ""
	case !s.Leaving.IsZero() && len(s.DS.DS) > 0:
		return fmt.Sprintf("a server of the parent has a DS (of key %d)", s.DS.DS[0].Tag)
	case !s.Leaving.IsZero():
		return ""
	}
	has := func(list []DS, k *Key) bool {
		return slices.ContainsFunc(list, func(d DS) bool { return k.named(s.Zone, d) })
	}
	for _, i := range s.wanted() {
		if k := &s.Keys[i]; !has(s.DS.Common, k) {
			return fmt.Sprintf("a server of the parent answers without the DS of key %d", k.Tag)
		}
	}
	for _, i := range s.oldKeys() {
		if k := &s.Keys[i]; k.Role.Trusted() && has(s.DS.DS, k) {
			return fmt.Sprintf("a server of the parent has the DS of key %d still", k.Tag)
		}
	}
	return ""
}

// contradictedSince is contradicted by a look that began after since: an answer from before says nothing about it.
func (m *machine) contradictedSince(since time.Time) string {
	if p := m.f.Parent; p == nil || !p.Asked.After(since) || m.f.off == offDS {
		return ""
	}
	return m.s.contradicted()
}

// SeeDS takes an operator's word for what the parent's servers show when they cannot be asked: in a roll the DS of the new
// key alone, while the zone leaves signing no DS at all. p is what they said to whoever was asked to take the word, nil:
// they were not asked; a server that answers and shows something else is believed more. ttl is that of the DS set, used
// where a longer one was not seen; 0: as it was seen, or a day.
func (s Set) SeeDS(p *Parent, ttl time.Duration, now time.Time) (Set, error) {
	next := s.Clone()
	switch {
	case s.Zero():
		return s, refused("zone %s has no keys", s.Zone)
	case s.Leaving.IsZero() && (s.Stage != StageChange || !s.changesDS()):
		return s, refused("no DS is waited for: zone %s is in stage %s", s.Zone, s.Stage)
	}
	if p != nil && p.Heard > 0 {
		next.hear(p, now)
	}
	if why := next.contradicted(); why != "" {
		return s, refused("%s, and the zone would be bogus; a word counts for servers that cannot be asked alone: change the DS at the parent, then look with jurymast zone keys %s", why, s.Zone)
	}
	if ttl > 0 {
		next.DSTTL.see(ttl, now)
	}
	next.DSWord = true
	if s.Leaving.IsZero() {
		next.DSSeen = now
	} else {
		next.Gone = now
	}
	return next, nil
}
