package app

import (
	"cmp"
	"context"
	"net/netip"
	"sync"
	"time"

	"jurymast/internal/nameserver/parent"
	"jurymast/internal/profile"
	"jurymast/internal/signing"
)

// parents keeps what the parents of signed zones say. Only the leader asks.
type parents struct {
	client *parent.Client
	queue  chan string

	mu    sync.Mutex
	zones map[string]*parentSeen
}

type parentSeen struct {
	said  *signing.Parent
	asked time.Time // by the real clock
	busy  bool
}

const (
	askParentWaiting = time.Minute // while a DS is waited for
	askParentResting = 15 * time.Minute
	parentWorkers    = 4
)

func (a *App) openParents(resolvers func() []netip.AddrPort) {
	a.parents.client = &parent.Client{Resolvers: resolvers}
	a.parents.queue, a.parents.zones = make(chan string, 1024), map[string]*parentSeen{}
}

// askedParent is what the parent said last, nil: nothing yet. It has it asked again when that is due.
func (a *App) askedParent(s *signing.Set) *signing.Parent {
	p := &a.parents
	every := askParentResting
	if s.WaitsForParent() {
		every = cmp.Or(a.o.AskParent, askParentWaiting)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	z := p.zones[s.Zone]
	if z == nil {
		z = &parentSeen{}
		p.zones[s.Zone] = z
	}
	if !z.busy && time.Since(z.asked) >= every {
		select {
		case p.queue <- s.Zone:
			z.busy = true
		default: // the next look tries again
		}
	}
	return z.said
}

// askParents asks whoever is due, until ctx ends.
func (a *App) askParents(ctx context.Context) {
	var workers sync.WaitGroup
	for range parentWorkers {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case zone := <-a.parents.queue:
					a.askParent(ctx, zone)
				}
			}
		})
	}
	workers.Wait()
}

func (a *App) askParent(ctx context.Context, zone string) {
	said := a.hearParent(ctx, zone)
	a.parents.mu.Lock()
	defer a.parents.mu.Unlock()
	z := a.parents.zones[zone]
	z.said, z.asked, z.busy = &said, time.Now(), false
}

// hearParent asks now.
func (a *App) hearParent(ctx context.Context, zone string) signing.Parent {
	var servers []netip.AddrPort
	for _, z := range a.hub.Load().Documents().Zones {
		if z.Name != zone {
			continue
		}
		for _, text := range z.DNSSEC.Parents {
			if at, ok := profile.ParseResolver(text); ok { // validated
				servers = append(servers, at)
			}
		}
	}
	asked := a.clock().UTC().Round(0) // what is heard is not older
	said := a.parents.client.Ask(ctx, zone, servers)
	said.At, said.Asked = asked, asked
	return said
}
