package flatten

import (
	"net/netip"
	"time"
)

// outcome of one question to the resolvers.
type outcome uint8

const (
	failed outcome = iota // nobody gave a usable answer
	denied                // there is no such address
	found
)

func (o outcome) String() string {
	switch o {
	case found:
		return "found"
	case denied:
		return "none"
	case failed:
	}
	return "failed"
}

// Reply is what the resolvers said of one family of a target.
type Reply struct {
	outcome  outcome
	addrs    []netip.Addr
	ttl      time.Duration
	via      []string // names the target is an alias of, in lower case and without a trailing dot
	resolver netip.AddrPort
	silent   bool  // failed: nobody answered at all
	err      error // failed
}

// Found is a reply with addresses.
func Found(by netip.AddrPort, ttl time.Duration, addrs ...netip.Addr) Reply {
	return Reply{outcome: found, resolver: by, ttl: ttl, addrs: addrs}
}

// Denied is the reply that there is no address of the family.
func Denied(by netip.AddrPort, ttl time.Duration) Reply {
	return Reply{outcome: denied, resolver: by, ttl: ttl}
}

// Failed is no usable reply; silent when no resolver answered at all.
func Failed(err error, silent bool) Reply { return Reply{err: err, silent: silent} }
