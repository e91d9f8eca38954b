package profile

import (
	"net/netip"
	"time"
)

const (
	maxParents  = 16
	minLifetime = 24 * time.Hour // of a key; a roll takes hours
	maxLifetime = 10 * 365 * 24 * time.Hour
	maxSpread   = 7 * 24 * time.Hour
)

// validateKeys checks when keys are changed and who is asked for their DS.
func validateKeys(r *report, a *at, d *DNSSEC) {
	r.lasts(a.child("propagation"), d.Propagation, 0, maxSpread)
	for _, life := range []struct {
		key string
		is  time.Duration
	}{{"zsk_lifetime", d.ZSKLifetime}, {"ksk_lifetime", d.KSKLifetime}} {
		if life.is != 0 && (life.is < minLifetime || life.is > maxLifetime) {
			r.errorf(a.child(life.key), "%v is out of range; allowed: 0s (by order alone), or 24h to 87600h", life.is)
		}
	}
	list := a.child("parents")
	if len(d.Parents) > maxParents {
		r.errorf(list, "%d servers; allowed: at most %d", len(d.Parents), maxParents)
	}
	seen := map[netip.AddrPort]*at{}
	for i, text := range d.Parents {
		place := list.element(i)
		server, ok := ParseResolver(text)
		switch first := seen[server]; {
		case !ok || server.Addr().IsUnspecified() || server.Addr().IsMulticast():
			r.errorf(place, "%q is not the address of a name server; write one like 192.0.2.53, or with a port [2001:db8::53]:5353", text)
		case first != nil:
			r.errorf(place, "%s is already named in line %d; remove one", server, first.line)
		default:
			seen[server] = place
		}
	}
}

// needsSeal: keys of zones are kept in the store, and never in the clear.
func needsSeal(r *report, a *at, n *Node, z *Zone) {
	if z.KeysInStore() && n.Store.Seal.File == "" {
		r.errorf(a.child("dnssec").child("enabled"), "%s", NeedsSeal)
	}
}

// NeedsSeal is why a zone cannot be signed by a node without a seal key.
const NeedsSeal = "the keys of the zone are kept in the store, sealed, and this node has no key to seal with; " +
	"write node.store.seal: {file: /etc/jurymast/seal.key}, with the same key on every node (a node alone makes the file)"

// KeysInStore reports that the nodes themselves make and keep keys for the zone.
func (z *Zone) KeysInStore() bool { return z.DNSSEC.Enabled && !z.DNSSEC.Presigned }
