package nameserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"
	"log/slog"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/tsig"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/xfr"
	"jurymast/internal/nameserver/zone"
)

// Bounds of one transfer.
const (
	transferMessage = 16 << 10         // bytes of one message: as far as compression reaches
	transferStall   = 30 * time.Second // for one message to be taken
	transfersEach   = 4                // under way on one connection
)

// transfer answers AXFR and IXFR for who may fetch the zone [RFC 5936, RFC 1995]:
//
//	over a stream    IXFR: nothing new, steps or the zone; AXFR: the zone      xfr, told in many messages
//	over a datagram  IXFR: the SOA alone, to come again; AXFR: FORMERR
func (r *response) transfer(q *wire.Query) {
	z := r.conf.zones[string(q.Name.Key(0))]
	switch {
	case r.conf.find(&q.Name, q.Type) == nil:
		r.fail(wire.Refused, whyForeign...)
		return
	case z == nil, !allows(z.Transfer, r.asker.source, r.key):
		r.fail(wire.Refused, whyTransfer...)
		return
	case q.Type == dns.TypeAXFR && !r.stream:
		r.fail(wire.FormErr, whyNoStream...)
		return
	}
	serial, ok := uint32(0), true
	if q.Type == dns.TypeIXFR {
		serial, ok = clientSerial(r.packet)
	}
	if !ok {
		r.fail(wire.FormErr)
		return
	}
	o := r.conf.outgoing[z]
	o.mu.Lock()
	defer o.mu.Unlock()
	var a *xfr.Answer
	switch {
	case !r.stream:
		a = o.journal.SOA()
	case q.Type == dns.TypeIXFR:
		a = o.journal.Since(serial)
	default:
		a = o.journal.All()
	}
	switch {
	case a == nil:
		r.fail(wire.ServFail, whySerial...)
		return
	case a.Version.Signed.Until != 0 && r.conf.books[z].Now() >= a.Version.Signed.Until:
		r.fail(wire.ServFail, whyUnsigned...) // a secondary has to look for another primary
		return
	}
	r.zone, r.aa = z, true
	if r.stream {
		r.xfr = a
	}
	// Where it cannot be streamed the SOA alone stands for it: a difference is fetched over another transport then.
	soa := &a.Version.SOA
	r.answer = append(r.answer, record{owner: soa.Owner, set: &zone.RRset{Type: dns.TypeSOA, TTL: soa.TTL, Data: [][]byte{soa.Data}}, ttl: soa.TTL})
}

// clientSerial is the serial of an IXFR question: of the SOA in its authority section [RFC 1995 3].
func clientSerial(pkt []byte) (uint32, bool) {
	if binary.BigEndian.Uint16(pkt[6:]) != 0 || binary.BigEndian.Uint16(pkt[8:]) != 1 {
		return 0, false
	}
	off := wire.SkipName(pkt, wire.HeaderLen) + 4
	if off = wire.SkipName(pkt, off); off < 0 || off+10 > len(pkt) || binary.BigEndian.Uint16(pkt[off:]) != dns.TypeSOA {
		return 0, false
	}
	end := off + 10 + int(binary.BigEndian.Uint16(pkt[off+8:]))
	off += 10
	for range 2 {
		if off = wire.SkipName(pkt, off); off < 0 {
			return 0, false
		}
	}
	if end > len(pkt) || off+soaNumbers != end {
		return 0, false
	}
	return binary.BigEndian.Uint32(pkt[off:]), true
}

// sending is one transfer that is told in messages of its own, beside the other answers of its connection. Nothing in it
// is shared with the responder that began it.
type sending struct {
	s       *Server
	o       *outgoing
	a       *xfr.Answer
	q       wire.Query
	opt     bool
	options wire.Options
	size    uint16
	session *tsig.Session
	from    netip.Addr
	w       wire.Writer
	kind    int
}

// stream begins a transfer, if there is room for one more.
func (a *responder) stream(answer *xfr.Answer) bool {
	t := a.server.transfers
	kind := transferKind(a.q.Type)
	select {
	case t.slots <- struct{}{}:
	default:
		t.counts[kind][transferBusy].Add(1)
		return false
	}
	d := &sending{
		s: a.server, o: a.r.conf.outgoing[a.r.zone], a: answer, opt: a.q.EDNS, options: a.options(true), size: uint16(a.set.udpSize), //nolint:gosec // at most 1400
		session: a.session, from: a.r.asker.source, kind: kind,
	}
	d.options.Cookie = bytes.Clone(d.options.Cookie)
	d.q.Parse(bytes.Clone(a.packet))
	if !a.streams(d) {
		<-t.slots
		t.counts[kind][transferBusy].Add(1)
		return false
	}
	a.sending = true
	return true
}

// transferred begins what a question for a zone was answered with, if it takes more than one message. Without, or where
// nothing can be begun, the response says so.
func (a *responder) transferred() bool {
	switch {
	case a.r.rcode == wire.Refused && a.server != nil:
		a.server.transfers.counts[transferKind(a.q.Type)][transferRefused].Add(1)
	case a.r.xfr == nil:
	case a.streams != nil:
		if a.stream(a.r.xfr) {
			return true
		}
		a.r.fail(wire.ServFail, whyBusy...)
	case a.q.Type == dns.TypeAXFR:
		a.r.fail(wire.NotImp, whyNoStream...)
	}
	return false
}

func transferKind(typ uint16) int {
	if typ == dns.TypeIXFR {
		return transferIXFR
	}
	return transferAXFR
}

// begun reports that the last question began a transfer: it has no answer of its own.
func (a *responder) begun() bool {
	was := a.sending
	a.sending = false
	return was
}

// messages are the transfer in messages of 2 bytes of length and the message, each valid until the next one.
func (d *sending) messages() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		buf, first, open := make([]byte, 0, transferMessage+wireSlack), true, false
		flush := func() bool {
			if first && d.opt {
				d.w.OPT(wire.Success, d.size, d.q.DO, &d.options)
			}
			msg := d.w.Finish(&d.q, wire.FlagAA, wire.Success)
			if d.session != nil {
				msg = d.session.Sign(msg, time.Now())
			}
			first, open = false, false
			d.q.Question = nil // one is enough [RFC 5936 2.2.1]
			buf = msg
			return yield(msg)
		}
		for r := range d.a.Records {
			if open && d.put(r) {
				continue
			}
			if open && !flush() {
				return
			}
			d.w.Begin(buf, &d.q, d.room(transferMessage))
			if open = true; d.put(r) {
				continue
			}
			d.w.Begin(buf, &d.q, d.room(streamSize)) // one that needs a larger message
			if !d.put(r) {
				return // it fits no message: the zone's checks do not let it in
			}
		}
		if open {
			flush()
		}
	}
}

// room is what records may take of a message of a size.
func (d *sending) room(size int) int {
	if d.session != nil {
		size -= d.session.Len()
	}
	if d.opt {
		size -= wire.OPTLen + d.options.Len()
	}
	return size
}

func (d *sending) put(r *xfr.Record) bool {
	return d.w.RRset(wire.Answer, r.Owner, r.Type, r.TTL, [][]byte{r.Data}, 0)
}

// run writes the messages, and notes how that went.
func (d *sending) run(write func(msg []byte, within time.Duration) error) {
	defer func() { <-d.s.transfers.slots }()
	began, sent, messages := time.Now(), 0, 0
	var err error
	framed := make([]byte, 0, transferMessage+wireSlack)
	for msg := range d.messages() {
		framed = append(binary.BigEndian.AppendUint16(framed[:0], uint16(len(msg))), msg...) //nolint:gosec // at most 65535
		if err = write(framed, transferStall); err != nil {
			break
		}
		sent, messages = sent+len(msg), messages+1
	}
	result, level := transferDone, slog.LevelInfo
	if err != nil {
		result, level = transferFailed, slog.LevelWarn
	}
	d.s.transfers.counts[d.kind][result].Add(1)
	d.s.log.Log(context.Background(), level, "zone transfer", "zone", d.o.name, "kind", d.a.Kind.String(), "serial", d.a.Version.Serial,
		"to", d.from.String(), "key", d.session.Key(), "bytes", sent, "messages", messages, "took", time.Since(began).Round(time.Millisecond), "error", err)
	if err == nil {
		d.o.fetched(d.from, d.a.Version.Serial, d.a.Kind, time.Now())
	}
}

// send begins a transfer on a connection.
func (k *talk) send(d *sending) bool {
	if k.under.Add(1) > transfersEach {
		k.under.Add(-1)
		return false
	}
	k.sending.Go(func() {
		defer k.under.Add(-1)
		defer func() {
			if p := recover(); p != nil {
				k.a.c.panics.Add(1)
				k.t.s.log.Error("a zone transfer failed inside; the connection is cut", "zone", d.o.name, "panic", p, "stack", stack())
				k.c.conn.Close()
			}
		}()
		d.run(k.write)
	})
	return true
}

// write writes one or more whole messages. They have to be taken within a time.
func (k *talk) write(b []byte, within time.Duration) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	if err := k.c.conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := k.c.conn.Write(b)
	return err
}

// settle waits for transfers under way: whoever has asked everything and says no more still gets them.
func (k *talk) settle(why int) {
	if why == closedSlow {
		k.c.conn.Close()
	}
	k.sending.Wait()
}
