package secondary

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"jurymast/internal/nameserver/tsig"
	"jurymast/internal/nameserver/wire"
	"jurymast/internal/nameserver/zone"
)

// Limits of one transfer. Zero values are the defaults.
type Limits struct {
	Records int           // of a zone and of its differences; 1,000,000
	Bytes   int64         // of all messages; 512 MiB
	Total   time.Duration // 15m
	Quiet   time.Duration // between two messages; 30s
	Answer  time.Duration // to the question for the SOA, over UDP twice and then over TCP; 3s
}

func (l *Limits) fill() {
	def := Limits{Records: 1_000_000, Bytes: 512 << 20, Total: 15 * time.Minute, Quiet: 30 * time.Second, Answer: 3 * time.Second}
	if l.Records <= 0 {
		l.Records = def.Records
	}
	if l.Bytes <= 0 {
		l.Bytes = def.Bytes
	}
	if l.Total <= 0 {
		l.Total = def.Total
	}
	if l.Quiet <= 0 {
		l.Quiet = def.Quiet
	}
	if l.Answer <= 0 {
		l.Answer = def.Answer
	}
}

// Client speaks with primaries.
type Client struct {
	limits   Limits
	now      func() time.Time
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	networks []string // over which the SOA is asked for, one after the other
}

// NewClient makes one.
func NewClient(l Limits) *Client {
	l.fill()
	var d net.Dialer
	return &Client{limits: l, now: time.Now, dial: d.DialContext, networks: []string{"udp", "udp", "tcp"}}
}

// Job is one look at one primary.
type Job struct {
	Zone   string // lower case, no trailing dot
	Server netip.AddrPort
	Key    *tsig.Key // nil: unsigned
	Have   *Content  // nil: nothing is here
	Force  bool      // the whole zone, whatever its serial
	Check  Check
}

// How a look ended.
type How string

// The words of How.
const (
	Same        How = "same"        // the primary has what is here
	Older       How = "older"       // it has less
	Differences How = "differences" // IXFR
	Whole       How = "whole"       // AXFR, or an IXFR that was answered with everything
)

// Outcome is what a look brought.
type Outcome struct {
	How     How
	Serial  uint32   // of the primary
	Content *Content // new; nil for Same and Older
	Bytes   int64
	Refused string // why differences were not enough, if they were tried
}

// Look asks one primary what it has, and fetches it if that is newer. The error says what is wrong; nothing is to be
// changed then.
func (c *Client) Look(ctx context.Context, j Job) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Total)
	defer cancel()
	out := Outcome{}
	var err error
	if out.Serial, err = c.serial(ctx, j); err != nil {
		return out, err
	}
	switch {
	case j.Force || j.Have == nil:
	case out.Serial == j.Have.Serial:
		out.How = Same
		return out, nil
	case !Newer(out.Serial, j.Have.Serial):
		out.How = Older
		return out, nil
	}
	if !j.Force && j.Have != nil {
		done, err := c.differences(ctx, j, &out)
		if done {
			return out, nil
		}
		if ctx.Err() != nil {
			return out, plain(ctx.Err())
		}
		out.Refused = err.Error()
	}
	r, err := c.transfer(ctx, j, false, &out)
	if err != nil {
		return out, fmt.Errorf("AXFR: %w", err)
	}
	return out, c.take(j, r, &out)
}

// differences tries IXFR. The error says why the whole zone is needed.
func (c *Client) differences(ctx context.Context, j Job, out *Outcome) (done bool, err error) {
	r, err := c.transfer(ctx, j, true, out)
	if err != nil {
		return false, fmt.Errorf("IXFR: %w", err)
	}
	err = c.take(j, r, out)
	return err == nil, err
}

// take makes content of a transfer that is complete.
func (c *Client) take(j Job, r *reader, out *Outcome) error {
	var err error
	switch r.shape {
	case same:
		out.How, out.Serial = Same, r.serial
		if r.serial != j.Have.Serial {
			out.How = Older
		}
		return nil
	case whole:
		out.How = Whole
		out.Content, err = NewContent(j.Zone, r.records, j.Check)
	case steps:
		out.How = Differences
		var records []zone.Record
		if records, err = j.Have.apply(r.steps, c.limits.Records); err == nil {
			out.Content, err = contentOf(j.Zone, records, j.Check)
		}
	case unknown:
		err = errors.New("it ended before its end")
	}
	if err != nil {
		return err
	}
	if out.Content.Serial != r.serial {
		return fmt.Errorf("the records are of serial %d, and the transfer said %d", out.Content.Serial, r.serial)
	}
	out.Serial = r.serial
	return nil
}

// serial asks for the SOA.
func (c *Client) serial(ctx context.Context, j Job) (uint32, error) {
	var trouble error
	for _, network := range c.networks {
		answer, err := c.soa(ctx, j, network)
		if err == nil {
			return answer, nil
		}
		trouble = err
		if _, again := errors.AsType[silence](err); !again || ctx.Err() != nil {
			break
		}
	}
	return 0, fmt.Errorf("SOA: %w", trouble)
}

// pack writes a question, signed with the key if there is one.
func pack(m *dns.Msg, key *tsig.Key, now time.Time) ([]byte, *tsig.Session, error) {
	pkt, err := m.Pack()
	if err != nil || key == nil {
		return pkt, nil, err
	}
	pkt, session := key.Ask(pkt, now)
	return pkt, session, nil
}

// silence is an error after which another try, or another transport, may do.
type silence struct{ error }

var errTruncated = silence{errors.New("the answer does not fit a datagram")}

func (c *Client) soa(ctx context.Context, j Job, network string) (uint32, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Answer)
	defer cancel()
	q := new(dns.Msg).SetQuestion(dns.Fqdn(j.Zone), dns.TypeSOA)
	q.RecursionDesired = false
	pkt, session, err := pack(q, j.Key, c.now())
	if err != nil {
		return 0, err
	}
	conn, err := c.connect(ctx, network, j.Server)
	if err != nil {
		return 0, silence{err}
	}
	defer conn.Close()
	if err := send(conn, network, pkt); err != nil {
		return 0, silence{plain(err)}
	}
	for range 100 { // what is not the answer is passed over: somebody may guess
		reply, err := receive(conn, network)
		if err != nil {
			return 0, silence{plain(err)}
		}
		m := new(dns.Msg)
		if bad := m.Unpack(reply); bad != nil || m.Id != q.Id || !m.Response || m.Opcode != dns.OpcodeQuery || !echoes(m, q) {
			continue
		}
		if m.Truncated && network == "udp" {
			return 0, errTruncated
		}
		if session != nil {
			if _, err := session.Check(reply, c.now()); err != nil {
				return 0, unbelieved(m.Rcode, err)
			}
		}
		return readSOA(m, j.Zone)
	}
	return 0, silence{errors.New("a hundred packets, and none of them the answer")}
}

func echoes(m, q *dns.Msg) bool {
	if len(m.Question) == 0 {
		return m.Rcode != dns.RcodeSuccess
	}
	a, b := m.Question[0], q.Question[0]
	return len(m.Question) == 1 && a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}

func readSOA(m *dns.Msg, name string) (uint32, error) {
	if m.Rcode != dns.RcodeSuccess {
		return 0, rcodeError(m.Rcode)
	}
	if !m.Authoritative {
		return 0, errors.New("the server has no authority over the zone")
	}
	for _, rr := range m.Answer {
		if soa, ok := rr.(*dns.SOA); ok && strings.EqualFold(soa.Hdr.Name, dns.Fqdn(name)) && soa.Hdr.Class == dns.ClassINET {
			return soa.Serial, nil
		}
	}
	return 0, errors.New("the answer has no SOA of the zone")
}

// rcodeError is what a server means by a response code.
func rcodeError(rcode int) error {
	why := map[int]string{
		dns.RcodeRefused:       "; let the primary allow this node's address, or the key",
		dns.RcodeNotAuth:       "; it does not have the zone, or does not take the key",
		dns.RcodeServerFailure: "; it does not have the zone's data itself",
	}
	word := dns.RcodeToString[rcode]
	if word == "" {
		word = fmt.Sprintf("response code %d", rcode)
	}
	return fmt.Errorf("the primary answers %s%s", word, why[rcode])
}

// unbelieved is an answer whose signature does not hold. What an unsigned refusal says is told, though nothing proves it.
func unbelieved(rcode int, err error) error {
	if rcode != dns.RcodeSuccess && errors.Is(err, tsig.ErrUnsigned) {
		return rcodeError(rcode)
	}
	return fmt.Errorf("the answer is not believed: %w", err)
}

// transfer asks for the zone over TCP and reads all of it.
func (c *Client) transfer(ctx context.Context, j Job, differs bool, out *Outcome) (*reader, error) {
	q := new(dns.Msg)
	if q.SetAxfr(dns.Fqdn(j.Zone)); differs {
		soa, err := questionSOA(j.Have)
		if err != nil {
			return nil, err
		}
		q.SetQuestion(dns.Fqdn(j.Zone), dns.TypeIXFR)
		q.Ns = []dns.RR{soa}
	}
	q.RecursionDesired = false
	pkt, session, err := pack(q, j.Key, c.now())
	if err != nil {
		return nil, err
	}
	dialing, cancel := context.WithTimeout(ctx, 2*c.limits.Answer)
	conn, err := c.connect(dialing, "tcp", j.Server)
	cancel()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = conn.SetDeadline(c.now().Add(c.limits.Quiet)) // fails on a closed connection only
	if err := send(conn, "tcp", pkt); err != nil {
		return nil, plain(err)
	}
	apex, err := ownerOf(j.Zone)
	if err != nil {
		return nil, err
	}
	r := &reader{apex: apex, differs: differs, most: c.limits.Records}
	if differs {
		r.have = j.Have.Serial
	}
	for !r.done {
		if err := c.message(ctx, conn, q, r, session, out); err != nil {
			return nil, err
		}
	}
	if session != nil && !session.Ended() {
		return nil, errors.New("the last message is not signed")
	}
	return r, nil
}

// questionSOA is the SOA of what is here, as IXFR wants it.
func questionSOA(have *Content) (dns.RR, error) {
	apex, err := ownerOf(have.Zone)
	if err != nil {
		return nil, err
	}
	rec, ok := soaOf(apex, have.Records)
	if !ok {
		return nil, errFormat
	}
	head := binary.BigEndian.AppendUint16([]byte{0, byte(dns.TypeSOA), 0, dns.ClassINET, 0, 0, 0, 0}, uint16(len(rec.Data))) //nolint:gosec // it came in a message
	buf := slices.Concat(rec.Owner.Name, head, rec.Data)
	rr, _, err := dns.UnpackRR(buf, 0)
	return rr, err
}

// message reads one message of a transfer.
func (c *Client) message(ctx context.Context, conn net.Conn, q *dns.Msg, r *reader, session *tsig.Session, out *Outcome) error {
	if ctx.Err() != nil {
		return plain(ctx.Err())
	}
	_ = conn.SetReadDeadline(c.now().Add(c.limits.Quiet)) // fails on a closed connection only
	pkt, err := receive(conn, "tcp")
	if ctx.Err() != nil {
		return plain(ctx.Err())
	}
	if err != nil {
		return cutShort(err, r)
	}
	if out.Bytes += int64(len(pkt)); out.Bytes > c.limits.Bytes {
		return fmt.Errorf("the transfer has more than %d bytes", c.limits.Bytes)
	}
	if len(pkt) < wire.HeaderLen {
		return errFormat
	}
	flags, rcode := binary.BigEndian.Uint16(pkt[2:]), int(pkt[3]&15)
	switch {
	case binary.BigEndian.Uint16(pkt) != q.Id || flags&wire.FlagQR == 0 || flags>>11&15 != 0:
		return errors.New("a message that is no answer to the question")
	case flags&wire.FlagTC != 0:
		return errors.New("a truncated message")
	}
	if session != nil {
		if pkt, err = session.Check(pkt, c.now()); err != nil {
			return unbelieved(rcode, err)
		}
	}
	if rcode != 0 {
		return rcodeError(rcode)
	}
	off, err := skipQuestion(pkt, q)
	if err != nil {
		return err
	}
	records := int(binary.BigEndian.Uint16(pkt[6:]))
	if records == 0 {
		return errors.New("a message without records")
	}
	return r.take(pkt, off, records)
}

// skipQuestion is where the answer section begins. Only the first message needs to repeat the question [RFC 5936 2.2.1].
func skipQuestion(pkt []byte, q *dns.Msg) (int, error) {
	switch binary.BigEndian.Uint16(pkt[4:]) {
	case 0:
		return wire.HeaderLen, nil
	case 1:
	default:
		return 0, errFormat
	}
	name, off, err := readName(pkt, wire.HeaderLen)
	if err != nil || off+4 > len(pkt) {
		return 0, errFormat
	}
	asked := q.Question[0]
	if !strings.EqualFold(zone.Text(name), asked.Name) || binary.BigEndian.Uint16(pkt[off:]) != asked.Qtype || binary.BigEndian.Uint16(pkt[off+2:]) != asked.Qclass {
		return 0, errors.New("a message that answers another question")
	}
	return off + 4, nil
}

func cutShort(err error, r *reader) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the connection ended after %d records, before the end of the zone", r.count)
	}
	return fmt.Errorf("%w after %d records", plain(err), r.count)
}

func (c *Client) connect(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
	conn, err := c.dial(ctx, network, server.String())
	if err != nil {
		return nil, plain(err)
	}
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end) // fails on a closed connection only
	}
	return conn, nil
}

func send(conn net.Conn, network string, pkt []byte) error {
	if network == "tcp" {
		pkt = append(binary.BigEndian.AppendUint16(nil, uint16(len(pkt))), pkt...) //nolint:gosec // a question
	}
	_, err := conn.Write(pkt)
	return err
}

func receive(conn net.Conn, network string) ([]byte, error) {
	if network == "udp" {
		buf := make([]byte, 65535)
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	pkt := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, pkt)
	return pkt, err
}

// plain says what happened without addresses that the caller names anyway.
func plain(err error) error {
	if ne, ok := errors.AsType[net.Error](err); (ok && ne.Timeout()) || errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}
