package nameserver

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/cookie"
	"jurymast/internal/nameserver/rrl"
	"jurymast/internal/nameserver/sign"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
)

// quick answers what most questions ask for from bytes made ready with the snapshot: one question of class IN for a
// name that exists, without EDNS or with nothing in it but a cookie, whose answer nothing about the client can change.
// It reports false for everything else, which respond answers; where both answer, they write the same bytes.
//
//	header, question, OPT in sight -> index (one hash) -> static set or constant choice of the profile -> copy
func (a *responder) quick(pkt, out []byte, from netip.Addr) ([]byte, bool) {
	a.unsigned = false
	end, ok := a.glance(pkt)
	if !ok {
		return nil, false
	}
	conf, _ := a.snap.Config(a.slot).(*config)
	if conf == nil {
		return nil, false
	}
	key := a.key[:end-wire.HeaderLen]
	hash := maphash.Bytes(nameSeed, key)
	at := conf.index.hashed(key, hash)
	if at == nil {
		return nil, false
	}
	typ := binary.BigEndian.Uint16(pkt[end:])
	set, by := a.made(conf.index, at, typ)
	if by != nil && at.alias && by.alias() != nil {
		set = a.pointed(conf, by, key, typ)
	}
	if set.records == 0 {
		return nil, false
	}
	opt, size, limit := pkt[end+4:], end+4+len(set.data), plainSize
	if len(opt) > 0 {
		limit = min(max(int(binary.BigEndian.Uint16(opt[3:])), plainSize), a.set.udpSize)
		if size += wire.OPTLen; len(opt) > wire.OPTLen {
			size += cookieRoom
		}
	}
	var made sign.Signatures
	if at.signed > 0 && len(opt) > 0 && opt[7]&0x80 != 0 {
		if made = a.quickSignatures(conf, at, end-wire.HeaderLen, &set, by); made.None() {
			return nil, false
		}
		size += made.Len()
	}
	if size > limit || size > cap(out) {
		return nil, false
	}
	out = append(append(out[:0], pkt[:end+4]...), set.data...)
	out[2], out[3] = out[2]&(wire.FlagRD>>8)|(wire.FlagQR|wire.FlagAA)>>8, 0
	if !made.None() {
		out = made.Append(out, binary.BigEndian.Uint32(set.data[ttlOffset:]))
	}
	binary.BigEndian.PutUint16(out[6:], set.records+uint16(made.Count())) //nolint:gosec // a handful
	a.askQuick(pkt[wire.HeaderLen:end+4], set.data, by)
	state := cookie.None
	if len(opt) > 0 {
		out, state = a.quickOPT(out, opt, from)
	}
	if a.limits != nil {
		if v := a.curbHashed(from, state, rrl.Positive, key, hash); v != whole {
			return a.quickCurbed(out, v, end+4, len(set.data)+made.Len()), true
		}
	}
	if by != nil && !a.silent {
		by.counter(a.c).Add(1)
	}
	a.c.rcode[wire.Success].Add(1)
	a.c.sized(len(out))
	return out, true
}

// quickSignatures are those of a ready set, if they stand ready too. The name in lower case is in key.
func (a *responder) quickSignatures(conf *config, at *slot, name int, set *ready, by *compiled) (made sign.Signatures) {
	s := &a.content
	s.Owner, s.Type = a.key[:name], binary.BigEndian.Uint16(set.data[2:])
	s.TTL = binary.BigEndian.Uint32(set.data[ttlOffset:])
	if by != nil {
		if s.TTL > by.ceiling {
			return made
		}
		s.TTL = by.ceiling
	}
	if a.data = a.data[:0]; s.Type == dns.TypeCNAME {
		a.data = append(a.data, by.alias().name)
	} else {
		for list := set.data; len(list) > 0; {
			end := readyHead + int(binary.BigEndian.Uint16(list[readyHead-2:]))
			a.data, list = append(a.data, list[readyHead:end]), list[end:]
		}
	}
	s.Data = a.data
	return conf.numbered[at.signed].Find(s)
}

// cookieRoom is what a cookie of ours takes in an OPT record, in bytes.
const cookieRoom = 4 + 8 + 16

// quickOPT answers the OPT record of a question that glance let pass.
func (a *responder) quickOPT(out, opt []byte, from netip.Addr) ([]byte, cookie.State) {
	a.c.edns[ednsAny].Add(1)
	if opt[7]&0x80 != 0 {
		a.facts.DO = true
		a.c.edns[ednsDO].Add(1)
	}
	out = append(out, 0, 0, wire.TypeOPT, byte(a.set.udpSize>>8), byte(a.set.udpSize), 0, 0, opt[7]&0x80, 0, 0, 0) //nolint:gosec // at most 1400
	if len(opt) == wire.OPTLen {
		return out, cookie.None
	}
	given := opt[wire.OPTLen+4:]
	a.cookie = a.cookie[:0]
	var state cookie.State
	a.cookie, state = a.set.jar.Answer(a.cookie, given[:8], given[8:], from, a.set.now())
	a.c.cookies[state].Add(1)
	if len(a.cookie) == 0 { // nobody has told us a secret yet
		return out, state
	}
	out[len(out)-1] = byte(4 + len(a.cookie))                       //nolint:gosec // 28
	out = append(out, 0, wire.OptionCookie, 0, byte(len(a.cookie))) //nolint:gosec // 24
	return append(out, a.cookie...), state
}

// glance looks whether a packet is an ordinary question, and returns where its name ends. The name in lower case is in
// key then.
func (a *responder) glance(pkt []byte) (end int, ok bool) {
	// QR, opcode and TC must be zero; QDCOUNT 1, ANCOUNT and NSCOUNT 0, ARCOUNT 0 or 1.
	if len(pkt) < wire.HeaderLen+5 || pkt[2]&0xFA != 0 || binary.BigEndian.Uint64(pkt[4:])&^1 != 1<<48 {
		return 0, false
	}
	end = wire.HeaderLen
	for pkt[end] != 0 {
		l := int(pkt[end])
		if end += 1 + l; l > wire.MaxLabel || end >= len(pkt) {
			return 0, false
		}
	}
	end++
	if end-wire.HeaderLen > wire.MaxName || end+4 > len(pkt) || pkt[end+2] != 0 || pkt[end+3] != dns.ClassINET {
		return 0, false
	}
	switch rest := pkt[end+4:]; {
	case a.set.RequireCookies && !a.set.NoCookies:
		return 0, false
	case pkt[11] == 0 && len(rest) > 0, pkt[11] == 1 && !a.plainOPT(rest):
		return 0, false
	}
	for i, c := range pkt[wire.HeaderLen:end] {
		a.key[i] = wire.Lower(c)
	}
	return end, true
}

// plainOPT reports that b is an OPT record of version 0 with no option or a cookie alone. Of the flags only DO is looked
// at, and CO beside it, which an answer may have to return.
func (a *responder) plainOPT(b []byte) bool {
	if len(b) < wire.OPTLen || b[0] != 0 || b[1] != 0 || b[2] != wire.TypeOPT || b[6] != 0 || b[7]&0xC0 == 0xC0 || b[9] != 0 || int(b[10]) != len(b)-wire.OPTLen {
		return false
	}
	if len(b) == wire.OPTLen {
		return true
	}
	// A client's cookie alone, or with one of ours.
	return (len(b) == wire.OPTLen+4+8 || len(b) == wire.OPTLen+cookieRoom) && !a.set.NoCookies &&
		b[11] == 0 && b[12] == wire.OptionCookie && b[13] == 0 && int(b[14]) == len(b)-wire.OPTLen-4
}

// made is the set that was made ready for a question, and the profile whose choice it is, if it is one's. A set
// without records: none was.
func (a *responder) made(x *index, at *slot, typ uint16) (ready, *compiled) {
	if at.profile == zone.NoProfile {
		return x.static(at, typ), nil
	}
	part := a.snap.Part(int(at.profile))
	if part == nil {
		return ready{}, nil
	}
	c, _ := part.Compiled(a.slot).(*compiled)
	if c == nil || typ != dns.TypeA && typ != dns.TypeAAAA {
		return ready{}, c
	}
	return c.addresses(typ == dns.TypeA), c
}
