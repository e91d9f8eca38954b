package nameserver

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/wire"
)

// target is the host name a profile points to, ready to be written behind any question.
type target struct {
	name []byte // wire form, letter case kept
	key  []byte // the same in lower case

	// abroad is the mark of the configuration in which no zone of ours encloses the name, so that the CNAME is the whole
	// answer.
	abroad atomic.Pointer[mark]
}

func newTarget(name []byte) *target {
	t := &target{name: name, key: make([]byte, len(name))}
	for i, c := range name {
		t.key[i] = wire.Lower(c)
	}
	return t
}

func (t *target) isAbroad(c *config) bool {
	if t.abroad.Load() == c.mark {
		return true
	}
	var name wire.Name
	if name.Set(t.name); c.find(&name, dns.TypeA) != nil {
		return false
	}
	t.abroad.Store(c.mark)
	return true
}

// pointed is the CNAME of a choice that is a host name abroad, behind the question for key; or a set without records.
func (a *responder) pointed(conf *config, c *compiled, key []byte, typ uint16) ready {
	if typ != dns.TypeA && typ != dns.TypeAAAA && typ != dns.TypeCNAME || !c.alias().isAbroad(conf) {
		return ready{}
	}
	to := append(a.record[:0], 0xC0, wire.HeaderLen, 0, byte(dns.TypeCNAME), 0, dns.ClassINET)
	to = binary.BigEndian.AppendUint32(to, c.always.ttl)
	to = c.alias().behind(append(to, 0, 0), key)
	const head = 12                                               // bytes before the data
	binary.BigEndian.PutUint16(to[head-2:], uint16(len(to)-head)) //nolint:gosec // a name
	return ready{data: to, records: 1}
}

// behind writes the name, the longest tail it shares with the question's name as a pointer to that.
func (t *target) behind(to, key []byte) []byte {
	for i := 0; t.key[i] != 0; i += 1 + int(t.key[i]) {
		at := len(key) - (len(t.key) - i)
		if at >= 0 && string(key[at:]) == string(t.key[i:]) && startsLabel(key, at) {
			return binary.BigEndian.AppendUint16(append(to, t.name[:i]...), uint16(0xC000|wire.HeaderLen+at)) //nolint:gosec // within the question
		}
	}
	return append(to, t.name...)
}

// startsLabel reports that a label of the name begins there, and not just bytes that look like one.
func startsLabel(key []byte, at int) bool {
	i := 0
	for i < at {
		i += 1 + int(key[i])
	}
	return i == at
}
