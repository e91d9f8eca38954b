package profile

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// TSIG is one key that transfers and other questions are signed with [RFC 8945]. The document is shared by all nodes, the
// secret is not: each node reads its own file or environment variable.
type TSIG struct {
	Name      string        `yaml:"name"` // lower case, no trailing dot; both sides must write the same
	Algorithm TSIGAlgorithm `yaml:"algorithm"`
	Secret    SecretSource  `yaml:"secret"` // base64
}

// TSIGAlgorithm is how a key signs.
type TSIGAlgorithm string

// The algorithms. Those with MD5 and SHA-1 are refused: [RFC 8945 6] wants neither for new keys.
const (
	HMACSHA256 TSIGAlgorithm = "hmac-sha256"
	HMACSHA384 TSIGAlgorithm = "hmac-sha384"
	HMACSHA512 TSIGAlgorithm = "hmac-sha512"
)

// Allowed algorithms, the default first.
func (TSIGAlgorithm) Allowed() []string { return []string{"hmac-sha256", "hmac-sha384", "hmac-sha512"} }

// Transfer says who may fetch a zone as a whole and who is told that it has changed.
type Transfer struct {
	To      []TransferTo    `yaml:"to"`      // none: nobody
	Notify  []NotifyTo      `yaml:"notify"`  // [RFC 1996]
	Dynamic TransferDynamic `yaml:"dynamic"` // what becomes of the host names of profiles
}

// TransferTo allows one kind of secondary: everybody with the key, everybody in the network, or with both only who has
// both.
type TransferTo struct {
	Key    string `yaml:"key"`    // name of a TSIG key
	Prefix string `yaml:"prefix"` // network or address
}

// NotifyTo is one secondary that is told.
type NotifyTo struct {
	Address string `yaml:"address"` // address:port
	Key     string `yaml:"key"`     // name of the TSIG key NOTIFY is signed with; "": not signed
}

// TransferDynamic is what a transferred zone says of the host names of profiles.
type TransferDynamic string

// The words of TransferDynamic.
const (
	DynamicCurrent TransferDynamic = "current" // the answer a client without location would get now
	DynamicStatic  TransferDynamic = "static"  // nothing
)

// Allowed words, the default first.
func (TransferDynamic) Allowed() []string { return []string{"current", "static"} }

// maxTransferTo and maxNotify keep one document from costing more than it could mean.
const (
	maxTransferTo = 100
	maxNotify     = 32
)

func defaultTransfer() *Transfer { return &Transfer{Dynamic: DynamicCurrent} }

func defaultTSIG() *TSIG { return &TSIG{Algorithm: HMACSHA256} }

func finishTSIG(k *TSIG) { k.Name = CanonicalName(k.Name) }

func finishTransfer(t *Transfer) {
	if t == nil {
		return
	}
	for i := range t.To {
		t.To[i].Key = CanonicalName(t.To[i].Key)
	}
	for i := range t.Notify {
		t.Notify[i].Key = CanonicalName(t.Notify[i].Key)
	}
}

// validateTSIG checks one key by itself; whether a node can read its secret is that node's business.
func validateTSIG(r *report, a *at, k *TSIG) {
	if name := a.child("name"); name.given() {
		r.fault(name, k.Name, hostNameFault(k.Name))
	} else {
		r.errorf(name, "is missing; write the key's name like xfr.example.org, the same as the other side does")
	}
	secret := a.child("secret")
	switch file, env := k.Secret.File != "", k.Secret.Env != ""; {
	case !secret.given():
		r.errorf(secret, "is missing; write {file: /etc/jurymast/NAME.key} with the secret in base64, or {env: VARIABLE}; the secret itself has no place in a shared document")
	case !secret.mapping():
	case strings.ContainsAny(k.Secret.Env, "= \x00"):
		r.errorf(secret.child("env"), "%q is not a name of an environment variable; write one like XFR_KEY", k.Secret.Env)
	case file == env:
		r.errorf(secret, "must name file or env, exactly one of them; write {file: /etc/jurymast/NAME.key}")
	}
}

// weakAlgorithms are what other servers still offer.
var weakAlgorithms = []string{"hmac-md5", "hmac-md5.sig-alg.reg.int", "hmac-sha1", "hmac-sha224"}

// Refused says why an algorithm that others know is not taken, or "".
func (TSIGAlgorithm) Refused(word string) string {
	if slices.Contains(weakAlgorithms, CanonicalName(word)) {
		return "is too weak to be believed; write hmac-sha256 here and on the other side, with a new secret of 32 random bytes in base64"
	}
	return ""
}

// validateTransfer checks who may fetch a zone and who is told.
func validateTransfer(r *report, a *at, z *Zone) {
	t := z.Transfer
	if t == nil || !a.mapping() {
		return
	}
	if z.DNSSEC.Enabled && z.DNSSEC.Denial != DenialNSEC {
		r.errorf(a, "stands beside dnssec with compact denial, whose proofs are signed when somebody asks, so secondaries without the keys could not give them; write dnssec: {denial: nsec}")
	}
	if z.DNSSEC.Enabled && t.Dynamic == DynamicStatic {
		r.errorf(a.child("dynamic"), "is static in a signed zone, so secondaries would prove that host names of profiles do not exist, and resolvers would keep that; write dynamic: current")
	}
	to, notify := a.child("to"), a.child("notify")
	if len(t.To) == 0 {
		r.errorf(to, "is empty, so nobody may fetch the zone; write to: [{key: NAME}], or leave transfer out")
	}
	if len(t.To) > maxTransferTo {
		r.errorf(to, "has %d entries; allowed: at most %d; write wider prefixes, or one key", len(t.To), maxTransferTo)
	}
	for i := range t.To {
		validateTransferTo(r, to.element(i), &t.To[i])
	}
	if len(t.Notify) > maxNotify {
		r.errorf(notify, "has %d entries; allowed: at most %d; let secondaries notify each other", len(t.Notify), maxNotify)
	}
	seen := unique{}
	for i := range t.Notify {
		place := notify.element(i)
		validateNotifyTo(r, place, &t.Notify[i])
		if place.mapping() {
			seen.add(r, place.child("address"), "the address", t.Notify[i].Address)
		}
	}
}

func validateTransferTo(r *report, a *at, t *TransferTo) {
	if !a.mapping() {
		return
	}
	if t.Key == "" && t.Prefix == "" {
		r.errorf(a, "names nobody; write {key: NAME}, {prefix: 192.0.2.0/24}, or both")
		return
	}
	if key := a.child("key"); key.given() {
		r.fault(key, t.Key, hostNameFault(t.Key))
	}
	if t.Prefix != "" {
		if _, ok := t.Network(); !ok {
			r.errorf(a.child("prefix"), "%q is no network; write one like 192.0.2.0/24 or 2001:db8::/48, or a single address", t.Prefix)
		}
	}
}

// Network is the prefix in canonical form, host bits cleared; ok is false without one and for one that is none.
func (t *TransferTo) Network() (p netip.Prefix, ok bool) {
	if p, err := netip.ParsePrefix(t.Prefix); err == nil {
		return p.Masked(), true
	}
	if addr, err := netip.ParseAddr(t.Prefix); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	return netip.Prefix{}, false
}

func validateNotifyTo(r *report, a *at, n *NotifyTo) {
	if !a.mapping() {
		return
	}
	place := a.child("address")
	if !place.given() {
		r.errorf(place, "is missing; write address:port of the secondary like 192.0.2.53:53")
	} else if at, err := netip.ParseAddrPort(n.Address); err != nil || at.Port() == 0 || at.Addr().IsUnspecified() {
		r.errorf(place, "%q is no address with a port; write one like 192.0.2.53:53 or [2001:db8::53]:53", n.Address)
	}
	if key := a.child("key"); key.given() {
		r.fault(key, n.Key, hostNameFault(n.Key))
	}
}

// TSIGNames are the keys a zone names, with the keys that lead there: transfer.to[0].key.
func (z *Zone) TSIGNames() map[string]string {
	names := map[string]string{}
	if z.Secondary != nil {
		for i := range z.Secondary.From {
			if k := z.Secondary.From[i].Key; k != "" {
				names["secondary.from["+strconv.Itoa(i)+"].key"] = k
			}
		}
	}
	if z.Transfer == nil {
		return names
	}
	for i := range z.Transfer.To {
		if k := z.Transfer.To[i].Key; k != "" {
			names["transfer.to["+strconv.Itoa(i)+"].key"] = k
		}
	}
	for i := range z.Transfer.Notify {
		if k := z.Transfer.Notify[i].Key; k != "" {
			names["transfer.notify["+strconv.Itoa(i)+"].key"] = k
		}
	}
	return names
}

// CheckTSIG checks that the keys that zones name exist. Both lists are all there are. Problems name the document,
// zones/NAME, in place of a file.
func CheckTSIG(zones []*Zone, keys []*TSIG) Problems {
	known := map[string]bool{}
	for _, k := range keys {
		known[k.Name] = true
	}
	var found Problems
	for _, z := range zones {
		names := z.TSIGNames()
		for _, path := range slices.Sorted(maps.Keys(names)) {
			if !known[names[path]] {
				found = append(found, Problem{
					File: string(KindZone) + "/" + z.Name, Line: 1, Column: 1, Path: path,
					Message: "there is no TSIG key " + strconv.Quote(names[path]) + "; add it to tsig, with its name, algorithm and secret, or correct the name",
				})
			}
		}
	}
	return found
}

// transfer warns of a zone whose secondaries would answer wrongly, and of keys that are not in the file.
func (w *advisor) transfer(a *at, f *File, z *Zone) {
	t := z.Transfer
	if t == nil {
		return
	}
	place := a.child("transfer")
	if t.Dynamic == DynamicStatic && slices.ContainsFunc(f.Profiles, func(p Profile) bool {
		return slices.ContainsFunc(p.Hostnames, func(h string) bool { return h == z.Name || strings.HasSuffix(h, "."+z.Name) })
	}) {
		w.warn(place.child("dynamic"), "static leaves host names of profiles out, so secondaries of the zone say that they do not exist; write dynamic: current, or let no secondary be a name server of the zone")
	}
	for _, to := range t.To {
		if network, ok := to.Network(); ok && to.Key == "" && network.Bits() == 0 {
			w.warn(place.child("to"), "gives the zone to everybody who asks; name the secondaries' addresses, or a key")
		}
	}
}

// tsigNames warns of keys that a zone names and that are not in the file.
func (w *advisor) tsigNames(a *at, f *File, z *Zone) {
	look := func(entry *at, key string) {
		if key != "" && !slices.ContainsFunc(f.TSIG, func(k TSIG) bool { return k.Name == key }) {
			w.warn(entry.child("key"), "no TSIG key of this file is called %q; it must be in the store when this zone gets there: serve with an empty store refuses the file", key)
		}
	}
	if s := z.Secondary; s != nil {
		for i := range s.From {
			look(a.child("secondary").child("from").element(i), s.From[i].Key)
		}
	}
	if t := z.Transfer; t != nil {
		for i := range t.To {
			look(a.child("transfer").child("to").element(i), t.To[i].Key)
		}
		for i := range t.Notify {
			look(a.child("transfer").child("notify").element(i), t.Notify[i].Key)
		}
	}
}
