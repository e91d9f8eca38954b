package secondary

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
)

// Verdict says what becomes of a NOTIFY.
type Verdict uint8

// The verdicts.
const (
	NotHere  Verdict = iota // no secondary zone
	Refused                 // not from a primary, or not signed as it has to be
	BadKey                  // signed with another key than this primary's
	BadSign                 // the signature does not hold
	Accepted                // the zone is looked for
)

var verdicts = [...]string{"not-here", "refused", "bad-key", "bad-signature", "accepted"}

func (v Verdict) String() string { return verdicts[v] }

// Notify judges a NOTIFY [RFC 1996] of a zone, by its name in text without the last dot. It has the zone looked for at once
// when one of its primaries sent it, whatever serial it tells: that is a hint nobody has to believe. sign makes a signature
// for the answer, and is nil when the message was not signed.
func (b *Book) Notify(name string, from netip.Addr, pkt []byte) (v Verdict, sign func(reply []byte) []byte) {
	defer func() { b.m.notifies.WithLabelValues(v.String()).Inc() }()
	b.mu.Lock()
	e := b.all[name]
	b.mu.Unlock()
	if e == nil {
		return NotHere, nil
	}
	e.mu.Lock()
	doc := e.doc
	e.mu.Unlock()
	v = Refused
	for i := range doc.From {
		addr, ok := doc.From[i].Server()
		if !ok || addr.Addr() != from.Unmap() {
			continue
		}
		var one Verdict
		if one, sign = b.judge(doc.From[i].Key, pkt); one > v {
			v = one
		}
		if v == Accepted {
			e.notified(addr)
			b.log.Debug("notified", "zone", name, "from", from)
			return v, sign
		}
	}
	b.log.Debug("a NOTIFY is not taken", "zone", name, "from", from, "why", v)
	return v, nil
}

func (e *Entry) notified(from netip.AddrPort) {
	e.mu.Lock()
	e.info.first = from
	e.state.Notified(time.Now())
	e.mu.Unlock()
	e.nudge()
}

// judge looks at the signature of a message that a primary with this key, or none, has sent.
func (b *Book) judge(name string, pkt []byte) (Verdict, func([]byte) []byte) {
	sig, err := findSignature(pkt)
	if err != nil {
		return Refused, nil
	}
	if name == "" {
		if sig != nil {
			return BadKey, nil
		}
		return Accepted, nil
	}
	key, err := b.opt.Keys(name)
	switch {
	case err != nil || sig == nil:
		return Refused, nil
	case sig.key != key.Name || sig.algorithm != key.Algorithm:
		return BadKey, nil
	}
	if newVerifier(key, nil, time.Now).check(pkt) != nil {
		return BadSign, nil
	}
	return Accepted, func(reply []byte) []byte { return signReply(reply, key, sig.mac) }
}

// signReply puts a signature behind a message without one; nil when that is not possible.
func signReply(reply []byte, key *Key, asked []byte) []byte {
	m := new(dns.Msg)
	if m.Unpack(reply) != nil {
		return nil
	}
	signed, err := answerWith(m, key, asked)
	if err != nil || binary.BigEndian.Uint16(signed) != binary.BigEndian.Uint16(reply) || len(signed) < wire.HeaderLen {
		return nil
	}
	return signed
}
