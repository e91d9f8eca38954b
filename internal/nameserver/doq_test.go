package nameserver_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/tap"
)

// quic connects.
func (s *secret) quic(t testing.TB, at string) *quic.Conn {
	t.Helper()
	c := s.config("doq")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := quic.DialAddr(ctx, at, c, &quic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	return conn
}

// overDoQ asks one question on a stream of its own.
func overDoQ(conn *quic.Conn, pkt []byte) ([]byte, error) {
	return sentOverDoQ(conn, append(binary.BigEndian.AppendUint16(nil, uint16(len(pkt))), pkt...), true)
}

// sentOverDoQ sends these bytes on a stream and, if it is asked to, ends it.
func sentOverDoQ(conn *quic.Conn, b []byte, end bool) ([]byte, error) {
	stream, err := conn.OpenStreamSync(conn.Context())
	if err != nil {
		return nil, err
	}
	_ = stream.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err = stream.Write(b); err != nil {
		return nil, err
	}
	if end {
		_ = stream.Close()
	}
	all, err := io.ReadAll(stream)
	if err != nil {
		return nil, err
	}
	if len(all) < 14 || int(binary.BigEndian.Uint16(all)) != len(all)-2 {
		return nil, errors.New("no message")
	}
	return all[2:], nil
}

// Many streams at once, all answered, and counted as what they are.
func TestDoQ(t *testing.T) {
	s := encrypted(t, nameserver.TCP{})
	conn := s.quic(t, s.at(tap.DoQ))
	if state := conn.ConnectionState(); state.TLS.NegotiatedProtocol != "doq" || state.Used0RTT {
		t.Errorf("%+v", state)
	}
	q := query("big.dr.example.", dns.TypeTXT)
	q.Id = 0
	pkt, _ := q.Pack()
	errs := make(chan error)
	const n = 300
	for range n {
		go func() {
			reply, err := overDoQ(conn, pkt)
			if m := new(dns.Msg); err == nil && (m.Unpack(reply) != nil || len(m.Answer) != 5) {
				err = errors.New("another answer")
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := s.counter(t, "queries_total family=ipv4 transport=doq"); got != n {
		t.Errorf("%v counted", got)
	}
	if got := s.counter(t, "connections transport=doq"); got != 1 {
		t.Errorf("%v connections", got)
	}
}

// What the protocol forbids ends the connection with its error; what is slow ends its stream alone.
func TestDoQRules(t *testing.T) {
	s := encrypted(t, nameserver.TCP{First: 300 * time.Millisecond})
	soa := query("dr.example.", dns.TypeSOA)
	soa.Id = 0
	pkt, _ := soa.Pack()
	good := append(binary.BigEndian.AppendUint16(nil, uint16(len(pkt))), pkt...)
	with := func(change func(b []byte)) []byte { b := bytes.Clone(good); change(b); return b }
	keepalive := soa.Copy()
	keepalive.SetEdns0(1232, false)
	keepalive.IsEdns0().Option = append(keepalive.IsEdns0().Option, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE})
	for name, b := range map[string][]byte{
		"id": with(func(b []byte) { b[3] = 1 }), "two messages": append(bytes.Clone(good), good...), "cut": good[:len(good)-1], "nothing": {}, "half a length": {0},
		"a response": with(func(b []byte) { b[4] = 0x80 }), "keepalive": framed(keepalive), "short": {0, 3, 0, 0, 0},
	} {
		conn := s.quic(t, s.at(tap.DoQ))
		_, err := sentOverDoQ(conn, b, true)
		end := new(quic.ApplicationError)
		if !errors.As(err, &end) || end.ErrorCode != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
	conn := s.quic(t, s.at(tap.DoQ))
	cancelled := new(quic.StreamError)
	if _, err := sentOverDoQ(conn, good, false); !errors.As(err, &cancelled) || cancelled.ErrorCode != 3 {
		t.Errorf("a stream that is not ended: %v", err)
	}
	if _, err := overDoQ(conn, pkt); err != nil {
		t.Errorf("the next question: %v", err)
	}
	eventually(t, "counted", func() bool { return s.counter(t, "connections_closed_total transport=doq why=misuse") == 8 })
}

// Under load clients have to prove their address first, and beyond the limits they are refused.
func TestDoQUnderLoad(t *testing.T) {
	s := encrypted(t, nameserver.TCP{Connections: 4, PerPrefix: 4, Idle: time.Minute})
	var open []*quic.Conn
	for range 4 {
		open = append(open, s.quic(t, s.at(tap.DoQ)))
	}
	eventually(t, "connections", func() bool { return s.counter(t, "connections transport=doq") == 4 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := quic.DialAddr(ctx, s.at(tap.DoQ), s.config("doq"), nil); err == nil {
		t.Error("a fifth one")
	}
	if s.counter(t, "connections_refused_total transport=doq why=full") == 0 {
		t.Error("not counted")
	}
	if s.srv.Retries() == 0 {
		t.Error("nobody had to prove an address")
	}
	_ = open[0].CloseWithError(0, "")
	eventually(t, "a free place", func() bool { return s.counter(t, "connections transport=doq") == 3 })
	s.quic(t, s.at(tap.DoQ))
}

// An idle connection ends, and a stop lets answers go.
func TestDoQEnds(t *testing.T) {
	s := encrypted(t, nameserver.TCP{First: 200 * time.Millisecond, Idle: 400 * time.Millisecond, IdleMin: 100 * time.Millisecond})
	silent := s.quic(t, s.at(tap.DoQ))
	<-silent.Context().Done()
	asks := s.quic(t, s.at(tap.DoQ))
	q := query("dr.example.", dns.TypeSOA)
	q.Id = 0
	pkt, _ := q.Pack()
	if _, err := overDoQ(asks, pkt); err != nil {
		t.Fatal(err)
	}
	<-asks.Context().Done()
	eventually(t, "counted", func() bool { return s.counter(t, "connections_closed_total transport=doq why=idle") == 2 })
	conn := s.quic(t, s.at(tap.DoQ))
	if _, err := overDoQ(conn, pkt); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.srv.Close(ctx); err != nil {
		t.Error(err)
	}
	end := new(quic.ApplicationError)
	if err := context.Cause(conn.Context()); !errors.As(err, &end) || end.ErrorCode != 0 {
		<-conn.Context().Done()
	}
}
