package nameserver

import (
	"fmt"

	"jurymast/internal/profile"
)

// spot is one target that answers of a profile can come from, through however many nested profiles.
type spot struct {
	endpoint int    // of the profile itself that leads there, or atAllDown
	where    string // for messages
	target   *profile.Target
	last     bool // of last resort, the profile's own or a nested one's
}

// trees knows what profiles lead to. Names of profiles that are not there lead nowhere: who checks the documents as a
// whole says so. What is built on itself was refused before; it is only kept from looping here.
type trees struct {
	byName map[string]*profile.Profile
}

func newTrees(list []*profile.Profile) *trees {
	t := &trees{byName: make(map[string]*profile.Profile, len(list))}
	for _, p := range list {
		t.byName[p.Name] = p
	}
	return t
}

// spots are all targets p leads to, each nested profile's once.
func (t *trees) spots(p *profile.Profile) (list []spot) {
	seen := map[*profile.Profile]bool{p: true}
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		where := "endpoint " + e.Name
		if e.Target.Profile == "" {
			list = append(list, spot{endpoint: i, where: where, target: &e.Target})
			continue
		}
		list = t.below(list, spot{endpoint: i, where: where}, t.byName[e.Target.Profile], seen)
	}
	return lastResort(list, spot{endpoint: atAllDown, where: "all_down"}, p)
}

// below appends what a nested profile leads to; from says by which endpoint of the profile that is looked at.
func (t *trees) below(list []spot, from spot, p *profile.Profile, seen map[*profile.Profile]bool) []spot {
	if p == nil || seen[p] {
		return list
	}
	seen[p] = true
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		if e.Target.Profile != "" {
			list = t.below(list, from, t.byName[e.Target.Profile], seen)
			continue
		}
		s := from
		s.where, s.target = fmt.Sprintf("%s (nested profile %s, endpoint %s)", from.where, p.Name, e.Name), &e.Target
		list = append(list, s)
	}
	from.where = fmt.Sprintf("%s (nested profile %s, all_down)", from.where, p.Name)
	return lastResort(list, from, p)
}

func lastResort(list []spot, s spot, p *profile.Profile) []spot {
	if p.AllDown.Rule != profile.AllDownTarget || p.AllDown.Target.IsZero() {
		return list
	}
	s.target, s.last = &p.AllDown.Target, true
	return append(list, s)
}
