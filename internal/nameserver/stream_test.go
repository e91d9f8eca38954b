package nameserver_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func framed(m *dns.Msg) []byte {
	b, _ := m.Pack()
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

func readReply(t *testing.T, c io.Reader) *dns.Msg {
	t.Helper()
	var prefix [2]byte
	if _, err := io.ReadFull(c, prefix[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint16(prefix[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		t.Fatal(err)
	}
	return m
}

// Questions sent in one go, cut anywhere, are all answered, also when the client has closed its half.
func TestPipeliningAndHalfClose(t *testing.T) {
	f := standardFixture(t, "127.0.0.1:0")
	at := f.serve(t)
	var all []byte
	const n = 200
	for i := range n {
		q := query("big.dr.example.", dns.TypeTXT)
		q.Id = uint16(i)
		all = append(all, framed(q)...)
	}
	conn, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	go func() {
		for i := 0; i < len(all); i += 777 {
			if _, err := conn.Write(all[i:min(i+777, len(all))]); err != nil {
				t.Error(err)
			}
		}
		if half, ok := conn.(*net.TCPConn); !ok || half.CloseWrite() != nil {
			t.Error("cannot close one half")
		}
	}()
	for i := range n {
		if m := readReply(t, conn); int(m.Id) != i || len(m.Answer) != 5 {
			t.Fatalf("answer %d: %v", i, m)
		}
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after the last answer: %v", err)
	}
}

// The first question has 2 s, later ones 10 s, measured from the answer before.
func TestIdleConnectionsEnd(t *testing.T) {
	for _, c := range []struct {
		name  string
		send  []byte // at once
		reply bool
		after time.Duration
	}{
		{"silent", nil, false, 2 * time.Second},
		{"half a question", framed(query("dr.example.", dns.TypeSOA))[:9], false, 2 * time.Second},
		{"one question", framed(query("dr.example.", dns.TypeSOA)), true, 10 * time.Second},
		{"a response", []byte{0, 12, 1, 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0}, false, 0},
		{"less than a header", []byte{0, 1, 1}, false, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := standardFixture(t)
			client, server := net.Pipe()
			start, done := time.Now(), make(chan time.Duration)
			go func() { f.srv.ServeConn(server); done <- time.Since(start) }()
			if _, err := client.Write(c.send); err != nil {
				t.Error(err)
			}
			if c.reply {
				readReply(t, client)
			}
			if got := <-done; got != c.after {
				t.Errorf("%s: closed after %v, want %v", c.name, got, c.after)
			}
			client.Close()
		})
	}
}

// A client that takes no answers holds nothing but its own connection, and that not for ever.
func TestSlowReaderIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := standardFixture(t)
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() { f.srv.ServeConn(server); close(done) }()
		if _, err := client.Write(framed(query("dr.example.", dns.TypeSOA))); err != nil {
			t.Error(err)
		}
		start := time.Now()
		<-done
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("left after %v", got)
		}
		client.Close()
	})
}

func TestConnectionsAreLimited(t *testing.T) {
	f := limited(t, 3)
	at := f.serve(t)
	var open []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Write(framed(query("dr.example.", dns.TypeSOA))); err != nil {
			t.Fatal(err)
		}
		readReply(t, conn)
		open = append(open, conn)
	}
	extra, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	_ = extra.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := extra.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the fourth connection: %v", err)
	}
	if n := f.counter(t, "connections_refused_total transport=tcp why=full"); n != 1 {
		t.Errorf("%v counted", n)
	}
	if n := f.counter(t, "connections transport=tcp"); n != 3 {
		t.Errorf("%v open", n)
	}
	if _, err := open[0].Write(framed(query("dr.example.", dns.TypeSOA))); err != nil {
		t.Fatal(err)
	}
	readReply(t, open[0])
}
