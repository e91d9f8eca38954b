package nameserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/tsig"
	"jurymast/internal/nameserver/xfr"
	"jurymast/internal/profile"
)

// peer is one secondary that is told.
type peer struct {
	to    profile.NotifyTo
	state xfr.Notifier
	busy  bool
}

// Results of NOTIFY, as metrics tell them.
const (
	notifySent = iota
	notifyAcknowledged
	notifyFailed
	notifyGivenUp
	notifyResults
)

var notifyNames = [notifyResults]string{"sent", "acknowledged", "failed", "given_up"}

// notifyWait is how long one message waits for its answer.
const notifyWait = 1500 * time.Millisecond

// maxFetches are remembered of a zone.
const maxFetches = 32

// Fetch is the last transfer of one client.
type Fetch struct {
	From   netip.Addr
	Serial uint32
	Kind   string // axfr, ixfr or current
	At     time.Time
}

// tell makes all secondaries due for a serial. It needs mu.
func (o *outgoing) tell(t *profile.Transfer, serial uint32, now time.Time) {
	o.meet(t)
	for _, p := range o.peers {
		p.state.Changed(serial, now)
	}
}

// meet makes the peers those of the documents. It needs mu.
func (o *outgoing) meet(t *profile.Transfer) {
	named := map[string]bool{}
	for _, to := range t.Notify {
		named[to.Address] = true
		if p := o.peers[to.Address]; p != nil {
			p.to = to
			continue
		}
		p := &peer{to: to}
		if v := o.journal.Current(); v != nil {
			p.state.Changed(v.Serial, time.Now())
		}
		o.peers[to.Address] = p
	}
	for address := range o.peers {
		if !named[address] {
			delete(o.peers, address)
		}
	}
}

// fetched notes a transfer.
func (o *outgoing) fetched(from netip.Addr, serial uint32, kind xfr.Kind, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fetchd = slices.DeleteFunc(o.fetchd, func(f Fetch) bool { return f.From == from })
	if len(o.fetchd) == maxFetches {
		o.fetchd = o.fetchd[1:]
	}
	o.fetchd = append(o.fetchd, Fetch{from, serial, kind.String(), now})
}

// notifyAll sends what is due.
func (s *Server) notifyAll(now time.Time) {
	conf, _ := s.opt.Hub.Load().Config(s.slot).(*config)
	if conf == nil {
		return
	}
	var next time.Time
	for z, o := range conf.outgoing {
		o.mu.Lock()
		o.meet(z.Transfer)
		v := o.journal.Current()
		for _, p := range o.peers {
			at, due := p.state.Due()
			switch {
			case !due || v == nil || p.busy:
			case at.After(now):
				if next.IsZero() || at.Before(next) {
					next = at
				}
			case p.state.Last():
				p.state.GiveUp()
				s.transfers.notes[notifyGivenUp].Add(1)
				s.log.Warn("a secondary does not answer NOTIFY; it finds the change by its refresh timer", "zone", o.name, "to", p.to.Address,
					"serial", v.Serial, "why", p.state.Failing)
				s.gaveUp(o.name, p.to.Address, v.Serial, p.state.Failing)
			default:
				p.state.Sent(now)
				p.busy = true
				s.transfers.notes[notifySent].Add(1)
				to := p.to
				s.looking.Go(func() { s.notifyOne(o, p, to, v) })
			}
		}
		o.mu.Unlock()
	}
	if !next.IsZero() {
		time.AfterFunc(next.Sub(now), func() { nudge(s.transfers.wake) })
	}
}

// gaveUp tells the operator's journal.
func (s *Server) gaveUp(zone, to string, serial uint32, why string) {
	if s.opt.NotifyFailed != nil {
		go s.opt.NotifyFailed(zone, to, serial, why)
	}
}

// notifyOne sends one message and waits for its answer.
func (s *Server) notifyOne(o *outgoing, p *peer, to profile.NotifyTo, v *xfr.Version) {
	ctx, cancel := context.WithTimeout(context.Background(), notifyWait)
	defer cancel()
	stop := context.AfterFunc(s.ending, cancel)
	defer stop()
	err := s.exchangeNotify(ctx, o.name, to, v)
	o.mu.Lock()
	p.busy = false
	if err != nil {
		p.state.Failed(err.Error())
		s.transfers.notes[notifyFailed].Add(1)
	} else {
		p.state.Acknowledged(v.Serial, time.Now())
		s.transfers.notes[notifyAcknowledged].Add(1)
	}
	o.mu.Unlock()
	nudge(s.transfers.wake)
}

// exchangeNotify sends NOTIFY with the SOA [RFC 1996 3.7] and judges the answer.
func (s *Server) exchangeNotify(ctx context.Context, zone string, to profile.NotifyTo, v *xfr.Version) error {
	msg, session, err := s.notifyMessage(zone, to.Key, v)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{LocalAddr: s.notifyFrom(to.Address)}).DialContext(ctx, "udp", to.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // fails on a closed socket only
	}
	if _, err := conn.Write(msg); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
				return errors.New("no answer")
			}
			return err
		}
		if n < 12 || buf[0] != msg[0] || buf[1] != msg[1] || buf[2]&0x80 == 0 {
			continue // not the answer
		}
		return judgeNotify(buf[:n], session)
	}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

func judgeNotify(reply []byte, session *tsig.Session) error {
	if rcode := int(reply[3] & 15); rcode != dns.RcodeSuccess {
		return fmt.Errorf("it answers %s", dns.RcodeToString[rcode])
	}
	if session != nil {
		if _, err := session.Check(reply, time.Now()); err != nil {
			return fmt.Errorf("its answer is not believed: %w", err)
		}
	}
	return nil
}

func (s *Server) notifyMessage(zone, key string, v *xfr.Version) ([]byte, *tsig.Session, error) {
	m := new(dns.Msg).SetNotify(dns.Fqdn(zone))
	m.Authoritative = true
	msg, err := m.Pack()
	if err != nil {
		return nil, nil, err
	}
	msg[7] = 1 // ANCOUNT
	soa := &v.SOA
	msg = append(msg, 0xC0, 12, 0, byte(dns.TypeSOA), 0, dns.ClassINET)
	msg = binary.BigEndian.AppendUint32(msg, soa.TTL)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(soa.Data))) //nolint:gosec // an SOA has at most 530 bytes
	msg = append(msg, soa.Data...)
	if key == "" {
		return msg, nil, nil
	}
	k := s.ring.Load().Find(key)
	if k == nil {
		return nil, nil, fmt.Errorf("the TSIG key %s cannot be used on this node", key)
	}
	msg, session := k.Ask(msg, time.Now())
	return msg, session, nil
}

// notifyFrom is an address we listen on, of the secondary's family: that is what secondaries know us by. nil: any.
func (s *Server) notifyFrom(to string) net.Addr {
	target, err := netip.ParseAddrPort(to)
	if err != nil {
		return nil
	}
	for _, a := range s.Addrs() {
		if !a.Addr().IsUnspecified() && a.Addr().Is4() == target.Addr().Unmap().Is4() && a.Addr().IsLoopback() == target.Addr().IsLoopback() {
			return &net.UDPAddr{IP: a.Addr().AsSlice(), Zone: a.Addr().Zone()}
		}
	}
	return nil
}

// NotifyNow tells all secondaries of a zone its serial at once, whatever they know, and returns how many there are.
func (s *Server) NotifyNow(zone string) (int, error) {
	s.transfers.mu.Lock()
	o := s.transfers.zones[profile.CanonicalName(zone)]
	s.transfers.mu.Unlock()
	if o == nil {
		return 0, fmt.Errorf("zone %s has no transfer, or is none of ours; write zones[].transfer", zone)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.journal.Current()
	if v == nil {
		return 0, fmt.Errorf("zone %s has no version to tell of yet: its serial or the answers of its profiles are not known", zone)
	}
	for _, p := range o.peers {
		p.state.Again(v.Serial, time.Now())
	}
	nudge(s.transfers.wake)
	return len(o.peers), nil
}

// TransferStatus is how a zone that may be fetched stands.
type TransferStatus struct {
	Zone        string
	Serial      uint32 // 0, with Version false: not known yet
	Version     bool   // there is something to fetch
	Steps       int    // versions that a difference can be told from
	Records     int
	Waiting     string // why there is no version, or not that of the agreed serial
	Secondaries []Secondary
	Fetches     []Fetch
}

// Secondary is how one secondary that is told stands.
type Secondary struct {
	Address      string
	Key          string
	Acknowledged uint32
	Knows        bool // it has acknowledged one
	At           time.Time
	Pending      bool   // it is being told
	Failing      string // why the last try failed
	GivenUp      bool
}

// TransferStatus of a zone; ok is false for one that nobody may fetch.
func (s *Server) TransferStatus(zone string) (st TransferStatus, ok bool) {
	s.transfers.mu.Lock()
	o := s.transfers.zones[profile.CanonicalName(zone)]
	s.transfers.mu.Unlock()
	if o == nil {
		return TransferStatus{}, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	st = TransferStatus{Zone: o.name, Steps: o.journal.Steps(), Fetches: slices.Clone(o.fetchd)}
	st.Serial, _ = o.shown()
	if v := o.journal.Current(); v != nil {
		st.Version, st.Records = true, v.Len()
	}
	switch {
	case o.body == nil:
		st.Waiting = "the answers of its profiles, or its keys, are not known yet"
	case o.trouble != "":
		st.Waiting = "it cannot be signed: " + o.trouble
	case o.serial == nil:
		st.Waiting = "the cluster has not given it a serial yet"
	case !o.apart.IsZero():
		st.Waiting = "this node's content is not the one that has the serial"
	}
	for _, p := range o.peers {
		_, due := p.state.Due()
		st.Secondaries = append(st.Secondaries, Secondary{
			Address: p.to.Address, Key: p.to.Key, Acknowledged: p.state.Told, Knows: p.state.Knows, At: p.state.At,
			Pending: due, Failing: p.state.Failing, GivenUp: p.state.Given,
		})
	}
	slices.SortFunc(st.Secondaries, func(a, b Secondary) int { return strings.Compare(a.Address, b.Address) })
	return st, true
}
