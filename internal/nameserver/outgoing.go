package nameserver

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/sign"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/xfr"
	"jurymast/internal/nameserver/zone"
	"jurymast/internal/profile"
	"jurymast/internal/snapshot"
)

// outgoing is one zone that secondaries may fetch. It outlives configurations.
//
//	documents, health -> contents (here, on every node)  -> Contents: digest and base
//	the leader        -> serial and digest in the store   -> UseSerials, on every node
//	both fit          -> a version, in the journal        -> AXFR, IXFR, the serial of SOA answers, NOTIFY
type outgoing struct {
	name string
	soa  atomic.Pointer[liveSOA]

	mu      sync.Mutex
	serial  *xfr.State  // as all nodes agree; nil: not known yet
	body    *xfr.Body   // this node's content now, nil: not known yet
	digest  string      // of body
	base    uint32      // of body
	apart   time.Time   // since when body is not the content that has the serial; zero: it is
	alone   bool        // what is served is this node's own, not the content that has the serial
	journal xfr.Journal // what is served
	signer  sign.Signer // of body, if the zone is signed
	trouble string      // why the signatures of the next version could not be made, "" when they could

	made   made           // how body came about
	signed [2]signedLists // how the signatures of the last version came about
	peers  map[string]*peer
	fetchd []Fetch // who has fetched it last
}

// liveSOA is an SOA with the serial that holds now.
type liveSOA struct {
	of  *zone.Zone // whose other fields it has
	set *zone.RRset
}

// apartFor is how long a node waits for its own content to become that of the serial before it serves what it has.
const apartFor = 3 * time.Second

// transfers are all zones that may be fetched, and what bounds fetching.
type transfers struct {
	wake  chan struct{} // the agreed serials have changed, or a message is to be sent
	told  chan struct{} // contents have changed
	slots chan struct{} // transfers under way

	looked atomic.Pointer[snapshot.Snapshot] // the last one that contents were made of

	mu    sync.Mutex
	zones map[string]*outgoing // by name
	known map[string]xfr.State // serials, of zones that are not here too

	counts [transferKinds][transferResults]atomic.Uint64
	notes  [notifyResults]atomic.Uint64
}

// Kinds and results of transfers, as metrics tell them.
const (
	transferAXFR = iota
	transferIXFR
	transferKinds

	transferDone = iota - transferKinds - 1
	transferFailed
	transferRefused
	transferBusy
	transferResults
)

var (
	transferNames   = [transferKinds]string{"axfr", "ixfr"}
	transferEndings = [transferResults]string{"done", "failed", "refused", "busy"}
)

// maxTransfers are under way at once; each holds one message.
const maxTransfers = 32

func newTransfers() *transfers {
	return &transfers{
		wake: make(chan struct{}, 1), told: make(chan struct{}, 1), slots: make(chan struct{}, maxTransfers),
		zones: map[string]*outgoing{}, known: map[string]xfr.State{},
	}
}

// bind gives the zones of a configuration that may be fetched what is known of them.
func (t *transfers) bind(c *config) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.outgoing = map[*zone.Zone]*outgoing{}
	for _, z := range c.zones {
		if z.Transfer == nil {
			continue
		}
		o := t.zones[z.Name]
		if o == nil {
			o = &outgoing{name: z.Name, peers: map[string]*peer{}}
			if s, ok := t.known[z.Name]; ok {
				o.agree(s)
			}
			t.zones[z.Name] = o
		}
		c.outgoing[z] = o
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// agree takes the serial all nodes agree on. An older one is not taken: whatever was done to the store, this node's
// serial does not go back while it runs.
func (o *outgoing) agree(s xfr.State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.serial != nil && xfr.Newer(o.serial.Serial, s.Serial) {
		return
	}
	o.serial = &s
}

// shown is the serial of SOA answers: that of what is transferred, so that both say the same; before the first version
// the agreed one. It needs mu.
func (o *outgoing) shown() (uint32, bool) {
	switch v := o.journal.Current(); {
	case v != nil:
		return v.Serial, true
	case o.serial != nil:
		return o.serial.Serial, true
	}
	return 0, false
}

// soaOf is the zone's SOA with the serial that holds now, or its own while none is known.
func (o *outgoing) soaOf(z *zone.Zone) *zone.RRset {
	if live := o.soa.Load(); live != nil && live.of == z {
		return live.set
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.remake(z)
}

// remake makes the SOA anew. It needs mu.
func (o *outgoing) remake(z *zone.Zone) *zone.RRset {
	serial, ok := o.shown()
	if !ok {
		return z.SOA
	}
	set := &zone.RRset{Type: dns.TypeSOA, TTL: z.SOA.TTL, Data: [][]byte{xfr.WithSerial(z.SOA.Data[0], serial)}}
	o.soa.Store(&liveSOA{z, set})
	return set
}

// unsettled reports a zone whose serial is not known yet: telling another one could make secondaries believe that they
// have something newer.
func (r *response) unsettled(name *wire.Name) bool {
	z := r.conf.zones[string(name.Key(0))]
	if z == nil {
		return false
	}
	o := r.conf.outgoing[z]
	if o == nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.shown()
	return !ok
}

// allows reports that this client may fetch the zone. key is what it has signed with, "" without a valid signature.
func allows(t *profile.Transfer, from netip.Addr, key string) bool {
	if t == nil {
		return false
	}
	from = from.Unmap().WithZone("")
	return slices.ContainsFunc(t.To, func(to profile.TransferTo) bool {
		network, ok := to.Network()
		switch {
		case to.Prefix != "" && (!ok || !network.Contains(from)):
			return false
		case to.Key != "":
			return to.Key == key
		}
		return ok
	})
}

// Content is what the leader has to know of a zone to give it a serial.
type Content struct {
	Zone string
	xfr.Content
}

// Contents are the zones that may be fetched with what this node would transfer now, those left out whose content is not
// known yet.
func (s *Server) Contents() []Content {
	s.transfers.mu.Lock()
	defer s.transfers.mu.Unlock()
	var out []Content
	for _, o := range s.transfers.zones {
		o.mu.Lock()
		if o.body != nil {
			c := xfr.Content{Base: o.base, Digest: o.digest}
			if o.body.Keys != "" {
				c.Now = s.signing.clock.Load()
			}
			if v := o.journal.Current(); v != nil && o.serial != nil && v.Serial == o.serial.Serial {
				c.Renew = v.Signed.Renew
			}
			out = append(out, Content{o.name, c})
		}
		o.mu.Unlock()
	}
	return out
}

// ContentsChanged gets a value when Contents may say something new.
func (s *Server) ContentsChanged() <-chan struct{} { return s.transfers.told }

// UseSerials takes the serials that all nodes agree on, by zone. Zones that are not named keep theirs.
func (s *Server) UseSerials(all map[string]xfr.State) {
	t := s.transfers
	t.mu.Lock()
	for name, state := range all {
		if was, ok := t.known[name]; ok && xfr.Newer(was.Serial, state.Serial) {
			continue
		}
		t.known[name] = state
		if o := t.zones[name]; o != nil {
			o.agree(state)
		}
	}
	t.mu.Unlock()
	nudge(t.wake)
}
